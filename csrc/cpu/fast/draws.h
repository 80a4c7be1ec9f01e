/* cpu/fast/draws.h - the graph's draws, many at a time; bit for bit those of vt_graph_draw. */
#ifndef VT_CPU_FAST_DRAWS_H
#define VT_CPU_FAST_DRAWS_H

#include "base/normal.h"

enum { VT_DRAW_BLOCKS = 16 }; /* of four words each */

/* words[w][i]: word w of block first + i. */
static inline void vt_draw_blocks(uint64_t key, uint32_t step, uint32_t slot, uint32_t first,
                                  uint32_t words[4][VT_DRAW_BLOCKS])
{
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int i = 0; i < VT_DRAW_BLOCKS; i++) {
        words[0][i] = first + (uint32_t)i;
        words[1][i] = slot;
        words[2][i] = step;
        words[3][i] = 0xFFFFFFFFu;
    }
    for (int round = 0; round < 10; round++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u)
        for (int i = 0; i < VT_DRAW_BLOCKS; i++) {
            uint64_t p0 = (uint64_t)0xD2511F53u * words[0][i], p1 = (uint64_t)0xCD9E8D57u * words[2][i];
            words[0][i] = (uint32_t)(p1 >> 32) ^ words[1][i] ^ k0;
            words[2][i] = (uint32_t)(p0 >> 32) ^ words[3][i] ^ k1;
            words[1][i] = (uint32_t)p1;
            words[3][i] = (uint32_t)p0;
        }
}

/* out[i]: N(0, 1) of element first + i, as vt_graph_normal. */
static inline void vt_draw_normals(uint64_t key, uint32_t step, uint32_t slot, uint32_t first, int64_t n, float *out)
{
    uint32_t words[4][VT_DRAW_BLOCKS];
    float some[4][VT_DRAW_BLOCKS];
    int64_t at = -(int64_t)(first % 4);
    for (uint32_t block = first / 4; at < n; block += VT_DRAW_BLOCKS, at += 4 * VT_DRAW_BLOCKS) {
        vt_draw_blocks(key, step, slot, block, words);
        for (int i = 0; i < VT_DRAW_BLOCKS; i++) vt_normal_pair(words[0][i], words[1][i], &some[0][i], &some[1][i]);
        for (int i = 0; i < VT_DRAW_BLOCKS; i++) vt_normal_pair(words[2][i], words[3][i], &some[2][i], &some[3][i]);
        int64_t from = at < 0 ? -at : 0, to = n - at < 4 * VT_DRAW_BLOCKS ? n - at : 4 * VT_DRAW_BLOCKS;
        for (int64_t e = from; e < to; e++) out[at + e] = some[e % 4][e / 4];
    }
}

#endif
