#include "data/transform.h"

#include <math.h>

#include "base/alloc.h"
#include "base/philox.h"

enum {
    TRIES = 10,
    LONGEST = 1 << 24 /* pixels of a side of the whole result in evaluation */
};

vt_transform vt_transform_default(int height, int width, int channels, bool train)
{
    return (vt_transform){
        .height = height,
        .width = width,
        .channels = channels,
        .train = train,
        .scale = {0.08, 1.0},
        .ratio = {3.0 / 4.0, 4.0 / 3.0},
        .hflip = 0.5,
        .train_interpolation = VT_FILTER_BICUBIC,
        .jpeg_scale = true,
        .fill = {124, 116, 104},
        .crop_pct = 0.875,
        .interpolation = VT_FILTER_BICUBIC,
    };
}

/* Written so that NaN fails. */
vt_status vt_transform_check(const vt_transform *t)
{
    if (t->height < 1 || t->width < 1 || (t->channels != 1 && t->channels != 3))
        return vt_fail(VT_INVALID, "images of %d x %d with %d channels: want 1 or more pixels, and 1 or 3 channels",
                       t->height, t->width, t->channels);
    if (!(t->scale[0] > 0 && t->scale[0] <= t->scale[1] && t->scale[1] <= 1))
        return vt_fail(VT_INVALID, "--scale %g %g: want 0 < first <= second <= 1", t->scale[0], t->scale[1]);
    if (!(t->ratio[0] > 0 && t->ratio[0] <= t->ratio[1] && t->ratio[1] < INFINITY))
        return vt_fail(VT_INVALID, "--ratio %g %g: want 0 < first <= second", t->ratio[0], t->ratio[1]);
    if (!(t->hflip >= 0 && t->hflip <= 1)) return vt_fail(VT_INVALID, "--hflip %g: want 0 to 1", t->hflip);
    if (!(t->vflip >= 0 && t->vflip <= 1)) return vt_fail(VT_INVALID, "--vflip %g: want 0 to 1", t->vflip);
    if (!(t->crop_pct >= 0.01 && t->crop_pct <= 1))
        return vt_fail(VT_INVALID, "--crop-pct %g: want 0.01 to 1", t->crop_pct);
    if (t->interpolation == VT_FILTER_RANDOM) return vt_fail(VT_INVALID, "--interpolation random: for training alone");
    return VT_OK;
}

void vt_transform_scratch_free(vt_transform_scratch *scratch)
{
    vt_image_free(&scratch->image);
    vt_resizer_free(&scratch->resizer);
    vt_free(scratch->work);
    scratch->work = NULL;
    scratch->work_bytes = 0;
}

vt_status vt_transform_reserve(const vt_transform *t, vt_transform_scratch *scratch)
{
    size_t bytes = t->train ? vt_augment_work(&t->augment, t->height, t->width, t->channels) : 0;
    if (bytes <= scratch->work_bytes) return VT_OK;
    vt_free(scratch->work);
    scratch->work_bytes = 0;
    scratch->work = vt_alloc_raw(bytes);
    if (!scratch->work) return vt_fail_memory("augmenting images");
    scratch->work_bytes = bytes;
    return VT_OK;
}

/* --- training --- */

static double draw_between(vt_rng *rng, const double range[2])
{
    return range[0] + (range[1] - range[0]) * (double)vt_rng_uniform(rng);
}

static int at_least_one(double x)
{
    return x < 1.0 ? 1 : (int)x;
}

/* The whole image, cut to the nearest ratio allowed, from its centre. */
static void centre_crop(const vt_transform *t, int width, int height, vt_crop *crop)
{
    double ratio = (double)width / height;
    crop->width = width;
    crop->height = height;
    if (ratio < t->ratio[0])
        crop->height = at_least_one(rint(width / t->ratio[0]));
    else if (ratio > t->ratio[1])
        crop->width = at_least_one(rint(height * t->ratio[1]));
    crop->x = (width - crop->width) / 2;
    crop->y = (height - crop->height) / 2;
}

vt_crop vt_crop_draw(const vt_transform *t, int width, int height, uint64_t seed, uint32_t epoch, uint32_t sample,
                     uint32_t repeat)
{
    vt_rng rng = vt_rng_data(seed, VT_PURPOSE_CROP, epoch, sample, repeat);
    vt_rng coin = vt_rng_data(seed, VT_PURPOSE_FLIP, epoch, sample, repeat);
    const double log_ratio[2] = {log(t->ratio[0]), log(t->ratio[1])};
    vt_crop crop = {.filter = t->train_interpolation};
    if (crop.filter == VT_FILTER_RANDOM) crop.filter = vt_rng_below(&rng, 2) ? VT_FILTER_BICUBIC : VT_FILTER_BILINEAR;
    crop.hflip = vt_rng_uniform(&coin) < t->hflip;
    crop.vflip = vt_rng_uniform(&coin) < t->vflip;
    for (int i = 0; i < TRIES; i++) {
        double area = (double)width * height * draw_between(&rng, t->scale);
        double ratio = exp(draw_between(&rng, log_ratio));
        double w = rint(sqrt(area * ratio)), h = rint(sqrt(area / ratio));
        if (!(w >= 1 && w <= width && h >= 1 && h <= height)) continue;
        crop.width = (int)w;
        crop.height = (int)h;
        crop.y = (int)vt_rng_below(&rng, (uint32_t)(height - crop.height + 1));
        crop.x = (int)vt_rng_below(&rng, (uint32_t)(width - crop.width + 1));
        return crop;
    }
    centre_crop(t, width, height, &crop);
    return crop;
}

static vt_status augment(const vt_transform *t, vt_transform_scratch *scratch, uint64_t seed, uint32_t epoch,
                         uint32_t index, uint32_t repeat, uint8_t *pixels)
{
    vt_augment_drawn drawn;
    vt_augment_draw(&t->augment, t->train_interpolation, seed, epoch, index, repeat, &drawn);
    vt_status st = vt_transform_reserve(t, scratch);
    if (st != VT_OK) return st;
    vt_canvas canvas = {.pixels = pixels, .height = t->height, .width = t->width, .channels = t->channels,
                        .fill = {t->fill[0], t->fill[1], t->fill[2]}, .work = scratch->work};
    vt_augment_apply(&drawn, canvas);
    return VT_OK;
}

/* --- from pixels to a job of resizing --- */

/* Cuts the source down to the pixels that the box touches: what is outside does not exist for the filters. */
static void cut_to_box(vt_resize *job)
{
    int x = (int)floorf(job->x0), y = (int)floorf(job->y0);
    job->src += (size_t)y * job->src_stride + (size_t)x * (size_t)job->channels;
    job->src_width = (int)ceilf(job->x1) - x;
    job->src_height = (int)ceilf(job->y1) - y;
    job->x0 -= (float)x;
    job->x1 -= (float)x;
    job->y0 -= (float)y;
    job->y1 -= (float)y;
}

static vt_resize job_of_image(const vt_image *image)
{
    return (vt_resize){
        .src = image->data,
        .src_stride = (size_t)image->width * (size_t)image->channels,
        .src_width = image->width,
        .src_height = image->height,
        .channels = image->channels,
        .x0 = image->x0,
        .y0 = image->y0,
        .x1 = image->x1,
        .y1 = image->y1,
    };
}

static vt_resize job_of_pixels(const vt_sample *sample, const vt_crop *crop)
{
    return (vt_resize){
        .src = sample->pixels,
        .src_stride = (size_t)sample->w * (size_t)sample->c,
        .src_width = sample->w,
        .src_height = sample->h,
        .channels = sample->c,
        .x0 = (float)crop->x,
        .y0 = (float)crop->y,
        .x1 = (float)(crop->x + crop->width),
        .y1 = (float)(crop->y + crop->height),
    };
}

/* The size of the whole result in evaluation, and its centre as the window. */
static vt_status set_centre(const vt_transform *t, vt_resize *job, int width, int height)
{
    int64_t w = (int64_t)(t->width / t->crop_pct), h = (int64_t)(t->height / t->crop_pct);
    if (t->width == t->height) {
        if (width > height)
            w = h * width / height;
        else
            h = w * height / width;
    }
    if (w > LONGEST || h > LONGEST)
        return vt_fail(VT_INVALID, "%d x %d pixels: too thin to take the centre of", width, height);
    job->width = (int)w;
    job->height = (int)h;
    job->win_x = (int)rint((double)(w - t->width) / 2);
    job->win_y = (int)rint((double)(h - t->height) / 2);
    return VT_OK;
}

vt_status vt_transform_sample(const vt_transform *t, vt_transform_scratch *scratch, const vt_sample *sample,
                              uint64_t seed, uint32_t epoch, uint32_t index, uint32_t repeat, uint8_t *out)
{
    vt_status st;
    vt_image_source source = {.width = sample->w, .height = sample->h};
    vt_resize job;
    if (sample->bytes) VT_TRY(vt_image_open(&source, sample->bytes, sample->size));
    vt_crop crop = {.width = source.width, .height = source.height, .filter = t->interpolation};
    if (t->train) crop = vt_crop_draw(t, source.width, source.height, seed, epoch, index, repeat);
    if (sample->bytes) {
        bool reduce = t->train && t->jpeg_scale;
        vt_region region = {crop.x, crop.y, crop.width, crop.height, reduce ? t->width : 0, reduce ? t->height : 0};
        VT_TRY(vt_image_decode(&scratch->image, &source, t->channels, &region));
        job = job_of_image(&scratch->image);
    } else {
        job = job_of_pixels(sample, &crop);
    }
    cut_to_box(&job);
    job.width = job.win_width = t->width;
    job.height = job.win_height = t->height;
    job.hflip = crop.hflip;
    job.vflip = crop.vflip;
    job.filter = crop.filter;
    if (!t->train) VT_TRY(set_centre(t, &job, source.width, source.height));
    VT_TRY(vt_resizer_run(&scratch->resizer, &job, out));
    if (t->train) VT_TRY(augment(t, scratch, seed, epoch, index, repeat, out));
fail:
    return st;
}
