/* A check in process: every allocation failing in turn gives an error and no leak. What it says: tests/tools/check.py.
 */
#include "train/check.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "test.h"

static char root[] = "/tmp/vitc-check-XXXXXX";

static void write_be(FILE *f, uint32_t v)
{
    const uint8_t bytes[] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};
    CHECK(fwrite(bytes, 1, 4, f) == 4);
}

static void make_part(const char *part)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s-images-idx3-ubyte", root, part);
    FILE *f = fopen(path, "wb");
    const uint32_t header[] = {0x803, 20, 2, 2};
    for (int i = 0; i < 4; i++) write_be(f, header[i]);
    for (int i = 0; i < 80; i++) fputc(i, f);
    fclose(f);
    snprintf(path, sizeof path, "%s/%s-labels-idx1-ubyte", root, part);
    f = fopen(path, "wb");
    write_be(f, 0x801);
    write_be(f, 20);
    for (int i = 0; i < 20; i++) fputc(i % 2, f);
    fclose(f);
}

static vt_status check(bool *told)
{
    const char *argv[] = {"--model",      "deit_micro", "--data-path", root, "--in-chans",      "1",   "--depth", "2",
                          "--batch-size", "5",          "--mixup",     "1",  "--class-weights", "auto"};
    vt_settings settings;
    vt_options options;
    vt_run_parts parts = {.options = &options, .settings = &settings};
    vt_check c;
    vt_text text = {0}, object = {0};
    vt_status st = vt_options_init(&options, vt_settings_table, &settings);
    if (st == VT_OK) st = vt_options_parse(&options, sizeof argv / sizeof *argv, argv);
    if (st == VT_OK) st = vt_check_open(&c, &parts);
    if (st == VT_OK) {
        vt_check_text(&c, &text);
        vt_check_json(&c, &object);
        vt_check_close(&c);
        st = vt_text_status(&text);
        if (st == VT_OK) st = vt_text_status(&object);
        *told = strstr(vt_text_str(&text), "an even --batch-size") &&
                strstr(vt_text_str(&object), "an even --batch-size") && strstr(vt_text_str(&text), "of 2 classes") &&
                strstr(vt_text_str(&text), "--aug-repeats 1");
    }
    vt_text_free(&text);
    vt_text_free(&object);
    vt_run_close(&parts);
    vt_options_free(&options);
    return st;
}

TEST(tells)
{
    bool told = false;
    CHECK_OK(check(&told));
    CHECK(told);
}

TEST(every_allocation_failing)
{
#ifdef VT_TEST_ALLOC
    long live = vt_alloc_live(), n = 1;
    for (;; n++) {
        bool told = false;
        vt_alloc_fail_at(n, 0);
        vt_status st = check(&told);
        bool fired = vt_alloc_fail_at(0, 0) == 0;
        CHECK_MSG(vt_alloc_live() == live, "allocation %ld failing leaks %ld blocks", n, vt_alloc_live() - live);
        if (!fired) break;
        CHECK_MSG(st == VT_NO_MEMORY, "allocation %ld failing: status %d, %s", n, st, vt_error());
    }
    CHECK(n > 50);
#else
    printf("every_allocation_failing: skipped: built without VITC_TEST_ALLOC\n");
#endif
}

int main(void)
{
    CHECK(mkdtemp(root) != NULL);
    make_part("train");
    make_part("t10k");
    RUN(tells);
    RUN(every_allocation_failing);
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", root);
    CHECK(system(command) == 0);
    TEST_END();
}
