#include "data/image.h"

#include "data/codec.h"
#include "data/pixels.h"

enum { MAX_FILES = 256 };

/* images.txt: what PIL makes of every file here; zeros: must be refused. */
typedef struct listed {
    char name[80];
    int width, height;
    unsigned crc[2]; /* RGB, luma */
} listed;

static int read_list(listed files[MAX_FILES])
{
    int n = 0;
    FILE *list = open_list("images.txt");
    while (n < MAX_FILES && fscanf(list, "%79s %d %d %x %x", files[n].name, &files[n].width, &files[n].height,
                                   &files[n].crc[0], &files[n].crc[1]) == 5)
        n++;
    fclose(list);
    return n;
}

TEST(equals_pil)
{
    listed files[MAX_FILES];
    char path[512];
    int n = read_list(files), good = 0;
    vt_image image = {0};
    for (int i = 0; i < n; i++)
        for (int luma = 0; files[i].width && luma < 2; luma++, good++) {
            CHECK_OK(vt_image_read(&image, image_path(path, files[i].name), luma ? 1 : 3));
            CHECK_MSG(image.width == files[i].width && image.height == files[i].height, "%s: %d x %d, not %d x %d",
                      files[i].name, image.width, image.height, files[i].width, files[i].height);
            CHECK_MSG(image_crc(&image) == files[i].crc[luma], "%s: other pixels, luma %d", files[i].name, luma);
        }
    CHECK_EQ(good, 2 * (161 + 18 + 14));
    vt_image_free(&image);
}

TEST(refuses_corrupt_pngsuite)
{
    listed files[MAX_FILES];
    char path[512];
    int n = read_list(files), bad = 0;
    vt_image image = {0};
    for (int i = 0; i < n; i++) {
        if (files[i].width) continue;
        CHECK_FAILS(vt_image_read(&image, image_path(path, files[i].name), 3), VT_INVALID, files[i].name);
        CHECK_MSG(strstr(vt_error(), "PNG") && !strchr(vt_error(), '\n'), "%s", vt_error());
        bad++;
    }
    CHECK_EQ(bad, 14);
    vt_image_free(&image);
}

static double mean_difference(const vt_image *a, const vt_image *b)
{
    size_t n = (size_t)a->width * (size_t)a->height * (size_t)a->channels;
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += abs(a->data[i] - b->data[i]);
    return sum / (double)n;
}

/* Every orientation shows the same photograph, but for a digit in it. */
TEST(comes_out_upright)
{
    static const char *const shapes[] = {"Landscape", "Portrait"};
    for (int s = 0; s < 2; s++) {
        char name[80], path[512];
        vt_image first = {0}, image = {0};
        snprintf(name, sizeof name, "exif/%s_1.jpg", shapes[s]);
        CHECK_OK(vt_image_read(&first, image_path(path, name), 3));
        CHECK_EQ(first.width > first.height, s == 0);
        for (int o = 0; o <= 8; o++) {
            snprintf(name, sizeof name, "exif/%s_%d.jpg", shapes[s], o);
            CHECK_OK(vt_image_read(&image, image_path(path, name), 3));
            CHECK_EQ(image.width, first.width);
            CHECK_EQ(image.height, first.height);
            CHECK_MSG(mean_difference(&first, &image) < 8, "%s: %g", name, mean_difference(&first, &image));
        }
        vt_image_free(&first);
        vt_image_free(&image);
    }
}

static vt_status decode(vt_image *image, const uint8_t *bytes, size_t size, const vt_region *region)
{
    vt_image_source source;
    vt_status st = vt_image_open(&source, bytes, size);
    return st == VT_OK ? vt_image_decode(image, &source, 3, region) : st;
}

static uint32_t next_random(uint32_t *state, uint32_t n)
{
    *state = *state * 1664525u + 1013904223u;
    return (uint32_t)(((uint64_t)*state * n) >> 32);
}

static vt_region random_region(uint32_t *state, int width, int height)
{
    vt_region r = {.width = 1 + (int)next_random(state, (uint32_t)width),
                   .height = 1 + (int)next_random(state, (uint32_t)height)};
    r.x = (int)next_random(state, (uint32_t)(width - r.width + 1));
    r.y = (int)next_random(state, (uint32_t)(height - r.height + 1));
    return r;
}

/* Pixels of a region are those of the whole image. */
TEST(decodes_regions)
{
    listed files[MAX_FILES];
    int n = read_list(files);
    uint32_t state = 1;
    vt_image whole = {0}, part = {0};
    for (int i = 0; i < n; i++) {
        if (!files[i].width || (strncmp(files[i].name, "pngsuite", 8) == 0 && i % 20)) continue;
        vt_file file = image_file(files[i].name);
        CHECK_OK(decode(&whole, file.data, file.size, NULL));
        for (int k = 0; k < 40; k++) {
            vt_region r = random_region(&state, whole.width, whole.height);
            CHECK_OK(decode(&part, file.data, file.size, &r));
            int x = (int)part.x0, y = (int)part.y0, wrong = 0;
            CHECK(part.x1 - part.x0 == (float)r.width && part.y1 - part.y0 == (float)r.height);
            CHECK(x >= 0 && y >= 0 && part.x1 <= (float)part.width && part.y1 <= (float)part.height);
            for (int v = 0; v < r.height; v++)
                wrong += memcmp(whole.data + ((r.y + v) * whole.width + r.x) * 3,
                                part.data + ((y + v) * part.width + x) * 3, (size_t)r.width * 3) != 0;
            CHECK_MSG(!wrong, "%s: region %d,%d %dx%d: %d rows differ", files[i].name, r.x, r.y, r.width, r.height,
                      wrong);
        }
        vt_file_close(&file);
    }
    vt_image_free(&whole);
    vt_image_free(&part);
}

/* The scale is the smallest that keeps the region's least size, whichever way the image is stored. */
TEST(decodes_at_reduced_scale)
{
    static const char *const names[] = {"made/420.jpg", "made/progressive.jpg", "exif/Landscape_6.jpg",
                                        "made/grey.jpg"};
    static const struct {
        int min_width, min_height, scale;
    } cases[] = {{101, 10, 1}, {100, 10, 2}, {50, 24, 4}, {50, 25, 4},
                 {50, 26, 2},  {25, 13, 4},  {25, 12, 8}, {1, 1, 8}};
    vt_image image = {0};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        vt_file file = image_file(names[i]);
        for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
            vt_region r = {9, 17, 200, 100, cases[k].min_width, cases[k].min_height};
            CHECK_OK(decode(&image, file.data, file.size, &r));
            CHECK_NEAR(image.x1 - image.x0, 200.0 / cases[k].scale, 0);
            CHECK_NEAR(image.y1 - image.y0, 100.0 / cases[k].scale, 0);
            CHECK(image.x0 >= 0 && image.y0 >= 0 && image.x1 <= (float)image.width && image.y1 <= (float)image.height);
        }
        vt_file_close(&file);
    }
    vt_image_free(&image);
}

/* Every shorter file is refused, and so is every one whatever the region. */
TEST(refuses_truncated_files)
{
    static const char *const names[] = {"made/tiny.jpg", "made/one.jpg", "made/turned.png", "pngsuite/basi3p04.png",
                                        "pngsuite/tbrn2c08.png"};
    vt_image image = {0};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        vt_file file = image_file(names[i]);
        const vt_region corner = {0, 0, 1, 1, 0, 0};
        CHECK_OK(decode(&image, file.data, file.size, NULL));
        for (size_t n = 0; n < file.size; n++) {
            uint8_t *copy = malloc(n ? n : 1); /* so that AddressSanitizer sees the end */
            memcpy(copy, file.data, n);
            CHECK_MSG(decode(&image, copy, n, NULL) == VT_INVALID, "%s, %zu bytes of %zu", names[i], n, file.size);
            CHECK_MSG(decode(&image, copy, n, &corner) == VT_INVALID, "%s, %zu bytes of %zu", names[i], n, file.size);
            free(copy);
        }
        vt_file_close(&file);
    }
    vt_image_free(&image);
}

/* A damaged file is refused or not whatever part of it is wanted. */
TEST(judges_damage_whatever_the_region)
{
    static const char *const names[] = {"made/420.jpg", "made/progressive.jpg", "made/restart.jpg", "made/cmyk.jpg"};
    uint32_t state = 5, refused = 0;
    vt_image image = {0};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        vt_file file = image_file(names[i]);
        for (int k = 0; k < 150; k++) {
            size_t at = next_random(&state, (uint32_t)file.size);
            uint8_t before = file.data[at];
            file.data[at] ^= (uint8_t)(1 + next_random(&state, 255));
            vt_status whole = decode(&image, file.data, file.size, NULL);
            refused += whole != VT_OK;
            if (whole == VT_OK && (image.width != 225 || image.height != 150))
                whole = VT_INVALID; /* the region is outside */
            else {
                vt_region r = random_region(&state, 225, 150);
                CHECK_MSG(decode(&image, file.data, file.size, &r) == whole, "%s: byte %zu, region %d,%d %dx%d: %s",
                          names[i], at, r.x, r.y, r.width, r.height, vt_error());
            }
            file.data[at] = before;
        }
        vt_file_close(&file);
    }
    CHECK(refused > 50);
    vt_image_free(&image);
}

TEST(refuses_what_is_no_image)
{
    vt_image_source source;
    char path[512];
    vt_image image = {0};
    CHECK_FAILS(vt_image_open(&source, (const uint8_t *)"", 0), VT_INVALID, "neither a PNG nor a JPEG file");
    CHECK_FAILS(vt_image_open(&source, (const uint8_t *)"GIF89a..", 8), VT_INVALID, "neither a PNG nor a JPEG file");
    CHECK_FAILS(vt_image_read(&image, image_path(path, "images.txt"), 3), VT_INVALID, "images.txt: neither");
    CHECK_FAILS(vt_image_read(&image, image_path(path, "absent.png"), 3), VT_INVALID, "absent.png");
    vt_image_free(&image);
}

/* A header alone may promise any number of pixels. */
TEST(refuses_decompression_bombs)
{
    vt_file png = image_file("pngsuite/basn2c08.png"), jpeg = image_file("made/444.jpg");
    vt_image_source source;
    const uint8_t big[] = {0, 0, 0xFF, 0xFF, 0, 0, 0xFF, 0xFF};
    memcpy(png.data + 16, big, 8);
    uint32_t crc = pixels_crc(png.data + 12, 17);
    for (int i = 0; i < 4; i++) png.data[29 + i] = (uint8_t)(crc >> (24 - 8 * i));
    CHECK_FAILS(vt_image_open(&source, png.data, png.size), VT_INVALID, "65535 x 65535 pixels are more");
    uint8_t *sof = jpeg.data;
    while (sof[0] != 0xFF || sof[1] != 0xC0) sof++;
    memset(sof + 5, 0xFF, 3);
    sof[8] = 0xDC; /* libjpeg's own limit is 65500 */
    sof[5] = 0xF0;
    CHECK_FAILS(vt_image_open(&source, jpeg.data, jpeg.size), VT_INVALID, "pixels are more");
    vt_file_close(&png);
    vt_file_close(&jpeg);
}

TEST(reads_orientation)
{
    uint8_t tiff[] = {'M', 'M', 0, 42, 0, 0, 0,    8, 0, 2, 1, 0, 0, 3, 0, 0, 0,
                      1,   0,   9, 0,  0, 1, 0x12, 0, 3, 0, 0, 0, 1, 0, 6, 0, 0};
    CHECK_EQ(vt_exif_orientation(tiff, sizeof tiff), 6);
    for (size_t n = 0; n < sizeof tiff; n++) CHECK_EQ(vt_exif_orientation(tiff, n), 1);
    tiff[31] = 9;
    CHECK_EQ(vt_exif_orientation(tiff, sizeof tiff), 1);
    tiff[4] = 0xFF;
    CHECK_EQ(vt_exif_orientation(tiff, sizeof tiff), 1);
    const uint8_t little[] = {'I', 'I', 42, 0, 8, 0, 0, 0, 1, 0, 0x12, 1, 3, 0, 1, 0, 0, 0, 8, 0, 0, 0};
    CHECK_EQ(vt_exif_orientation(little, sizeof little), 8);
}

/* Every allocation in turn, of libpng too: an error, and nothing left. */
TEST(survives_memory_running_out)
{
#ifdef VT_TEST_ALLOC
    static const char *const names[] = {"pngsuite/basi6a16.png", "made/turned.png", "exif/Portrait_7.jpg"};
    char path[512];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        long before = vt_alloc_live(), n = 0;
        vt_status st;
        do {
            vt_image image = {0};
            vt_alloc_fail_at(++n, 0);
            st = vt_image_read(&image, image_path(path, names[i]), 3);
            vt_alloc_fail_at(0, 0);
            CHECK_MSG(st == VT_OK || st == VT_NO_MEMORY, "%s: allocation %ld: %s", names[i], n, vt_error());
            vt_image_free(&image);
            CHECK_EQ(vt_alloc_live(), before);
        } while (st != VT_OK && n < 1000);
        CHECK_MSG(n > 2 && n < 1000, "%s: %ld allocations", names[i], n);
    }
#endif
}

TEST(writes_png)
{
    char path[] = "/tmp/vitc-image-XXXXXX";
    int fd = mkstemp(path);
    CHECK(fd >= 0);
    vt_image image = {0}, again = {0};
    char from[512];
    for (int channels = 1; channels <= 3; channels += 2) {
        CHECK_OK(vt_image_read(&image, image_path(from, "exif/Landscape_1.jpg"), channels));
        CHECK_OK(vt_png_write(path, image.data, image.width, image.height, channels));
        CHECK_OK(vt_image_read(&again, path, channels));
        CHECK_EQ(image_crc(&again), image_crc(&image));
    }
    CHECK_FAILS(vt_png_write("/nonexistent/x.png", image.data, 1, 1, 1), VT_FAILED, "/nonexistent/x.png");
    CHECK_FAILS(vt_png_write("/dev/full", image.data, image.width, image.height, 3), VT_FAILED, "/dev/full");
#ifdef VT_TEST_ALLOC
    long before = vt_alloc_live(), n = 0;
    vt_status st;
    do {
        vt_alloc_fail_at(++n, 0);
        st = vt_png_write(path, image.data, image.width, image.height, 3);
        vt_alloc_fail_at(0, 0);
        CHECK_EQ(vt_alloc_live(), before);
    } while (st == VT_NO_MEMORY && n < 1000);
    CHECK_MSG(st == VT_OK, "%s", vt_error());
#endif
    vt_image_free(&image);
    vt_image_free(&again);
    remove(path);
}

/* Luma is computed in floats: of each colour it must be what integers give. In rows of odd lengths, in place. */
TEST(luma_is_exact)
{
    enum { LEVELS = 256, LONGEST = 3 * LEVELS };
    uint8_t row[3 * LONGEST];
    uint32_t colour = 0, first, wrong = 0;
    for (size_t n = 1; (first = colour) < 1u << 24; n = n % LONGEST + 1) {
        for (size_t i = 0; i < n; i++, colour++)
            for (int k = 0; k < 3; k++) row[3 * i + (size_t)k] = (uint8_t)(colour >> 8 * k);
        vt_pixels_to_luma(row, row, n);
        for (size_t i = 0; i < n; i++, first++) {
            uint32_t sum = 19595 * (first & 255) + 38470 * (first >> 8 & 255) + 7471 * (first >> 16 & 255) + 0x8000;
            wrong += row[i] != sum >> 16;
        }
    }
    CHECK_EQ(wrong, 0);
}

int main(void)
{
    RUN(equals_pil);
    RUN(luma_is_exact);
    RUN(refuses_corrupt_pngsuite);
    RUN(comes_out_upright);
    RUN(decodes_regions);
    RUN(decodes_at_reduced_scale);
    RUN(refuses_truncated_files);
    RUN(judges_damage_whatever_the_region);
    RUN(refuses_what_is_no_image);
    RUN(refuses_decompression_bombs);
    RUN(reads_orientation);
    RUN(survives_memory_running_out);
    RUN(writes_png);
    TEST_END();
}
