/* data/augment_ops.h - image ops that training samples are augmented with, on 8-bit pixels, in place.
 *
 * Each is Pillow's op of that name as timm calls it: the same pixels for all that stay in place (tables, blends, blur),
 * within one level for those that move pixels (warps), which are fixed-point here and doubles there. None allocates:
 * what they need beside the pixels is the canvas's work, sized once. Integers, or single operations of IEEE floats, so
 * the bits are the same on every machine. */
#ifndef VT_DATA_AUGMENT_OPS_H
#define VT_DATA_AUGMENT_OPS_H

#include <stddef.h>
#include <stdint.h>

#include "data/resize.h"

typedef struct vt_canvas {
    uint8_t *pixels;             /* [height, width, channels], packed */
    int height, width, channels; /* channels 1 or 3 */
    uint8_t fill[3];             /* what warps show of beyond the image */
    vt_filter filter;            /* of warps: VT_FILTER_BILINEAR or VT_FILTER_BICUBIC (Pillow's, a = -1) */
    uint8_t *work;               /* [vt_canvas_work], VT_ALIGN-aligned; its content means nothing between ops */
} vt_canvas;

size_t vt_canvas_work(int height, int width, int channels); /* bytes */

/* Each of n levels becomes from + factor * (level - from), in float32, cut to a whole level: Pillow's Image.blend. */
void vt_blend_levels(uint8_t *restrict pixels, const uint8_t *restrict from, size_t n, float factor);

/* An op with its argument, which some do not look at. */
typedef void vt_augment_fn(const vt_canvas *canvas, double argument);

/* Tables. Each channel has its own histogram; an image of one level stays as it is. */
vt_augment_fn vt_op_autocontrast, vt_op_equalize, vt_op_invert;
vt_augment_fn vt_op_posterize;    /* bits to keep, 0 .. 8 */
vt_augment_fn vt_op_solarize;     /* levels from this threshold on, 0 .. 256, are inverted */
vt_augment_fn vt_op_solarize_add; /* what levels under 128 are raised by, 0 .. 255 */

/* Enhancement by a factor >= 0: 1 changes nothing; 0 leaves no colour, mean grey, black, a smoothed image. */
vt_augment_fn vt_op_color, vt_op_contrast, vt_op_brightness, vt_op_sharpness;

vt_augment_fn vt_op_grey; /* luma in every channel */
vt_augment_fn vt_op_blur; /* Gaussian of this standard deviation, 0 .. 2 pixels, as three box filters */

/* Warps (augment_warp.c). */
vt_augment_fn vt_op_rotate;                     /* degrees counter-clockwise about the centre */
vt_augment_fn vt_op_shear_x, vt_op_shear_y;     /* pixels a pixel */
vt_augment_fn vt_op_translate_x, vt_op_translate_y; /* share of the width, of the height; positive: to the left, up */

#endif
