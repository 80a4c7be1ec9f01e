#define _XOPEN_SOURCE 700 /* fixture.h */
#include "data/dataset.h"

#include "data/open.h"

/* --- CIFAR --- */

static void put_cifar(const fixture *f, const char *name, int n, int label_bytes, int classes)
{
    size_t record = (size_t)label_bytes + 3072;
    uint8_t *b = malloc((size_t)n * record);
    for (int i = 0; i < n; i++) {
        b[(size_t)i * record] = 0;
        b[(size_t)i * record + (size_t)label_bytes - 1] = (uint8_t)(i % classes);
        for (size_t k = 0; k < 3072; k++) b[(size_t)i * record + (size_t)label_bytes + k] = test_pixel((uint32_t)i, k);
    }
    put(f, name, b, (size_t)n * record);
    free(b);
}

static void check_cifar(const char *train, const char *train2, const char *test, const char *names, int classes)
{
    fixture f = fixture_new("cifar");
    vt_bytes buffer = {0};
    vt_sample s;
    int label_bytes = classes == 100 ? 2 : 1;
    put_cifar(&f, train, 30, label_bytes, classes);
    if (train2) put_cifar(&f, train2, 10, label_bytes, classes);
    put_cifar(&f, test, 12, label_bytes, classes);
    put(&f, names, "ant\r\nbee\n\ncat", 13);
    vt_dataset *ds = must_open(&f, VT_SPLIT_ALL, (vt_dataset_options){.in_chans = 3});
    uint32_t n = train2 ? 40 : 30;
    CHECK_EQ(vt_dataset_count(ds), n + 12);
    CHECK_EQ(vt_dataset_classes(ds), classes);
    CHECK_STR(vt_dataset_class(ds, 1), "bee");
    CHECK_STR(vt_dataset_class(ds, 2), "cat");
    CHECK_STR(vt_dataset_class(ds, 3), "3");
    for (uint32_t i = 0; i < n + 12; i++) {
        uint32_t record = i < 30 ? i : i < n ? i - 30 : i - n;
        CHECK_EQ(vt_dataset_label(ds, i), (int)record % classes);
        CHECK_OK(vt_dataset_read(ds, i, &buffer, &s));
        CHECK(s.h == 32 && s.w == 32 && s.c == 3);
        for (size_t k = 0; k < 3072; k++) CHECK_EQ(s.pixels[k], test_pixel(record, k % 3 * 1024 + k / 3));
    }
    vt_dataset_close(ds);
    ds = must_open(&f, VT_SPLIT_VAL, defaults);
    CHECK_OK(vt_dataset_read(ds, 2, &buffer, &s));
    CHECK_EQ(s.c, 1);
    for (size_t k = 0; k < 1024; k++) {
        double luma = 0.299 * test_pixel(2, k) + 0.587 * test_pixel(2, 1024 + k) + 0.114 * test_pixel(2, 2048 + k);
        CHECK_NEAR(s.pixels[k], luma, 0.502);
    }
    vt_dataset_close(ds);
    put(&f, test, "short", 5);
    OPEN_FAILS(&f, VT_SPLIT_VAL, &defaults, "not a whole number of records");
    put_cifar(&f, test, classes + 3, label_bytes, 255);
    OPEN_FAILS(&f, VT_SPLIT_VAL, &defaults,
               classes == 10 ? "record 10 has label 10: CIFAR-10 has" : "record 100 has label 100");
    vt_free(buffer.data);
    fixture_remove(&f);
}

TEST(cifar10) { check_cifar("data_batch_1.bin", "data_batch_2.bin", "test_batch.bin", "batches.meta.txt", 10); }
TEST(cifar10_subfolder)
{
    check_cifar("cifar-10-batches-bin/data_batch_1.bin", NULL, "cifar-10-batches-bin/test_batch.bin",
                "cifar-10-batches-bin/batches.meta.txt", 10);
}
TEST(cifar100) { check_cifar("train.bin", NULL, "test.bin", "fine_label_names.txt", 100); }

/* --- class folders --- */

TEST(folders)
{
    static const char *const pairs[][2] = {{"train", "val"},  {"training", "validation"}, {"train", "test"},
                                           {"Train", "eval"}, {"train", "valid"},         {"train", "evaluation"}};
    char name[128];
    for (int p = 0; p < 6; p++) {
        fixture f = fixture_new("folders");
        static const char *const files[] = {"dog/b.PNG",          "dog/a.jpeg",    "Zoo/x.JPG",
                                            "\xc3\xa4rger/1.png", "dog/notes.txt", "dog/.hidden.png"};
        for (int i = 0; i < 6; i++) {
            snprintf(name, sizeof name, "%s/%s", pairs[p][0], files[i]);
            put_image(&f, name);
        }
        snprintf(name, sizeof name, "%s/dog/v.png", pairs[p][1]);
        put_image(&f, name);
        vt_dataset *ds = must_open(&f, VT_SPLIT_ALL, (vt_dataset_options){.in_chans = 3, .val_split = 0.5});
        CHECK_EQ(vt_dataset_classes(ds), 3);
        CHECK_STR(vt_dataset_class(ds, 0), "Zoo");
        CHECK_STR(vt_dataset_class(ds, 1), "dog");
        CHECK_STR(vt_dataset_class(ds, 2), "\xc3\xa4rger");
        static const char *const order[] = {"Zoo/x.JPG", "dog/a.jpeg", "dog/b.PNG", "\xc3\xa4rger/1.png"};
        static const int labels[] = {0, 1, 1, 2, 1};
        CHECK_EQ(vt_dataset_count(ds), 5);
        for (uint32_t i = 0; i < 5; i++) {
            CHECK_EQ(vt_dataset_label(ds, i), labels[i]);
            vt_dataset_name(ds, i, name, sizeof name);
            CHECK_STR(strchr(name, '/') + 1, i < 4 ? order[i] : "dog/v.png");
        }
        const char *first;
        CHECK_EQ(vt_dataset_ignored(ds, &first), 1);
        CHECK(first && strstr(first, "dog/notes.txt"));
        vt_bytes buffer = {0};
        vt_sample s;
        CHECK_OK(vt_dataset_read(ds, 4, &buffer, &s));
        CHECK(!s.pixels && s.size == 4 && !memcmp(s.bytes, "\x89PNG", 4));
        vt_free(buffer.data);
        vt_dataset_close(ds);
        ds = must_open(&f, VT_SPLIT_VAL, (vt_dataset_options){.in_chans = 3});
        CHECK(vt_dataset_count(ds) == 1 && vt_dataset_label(ds, 0) == 1 && vt_dataset_classes(ds) == 3);
        vt_dataset_close(ds);
        ds = must_open(&f, VT_SPLIT_ALL, (vt_dataset_options){.in_chans = 3, .num_classes = 1000});
        CHECK(vt_dataset_count(ds) == 5 && vt_dataset_classes(ds) == 1000 && vt_dataset_class(ds, 999));
        vt_dataset_close(ds);
        fixture_remove(&f);
    }
}

TEST(folder_errors)
{
    fixture f = fixture_new("folders");
    char path[512];
    OPEN_FAILS(&f, VT_SPLIT_TRAIN, &defaults, "the folder is empty; looked for ");
    put(&f, "a.csv", "x", 1);
    OPEN_FAILS(&f, VT_SPLIT_TRAIN, &defaults, "holds a.csv; looked for *-images-idx3-ubyte");
    put_image(&f, "p.png");
    OPEN_FAILS(&f, VT_SPLIT_TRAIN, &defaults, "images lie directly in this folder");
    put_folder(&f, "train");
    OPEN_FAILS(&f, VT_SPLIT_TRAIN, &defaults, "train: holds no class folders");
    put_image(&f, "train/p.png");
    OPEN_FAILS(&f, VT_SPLIT_TRAIN, &defaults, "train: images lie directly in this folder");
    put_folder(&f, "train/cat");
    OPEN_FAILS(&f, VT_SPLIT_TRAIN, &defaults, "train/cat: a class folder without PNG or JPEG images: add");
    put(&f, "train/cat/a.webp", "x", 1);
    OPEN_FAILS(&f, VT_SPLIT_TRAIN, &defaults, "though with files such as a.webp");
    put_image(&f, "train/cat/a.png");
    CHECK_OK(try_open(&f, VT_SPLIT_TRAIN, &defaults));
    OPEN_FAILS(&f, VT_SPLIT_VAL, &defaults, "there are no validation images");
    OPEN_FAILS(&f, VT_SPLIT_VAL, (&(vt_dataset_options){.in_chans = 1, .val_split = 0.5}),
               "too few images to hold some out");
    put_image(&f, "val/cow/a.png");
    OPEN_FAILS(&f, VT_SPLIT_VAL, &defaults, "val/cow: a validation class without training images");
    put_folder(&f, "train/cat/more");
    OPEN_FAILS(&f, VT_SPLIT_ALL, &defaults, "val/cow");
    put_image(&f, "train/cow/a.png");
    OPEN_FAILS(&f, VT_SPLIT_ALL, &defaults, "train/cat/more: a folder inside a class folder");
    CHECK_OK(try_open(&f, VT_SPLIT_VAL, &defaults));
    put_folder(&f, "val/cat");
    OPEN_FAILS(&f, VT_SPLIT_VAL, &defaults, "val/cat: a class folder without");
    static const char *const classes[] = {"cat", "dog"};
    vt_dataset_options o = {.in_chans = 3, .class_names = classes, .class_count = 2};
    OPEN_FAILS(&f, VT_SPLIT_VAL, &o, "cow: the model has no class of this name");
    OPEN_FAILS(&f, VT_SPLIT_VAL, (&(vt_dataset_options){.in_chans = 4}), "--in-chans 4");
    OPEN_FAILS(&f, VT_SPLIT_VAL, (&(vt_dataset_options){.in_chans = 3, .val_split = 1}), "--val-split 1");
    OPEN_FAILS(&f, VT_SPLIT_VAL, (&(vt_dataset_options){.in_chans = 3, .val_split = NAN}), "--val-split");
    OPEN_FAILS(&f, VT_SPLIT_TRAIN, (&(vt_dataset_options){.in_chans = 3, .num_classes = -1}), "--num-classes -1");
    if (geteuid() != 0) {
        fixture_path(&f, path, "val/cat");
        rmdir(path);
        fixture_path(&f, path, "val/cow");
        chmod(path, 0);
        OPEN_FAILS(&f, VT_SPLIT_VAL, &defaults, "val/cow: cannot read this folder: Permission denied");
        chmod(path, 0777);
    }
    fixture_remove(&f);
    OPEN_FAILS(&f, VT_SPLIT_TRAIN, &defaults, "cannot read this folder: No such file");
}

/* Labels by the model's class names; validation images alone; a class that is called like a part. */
TEST(folder_classes)
{
    fixture f = fixture_new("folders");
    static const char *const classes[] = {"cow", "ant", "bee"};
    put_image(&f, "val/cow/a.png");
    put_image(&f, "val/bee/a.png");
    vt_dataset *ds =
        must_open(&f, VT_SPLIT_VAL, (vt_dataset_options){.in_chans = 3, .class_names = classes, .class_count = 3});
    CHECK(vt_dataset_count(ds) == 2 && vt_dataset_classes(ds) == 3);
    CHECK(vt_dataset_label(ds, 0) == 0 && vt_dataset_label(ds, 1) == 2);
    CHECK_STR(vt_dataset_class(ds, 1), "ant");
    vt_dataset_close(ds);
    OPEN_FAILS(&f, VT_SPLIT_TRAIN, &defaults, "there are no training images beside val");
    fixture_remove(&f);

    f = fixture_new("flat");
    put_image(&f, "train/locomotive.png");
    put_image(&f, "plane/a.png");
    put(&f, "LICENSE", "x", 1);
    ds = must_open(&f, VT_SPLIT_TRAIN, defaults);
    CHECK(vt_dataset_count(ds) == 2 && vt_dataset_classes(ds) == 2);
    vt_dataset_close(ds);
    fixture_remove(&f);
}

/* --- the split of one flat set --- */

static void names_of(const vt_dataset *ds, char (*names)[64])
{
    for (uint32_t i = 0; i < vt_dataset_count(ds); i++) vt_dataset_name(ds, i, names[i], 64);
}

TEST(split)
{
    enum { N = 10 + 21 + 2 + 1 };
    static const int sizes[] = {10, 21, 2, 1}, held[] = {1, 2, 1, 0};
    fixture f = fixture_new("split");
    char name[64], val[N][64], again[N][64], train[N][64];
    for (int c = 0; c < 4; c++)
        for (int i = 0; i < sizes[c]; i++) {
            snprintf(name, sizeof name, "c%d/%02d.png", c, i);
            put_image(&f, name);
        }
    vt_dataset_options o = {.in_chans = 3, .val_split = 0.1, .seed = 5};
    vt_dataset *v = must_open(&f, VT_SPLIT_VAL, o), *t = must_open(&f, VT_SPLIT_TRAIN, o);
    CHECK(vt_dataset_held_out(v) && vt_dataset_held_out(t));
    CHECK_EQ(vt_dataset_count(v), 4);
    CHECK_EQ(vt_dataset_count(t), N - 4);
    int count[4] = {0};
    for (uint32_t i = 0; i < 4; i++) count[vt_dataset_label(v, i)]++;
    for (int c = 0; c < 4; c++) CHECK_EQ(count[c], held[c]);
    names_of(v, val);
    names_of(t, train);
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < N - 4; j++) CHECK(strcmp(val[i], train[j]) != 0);
    vt_dataset_close(v);
    vt_dataset_close(t);

    int differ = 0;
    for (uint64_t seed = 0; seed < 10; seed++) {
        o.seed = seed;
        v = must_open(&f, VT_SPLIT_VAL, o);
        names_of(v, again);
        for (int i = 0; i < 4; i++) differ += strcmp(val[i], again[i]) != 0;
        if (seed == 5) CHECK_STR(again[1], val[1]);
        vt_dataset_close(v);
    }
    CHECK(differ > 4);

    /* From the checkpoint's list: the same, whatever the seed and share say, in any order. */
    const char *list[] = {val[3], val[0], val[2], val[1], "c0/gone.png"};
    o = (vt_dataset_options){.in_chans = 3, .val_split = 0.9, .seed = 77, .val_names = list, .val_count = 4};
    v = must_open(&f, VT_SPLIT_VAL, o);
    CHECK_EQ(vt_dataset_count(v), 4);
    names_of(v, again);
    for (int i = 0; i < 4; i++) CHECK_STR(again[i], val[i]);
    vt_dataset_close(v);
    o.val_count = 5;
    OPEN_FAILS(&f, VT_SPLIT_TRAIN, &o, "no sample \"c0/gone.png\", which the checkpoint lists");
    v = must_open(&f, VT_SPLIT_ALL, (vt_dataset_options){.in_chans = 3, .val_split = 0.1});
    CHECK_EQ(vt_dataset_count(v), N);
    vt_dataset_close(v);
    fixture_remove(&f);
}

/* The choice itself is fixed: a run of an older build goes on with the same split. */
TEST(split_of_idx)
{
    fixture f = fixture_new("split");
    put_idx(&f, "train", 40, 2, 2, 4, 1);
    vt_dataset *v = must_open(&f, VT_SPLIT_VAL, (vt_dataset_options){.in_chans = 1, .val_split = 0.25, .seed = 1});
    CHECK_EQ(vt_dataset_count(v), 12);
    char got[512] = "", name[64];
    for (uint32_t i = 0; i < 12; i++)
        strcat(strcat(got, strchr(vt_dataset_name(v, i, name, sizeof name), '#') + 1), " ");
    CHECK_STR(got, "0 1 3 4 6 14 15 19 25 26 29 36 ");
    vt_dataset_close(v);
    fixture_remove(&f);
}

TEST(allocations_fail)
{
    fixture f[3] = {fixture_new("idx"), fixture_new("cifar"), fixture_new("folders")};
    put_idx(&f[0], "train", 40, 2, 2, 4, 1);
    put_cifar(&f[1], "data_batch_1.bin", 20, 1, 10);
    put(&f[1], "batches.meta.txt", "a\nb\n", 4);
    char name[64];
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "c%d/%d.png", i % 4, i);
        put_image(&f[2], name);
    }
    vt_dataset_options o = {.in_chans = 3, .val_split = 0.25};
    for (int k = 0; k < 3; k++) {
        long at = 1;
        for (vt_status st = VT_NO_MEMORY; st != VT_OK; at++) {
            vt_alloc_fail_at(at, 0);
            st = try_open(&f[k], VT_SPLIT_TRAIN, &o);
            vt_alloc_fail_at(0, 0);
            CHECK(st == VT_OK || st == VT_NO_MEMORY);
        }
        CHECK(at > 5);
        fixture_remove(&f[k]);
    }
}

int main(void)
{
    RUN(cifar10);
    RUN(cifar10_subfolder);
    RUN(cifar100);
    RUN(folders);
    RUN(folder_errors);
    RUN(folder_classes);
    RUN(split);
    RUN(split_of_idx);
    RUN(allocations_fail);
    TEST_END();
}
