/* partials.cuh - the second half of a sum over rows: blocks of a first kernel leave partial rows, this one adds them up
 * in an order that their number alone decides. Columns may belong to several results, or to none that is wanted. */
#ifndef VT_PARTIALS_CUH
#define VT_PARTIALS_CUH

#include "cuda.cuh"

enum { PARTIALS_WARPS = 16, PARTIALS_RESULTS = 3 };

typedef struct partials_result {
    float *to;              /* [count]; NULL: not wanted */
    const float *plus;      /* [count]; added to the sums; NULL: nothing */
    int64_t first, count;   /* the columns it takes */
} partials_result;

typedef struct partials_results {
    partials_result of[PARTIALS_RESULTS];
} partials_results;

/* A block takes 32 columns, warp w of it rows w, w + 16, ...; the warps' sums meet in order.
 * Floor: 4 bytes read for each element of partial, which is still in L2. */
static __global__ void __launch_bounds__(PARTIALS_WARPS * WARP)
partials_kernel(int rows, int64_t columns,
                const float *partial, // [rows, columns]
                partials_results results)
{
    smem_cursor at = smem_open();
    float *sums = smem_take<float>(at, PARTIALS_WARPS * WARP); // [warps, 32]
    int lane = lane_id(), warp = (int)threadIdx.x / WARP;
    int64_t column = (int64_t)blockIdx.x * WARP + lane;
    float sum = 0;
    if (column < columns) {
#pragma unroll 8
        for (int i = warp; i < rows; i += PARTIALS_WARPS) sum += partial[i * columns + column];
    }
    sums[threadIdx.x] = sum;
    block_sync();
    if (warp > 0 || column >= columns) return;
    for (int w = 1; w < PARTIALS_WARPS; w++) sum += sums[w * WARP + lane];
#pragma unroll
    for (int k = 0; k < PARTIALS_RESULTS; k++) {
        const partials_result &result = results.of[k];
        int64_t to = column - result.first;
        if (result.to && to >= 0 && to < result.count) result.to[to] = result.plus ? result.plus[to] + sum : sum;
    }
}

static inline void partials_sum(const vt_run *r, int rows, int64_t columns, const float *partial,
                                const partials_results &results)
{
    launch(r, partials_kernel, (unsigned)ceil_div(columns, WARP), PARTIALS_WARPS * WARP,
           smem_bytes<float>(PARTIALS_WARPS * WARP), rows, columns, partial, results);
}

#endif
