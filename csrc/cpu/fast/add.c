#include "cpu/fast/cut.h"

typedef struct job {
    const float *a, *b, *scale;
    float *out, alpha, beta;
    int64_t each;        /* elements of a sample; without a scale all are one sample's */
    int pieces;          /* of a sample */
} job;

static void add_piece(void *arg, int task, int worker)
{
    const job *j = arg;
    int64_t sample = task / j->pieces, piece = task % j->pieces, n = vt_piece_count(j->each, piece);
    int64_t at = sample * j->each + piece * VT_PIECE;
    const float *a = j->a ? j->a + at : NULL, *b = j->b ? j->b + at : NULL;
    float *out = j->out + at, alpha = j->alpha, beta = j->scale ? j->beta * j->scale[sample] : j->beta;
    if (a && b)
        for (int64_t i = 0; i < n; i++) out[i] = alpha * a[i] + beta * b[i];
    else
        for (int64_t i = 0; i < n; i++) out[i] = a ? alpha * a[i] : beta * b[i];
}

VT_FAST_BODY(add)
{
    const vt_add_attrs *at = r->node->attrs;
    const vt_tensor *out = r->node->out[0];
    int64_t samples = r->in[2] ? out->shape[0] : 1, each = vt_tensor_count(out) / samples;
    job j = {r->in[0], r->in[1], r->in[2], r->out[0], (float)at->alpha, (float)at->beta, each, vt_pieces(each)};
    vt_pool_run(r->pool, (int)samples * j.pieces, add_piece, &j);
}

VT_FAST_SCRATCH(add)
{
    return 0;
}
