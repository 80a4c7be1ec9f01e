#define _XOPEN_SOURCE 700 /* fixture.h */
#include "data/idx.h"

#include "data/open.h"

static void check_idx(int gz)
{
    fixture f = fixture_new("idx");
    put_idx(&f, "train", 50, 5, 3, 7, gz);
    put_idx(&f, "t10k", 20, 5, 3, 7, gz);
    vt_bytes buffer = {0};
    vt_sample s;
    char name[128];
    for (int split = VT_SPLIT_TRAIN; split <= VT_SPLIT_ALL; split++) {
        vt_dataset *ds = must_open(&f, (vt_split)split, defaults);
        CHECK_EQ(vt_dataset_count(ds), split == VT_SPLIT_TRAIN ? 50 : split == VT_SPLIT_VAL ? 20 : 70);
        CHECK_EQ(vt_dataset_classes(ds), 7);
        CHECK_STR(vt_dataset_class(ds, 6), "6");
        CHECK_STR(vt_dataset_kind_name(ds), "IDX");
        CHECK(!vt_dataset_held_out(ds));
        for (uint32_t i = 0; i < vt_dataset_count(ds); i++) {
            uint32_t record = split == VT_SPLIT_ALL && i >= 50 ? i - 50 : i;
            CHECK_EQ(vt_dataset_label(ds, i), (int)(record % 7));
            CHECK_OK(vt_dataset_read(ds, i, &buffer, &s));
            CHECK(s.h == 5 && s.w == 3 && s.c == 1 && !s.bytes);
            for (size_t k = 0; k < 15; k++) CHECK_EQ(s.pixels[k], test_pixel(record, k));
        }
        vt_dataset_name(ds, 3, name, sizeof name);
        CHECK(strstr(name, split == VT_SPLIT_VAL ? "t10k-images" : "train-images") && strstr(name, "#3"));
        vt_dataset_close(ds);
    }
    vt_dataset *ds = must_open(&f, VT_SPLIT_TRAIN, (vt_dataset_options){.in_chans = 3, .num_classes = 12});
    CHECK_EQ(vt_dataset_classes(ds), 12);
    CHECK_STR(vt_dataset_class(ds, 11), "11");
    CHECK_OK(vt_dataset_read(ds, 9, &buffer, &s));
    CHECK_EQ(s.c, 3);
    for (size_t k = 0; k < 45; k++) CHECK_EQ(s.pixels[k], test_pixel(9, k / 3));
    vt_dataset_close(ds);
    OPEN_FAILS(&f, VT_SPLIT_TRAIN, (&(vt_dataset_options){.in_chans = 1, .num_classes = 6}), "has 7 classes");
    vt_free(buffer.data);
    fixture_remove(&f);
}

TEST(idx_plain) { check_idx(0); }
TEST(idx_gzip) { check_idx(1); }

TEST(idx_names)
{
    fixture f = fixture_new("Fashion");
    put_idx(&f, "raw/train", 20, 2, 2, 10, 0);
    put_idx(&f, "raw/train", 20, 2, 2, 10, 1); /* a packed twin, as torchvision leaves it */
    vt_dataset *ds = must_open(&f, VT_SPLIT_TRAIN, defaults);
    CHECK_STR(vt_dataset_class(ds, 9), "Ankle boot");
    CHECK_EQ(vt_dataset_count(ds), 20);
    vt_dataset_close(ds);
    OPEN_FAILS(&f, VT_SPLIT_VAL, &defaults, "--val-split 0.1");
    put_idx(&f, "raw/other-train", 20, 2, 2, 10, 0);
    OPEN_FAILS(&f, VT_SPLIT_TRAIN, &defaults, "are both training images");
    fixture_remove(&f);
}

TEST(idx_errors)
{
    fixture f = fixture_new("idx");
    uint8_t b[256] = {0};
    put_idx(&f, "train", 10, 2, 2, 3, 0);
    put_idx(&f, "t10k", 10, 2, 2, 4, 0);
    OPEN_FAILS(&f, VT_SPLIT_VAL, &defaults, "label 3 never occurs among the training labels");
    put_idx(&f, "t10k", 10, 2, 2, 3, 0);
    const char *images = "t10k-images-idx3-ubyte";
    put(&f, images, b, 10);
    OPEN_FAILS(&f, VT_SPLIT_VAL, &defaults, "t10k-images-idx3-ubyte: truncated");
    put(&f, images, b, 0);
    OPEN_FAILS(&f, VT_SPLIT_VAL, &defaults, "the file is empty");
    CHECK_OK(try_open(&f, VT_SPLIT_TRAIN, &defaults));
    put(&f, images, b, 56);
    OPEN_FAILS(&f, VT_SPLIT_VAL, &defaults, "IDX type 0x00");
    idx_header(b, 3, 10, 2, 2);
    put(&f, images, b, 55);
    OPEN_FAILS(&f, VT_SPLIT_VAL, &defaults, "truncated: the header promises 40 bytes of elements, the file has 39");
    put(&f, images, b, 57);
    OPEN_FAILS(&f, VT_SPLIT_VAL, &defaults, "too long: the header promises 40");
    idx_header(b, 3, 9, 2, 2);
    put(&f, images, b, 52);
    OPEN_FAILS(&f, VT_SPLIT_VAL, &defaults, "has 9 images");
    idx_header(b, 3, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF);
    put(&f, images, b, 56);
    OPEN_FAILS(&f, VT_SPLIT_VAL, &defaults, "truncated: the header promises");
    idx_header(b, 3, 10, 0, 2);
    put(&f, images, b, 16);
    OPEN_FAILS(&f, VT_SPLIT_VAL, &defaults, "images of 0 x 2 pixels");
    b[0] = 'P';
    put(&f, images, b, 56);
    OPEN_FAILS(&f, VT_SPLIT_VAL, &defaults, "not an IDX file");
    put_idx(&f, "t10k", 0, 2, 2, 3, 0);
    OPEN_FAILS(&f, VT_SPLIT_VAL, &defaults, "holds no images");
    idx_header(b, 2, 10, 2, 2);
    put(&f, "t10k-labels-idx1-ubyte", b, 18);
    OPEN_FAILS(&f, VT_SPLIT_VAL, &defaults, "IDX with 2 dimensions where 1");
    char path[512];
    fixture_path(&f, path, "t10k-labels-idx1-ubyte");
    remove(path);
    OPEN_FAILS(&f, VT_SPLIT_VAL, &defaults, "t10k-labels-idx1-ubyte: cannot open: No such file");
    CHECK(strstr(vt_error(), "the labels of "));
    fixture_remove(&f);
}

/* Every truncation of a gzip file, and headers that promise more than it holds. */
TEST(idx_gzip_errors)
{
    enum { N = 4096 };
    uint8_t plain[8 + N], packed[2 * N];
    vt_idx idx;
    long live = vt_alloc_live();
    idx_header(plain, 1, N, 0, 0);
    for (int i = 0; i < N; i++) plain[8 + i] = test_pixel(3, (size_t)i);
    size_t size = gzip_bytes(plain, sizeof plain, packed, sizeof packed);
    for (size_t n = 0; n < size; n++) CHECK_FAILS(vt_idx_parse(packed, n, 1, &idx), VT_INVALID, "truncated");
    CHECK_OK(vt_idx_parse(packed, size, 1, &idx));
    CHECK_EQ(idx.size, N);
    CHECK(memcmp(idx.data, plain + 8, N) == 0);
    vt_free(idx.inflated);
    packed[size] = 'x';
    CHECK_FAILS(vt_idx_parse(packed, size + 1, 1, &idx), VT_INVALID, "gzip");
    packed[size / 2] ^= 0x40;
    CHECK_FAILS(vt_idx_parse(packed, size, 1, &idx), VT_INVALID, "gzip");
    static const struct { uint32_t n; const char *message; } promises[] = {
        {N + 1, "truncated: the header promises 4097"}, {N - 1, "too long: the header promises 4095"},
        {0x7FFFFFFF, "more than"}, {100000, "truncated: the header promises 100000"}};
    for (int i = 0; i < 4; i++) {
        idx_header(plain, 1, promises[i].n, 0, 0);
        size = gzip_bytes(plain, sizeof plain, packed, sizeof packed);
        CHECK_FAILS(vt_idx_parse(packed, size, 1, &idx), VT_INVALID, promises[i].message);
    }
    CHECK_EQ(vt_alloc_live(), live);
}

/* Well packed data makes the buffer grow; two gzip members read as one file. */
TEST(idx_gzip_grows)
{
    enum { N = 300000 };
    uint8_t *plain = calloc(1, N + 8), *packed = malloc(N);
    vt_idx idx;
    idx_header(plain, 1, N, 0, 0);
    plain[N + 7] = 9;
    size_t a = gzip_bytes(plain, 1000, packed, N), b = gzip_bytes(plain + 1000, N - 992, packed + a, N - a);
    CHECK(a + b < N / 100);
    CHECK_OK(vt_idx_parse(packed, a + b, 1, &idx));
    CHECK(idx.size == N && idx.data[N - 1] == 9 && idx.data[N - 2] == 0);
    vt_free(idx.inflated);
    free(plain);
    free(packed);
}

int main(void)
{
    RUN(idx_plain);
    RUN(idx_gzip);
    RUN(idx_names);
    RUN(idx_errors);
    RUN(idx_gzip_errors);
    RUN(idx_gzip_grows);
    TEST_END();
}
