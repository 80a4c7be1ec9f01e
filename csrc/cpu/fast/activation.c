#include "cpu/fast/activate.h"
#include "cpu/fast/cut.h"

static void activate_piece(void *arg, int task, int worker)
{
    const vt_run *r = arg;
    vt_activation_kind kind = ((const vt_activation_attrs *)r->node->attrs)->kind;
    int64_t n = vt_piece_count(vt_tensor_count(r->node->in[0]), task), at = (int64_t)task * VT_PIECE;
    const float *x = (const float *)r->in[0] + at;
    float *y = (float *)r->out[0] + at;
#define CALL(k) vt_activate_as(k, y, x, NULL, n)
    VT_FOR_KIND(kind, CALL)
#undef CALL
}

static void grad_piece(void *arg, int task, int worker)
{
    const vt_run *r = arg;
    vt_activation_kind kind = ((const vt_activation_attrs *)r->node->attrs)->kind;
    int64_t n = vt_piece_count(vt_tensor_count(r->node->in[0]), task), at = (int64_t)task * VT_PIECE;
    const float *dy = (const float *)r->in[0] + at, *x = (const float *)r->in[1] + at;
    float *dx = (float *)r->out[0] + at;
#define CALL(k) vt_activate_grad_as(k, dx, dy, x, n)
    VT_FOR_KIND(kind, CALL)
#undef CALL
}

VT_FAST_BODY(activation)
{
    vt_pool_run(r->pool, vt_pieces(vt_tensor_count(r->node->in[0])), activate_piece, (void *)r);
}

VT_FAST_BODY(activation_grad)
{
    vt_pool_run(r->pool, vt_pieces(vt_tensor_count(r->node->in[0])), grad_piece, (void *)r);
}

VT_FAST_SCRATCH(activation)
{
    return 0;
}

VT_FAST_SCRATCH(activation_grad)
{
    return 0;
}
