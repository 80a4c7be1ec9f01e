/* A build without libpng, libjpeg and zlib: what it reads, and what it says of the rest. */
#define _XOPEN_SOURCE 700 /* mkdtemp, nftw */
#include "base/alloc.h"
#include "data/bench.h"
#include "data/dataset.h"
#include "data/folder.h"
#include "data/loader.h"

static void put_idx(const fixture *f, const char *prefix, const char *end)
{
    enum { N = 6, SIDE = 4 };
    uint8_t images[16 + N * SIDE * SIDE] = {0, 0, 8, 3, 0, 0, 0, N, 0, 0, 0, SIDE, 0, 0, 0, SIDE};
    uint8_t labels[8 + N] = {0, 0, 8, 1, 0, 0, 0, N, 0, 1, 2, 0, 1, 2};
    char name[64];
    for (size_t i = 16; i < sizeof images; i++) images[i] = (uint8_t)(i * 7);
    snprintf(name, sizeof name, "%s-images-idx3-ubyte%s", prefix, end);
    put(f, name, images, sizeof images);
    snprintf(name, sizeof name, "%s-labels-idx1-ubyte%s", prefix, end);
    put(f, name, labels, sizeof labels);
}

/* Opens the training set, and makes a batch of it. */
static vt_status first_batch(const fixture *f, int channels)
{
    vt_dataset *ds = NULL;
    vt_loader *loader = NULL;
    const vt_batch *batch;
    vt_dataset_options o = {.in_chans = channels, .val_split = 0.5};
    vt_status st;
    VT_TRY(vt_dataset_open(&ds, f->dir, VT_SPLIT_TRAIN, &o));
    vt_loader_options loading = {.prefetch = 1, .epochs = 1, .micro_end = 1};
    loading.sampler = (vt_sampler){
        .samples = vt_dataset_count(ds), .train = 1, .repeats = 1, .micro_batch = 2, .micros = 1};
    loading.transform = vt_transform_default(8, 8, channels, true);
    VT_TRY(vt_loader_create(&loader, ds, &loading));
    VT_TRY(vt_loader_next(loader, &batch));
    if (batch) vt_loader_release(loader, batch);
fail:
    vt_loader_destroy(loader);
    vt_dataset_close(ds);
    return st;
}

TEST(idx_and_cifar_are_read)
{
    fixture f = fixture_new("no-images");
    put_idx(&f, "train", "");
    put_idx(&f, "t10k", "");
    CHECK_OK(first_batch(&f, 1));
    fixture_remove(&f);
    enum { RECORD = 1 + 3 * 32 * 32, COUNT = 4 };
    uint8_t *records = vt_alloc(RECORD * COUNT);
    f = fixture_new("no-images");
    put(&f, "data_batch_1.bin", records, RECORD * COUNT);
    put(&f, "test_batch.bin", records, RECORD * COUNT);
    CHECK_OK(first_batch(&f, 3));
    fixture_remove(&f);
    vt_free(records);
}

/* The message has the file and the library. */
static void check_refused(const fixture *f, const char *file, const char *library)
{
    CHECK_FAILS(first_batch(f, 3), VT_INVALID, file);
    CHECK_MSG(strstr(vt_error(), library) && strstr(vt_error(), "VITC_IMAGES"), "%s", vt_error());
    CHECK(!strchr(vt_error(), '\n'));
    fixture_remove(f);
}

TEST(others_are_refused_by_name)
{
    fixture f = fixture_new("no-images");
    put_idx(&f, "t10k", "");
    put(&f, "train-images-idx3-ubyte.gz", "\x1f\x8b\x08", 3);
    put(&f, "train-labels-idx1-ubyte.gz", "\x1f\x8b\x08", 3);
    check_refused(&f, "idx1-ubyte.gz", "zlib");
    static const struct { const char *name, *bytes, *library; } kinds[] = {
        {"png", "\x89PNG\r\n\x1a\n", "libpng"}, {"jpg", "\xff\xd8\xff\xe0....", "libjpeg"}};
    for (int k = 0; k < 2; k++) {
        f = fixture_new("no-images");
        for (int i = 0; i < 8; i++) {
            char name[64];
            snprintf(name, sizeof name, "%s/%d.%s", i % 2 ? "cat" : "dog", i, kinds[k].name);
            put(&f, name, kinds[k].bytes, 8);
        }
        check_refused(&f, kinds[k].name, kinds[k].library);
    }
}

TEST(nothing_is_written_or_measured)
{
    vt_data_bench result;
    vt_transform t = vt_transform_default(8, 8, 3, true);
    CHECK_FAILS(vt_png_write("/tmp/some.png", NULL, 1, 1, 1), VT_INVALID, "/tmp/some.png");
    CHECK_FAILS(vt_data_bench_run(&result, NULL, 0, &t, 1), VT_INVALID, "libjpeg");
}

int main(void)
{
    RUN(idx_and_cifar_are_read);
    RUN(others_are_refused_by_name);
    RUN(nothing_is_written_or_measured);
    TEST_END();
}
