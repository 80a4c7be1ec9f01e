/* data/erase.h - random erasing (Zhong et al., 2020), drawn as timm's RandomErasing draws it: where a training sample
 * is erased. What the boxes are filled with is drawn in the graph (ops/ops.h, vt_effects).
 *
 * A sample is erased with `probability`, in 1 .. most boxes, drawn evenly. Each has up to 10 tries: an area of 2 % to
 * 1/3 of the image, divided by the number of boxes, and h / w = exp(uniform(ln 0.3, ln 1/0.3)); taken, if it is lower
 * and narrower than the image, anywhere within it. */
#ifndef VT_DATA_ERASE_H
#define VT_DATA_ERASE_H

#include <stdint.h>

enum { VT_ERASE_MOST = 64 }; /* boxes of a sample */

typedef struct vt_erase {
    double probability; /* --reprob; 0: off */
    int most;           /* --recount: R, 1 .. VT_ERASE_MOST */
} vt_erase;

/* boxes [R, 4]: top, left, height, width; height 0: none. A function of (seed, epoch, sample, repeat) and the size. */
void vt_erase_draw(const vt_erase *e, int height, int width, uint64_t seed, uint32_t epoch, uint32_t sample,
                   uint32_t repeat, int32_t *boxes);

#endif
