/* smooth: labels [B] to targets [B, K]: 1 - s + s / K at the label, s / K elsewhere; mixed with a partner's where
 * samples are.
 *
 * Floor: 4 bytes written for each target. */
#include "cuda.cuh"
#include "piece.cuh"

__global__ void __launch_bounds__(PIECE_THREADS)
smooth_kernel(int classes, float on, float off,
              const int32_t *labels,  // [B]
              const int32_t *where,   // [B, 5], its first the partner; or NULL: nothing is mixed
              const float *weights,   // [B, 3], its last the sample's own
              float *targets)         // [B, classes]
{
    piece p = piece_of(classes);
    if (p.n <= 0) return;
    int label = labels[p.sample], other = where ? labels[where[5 * p.sample]] : label;
    float own = where ? weights[3 * p.sample + 2] : 1;
    floats<PIECE> f;
#pragma unroll
    for (int i = 0; i < PIECE; i++) {
        int k = (int)p.in_sample + i;
        f.v[i] = own * (k == label ? on : off) + (1 - own) * (k == other ? on : off);
    }
    store_piece(targets, f, p);
}

static void smooth(const vt_run *r)
{
    const vt_smooth_attrs *a = (const vt_smooth_attrs *)r->node->attrs;
    float off = a->smoothing / (float)a->classes;
    launch(r, smooth_kernel, piece_grid(r->node->in[0]->shape[0], a->classes), PIECE_THREADS, 0, a->classes,
           1 - a->smoothing + off, off, in<int32_t>(r, 0), in<int32_t>(r, 1), in<float>(r, 2), out<float>(r, 0));
}

VT_CUDA_OP(smooth) = {smooth, NULL};
