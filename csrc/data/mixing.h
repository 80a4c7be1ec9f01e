/* data/mixing.h - mixup (Zhang et al., 2018) and cutmix (Yun et al., 2019), drawn as timm's Mixup draws them: which
 * sample of its micro-batch a sample is mixed with, where, and how much. The mixing itself is done in the graph
 * (ops/ops.h, vt_effects).
 *
 * The partner of sample i of B is B - 1 - i; in an odd batch the middle one has itself. A group shares a draw: the
 * whole micro-batch, a pair of partners, or a sample alone. The draw: with mix_probability the group is mixed; by
 * cutmix with switch_probability where both are on; lambda ~ Beta(a, a), a its own parameter. Mixup weighs a sample's
 * own pixels and target with lambda. Cutmix puts the partner's pixels into a box of sqrt(1 - lambda) of the height and
 * the width, rounded down, around a pixel of the image, cut off at the borders; or, with minmax, into one of evenly
 * drawn sides of these shares, within the image. The target then has the share of pixels that stayed. */
#ifndef VT_DATA_MIXING_H
#define VT_DATA_MIXING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/philox.h"

typedef struct vt_mixing {
    double mixup, cutmix;       /* Beta's parameters; 0: off */
    double minmax[2];           /* --cutmix-minmax; both 0: none. With it cutmix is on, its parameter 1 */
    double mix_probability, switch_probability;
    enum { VT_MIX_BATCH, VT_MIX_PAIR, VT_MIX_ELEM } mode;
    uint32_t off_epoch;         /* nothing is mixed from this epoch on; 0: there is none */
} vt_mixing;

/* A micro-batch's mixing. Pixels: inside the box a * own + (1 - a) * partner's, outside b; target: t * own + (1 - t) *
 * partner's. */
typedef struct vt_mixed {
    int32_t *where; /* [B, 5]: partner, and the box's top, left, height, width */
    float *weights; /* [B, 3]: a, b, t */
} vt_mixed;

bool vt_mixing_on(const vt_mixing *m);
/* slots [B]: the samples' positions in the step's global list. A function of (seed, step of the run, slots) and the
 * size. */
void vt_mixing_draw(const vt_mixing *m, int height, int width, uint64_t seed, uint32_t epoch, uint32_t step,
                    const int32_t *slots, int batch, const vt_mixed *out);
void vt_mixing_none(int batch, const vt_mixed *out); /* every sample as it is */

#endif
