/* tokens: y = [cls | dist | x] + pos, pos of all tokens or of the patches alone, and the gradient: dx is the patches'
 * rows of dy; of the sum of dy over the batch dpos is all or the patches' rows, dcls and ddist the first ones.
 *
 * A thread takes PIECE elements of [N, D] and goes through TOKENS_GROUP samples with them: pos is read once for these,
 * and the gradient's sum over them is a partial one, which partials.cuh adds up in order. Groups follow from the shape.
 *
 * Floor: x and y, or dy and dx, once each; pos (partial sums) once (twice) for a group of samples, from L2. */
#include "partials.cuh"
#include "piece.cuh"

enum { TOKENS_GROUP = 8 };

typedef struct tokens_shape {
    int64_t batch, each;    /* B; N * D */
    int64_t cls, extra;     /* elements of the class token, and of all before the patches */
    int64_t unplaced;       /* ... of those that have no position: 0 or extra */
    bool whole;             /* D is a multiple of PIECE: accesses of 16 bytes, no piece in two tokens */
} tokens_shape;

VT_DEVICE int64_t last_sample(const tokens_shape &s, const piece &p) /* p.sample: the number of its group */
{
    int64_t last = (p.sample + 1) * TOKENS_GROUP;
    return last < s.batch ? last : s.batch;
}

/* Element e of a sample, before pos is added. */
template <typename T>
VT_DEVICE float element(const tokens_shape &s, int64_t e, const T *x, const float *cls, const float *dist)
{
    return e < s.cls ? cls[e] : e < s.extra ? dist[e - s.cls] : to_float(x[e - s.extra]);
}

template <typename T, typename S>
__global__ void __launch_bounds__(PIECE_THREADS)
tokens_kernel(tokens_shape s,
              const T *x,        // [B, P, D]
              const float *cls,  // [D] or NULL
              const float *dist, // [D] or NULL
              const float *pos,  // [N, D], or [P, D] where extra tokens have no position
              S *y)              // [B, N, D]
{
    piece p = piece_of(s.each);
    if (p.n <= 0) return;
    floats<PIECE> add = {};
    if (s.unplaced == 0 || (s.whole && p.in_sample >= s.extra)) {
        add = load_some<PIECE>(pos + p.in_sample - s.unplaced, p.n, p.n == PIECE);
    } else {
#pragma unroll
        for (int i = 0; i < PIECE; i++)
            if (i < p.n && p.in_sample + i >= s.unplaced) add.v[i] = pos[p.in_sample + i - s.unplaced];
    }
    for (int64_t b = p.sample * TOKENS_GROUP, last = last_sample(s, p); b < last; b++) {
        const T *from = x + b * (s.each - s.extra);
        floats<PIECE> f = {};
        if (s.whole && p.in_sample >= s.extra) {
            f = load<PIECE>(from + p.in_sample - s.extra);
        } else {
#pragma unroll
            for (int i = 0; i < PIECE; i++)
                if (i < p.n) f.v[i] = element(s, p.in_sample + i, from, cls, dist);
        }
#pragma unroll
        for (int i = 0; i < PIECE; i++) f.v[i] += add.v[i];
        store_some(y + b * s.each + p.in_sample, f, p.n, s.whole);
    }
}

template <typename T, typename S>
__global__ void __launch_bounds__(PIECE_THREADS)
tokens_grad_kernel(tokens_shape s,
                   const S *dy,    // [B, N, D]
                   T *dx,          // [B, P, D] or NULL
                   float *partial) // [groups, N, D]
{
    piece p = piece_of(s.each);
    if (p.n <= 0) return;
    floats<PIECE> sum = {};
    for (int64_t b = p.sample * TOKENS_GROUP, last = last_sample(s, p); b < last; b++) {
        floats<PIECE> f = load_some<PIECE>(dy + b * s.each + p.in_sample, p.n, s.whole);
#pragma unroll
        for (int i = 0; i < PIECE; i++) sum.v[i] += f.v[i];
        if (!dx) continue;
        T *to = dx + b * (s.each - s.extra);
        if (s.whole && p.in_sample >= s.extra) {
            store(to + p.in_sample - s.extra, f);
        } else {
#pragma unroll
            for (int i = 0; i < PIECE; i++)
                if (i < p.n && p.in_sample + i >= s.extra) to[p.in_sample + i - s.extra] = from_float<T>(f.v[i]);
        }
    }
    store_piece(partial, sum, p);
}

/* ---- launchers --------------------------------------------------------------------------------------------------- */

static tokens_shape shape_of(const vt_tensor *y, bool cls, bool dist, bool patches)
{
    tokens_shape s;
    int64_t d = y->shape[2];
    s.batch = y->shape[0];
    s.each = y->shape[1] * d;
    s.cls = cls ? d : 0;
    s.extra = s.cls + (dist ? d : 0);
    s.unplaced = patches ? s.extra : 0;
    s.whole = d % PIECE == 0;
    return s;
}

static void tokens(const vt_run *r)
{
    const vt_tensor *y = r->node->out[0];
    tokens_shape s = shape_of(y, r->in[1], r->in[2], r->node->in[3]->shape[1] != y->shape[1]);
    dim3 grid = piece_grid(ceil_div(s.batch, TOKENS_GROUP), s.each);
    VT_DISPATCH(r->node->out[0], typedef T S;
                VT_DISPATCH(r->node->in[0], launch(r, tokens_kernel<T, S>, grid, PIECE_THREADS, 0, s, in<T>(r, 0),
                                                   in<float>(r, 1), in<float>(r, 2), in<float>(r, 3), out<S>(r, 0))));
}

static size_t tokens_grad_scratch(const vt_device *device, const vt_node *n)
{
    return (size_t)(ceil_div(n->in[0]->shape[0], TOKENS_GROUP) * n->in[0]->shape[1] * n->in[0]->shape[2]) *
           sizeof(float);
}

static void tokens_grad(const vt_run *r)
{
    const vt_tokens_grad_attrs *a = (const vt_tokens_grad_attrs *)r->node->attrs;
    const vt_tensor *dy = r->node->in[0], *dx = r->node->out[0] ? r->node->out[0] : dy;
    tokens_shape s = shape_of(dy, a->cls, a->dist, a->patches);
    int64_t groups = ceil_div(s.batch, TOKENS_GROUP), d = dy->shape[2];
    float *partial = (float *)r->scratch;
    dim3 grid = piece_grid(groups, s.each);
    VT_DISPATCH(dy, typedef T S; VT_DISPATCH(dx, launch(r, tokens_grad_kernel<T, S>, grid, PIECE_THREADS, 0, s,
                                                        in<S>(r, 0), out<T>(r, 0), partial)));
    partials_results sums = {{{out<float>(r, 1), NULL, 0, d},
                              {out<float>(r, 2), NULL, s.cls, d},
                              {out<float>(r, 3), NULL, s.unplaced, s.each - s.unplaced}}};
    partials_sum(r, (int)groups, s.each, partial, sums);
}

VT_CUDA_OP(tokens) = {tokens, NULL};
VT_CUDA_OP(tokens_grad) = {tokens_grad, tokens_grad_scratch};
