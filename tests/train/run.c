/* A whole run in process: learns, and every allocation failing in turn gives an error and no leak. */
#include "test.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/philox.h"
#include "data/image.h"
#include "train/run.h"

static char root[] = "/tmp/vitc-run-XXXXXX";
static char data[64], output[64];

/* Two classes, bright above or below, 12 images each. */
static void make_data(void)
{
    CHECK(mkdtemp(root) != NULL);
    snprintf(data, sizeof data, "%s/data", root);
    snprintf(output, sizeof output, "%s/out", root);
    mkdir(data, 0777);
    for (int c = 0; c < 2; c++) {
        char path[128];
        snprintf(path, sizeof path, "%s/%c", data, 'a' + c);
        mkdir(path, 0777);
        for (int i = 0; i < 12; i++) {
            uint8_t pixels[16 * 16];
            vt_rng rng = vt_rng_data(7, VT_PURPOSE_INIT, (uint32_t)c, (uint32_t)i, 0);
            for (int p = 0; p < 256; p++) pixels[p] = (uint8_t)(vt_rng_below(&rng, 100) + ((p >= 128) == c ? 120 : 0));
            snprintf(path, sizeof path, "%s/%c/%d.png", data, 'a' + c, i);
            CHECK_OK(vt_png_write(path, pixels, 16, 16, 1));
        }
    }
}

static vt_status train(const char *epochs)
{
    const char *argv[] = {"--model", "deit_micro", "--data-path", data, "--output-dir", output, "--overwrite",
                          "--in-chans", "1",
                          "--img-size", "16", "--patch-size", "8", "--embed-dim", "16", "--depth", "2",
                              "--num-heads", "2",
                          "--batch-size", "4", "--micro-batch-size", "2", "--num-workers", "0", "--threads", "1",
                          "--lr", "1e-2", "--unscale-lr", "--hflip", "0", "--epochs", epochs};
    volatile sig_atomic_t stop = 0;
    vt_settings settings;
    vt_options options;
    vt_status st = vt_options_init(&options, vt_settings_table, &settings);
    if (st == VT_OK) st = vt_options_parse(&options, sizeof argv / sizeof *argv, argv);
    if (st == VT_OK) st = vt_train_run(&options, &settings, (vt_console){0}, &stop);
    vt_options_free(&options);
    return st;
}

TEST(learns)
{
    char path[128], line[512] = "";
    CHECK_OK(train("10"));
    snprintf(path, sizeof path, "%s/log.txt", output);
    FILE *f = fopen(path, "r");
    CHECK(f != NULL);
    while (f && fgets(line, sizeof line, f)) continue;
    if (f) fclose(f);
    const char *acc = strstr(line, "\"test_acc1\":");
    CHECK_MSG(acc && atof(acc + 12) == 100, "the last line of the log is %s", line);
}

TEST(every_allocation_failing)
{
#ifdef VT_TEST_ALLOC
    long live = vt_alloc_live(), n = 1;
    for (;; n += 1 + n / 40) { /* each of the first, then ever fewer: a run makes thousands */
        vt_alloc_fail_at(n, 0);
        vt_status st = train("1");
        bool fired = vt_alloc_fail_at(0, 0) == 0;
        CHECK_MSG(vt_alloc_live() == live, "allocation %ld failing leaks %ld blocks", n, vt_alloc_live() - live);
        if (!fired) break;
        CHECK_MSG(st == VT_NO_MEMORY, "allocation %ld failing: status %d, %s", n, st, vt_error());
    }
    printf("a run makes about %ld allocations\n", n);
    CHECK(n > 100);
#else
    printf("every_allocation_failing: skipped: built without VITC_TEST_ALLOC\n");
#endif
}

int main(void)
{
    make_data();
    RUN(learns);
    RUN(every_allocation_failing);
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", root);
    CHECK(system(command) == 0);
    TEST_END();
}
