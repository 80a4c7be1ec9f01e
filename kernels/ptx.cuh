/* ptx.cuh - what the hardware offers to a thread, a warp, a block: each primitive with two bodies, the device's and a
 * plain twin for the simulator, whose engine is tests/simt. Tensor cores: ptx_mma.cuh; Hopper's own: ptx_hopper.cuh.
 *
 * Warp collectives take an explicit mask of the lanes that call. */
#ifndef VT_PTX_CUH
#define VT_PTX_CUH

#include "launch.cuh"

enum { WARP = 32 };
static const uint32_t FULL_WARP = 0xFFFFFFFFu;

VT_DEVICE int lane_id() { return (int)(threadIdx.x % WARP); } /* blocks are one-dimensional, or x a multiple of 32 */

/* threadIdx.x, read again at each call: the compiler keeps nothing that is made of it in registers over a loop. */
VT_DEVICE int thread_again()
{
#ifdef VT_SIMT
    return (int)threadIdx.x;
#else
    int t;
    asm volatile("mov.u32 %0, %%tid.x;" : "=r"(t));
    return t;
#endif
}

/* ---- barriers ---------------------------------------------------------------------------------------------------- */

VT_DEVICE void block_sync()
{
#ifdef VT_SIMT
    simt_barrier(0, 0);
#else
    __syncthreads();
#endif
}

/* Barrier `id` (1..15) of `threads` threads of the block, whole warps. */
VT_DEVICE void group_sync(int id, int threads)
{
#ifdef VT_SIMT
    simt_barrier(id, threads);
#else
    asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
#endif
}

VT_DEVICE void warp_sync(uint32_t mask = FULL_WARP)
{
#ifdef VT_SIMT
    simt_exchange(mask, nullptr, 0, nullptr);
#else
    __syncwarp(mask);
#endif
}

/* ---- exchange within a warp: 4-byte values ----------------------------------------------------------------------- */

template <typename T> VT_DEVICE T shfl(uint32_t mask, T v, int from)
{
    static_assert(sizeof(T) == 4, "a lane's value has 4 bytes");
#ifdef VT_SIMT
    T all[WARP];
    simt_exchange(mask, &v, sizeof v, all);
    return all[from % WARP];
#else
    return __shfl_sync(mask, v, from);
#endif
}

template <typename T> VT_DEVICE T shfl_xor(uint32_t mask, T v, int lanes) { return shfl(mask, v, lane_id() ^ lanes); }

VT_DEVICE float warp_sum(float v)
{
    for (int step = WARP / 2; step > 0; step /= 2) v += shfl_xor(FULL_WARP, v, step);
    return v;
}

VT_DEVICE float warp_max(float v)
{
    for (int step = WARP / 2; step > 0; step /= 2) v = fmaxf(v, shfl_xor(FULL_WARP, v, step));
    return v;
}

/* ---- arithmetic: approximations of 2 ulp or so; denormals, in and out, are zeros --------------------------------- */

VT_DEVICE float fast_exp2(float x) /* 2^x; -inf gives 0 */
{
#ifdef VT_SIMT
    return simt_flushed(exp2f(simt_flushed(x)));
#else
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
#endif
}

VT_DEVICE float fast_rcp(float x)
{
#ifdef VT_SIMT
    return simt_flushed(1.0f / simt_flushed(x));
#else
    float y;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
#endif
}

VT_DEVICE float fast_rsqrt(float x)
{
#ifdef VT_SIMT
    return simt_flushed(1.0f / sqrtf(simt_flushed(x)));
#else
    float y;
    asm("rsqrt.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
#endif
}

/* Two fp32 to two bf16, nearest even; `low` in the lower half. */
VT_DEVICE uint32_t pack_bf16(float low, float high)
{
#ifdef VT_SIMT
    return simt_bf16_bits(low) | simt_bf16_bits(high) << 16;
#else
    uint32_t packed;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
    return packed;
#endif
}

/* ---- global memory: 16-byte accesses ----------------------------------------------------------------------------- */

struct __align__(16) word4 {
    uint32_t w[4];
};

VT_DEVICE word4 load_words(const void *p) /* p 16-byte aligned */
{
#ifdef VT_SIMT
    return *static_cast<const word4 *>(simt_aligned(p, 16));
#else
    word4 v;
    asm volatile("ld.global.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(v.w[0]), "=r"(v.w[1]), "=r"(v.w[2]), "=r"(v.w[3]) : "l"(p) : "memory");
    return v;
#endif
}

/* What this kernel reads once and nobody writes meanwhile: kept out of L1's way. */
VT_DEVICE word4 load_words_once(const void *p)
{
#ifdef VT_SIMT
    simt_read_once(p);
    return load_words(p);
#else
    word4 v;
    asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(v.w[0]), "=r"(v.w[1]), "=r"(v.w[2]), "=r"(v.w[3]) : "l"(p));
    return v;
#endif
}

VT_DEVICE void store_words(void *p, word4 v)
{
#ifdef VT_SIMT
    *static_cast<word4 *>(const_cast<void *>(simt_aligned(p, 16))) = v;
#else
    asm volatile("st.global.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(p), "r"(v.w[0]), "r"(v.w[1]), "r"(v.w[2]),
                 "r"(v.w[3]) : "memory");
#endif
}

/* Asks for the line of `p` to be in L2 soon: for what is read some microseconds later. */
VT_DEVICE void prefetch_l2(const void *p)
{
#ifdef VT_SIMT
    (void)p;
#else
    asm volatile("prefetch.global.L2 [%0];" ::"l"(p));
#endif
}

/* ---- asynchronous copies, global to shared (sm_80) --------------------------------------------------------------- */

VT_DEVICE uint32_t smem_address(const void *p)
{
#ifdef VT_SIMT
    return simt_smem_address(p);
#else
    return (uint32_t)__cvta_generic_to_shared(p);
#endif
}

/* 16 bytes; where `valid` is false zeros are written and `from` is not read. Lands by copy_wait. */
VT_DEVICE void copy_async(void *to, const void *from, bool valid = true)
{
#ifdef VT_SIMT
    simt_copy_async(to, from, valid);
#else
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(smem_address(to)), "l"(from),
                 "r"(valid ? 16 : 0) : "memory");
#endif
}

VT_DEVICE void copy_commit() /* those issued since the last one become a group */
{
#ifdef VT_SIMT
    simt_copy_commit();
#else
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

/* Until at most PENDING of this thread's groups are in flight; others' copies want a barrier behind it. */
template <int PENDING> VT_DEVICE void copy_wait()
{
#ifdef VT_SIMT
    simt_copy_wait(PENDING);
#else
    asm volatile("cp.async.wait_group %0;" ::"n"(PENDING) : "memory");
#endif
}

#endif
