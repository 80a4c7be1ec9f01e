#include "data/bench.h"

#include <setjmp.h>
#include <stdio.h> /* before jpeglib.h, which needs it */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jpeglib.h>

#include "base/alloc.h"
#include "data/photo.h"

enum { LONG_SIDE = 500, SHORT_SIDE = 333, QUALITY = 90 };

typedef struct jpeg_file {
    uint8_t *bytes; /* heap */
    size_t size;
} jpeg_file;

typedef struct jpeg_errors {
    struct jpeg_error_mgr base; /* first */
    jmp_buf escape;
} jpeg_errors;

static void on_error(j_common_ptr jpeg)
{
    longjmp(((jpeg_errors *)(void *)jpeg->err)->escape, 1);
}

static void set_errors(jpeg_errors *errors)
{
    jpeg_std_error(&errors->base);
    errors->base.error_exit = on_error;
}

/* --- making the files --- */

static vt_status encode(jpeg_file *file, const uint8_t *rgb, int width, int height)
{
    struct jpeg_compress_struct jpeg = {0};
    jpeg_errors errors;
    struct {
        unsigned char *bytes; /* libjpeg's own, from malloc */
        unsigned long size;
    } made = {NULL, 0};
    set_errors(&errors);
    jpeg.err = &errors.base;
    if (setjmp(errors.escape) == 0) {
        jpeg_create_compress(&jpeg);
        jpeg_mem_dest(&jpeg, &made.bytes, &made.size);
        jpeg.image_width = (JDIMENSION)width;
        jpeg.image_height = (JDIMENSION)height;
        jpeg.input_components = 3;
        jpeg.in_color_space = JCS_RGB;
        jpeg_set_defaults(&jpeg); /* 4:2:0 */
        jpeg_set_quality(&jpeg, QUALITY, TRUE);
        jpeg_start_compress(&jpeg, TRUE);
        while (jpeg.next_scanline < jpeg.image_height) {
            JSAMPROW row = (JSAMPROW)(rgb + (size_t)jpeg.next_scanline * (size_t)width * 3);
            jpeg_write_scanlines(&jpeg, &row, 1);
        }
        jpeg_finish_compress(&jpeg);
        file->bytes = vt_alloc_raw(made.size);
        if (file->bytes) memcpy(file->bytes, made.bytes, file->size = made.size);
    }
    jpeg_destroy_compress(&jpeg);
    free(made.bytes);
    return file->bytes ? VT_OK : vt_fail_memory("JPEG files to measure with");
}

/* An evaluation transform to the size wanted is just a resize. */
static vt_status make_file(jpeg_file *file, const char *path, uint64_t seed)
{
    vt_image photo = {0};
    vt_transform_scratch scratch = {0};
    uint8_t *small = NULL;
    vt_status st;
    VT_TRY(path ? vt_image_read(&photo, path, 3) : vt_photo_make(&photo, 1800, 1200, seed));
    bool tall = photo.height > photo.width;
    vt_transform t = vt_transform_default(tall ? LONG_SIDE : SHORT_SIDE, tall ? SHORT_SIDE : LONG_SIDE, 3, false);
    t.crop_pct = 1;
    vt_sample sample = {.pixels = photo.data, .h = photo.height, .w = photo.width, .c = 3};
    small = vt_alloc_raw(LONG_SIDE * SHORT_SIDE * 3);
    if (!small) VT_TRY(vt_fail_memory("a photograph to measure with"));
    VT_TRY(vt_transform_sample(&t, &scratch, &sample, 0, 0, 0, 0, small));
    VT_TRY(encode(file, small, t.width, t.height));
fail:
    vt_free(small);
    vt_transform_scratch_free(&scratch);
    vt_image_free(&photo);
    return st;
}

/* --- measuring --- */

/* What libjpeg-turbo's own users do, with its default settings. pixels: room for the image. */
static vt_status decode_plainly(const jpeg_file *file, uint8_t *pixels)
{
    enum { ROWS = 16 };
    struct jpeg_decompress_struct jpeg = {0};
    jpeg_errors errors;
    set_errors(&errors);
    jpeg.err = &errors.base;
    if (setjmp(errors.escape)) {
        jpeg_destroy_decompress(&jpeg);
        return vt_fail_memory("decoding a JPEG file");
    }
    jpeg_create_decompress(&jpeg);
    jpeg_mem_src(&jpeg, file->bytes, file->size);
    jpeg_read_header(&jpeg, TRUE);
    jpeg.out_color_space = JCS_RGB;
    jpeg_start_decompress(&jpeg);
    size_t stride = (size_t)jpeg.output_width * 3;
    while (jpeg.output_scanline < jpeg.output_height) {
        JSAMPROW rows[ROWS];
        for (unsigned i = 0; i < ROWS; i++) rows[i] = pixels + (jpeg.output_scanline + i) * stride;
        jpeg_read_scanlines(&jpeg, rows, ROWS);
    }
    jpeg_finish_decompress(&jpeg);
    jpeg_destroy_decompress(&jpeg);
    return VT_OK;
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *x, int n)
{
    qsort(x, (size_t)n, sizeof *x, ascending);
    return n % 2 ? x[n / 2] : (x[n / 2 - 1] + x[n / 2]) / 2;
}

/* Makes a sample of each file; images a second. */
static vt_status time_samples(double *speed, const jpeg_file *files, int count, const vt_transform *t,
                              vt_transform_scratch *scratch, int round, uint8_t *pixels)
{
    double start = seconds();
    for (int i = 0; i < count; i++) {
        vt_sample sample = {.bytes = files[i].bytes, .size = files[i].size};
        vt_status st = vt_transform_sample(t, scratch, &sample, 0, (uint32_t)round, (uint32_t)i, 0, pixels);
        if (st != VT_OK) return st;
    }
    *speed = count / (seconds() - start);
    return VT_OK;
}

/* Round by round, one after the other, so that all meet the same machine. times: [5, rounds]. */
static vt_status measure(vt_data_bench *result, const jpeg_file *files, int count, const vt_transform *t, int rounds,
                         double *times)
{
    double *decode = times, *make[2] = {times + rounds, times + 2 * rounds},
           *share[2] = {times + 3 * rounds, times + 4 * rounds};
    bool augments = vt_augment_on(&t->augment);
    vt_transform transforms[2] = {*t, *t};
    vt_transform_scratch scratch = {0};
    vt_status st = VT_OK;
    size_t room = (LONG_SIDE + 16) * (LONG_SIDE + 16) * 3,
           made = (size_t)t->height * (size_t)t->width * (size_t)t->channels;
    uint8_t *pixels = vt_alloc_raw(room > made ? room : made);
    transforms[0].augment = (vt_augment){0};
    if (!pixels) VT_TRY(vt_fail_memory("images to measure with"));
    for (int r = 0; r < rounds; r++) {
        double start = seconds();
        for (int i = 0; i < count; i++) VT_TRY(decode_plainly(&files[i], pixels));
        decode[r] = count / (seconds() - start);
        for (int k = 0; k < 1 + augments; k++) {
            VT_TRY(time_samples(&make[k][r], files, count, &transforms[k], &scratch, r, pixels));
            share[k][r] = make[k][r] / decode[r];
        }
    }
    result->decode_per_second = median(decode, rounds);
    result->sample_per_second = median(make[0], rounds);
    result->share = median(share[0], rounds);
    if (augments) result->augmented_per_second = median(make[1], rounds);
    if (augments) result->augmented_share = median(share[1], rounds);
fail:
    vt_free(pixels);
    vt_transform_scratch_free(&scratch);
    return st;
}

vt_status vt_data_bench_run(vt_data_bench *result, const char *const *paths, int count, const vt_transform *t,
                            int rounds)
{
    vt_status st = VT_OK;
    *result = (vt_data_bench){.images = count};
    if (count < 1 || rounds < 1)
        return vt_fail(VT_INVALID, "nothing to measure: want at least 1 photograph and 1 round");
    jpeg_file *files = vt_alloc((size_t)count * sizeof *files);
    double *times = vt_alloc(5 * (size_t)rounds * sizeof *times);
    if (!files || !times) VT_TRY(vt_fail_memory("measuring"));
    for (int i = 0; i < count; i++) {
        VT_TRY(make_file(&files[i], paths ? paths[i] : NULL, (uint64_t)i));
        result->bytes += (double)files[i].size / count;
    }
    VT_TRY(measure(result, files, count, t, rounds, times));
fail:
    for (int i = 0; files && i < count; i++) vt_free(files[i].bytes);
    vt_free(files);
    vt_free(times);
    return st;
}
