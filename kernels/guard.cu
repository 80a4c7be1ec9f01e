/* guard.cu - sets the sticky flag when a loss or a norm is not finite. One warp; a few bytes. */
#include "cuda.cuh"

enum { MOST = 256 }; /* values of a launch: their addresses travel in its parameters */

typedef struct guard_values {
    const float *at[MOST]; // [1] each
    int n;
} guard_values;

__global__ void guard_kernel(float *flag, // [1], written
                             const guard_values values)
{
    float bad = 0;
    for (int i = lane_id(); i < values.n; i += WARP) {
        float v = *values.at[i];
        if (!(v - v == 0)) bad = 1; /* infinite, or NaN */
    }
    bad = warp_max(bad);
    if (lane_id() == 0 && bad != 0) *flag = 1;
}

static void guard(const vt_run *r)
{
    guard_values values;
    for (int i = 1; i < r->node->n_in; i += values.n) {
        values.n = r->node->n_in - i < MOST ? r->node->n_in - i : MOST;
        for (int k = 0; k < values.n; k++) values.at[k] = in<float>(r, i + k);
        launch(r, guard_kernel, 1, WARP, 0, (float *)r->in[0], values);
    }
}

VT_CUDA_OP(guard) = {guard, nullptr};
