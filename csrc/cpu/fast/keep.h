/* cpu/fast/keep.h - dropout's draws, many at a time; the same as vt_is_kept (ops/draw.h). */
#ifndef VT_CPU_FAST_KEEP_H
#define VT_CPU_FAST_KEEP_H

#include "cpu/fast/draws.h"

enum { VT_KEEP_BLOCKS = VT_DRAW_BLOCKS };

typedef struct vt_keep {
    uint64_t key;
    uint32_t step, slot;
    float rate;
} vt_keep;

/* The draws of elements 4 * block .. 4 * block + 63, as factors: 0, or 1 / (1 - rate). */
static inline void vt_keep_blocks(const vt_keep *k, uint32_t block, float factors[4 * VT_KEEP_BLOCKS])
{
    uint32_t words[4][VT_KEEP_BLOCKS];
    float scale = 1 / (1 - k->rate);
    vt_draw_blocks(k->key, k->step, k->slot, block, words);
    for (int i = 0; i < VT_KEEP_BLOCKS; i++)
        for (int w = 0; w < 4; w++) factors[4 * i + w] = vt_uniform(words[w][i]) >= k->rate ? scale : 0;
}

/* factors[i]: of element first + i. */
static inline void vt_keep_factors(const vt_keep *k, uint32_t first, int n, float *factors)
{
    float some[4 * VT_KEEP_BLOCKS];
    int skip = (int)(first % 4);
    uint32_t block = first / 4;
    for (int i = 0; i < n; skip = 0, block += VT_KEEP_BLOCKS) {
        vt_keep_blocks(k, block, some);
        for (int at = skip; at < 4 * VT_KEEP_BLOCKS && i < n; at++, i++) factors[i] = some[at];
    }
}

#endif
