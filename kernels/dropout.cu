/* dropout: y = kept ? x / (1 - rate) : 0, element by element; also its own gradient. drop_path: the same draw, one for
 * each sample. Draws are csrc/base/philox.h's, so the masks are the CPU's bit for bit.
 *
 * Floor: x read, y written; 10 rounds of Philox, about 80 integer operations, for 4 elements. y may be x. */
#include "cuda.cuh"
#include "piece.cuh"

extern "C" {
#include "base/philox.h"
}

typedef struct drop_draw {
    uint64_t key;
    float rate, factor;     /* factor 1 / (1 - rate) of what is kept */
    const int32_t *step;    /* [1] */
    const int32_t *slots;   /* [B] */
} drop_draw;

template <typename T>
__global__ void __launch_bounds__(PIECE_THREADS)
dropout_kernel(int64_t each, drop_draw d,
               const T *x, // [B, each]
               T *y)       // [B, each]
{
    piece p = piece_of(each);
    if (p.n <= 0) return;
    floats<PIECE> f = load_piece(x, p);
    uint32_t step = (uint32_t)*d.step, slot = (uint32_t)d.slots[p.sample], quad = (uint32_t)(p.in_sample / 4);
#pragma unroll
    for (int i = 0; i < PIECE; i += 4, quad++) {
        vt_philox draws = vt_graph_draw(d.key, step, slot, quad);
#pragma unroll
        for (int k = 0; k < 4; k++) f.v[i + k] = vt_uniform(draws.v[k]) >= d.rate ? f.v[i + k] * d.factor : 0;
    }
    store_piece(y, f, p);
}

__global__ void drop_path_kernel(int batch, drop_draw d,
                                 const float *mask, // [B], 1 where kept, or NULL: drawn
                                 float *scale)      // [B]
{
    int b = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    if (b >= batch) return;
    bool kept = mask ? mask[b] != 0
                     : vt_graph_uniform(d.key, (uint32_t)*d.step, (uint32_t)d.slots[b], 0) >= d.rate;
    scale[b] = kept ? d.factor : 0;
}

/* ---- launchers --------------------------------------------------------------------------------------------------- */

static drop_draw draw_of(const vt_run *r, int step, int slots)
{
    const vt_dropout_attrs *a = (const vt_dropout_attrs *)r->node->attrs;
    drop_draw d = {a->key, a->rate, 1 / (1 - a->rate), in<int32_t>(r, step), in<int32_t>(r, slots)};
    return d;
}

static void dropout(const vt_run *r)
{
    const vt_tensor *x = r->node->in[0];
    int64_t samples = x->shape[0], each = vt_tensor_count(x) / samples;
    VT_DISPATCH(x, launch(r, dropout_kernel<T>, piece_grid(samples, each), PIECE_THREADS, 0, each, draw_of(r, 1, 2),
                          in<T>(r, 0), out<T>(r, 0)));
}

static void drop_path(const vt_run *r)
{
    int batch = (int)r->node->out[0]->shape[0], threads = 128;
    launch(r, drop_path_kernel, (unsigned)ceil_div(batch, threads), threads, 0, batch, draw_of(r, 0, 1),
           in<float>(r, 2), out<float>(r, 0));
}

VT_CUDA_OP(dropout) = {dropout, NULL};
VT_CUDA_OP(drop_path) = {drop_path, NULL};
