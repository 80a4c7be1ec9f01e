/* cpu/fast/cut.h - how elementwise work is cut into tasks: by shape alone. */
#ifndef VT_CPU_FAST_CUT_H
#define VT_CPU_FAST_CUT_H

#include "base/pool.h"
#include "cpu/cpu.h"
#include "ops/op.h"

enum { VT_PIECE = 16384 }; /* elements of a task: some microseconds */

static inline int vt_pieces(int64_t n)
{
    return (int)((n + VT_PIECE - 1) / VT_PIECE);
}

/* Piece `i` of n elements begins at i * VT_PIECE and has so many. */
static inline int64_t vt_piece_count(int64_t n, int64_t i)
{
    int64_t left = n - i * VT_PIECE;
    return left < VT_PIECE ? left : VT_PIECE;
}

/* Rows of `cols` elements that make about a piece. */
static inline int64_t vt_piece_rows(int64_t cols)
{
    return cols < VT_PIECE ? VT_PIECE / cols : 1;
}

/* The pieces of several of a node's inputs: every `step`-th from `first` on. */
typedef struct vt_part {
    int64_t at;        /* first element within the input */
    int32_t input, count;
} vt_part;

static inline int vt_part_count(const vt_node *n, int first, int step)
{
    int parts = 0;
    for (int i = first; i < n->n_in; i += step) parts += vt_pieces(vt_tensor_count(n->in[i]));
    return parts;
}

static inline void vt_part_list(const vt_node *n, int first, int step, vt_part *parts)
{
    for (int i = first; i < n->n_in; i += step) {
        int64_t count = vt_tensor_count(n->in[i]);
        for (int k = 0; k < vt_pieces(count); k++)
            *parts++ = (vt_part){(int64_t)k * VT_PIECE, i, (int32_t)vt_piece_count(count, k)};
    }
}

#endif
