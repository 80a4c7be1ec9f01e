/* reduce.cuh - sums and maxima over a block, in an order that its size fixes. */
#ifndef VT_REDUCE_CUH
#define VT_REDUCE_CUH

#include "types.cuh"

VT_DEVICE double warp_sum(double v)
{
    for (int step = WARP / 2; step > 0; step /= 2) {
        union { double d; uint32_t half[2]; } own = {v}, other;
        other.half[0] = shfl_xor(FULL_WARP, own.half[0], step);
        other.half[1] = shfl_xor(FULL_WARP, own.half[1], step);
        v += other.d;
    }
    return v;
}

/* Every thread of the block calls, and every thread gets the result. `shared` has a place for each warp. */
template <typename V> VT_DEVICE V block_sum(V v, V *shared)
{
    v = warp_sum(v);
    block_sync(); /* what was there has been read */
    if (lane_id() == 0) shared[threadIdx.x / WARP] = v;
    block_sync();
    V sum = shared[0];
    for (int i = 1; i < (int)blockDim.x / WARP; i++) sum += shared[i];
    return sum;
}

VT_DEVICE float block_max(float v, float *shared)
{
    v = warp_max(v);
    block_sync();
    if (lane_id() == 0) shared[threadIdx.x / WARP] = v;
    block_sync();
    float most = shared[0];
    for (int i = 1; i < (int)blockDim.x / WARP; i++) most = fmaxf(most, shared[i]);
    return most;
}

#endif
