/* primitives.cu - kernels that do little more than call one primitive of ptx.cuh or ptx_mma.cuh: words in, words out.
 *
 * What a warp's lanes hold goes out register by register, as [thread, register]; formulas*.cpp know what belongs. */
#include "primitives.h"
#include "ptx_mma.cuh"
#include "types.cuh"

/* ---- barriers: each thread reads what another wrote before it ---------------------------------------------------- */

static __global__ void barriers_kernel(const uint32_t *in, // [256]
                                       uint32_t *out)      // [3, 256]
{
    smem_cursor at = smem_open();
    uint32_t *shared = smem_take<uint32_t>(at, 256);
    const int t = (int)threadIdx.x, group = t / 64, lane = lane_id();
    shared[t] = in[t];
    block_sync();
    uint32_t v = shared[255 - t];
    out[t] = v;
    block_sync();
    shared[t] = v;
    group_sync(1 + group, 64);
    v = shared[group * 64 + 63 - t % 64];
    out[256 + t] = v;
    group_sync(1 + group, 64);
    shared[t] = v;
    warp_sync();
    out[512 + t] = shared[t - lane + WARP - 1 - lane];
}

cudaError_t run_barriers(const uint32_t *in, uint32_t *out, cudaStream_t stream)
{
    return vt_launch(barriers_kernel, 1, 256, smem_bytes<uint32_t>(256), stream, in, out);
}

/* ---- exchange ---------------------------------------------------------------------------------------------------- */

static __global__ void exchange_kernel(const uint32_t *in, // [2, 64]: values; lanes
                                       uint32_t *out)      // [8, 64]
{
    const int t = (int)threadIdx.x, lane = lane_id();
    const uint32_t v = in[t];
    const int from = (int)(in[64 + t] % 64); /* 32 and more: modulo 32 */
    out[t] = shfl(FULL_WARP, v, from);
    for (int i = 0; i < 5; i++) out[(1 + i) * 64 + t] = shfl_xor(FULL_WARP, v, 1 << i);
    uint32_t half = v;
    if (lane < 16) half = shfl(0xFFFFu, v, from % 16);
    out[6 * 64 + t] = half;
    out[7 * 64 + t] = (uint32_t)lane;
}

cudaError_t run_exchange(const uint32_t *in, uint32_t *out, cudaStream_t stream)
{
    return vt_launch(exchange_kernel, 1, 64, 0, stream, in, out);
}

static __global__ void warp_reductions_kernel(const float *in, // [128]
                                              float *out)      // [2, 128]: sums; greatest
{
    const float v = in[threadIdx.x];
    out[threadIdx.x] = warp_sum(v);
    out[128 + threadIdx.x] = warp_max(v);
}

cudaError_t run_warp_reductions(const uint32_t *in, uint32_t *out, cudaStream_t stream)
{
    return vt_launch(warp_reductions_kernel, 1, 128, 0, stream, (const float *)in, (float *)out);
}

/* ---- arithmetic -------------------------------------------------------------------------------------------------- */

enum { EXP2, RCP, RSQRT };

template <int WHICH> static __global__ void fast_kernel(const float *in, // [512]
                                                        float *out)      // [512]
{
    const int i = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    const float x = in[i];
    out[i] = WHICH == EXP2 ? fast_exp2(x) : WHICH == RCP ? fast_rcp(x) : fast_rsqrt(x);
}

cudaError_t run_fast_exp2(const uint32_t *in, uint32_t *out, cudaStream_t stream)
{
    return vt_launch(fast_kernel<EXP2>, 4, 128, 0, stream, (const float *)in, (float *)out);
}

cudaError_t run_fast_rcp(const uint32_t *in, uint32_t *out, cudaStream_t stream)
{
    return vt_launch(fast_kernel<RCP>, 4, 128, 0, stream, (const float *)in, (float *)out);
}

cudaError_t run_fast_rsqrt(const uint32_t *in, uint32_t *out, cudaStream_t stream)
{
    return vt_launch(fast_kernel<RSQRT>, 4, 128, 0, stream, (const float *)in, (float *)out);
}

static __global__ void pack_bf16_kernel(const float *in, // [512, 2]
                                        uint32_t *out)   // [512]
{
    const int i = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    out[i] = pack_bf16(in[2 * i], in[2 * i + 1]);
}

cudaError_t run_pack_bf16(const uint32_t *in, uint32_t *out, cudaStream_t stream)
{
    return vt_launch(pack_bf16_kernel, 4, 128, 0, stream, (const float *)in, out);
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

static __global__ void words_kernel(const word4 *in, // [2, 64]
                                    word4 *out)      // [2, 64]
{
    const int t = thread_again();
    prefetch_l2(in + 64 + t);
    store_words(out + t, load_words(in + (t * 5 + 3) % 64));
    store_words(out + 64 + (t * 7 + 1) % 64, load_words_once(in + 64 + t));
}

cudaError_t run_words(const uint32_t *in, uint32_t *out, cudaStream_t stream)
{
    return vt_launch(words_kernel, 1, 64, 0, stream, (const word4 *)in, (word4 *)out);
}

static __global__ void smem_address_kernel(const uint32_t *in, // [32]
                                           uint32_t *out)      // [32]: bytes from where tiles may begin: the first take
{
    smem_cursor at = smem_open();
    uint32_t *shared = smem_take<uint32_t>(at, 256);
    const int t = (int)threadIdx.x;
    out[t] = smem_address(shared + in[t] % 256) - smem_address(shared) / 1024 * 1024;
}

cudaError_t run_smem_address(const uint32_t *in, uint32_t *out, cudaStream_t stream)
{
    return vt_launch(smem_address_kernel, 1, 32, smem_bytes<uint32_t>(256), stream, in, out);
}

/* Group by group, one 16-byte chunk a thread, some of them zeros; own chunks right after the wait, the last group's
 * chunks of others behind a barrier. */
static __global__ void copies_kernel(const word4 *in, // [GROUPS, 64]
                                     word4 *out)      // [GROUPS, 64]
{
    smem_cursor at = smem_open();
    word4 *shared = smem_take<word4>(at, GROUPS * 64);
    const int t = (int)threadIdx.x;
    for (int g = 0; g < GROUPS; g++) {
        copy_async(shared + g * 64 + t, in + g * 64 + (t * 11 + g) % 64, (t + g) % 3 != 0);
        copy_commit();
    }
    copy_wait<2>();
    store_words(out + t, shared[t]);
    copy_wait<1>();
    store_words(out + 64 + t, shared[64 + t]);
    copy_wait<0>();
    block_sync();
    store_words(out + 128 + t, shared[128 + 63 - t]);
}

cudaError_t run_copies(const uint32_t *in, uint32_t *out, cudaStream_t stream)
{
    return vt_launch(copies_kernel, 1, 64, smem_bytes<word4>(GROUPS * 64), stream, (const word4 *)in, (word4 *)out);
}

/* ---- fragments --------------------------------------------------------------------------------------------------- */

template <bool TRANSPOSED> static __global__ void load_matrix4_kernel(const word4 *in, // [4, 8]: matrix, row
                                                                      uint32_t *out)   // [32, 4]: lane, register
{
    smem_cursor at = smem_open();
    word4 *shared = smem_take<word4>(at, 32);
    const int lane = lane_id();
    word4 *row = shared + (lane * 5 + 3) % 32; /* rows lie anywhere */
    *row = in[lane];
    warp_sync();
    uint32_t r[4];
    if constexpr (TRANSPOSED) load_matrix4_transposed(r, row);
    else load_matrix4(r, row);
    for (int m = 0; m < 4; m++) out[lane * 4 + m] = r[m];
}

cudaError_t run_load_matrix4(const uint32_t *in, uint32_t *out, cudaStream_t stream)
{
    return vt_launch(load_matrix4_kernel<false>, 1, 32, smem_bytes<word4>(32), stream, (const word4 *)in, out);
}

cudaError_t run_load_matrix4_transposed(const uint32_t *in, uint32_t *out, cudaStream_t stream)
{
    return vt_launch(load_matrix4_kernel<true>, 1, 32, smem_bytes<word4>(32), stream, (const word4 *)in, out);
}

/* Block i: a [16, 16], b transposed [8, 16], d [16, 8]: 128, 64 and 128 words. */
static __global__ void mma_kernel(const uint32_t *in, // [4, 320]
                                  float *out)         // [4, 32, 4]: block, lane, register
{
    const uint32_t *a = in + blockIdx.x * 320, *b = a + 128;
    const float *d = (const float *)(b + 64);
    const int lane = lane_id(), g = lane / 4, t = lane % 4;
    const uint32_t fa[4] = {a[g * 8 + t], a[(g + 8) * 8 + t], a[g * 8 + t + 4], a[(g + 8) * 8 + t + 4]};
    const uint32_t fb[2] = {b[g * 8 + t], b[g * 8 + t + 4]};
    float fd[4] = {d[g * 8 + 2 * t], d[g * 8 + 2 * t + 1], d[(g + 8) * 8 + 2 * t], d[(g + 8) * 8 + 2 * t + 1]};
    mma_bf16(fd, fa, fb);
    for (int i = 0; i < 4; i++) out[(blockIdx.x * 32 + (unsigned)lane) * 4 + (unsigned)i] = fd[i];
}

static cudaError_t run_mma(const uint32_t *in, uint32_t *out, cudaStream_t stream)
{
    return vt_launch(mma_kernel, 4, 32, 0, stream, in, (float *)out);
}

cudaError_t run_mma_exact(const uint32_t *in, uint32_t *out, cudaStream_t stream) { return run_mma(in, out, stream); }
cudaError_t run_mma_random(const uint32_t *in, uint32_t *out, cudaStream_t stream) { return run_mma(in, out, stream); }
cudaError_t run_mma_order(const uint32_t *in, uint32_t *out, cudaStream_t stream) { return run_mma(in, out, stream); }
