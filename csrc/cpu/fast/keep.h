/* cpu/fast/keep.h - dropout's draws, many at a time; the same as vt_is_kept (ops/draw.h). */
#ifndef VT_CPU_FAST_KEEP_H
#define VT_CPU_FAST_KEEP_H

#include "base/philox.h"

enum { VT_KEEP_BLOCKS = 16 }; /* of four draws each */

typedef struct vt_keep {
    uint64_t key;
    uint32_t step, slot;
    float rate;
} vt_keep;

/* The draws of elements 4 * block .. 4 * block + 63, as factors: 0, or 1 / (1 - rate). */
static inline void vt_keep_blocks(const vt_keep *k, uint32_t block, float factors[4 * VT_KEEP_BLOCKS])
{
    uint32_t c[4][VT_KEEP_BLOCKS], k0 = (uint32_t)k->key, k1 = (uint32_t)(k->key >> 32);
    float scale = 1 / (1 - k->rate);
    for (int i = 0; i < VT_KEEP_BLOCKS; i++) {
        c[0][i] = block + (uint32_t)i;
        c[1][i] = k->slot;
        c[2][i] = k->step;
        c[3][i] = 0xFFFFFFFFu;
    }
    for (int round = 0; round < 10; round++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u)
        for (int i = 0; i < VT_KEEP_BLOCKS; i++) {
            uint64_t p0 = (uint64_t)0xD2511F53u * c[0][i], p1 = (uint64_t)0xCD9E8D57u * c[2][i];
            c[0][i] = (uint32_t)(p1 >> 32) ^ c[1][i] ^ k0;
            c[2][i] = (uint32_t)(p0 >> 32) ^ c[3][i] ^ k1;
            c[1][i] = (uint32_t)p1;
            c[3][i] = (uint32_t)p0;
        }
    for (int i = 0; i < VT_KEEP_BLOCKS; i++)
        for (int w = 0; w < 4; w++) factors[4 * i + w] = vt_uniform(c[w][i]) >= k->rate ? scale : 0;
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
