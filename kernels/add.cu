/* add: out = alpha * a + beta * scale[sample] * b, elementwise; either addend may be missing. fill: a constant.
 *
 * Floor: each addend read and the output written once. out may be a: a thread reads what it writes first. */
#include "cuda.cuh"
#include "piece.cuh"

typedef struct add_factors {
    float alpha, beta;
    const float *scale; /* [samples] of b, or NULL */
} add_factors;

template <typename A, typename B>
__global__ void __launch_bounds__(PIECE_THREADS)
add_kernel(int64_t each, add_factors f,
           const A *a, // [samples, each] or NULL
           const B *b, // [samples, each] or NULL
           A *out)     // [samples, each]
{
    piece p = piece_of(each);
    if (p.n <= 0) return;
    float beta = f.scale ? f.beta * f.scale[p.sample] : f.beta;
    floats<PIECE> sum, other;
    load_pieces(a, b, p, sum, other);
#pragma unroll
    for (int i = 0; i < PIECE; i++) sum.v[i] = (a ? f.alpha * sum.v[i] : 0) + (b ? beta * other.v[i] : 0);
    store_piece(out, sum, p);
}

template <typename T> __global__ void fill_kernel(float value, T *out) // [1]
{
    *out = from_float<T>(value);
}

/* ---- launchers --------------------------------------------------------------------------------------------------- */

static void add(const vt_run *r)
{
    const vt_add_attrs *at = (const vt_add_attrs *)r->node->attrs;
    const vt_tensor *out_t = r->node->out[0], *b_t = r->node->in[1] ? r->node->in[1] : out_t;
    int64_t samples = r->in[2] ? out_t->shape[0] : 1, each = vt_tensor_count(out_t) / samples;
    add_factors f = {(float)at->alpha, (float)at->beta, in<float>(r, 2)};
    VT_DISPATCH(out_t, typedef T A; VT_DISPATCH(b_t, launch(r, add_kernel<A, T>, piece_grid(samples, each),
                                                            PIECE_THREADS, 0, each, f, in<A>(r, 0), in<T>(r, 1),
                                                            out<A>(r, 0))));
}

static void fill(const vt_run *r)
{
    float value = (float)*(const double *)r->node->attrs;
    VT_DISPATCH(r->node->out[0], launch(r, fill_kernel<T>, 1, 1, 0, value, out<T>(r, 0)));
}

VT_CUDA_OP(add) = {add, NULL};
VT_CUDA_OP(fill) = {fill, NULL};
