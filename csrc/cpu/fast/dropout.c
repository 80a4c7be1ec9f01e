#include "cpu/fast/cut.h"
#include "cpu/fast/keep.h"

static void drop_piece(void *arg, int task, int worker)
{
    const vt_run *r = arg;
    const vt_dropout_attrs *a = r->node->attrs;
    const vt_tensor *xt = r->node->in[0];
    int64_t each = vt_tensor_count(xt) / xt->shape[0], pieces = vt_pieces(each);
    int64_t b = task / pieces, first = task % pieces * VT_PIECE, n = vt_piece_count(each, task % pieces);
    const float *x = (const float *)r->in[0] + b * each + first;
    float *y = (float *)r->out[0] + b * each + first, factors[4 * VT_KEEP_BLOCKS];
    vt_keep keep = {a->key, (uint32_t)*(const int32_t *)r->in[1], (uint32_t)((const int32_t *)r->in[2])[b], a->rate};
    for (int64_t i = 0; i < n; i += 4 * VT_KEEP_BLOCKS) {
        int64_t count = n - i < 4 * VT_KEEP_BLOCKS ? n - i : 4 * VT_KEEP_BLOCKS;
        vt_keep_blocks(&keep, (uint32_t)((first + i) / 4), factors);
        for (int64_t e = 0; e < count; e++) y[i + e] = factors[e] != 0 ? x[i + e] * factors[e] : 0;
    }
}

VT_FAST_BODY(dropout)
{
    const vt_tensor *xt = r->node->in[0];
    int64_t samples = xt->shape[0];
    vt_pool_run(r->pool, (int)samples * vt_pieces(vt_tensor_count(xt) / samples), drop_piece, (void *)r);
}

VT_FAST_SCRATCH(dropout)
{
    return 0;
}
