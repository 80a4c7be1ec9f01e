/* smooth: labels [B] to targets [B, K]: 1 - s + s / K at the label, s / K elsewhere.
 *
 * Floor: 4 bytes written for each target. */
#include "cuda.cuh"
#include "piece.cuh"

__global__ void __launch_bounds__(PIECE_THREADS)
smooth_kernel(int classes, float on, float off,
              const int32_t *labels, // [B]
              float *targets)        // [B, classes]
{
    piece p = piece_of(classes);
    if (p.n <= 0) return;
    int label = labels[p.sample];
    floats<PIECE> f;
#pragma unroll
    for (int i = 0; i < PIECE; i++) f.v[i] = (int)p.in_sample + i == label ? on : off;
    store_piece(targets, f, p);
}

static void smooth(const vt_run *r)
{
    const vt_smooth_attrs *a = (const vt_smooth_attrs *)r->node->attrs;
    float off = a->smoothing / (float)a->classes;
    launch(r, smooth_kernel, piece_grid(r->node->in[0]->shape[0], a->classes), PIECE_THREADS, 0, a->classes,
           1 - a->smoothing + off, off, in<int32_t>(r, 0), out<float>(r, 0));
}

VT_CUDA_OP(smooth) = {smooth, NULL};
