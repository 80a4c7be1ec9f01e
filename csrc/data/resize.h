/* data/resize.h - resampling of 8-bit images with antialiasing, the same bits as PIL's Image.resize.
 *
 * Two passes, rows first, with 8 bits between them; weights in doubles as PIL computes them, then 22-bit fixed point.
 * Integers from there on, so the bits are the same on every machine. */
#ifndef VT_DATA_RESIZE_H
#define VT_DATA_RESIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef enum vt_filter { VT_FILTER_NEAREST, VT_FILTER_BILINEAR, VT_FILTER_BICUBIC, VT_FILTER_RANDOM } vt_filter;

/* One resampling: the box of the source becomes width x height, of which a window is computed. */
typedef struct vt_resize {
    const uint8_t *src; /* [src_height, src_width, channels], rows src_stride bytes apart */
    size_t src_stride;
    int src_width, src_height, channels;     /* channels 1 or 3 */
    float x0, y0, x1, y1;                    /* the box, inside the source; filters see the source's pixels around it */
    int width, height;                       /* of the whole result */
    int win_x, win_y, win_width, win_height; /* the window of it that is wanted */
    bool hflip, vflip;                       /* mirror the window */
    vt_filter filter;                        /* not VT_FILTER_RANDOM */
} vt_resize;

/* Memory that grows and is used again. All zeros to begin with. */
typedef struct vt_resizer {
    void *block;
    size_t capacity; /* bytes */
    bool plain;      /* use the loops that are the specification: the same bits, slowly */
} vt_resizer;

void vt_resizer_free(vt_resizer *r);

/* out [win_height, win_width, channels], packed. Fails on nothing but memory. */
vt_status vt_resizer_run(vt_resizer *r, const vt_resize *job, uint8_t *out);

#endif
