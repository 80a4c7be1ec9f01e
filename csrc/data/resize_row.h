/* data/resize_row.h - the inner loops of resize.c: weighted sums of pixels in 22-bit fixed point, rounded and clipped.
 *
 * Two bodies, the plain one being the specification; integers, so both give the same bits. */
#ifndef VT_DATA_RESIZE_ROW_H
#define VT_DATA_RESIZE_ROW_H

#include <stddef.h>
#include <stdint.h>

enum {
    VT_WEIGHT_BITS = 22, /* of the fraction, as PIL has it: 8 bits of pixel and 2 for sums above 1 fill an int */
    VT_WEIGHT_LOW =
        11 /* a weight is high * 2^11 + low, two numbers of 16 bits: vectors multiply those fast, and exactly */
};

/* The weights of `outs` outputs. Output k is the sum of source pixels first[k] .. first[k] + count[k] - 1. */
typedef struct vt_taps {
    int *first, *count; /* [outs] */
    int16_t *weights;   /* [outs, room / 2, 4]: of a pair of taps, high, high, low, low; zeros from tap count[k] on */
    int outs, room;
    int most; /* the highest count, rounded up to an even number; at most room */
} vt_taps;

typedef struct vt_resize_body {
    /* Along two rows, channels 1 or 3 interleaved: out_a[k] and out_b[k] for all outputs. May read vt_taps_slack bytes
     * behind a row. Both rows may be the same. */
    void (*rows)(uint8_t *out_a, uint8_t *out_b, const uint8_t *row_a, const uint8_t *row_b, int channels,
                 const vt_taps *taps);
    /* Across rows: output k, `bytes` of them side by side. May read one row more than count[k]. */
    void (*column)(uint8_t *out, const uint8_t *rows, size_t stride, const vt_taps *taps, int k, size_t bytes);
} vt_resize_body;

extern const vt_resize_body vt_resize_plain;
const vt_resize_body *vt_resize_fastest(void); /* that this machine has */

static inline size_t vt_taps_slack(const vt_taps *taps)
{
    return 3 * (size_t)taps->room + 16;
}

#endif
