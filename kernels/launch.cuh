/* launch.cuh - starting a kernel and taking shared memory, in the same words for nvcc and for the simulator.
 *
 * Every .cu file also compiles as C++ with VT_SIMT defined and tests/simt/include first on the path: its cuda_runtime.h
 * is then the fake device's. So kernels are started by vt_launch alone, take shared memory by smem_take alone, and use
 * no intrinsic outside the ptx*.cuh headers. */
#ifndef VT_LAUNCH_CUH
#define VT_LAUNCH_CUH

#include <cuda_runtime.h>
#include <stddef.h>
#include <stdint.h>

#define VT_DEVICE static __device__ __forceinline__
#define VT_METHOD __device__ __forceinline__ /* of a struct */

/* ---- shared memory: one dynamic block, carved in the same order by every thread --------------------------------- */

enum { SMEM_ALIGN = 16 };

/* Bytes that smem_take<T>(cursor, n, align) uses up; their sum is vt_launch's smem. An align above 16 wants every take
 * before it to end on that boundary, which whole tiles do. */
template <typename T> static __host__ __device__ constexpr size_t smem_bytes(size_t n)
{
    return (n * sizeof(T) + SMEM_ALIGN - 1) / SMEM_ALIGN * SMEM_ALIGN;
}

#ifdef VT_SIMT
typedef simt_cursor smem_cursor;
VT_DEVICE smem_cursor smem_open() { return simt_smem_open(); }
template <typename T> VT_DEVICE T *smem_take(smem_cursor &at, size_t n, size_t align = SMEM_ALIGN)
{
    return static_cast<T *>(simt_smem_take(at, smem_bytes<T>(n), align));
}
#else
extern __shared__ __align__(1024) unsigned char vt_smem_block[];
typedef unsigned char *smem_cursor;
VT_DEVICE smem_cursor smem_open() { return vt_smem_block; }
template <typename T> VT_DEVICE T *smem_take(smem_cursor &at, size_t n, size_t align = SMEM_ALIGN)
{
    T *taken = reinterpret_cast<T *>(at);
    at += smem_bytes<T>(n);
    return taken;
}
#endif

/* ---- launches ---------------------------------------------------------------------------------------------------- */

enum { PARAMETERS_BYTES = 4096 }; /* what a kernel's parameters may take with every driver and compiler */

template <typename... P> constexpr size_t parameters_bytes()
{
    size_t at = 0;
    ((at = (at + alignof(P) - 1) / alignof(P) * alignof(P) + sizeof(P)), ...);
    return at;
}

#ifdef VT_SIMT
template <typename... P, typename... A>
static inline cudaError_t vt_launch(void (*kernel)(P...), dim3 grid, dim3 block, size_t smem, cudaStream_t stream,
                                    A... args)
{
    static_assert(parameters_bytes<P...>() <= PARAMETERS_BYTES, "a kernel's parameters are too large");
    return simt_launch(grid, block, smem, stream, [=] { kernel(args...); });
}
#else
template <typename... P>
static inline cudaError_t vt_launch_exact(void (*kernel)(P...), dim3 grid, dim3 block, size_t smem,
                                          cudaStream_t stream, P... args)
{
    static_assert(parameters_bytes<P...>() <= PARAMETERS_BYTES, "a kernel's parameters are too large");
    void *list[] = {(void *)&args..., nullptr};
    cudaError_t err = cudaSuccess;
    if (smem > 48 * 1024) /* what a block gets without asking */
        err = cudaFuncSetAttribute((const void *)kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)smem);
    return err != cudaSuccess ? err : cudaLaunchKernel((const void *)kernel, grid, block, list, smem, stream);
}

/* kernel(args...) on grid x block threads with `smem` bytes of shared memory. */
template <typename... P, typename... A>
static inline cudaError_t vt_launch(void (*kernel)(P...), dim3 grid, dim3 block, size_t smem, cudaStream_t stream,
                                    A... args)
{
    return vt_launch_exact<P...>(kernel, grid, block, smem, stream, static_cast<P>(args)...);
}
#endif

#endif
