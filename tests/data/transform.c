#include "data/transform.h"

#include "data/bench.h"
#include "data/pixels.h"

enum { SIDE = 64 };

static vt_status run_file(const vt_transform *t, vt_transform_scratch *scratch, const vt_file *file, uint32_t i,
                          uint8_t *out)
{
    vt_sample sample = {.bytes = file->data, .size = file->size};
    return vt_transform_sample(t, scratch, &sample, 3, 1, i, 0, out);
}

static vt_sample sample_of(const vt_image *image)
{
    return (vt_sample){.pixels = image->data, .h = image->height, .w = image->width, .c = image->channels};
}

/* evaluations.txt: torchvision's resize and centre crop, done by PIL; from files and from pixels. */
TEST(evaluation_equals_pil)
{
    vt_transform_scratch scratch = {0};
    vt_image image = {0};
    char name[80], path[512];
    int channels, filter, height, width, lines = 0;
    double crop_pct;
    unsigned crc;
    FILE *list = open_list("evaluations.txt");
    while (fscanf(list, "%79s %d %d %d %d %lf %x", name, &channels, &filter, &height, &width, &crop_pct, &crc) == 7) {
        vt_transform t = vt_transform_default(height, width, channels, false);
        t.interpolation = (vt_filter)filter;
        t.crop_pct = crop_pct;
        CHECK_OK(vt_transform_check(&t));
        size_t bytes = (size_t)height * (size_t)width * (size_t)channels;
        uint8_t *out = malloc(bytes);
        vt_file file = image_file(name);
        CHECK_OK(run_file(&t, &scratch, &file, 0, out));
        CHECK_MSG(pixels_crc(out, bytes) == crc, "%s: to %d x %d, crop_pct %g, filter %d", name, height, width,
                  crop_pct, filter);
        CHECK_OK(vt_image_read(&image, image_path(path, name), channels));
        vt_sample pixels = sample_of(&image);
        CHECK_OK(vt_transform_sample(&t, &scratch, &pixels, 0, 0, 0, 0, out));
        CHECK_MSG(pixels_crc(out, bytes) == crc, "%s: from pixels", name);
        vt_file_close(&file);
        free(out);
        lines++;
    }
    CHECK_EQ(lines, 84);
    fclose(list);
    vt_image_free(&image);
    vt_transform_scratch_free(&scratch);
}

TEST(evaluation_keeps_what_has_the_size)
{
    uint8_t pixels[28 * 28], out[28 * 28];
    for (int i = 0; i < 28 * 28; i++) pixels[i] = (uint8_t)(i * 37);
    vt_transform t = vt_transform_default(28, 28, 1, false);
    t.crop_pct = 1;
    vt_transform_scratch scratch = {0};
    vt_sample sample = {.pixels = pixels, .h = 28, .w = 28, .c = 1};
    CHECK_OK(vt_transform_sample(&t, &scratch, &sample, 0, 0, 0, 0, out));
    CHECK(memcmp(pixels, out, sizeof out) == 0);
    vt_transform_scratch_free(&scratch);
}

/* A file's sample is that of its pixels: only the region is decoded, and that changes nothing. */
TEST(training_from_files_equals_pixels)
{
    static const char *const names[] = {"made/420.jpg",         "made/422.jpg",     "made/411.jpg",
                                        "made/440.jpg",         "made/grey.jpg",    "made/cmyk.jpg",
                                        "made/progressive.jpg", "made/restart.jpg", "exif/Landscape_5.jpg",
                                        "exif/Portrait_8.jpg",  "made/tiny.jpg",    "pngsuite/basn6a08.png"};
    static uint8_t a[SIDE * SIDE * 3], b[SIDE * SIDE * 3];
    vt_transform t = vt_transform_default(SIDE, SIDE, 3, true);
    vt_transform_scratch scratch = {0};
    vt_image image = {0};
    char path[512];
    t.jpeg_scale = false;
    t.vflip = 0.3;
    t.train_interpolation = VT_FILTER_RANDOM;
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        vt_file file = image_file(names[k]);
        CHECK_OK(vt_image_read(&image, image_path(path, names[k]), 3));
        vt_sample pixels = sample_of(&image);
        for (uint32_t i = 0; i < 20; i++) {
            CHECK_OK(run_file(&t, &scratch, &file, i, a));
            CHECK_OK(vt_transform_sample(&t, &scratch, &pixels, 3, 1, i, 0, b));
            CHECK_MSG(memcmp(a, b, sizeof a) == 0, "%s, sample %u", names[k], (unsigned)i);
        }
        vt_file_close(&file);
    }
    vt_image_free(&image);
    vt_transform_scratch_free(&scratch);
}

/* Decoding at reduced scale shows the same picture, nearly. */
TEST(reduced_scale_shows_the_same)
{
    static uint8_t a[24 * 24 * 3], b[24 * 24 * 3];
    vt_transform whole = vt_transform_default(24, 24, 3, true), reduced = whole;
    vt_transform_scratch scratch = {0};
    vt_file file = image_file("exif/Landscape_6.jpg");
    int differs = 0;
    double mean = 0;
    whole.jpeg_scale = false;
    for (uint32_t i = 0; i < 100; i++) {
        double sum = 0;
        CHECK_OK(run_file(&whole, &scratch, &file, i, a));
        CHECK_OK(run_file(&reduced, &scratch, &file, i, b));
        for (size_t k = 0; k < sizeof a; k++) sum += abs(a[k] - b[k]);
        CHECK_MSG(sum / sizeof a < 6, "sample %u: %g", (unsigned)i, sum / sizeof a);
        mean += sum / sizeof a / 100;
        differs += sum > 0;
    }
    CHECK_MSG(mean < 2, "%g levels", mean);
    CHECK(differs > 20); /* it is used at all */
    vt_file_close(&file);
    vt_transform_scratch_free(&scratch);
}

/* RandomResizedCrop's law: area and ratio in their ranges and spread over them; a crop anywhere; half are flipped. */
TEST(draws_crops)
{
    enum { N = 20000, W = 500, H = 333 };
    vt_transform t = vt_transform_default(224, 224, 3, true);
    double share = 0, log_ratio = 0, left = 0, flips = 0;
    int fallback = 0;
    for (uint32_t i = 0; i < N; i++) {
        vt_crop c = vt_crop_draw(&t, W, H, 11, 2, i, 0);
        CHECK(c.x >= 0 && c.y >= 0 && c.width > 0 && c.height > 0 && c.x + c.width <= W && c.y + c.height <= H);
        double s = (double)c.width * c.height / (W * H), r = (double)c.width / c.height;
        CHECK(s > 0.078 && s <= 1 && r > 0.745 && r < 1.345);
        share += s / N;
        log_ratio += log(r) / N;
        if (c.width < W) left += (double)c.x / (W - c.width) / N;
        flips += c.hflip / (double)N;
        fallback += c.height == H && c.width == 444;
        CHECK(!c.vflip && c.filter == VT_FILTER_BICUBIC);
    }
    /* Over 400,000 draws torchvision's get_params gives 0.3889 and, a wide image taking wider crops, 0.0307. */
    CHECK_NEAR(share, 0.3889, 0.006);
    CHECK_NEAR(log_ratio, 0.0307, 0.004);
    CHECK_NEAR(left, 0.5, 0.01);
    CHECK_NEAR(flips, 0.5, 0.015);
    CHECK(fallback < N / 100);
}

TEST(crops_depend_on_the_key_alone)
{
    vt_transform t = vt_transform_default(8, 8, 1, true);
    vt_crop a = vt_crop_draw(&t, 300, 200, 1, 2, 3, 0), b = vt_crop_draw(&t, 300, 200, 1, 2, 3, 0);
    CHECK(a.x == b.x && a.y == b.y && a.width == b.width && a.height == b.height && a.hflip == b.hflip);
    const vt_crop others[] = {vt_crop_draw(&t, 300, 200, 2, 2, 3, 0), vt_crop_draw(&t, 300, 200, 1, 1, 3, 0),
                              vt_crop_draw(&t, 300, 200, 1, 2, 4, 0), vt_crop_draw(&t, 300, 200, 1, 2, 3, 1)};
    for (int i = 0; i < 4; i++) CHECK(others[i].x != a.x || others[i].y != a.y || others[i].width != a.width);
}

/* Where no try fits: the centre, as torchvision has it. */
TEST(falls_back_to_the_centre)
{
    vt_transform t = vt_transform_default(8, 8, 1, true);
    t.scale[0] = 1; /* the whole area at a ratio between 3/4 and 4/3 */
    vt_crop wide = vt_crop_draw(&t, 1000, 10, 0, 0, 0, 0), tall = vt_crop_draw(&t, 9, 1000, 0, 0, 0, 0);
    CHECK(wide.x == 493 && wide.y == 0 && wide.width == 13 && wide.height == 10);
    CHECK(tall.x == 0 && tall.y == 494 && tall.width == 9 && tall.height == 12);
    t.ratio[0] = t.ratio[1] = 1;
    vt_crop square = vt_crop_draw(&t, 28, 28, 0, 0, 0, 0), line = vt_crop_draw(&t, 1, 5000, 0, 0, 0, 0);
    CHECK(square.x == 0 && square.y == 0 && square.width == 28 && square.height == 28);
    CHECK(line.width == 1 && line.height == 1);
}

TEST(refuses_senseless_settings)
{
    const vt_transform good = vt_transform_default(224, 224, 3, true);
    vt_transform t = good;
    CHECK_OK(vt_transform_check(&t));
    t.scale[0] = 0;
    CHECK_FAILS(vt_transform_check(&t), VT_INVALID, "--scale");
    t = good, t.ratio[1] = 0.5;
    CHECK_FAILS(vt_transform_check(&t), VT_INVALID, "--ratio");
    t = good, t.crop_pct = NAN;
    CHECK_FAILS(vt_transform_check(&t), VT_INVALID, "--crop-pct");
    t = good, t.hflip = 1.5;
    CHECK_FAILS(vt_transform_check(&t), VT_INVALID, "--hflip");
    t = good, t.channels = 4;
    CHECK_FAILS(vt_transform_check(&t), VT_INVALID, "channels");
    t = good, t.interpolation = VT_FILTER_RANDOM;
    CHECK_FAILS(vt_transform_check(&t), VT_INVALID, "--interpolation");
}

/* What is made is what is made without augmentation, and then the steps drawn; in evaluation there are none. */
TEST(augments_after_the_flips)
{
    static uint8_t plain[SIDE * SIDE * 3], made[SIDE * SIDE * 3];
    vt_transform t = vt_transform_default(SIDE, SIDE, 3, true), none = t;
    vt_transform_scratch scratch = {0}, other = {0};
    vt_file file = image_file("exif/Portrait_6.jpg");
    int changed = 0;
    CHECK_OK(vt_augment_parse(&t.augment, "rand-m9-mstd0.5-inc1"));
    CHECK_OK(vt_transform_reserve(&none, &other));
    CHECK(!other.work);
    CHECK_OK(vt_transform_reserve(&t, &scratch));
    const uint8_t *work = scratch.work;
    for (uint32_t i = 0; i < 100; i++) {
        vt_augment_drawn drawn;
        CHECK_OK(run_file(&none, &other, &file, i, plain));
        CHECK_OK(run_file(&t, &scratch, &file, i, made));
        changed += memcmp(plain, made, sizeof made) != 0;
        vt_canvas c = {.pixels = plain, .height = SIDE, .width = SIDE, .channels = 3, .fill = {124, 116, 104},
                       .work = scratch.work};
        vt_augment_draw(&t.augment, VT_FILTER_BICUBIC, 3, 1, i, 0, &drawn);
        vt_augment_apply(&drawn, c);
        CHECK(memcmp(plain, made, sizeof made) == 0);
    }
    CHECK_MSG(changed > 50 && changed < 90, "%d of 100 have changed", changed);
    CHECK(work && scratch.work == work && !other.work);
    t.train = false;
    CHECK_OK(run_file(&t, &other, &file, 0, made));
    CHECK(!other.work);
    vt_transform_scratch_free(&scratch);
    vt_transform_scratch_free(&other);
    vt_file_close(&file);
}

TEST(survives_memory_running_out)
{
#ifdef VT_TEST_ALLOC
    static uint8_t out[SIDE * SIDE * 3];
    vt_transform t = vt_transform_default(SIDE, SIDE, 3, true);
    vt_file file = image_file("exif/Portrait_6.jpg");
    long before = vt_alloc_live(), n = 0;
    vt_status st;
    CHECK_OK(vt_augment_parse(&t.augment, "3a"));
    do {
        vt_transform_scratch scratch = {0};
        vt_alloc_fail_at(++n, 0);
        st = run_file(&t, &scratch, &file, 0, out);
        vt_alloc_fail_at(0, 0);
        CHECK(st == VT_OK || st == VT_NO_MEMORY);
        vt_transform_scratch_free(&scratch);
        CHECK_EQ(vt_alloc_live(), before);
    } while (st != VT_OK && n < 100);
    CHECK(n > 3 && n < 100);
    vt_file_close(&file);
#endif
}

/* The benchmark runs; what it measures is not for a test to judge. */
TEST(measures)
{
    char path[512];
    const char *paths[] = {image_path(path, "exif/Landscape_1.jpg")};
    vt_transform t = vt_transform_default(224, 224, 3, true);
    vt_data_bench result;
    CHECK_OK(vt_data_bench_run(&result, paths, 1, &t, 2));
    CHECK(result.images == 1 && result.bytes > 1000);
    CHECK(result.decode_per_second > 0 && result.sample_per_second > 0 && result.share > 0);
    CHECK(result.augmented_per_second == 0);
    CHECK_OK(vt_augment_parse(&t.augment, "3a"));
    CHECK_OK(vt_data_bench_run(&result, paths, 1, &t, 2));
    CHECK(result.augmented_per_second > 0 && result.augmented_share > 0);
    CHECK_FAILS(vt_data_bench_run(&result, paths, 0, &t, 2), VT_INVALID, "photograph");
}

int main(void)
{
    RUN(evaluation_equals_pil);
    RUN(evaluation_keeps_what_has_the_size);
    RUN(training_from_files_equals_pixels);
    RUN(reduced_scale_shows_the_same);
    RUN(draws_crops);
    RUN(crops_depend_on_the_key_alone);
    RUN(falls_back_to_the_centre);
    RUN(refuses_senseless_settings);
    RUN(augments_after_the_flips);
    RUN(survives_memory_running_out);
    RUN(measures);
    TEST_END();
}
