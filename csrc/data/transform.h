/* data/transform.h - from an encoded image or its pixels to what a batch holds.
 *
 * Training: RandomResizedCrop and flips as torchvision and timm do, then the policy's ops; drawn from (seed, epoch,
 * sample, repeat) and the size of the image alone. Evaluation: the shorter side to S = int(size / crop_pct), the longer
 * to int(S * long / short), then the centre; where height and width differ, to int(height / crop_pct) x
 * int(width / crop_pct), as timm.
 */
#ifndef VT_DATA_TRANSFORM_H
#define VT_DATA_TRANSFORM_H

#include <stdbool.h>
#include <stdint.h>

#include "data/augment_policy.h"
#include "data/dataset.h"
#include "data/image.h"
#include "data/resize.h"

typedef struct vt_transform {
    int height, width, channels; /* of what comes out: [height, width, channels] u8 */
    bool train;                  /* else evaluation */

    double scale[2], ratio[2];     /* training: the crop's share of the area; its width / height */
    double hflip, vflip;           /* probabilities */
    vt_filter train_interpolation; /* VT_FILTER_RANDOM: bilinear or bicubic, drawn */
    bool jpeg_scale;               /* decode JPEG at reduced scale where the crop allows (--jpeg-scale auto) */
    vt_augment augment;            /* after the flips; its warps use train_interpolation */
    uint8_t fill[3];               /* what warps show of beyond the image */

    double crop_pct; /* evaluation */
    vt_filter interpolation;
} vt_transform;

/* Scale 0.08 .. 1, ratio 3/4 .. 4/3, hflip 0.5, bicubic, jpeg_scale, crop_pct 0.875, as the recipe has them; no
 * augmentation, for which the fill is ImageNet's mean. */
vt_transform vt_transform_default(int height, int width, int channels, bool train);
/* VT_INVALID and the flag's name where a setting makes no sense. */
vt_status vt_transform_check(const vt_transform *t);

/* What a thread keeps between images. All zeros to begin with. */
typedef struct vt_transform_scratch {
    vt_image image;
    vt_resizer resizer;
    uint8_t *work; /* of a vt_canvas */
    size_t work_bytes;
} vt_transform_scratch;

/* What augmentation needs, at once instead of with the first sample. */
vt_status vt_transform_reserve(const vt_transform *t, vt_transform_scratch *scratch);
void vt_transform_scratch_free(vt_transform_scratch *scratch);

/* The draws for one training sample. */
typedef struct vt_crop {
    int x, y, width, height;
    bool hflip, vflip;
    vt_filter filter;
} vt_crop;

vt_crop vt_crop_draw(const vt_transform *t, int width, int height, uint64_t seed, uint32_t epoch, uint32_t sample,
                     uint32_t repeat);

/* Makes one sample, out [height, width, channels]. Pixels must have t->channels. In evaluation the key is not used. */
vt_status vt_transform_sample(const vt_transform *t, vt_transform_scratch *scratch, const vt_sample *sample,
                              uint64_t seed, uint32_t epoch, uint32_t index, uint32_t repeat, uint8_t *out);

#endif
