/* primitives_hopper.cu - the same for ptx_hopper.cuh: stmatrix; products of a warpgroup, from tiles and registers.
 *
 * Matrices come in as [rows, 64] bf16, one row a tile's row: [m or n, k] for a K-major operand, [k, m or n] for an
 * MN-major one. The accumulators go out as [thread, register], KEEP registers of each. */
#include "primitives.h"
#include "ptx_hopper.cuh"
#include "types.cuh"

/* ---- stmatrix ---------------------------------------------------------------------------------------------------- */

static __global__ void store_matrix4_kernel(const uint32_t *in, // [32, 4]: lane, register
                                            word4 *out)         // [4, 8]: matrix, row
{
    smem_cursor at = smem_open();
    word4 *shared = smem_take<word4>(at, 32);
    const int lane = lane_id();
    word4 *row = shared + (lane * 5 + 3) % 32;
    const uint32_t r[4] = {in[lane * 4], in[lane * 4 + 1], in[lane * 4 + 2], in[lane * 4 + 3]};
    store_matrix4(row, r);
    warp_sync();
    out[lane] = *row;
}

cudaError_t run_store_matrix4(const uint32_t *in, uint32_t *out, cudaStream_t stream)
{
    return vt_launch(store_matrix4_kernel, 1, 32, smem_bytes<word4>(32), stream, in, (word4 *)out);
}

/* ---- products ---------------------------------------------------------------------------------------------------- */

enum { STEPS = 4 /* of k */, HALF_BYTES = 64 * 128 /* of A's 128 rows */ };

template <int MAJOR> constexpr uint32_t STEP_BYTES = MAJOR == K_MAJOR ? 32 : 2048;
/* Of b, whose MN-major tiles are of 64 columns, each behind the last. */
template <int N, int B_MAJOR> constexpr int ROWS = B_MAJOR == K_MAJOR ? N : (N + 63) / 64 * 64;

/* By plain stores, element after element. */
VT_DEVICE void fill_tile(bf16 *tile, const bf16 *from, int rows)
{
    for (int i = (int)threadIdx.x; i < rows * TILE_WIDTH; i += WARPGROUP) {
        const int row = i / TILE_WIDTH, col = i % TILE_WIDTH;
        tile[tile_at(row, col / 8) + col % 8] = from[i];
    }
}

template <int KEEP, int R> VT_DEVICE void keep(float *out, const float (&d)[R])
{
#pragma unroll
    for (int i = 0; i < KEEP; i++) out[(int)threadIdx.x * KEEP + i] = d[i];
}

/* d = a b with A's second 64 rows, so that the tile does not begin where the matrix does. */
template <int N, int A_MAJOR, int B_MAJOR, int KEEP>
static __global__ void __launch_bounds__(WARPGROUP) tiles_kernel(const bf16 *in, // [128 + rows of b, 64]
                                                                 float *out)     // [128, KEEP]
{
    smem_cursor at = smem_open();
    bf16 *a = smem_take<bf16>(at, 128 * TILE_WIDTH, TILE_ALIGN);
    bf16 *b = smem_take<bf16>(at, ROWS<N, B_MAJOR> * TILE_WIDTH, TILE_ALIGN);
    fill_tile(a, in, 128);
    fill_tile(b, in + 128 * TILE_WIDTH, ROWS<N, B_MAJOR>);
    fence_proxy_async();
    block_sync();
    const uint64_t ma = tile_matrix_at(tile_matrix(a), HALF_BYTES);
    const uint64_t mb = B_MAJOR == K_MAJOR ? tile_matrix(b) : tile_matrix(b, HALF_BYTES);
    float d[N / 2];
    wgmma_fence(d);
    wgmma<false, A_MAJOR, B_MAJOR>(d, ma, mb);
#pragma unroll
    for (int k = 1; k < STEPS; k++)
        wgmma<true, A_MAJOR, B_MAJOR>(d, tile_matrix_at(ma, k * STEP_BYTES<A_MAJOR>),
                                      tile_matrix_at(mb, k * STEP_BYTES<B_MAJOR>));
    wgmma_commit();
    wgmma_wait<0>(d);
    keep<KEEP>(out, d);
}

template <int N, int A_MAJOR, int B_MAJOR, int KEEP>
static cudaError_t run_tiles(const uint32_t *in, uint32_t *out, cudaStream_t stream)
{
    const size_t smem = smem_bytes<bf16>((128 + ROWS<N, B_MAJOR>) * TILE_WIDTH);
    return vt_launch(tiles_kernel<N, A_MAJOR, B_MAJOR, KEEP>, 1, WARPGROUP, smem, stream, (const bf16 *)in,
                     (float *)out);
}

/* A from registers, B by copy_async: the way attention has it. */
template <int B_MAJOR, int KEEP>
static __global__ void __launch_bounds__(WARPGROUP) registers_kernel(const uint32_t *in, // [64 + 64, 32]: pairs
                                                                     float *out)         // [128, KEEP]
{
    smem_cursor at = smem_open();
    bf16 *b = smem_take<bf16>(at, 64 * TILE_WIDTH, TILE_ALIGN);
    for (int i = (int)threadIdx.x; i < 64 * TILE_CHUNKS; i += WARPGROUP)
        copy_async(b + tile_at(i / TILE_CHUNKS, i % TILE_CHUNKS), in + 64 * 32 + i * 4);
    copy_commit();
    const uint32_t *row = in + (threadIdx.x / WARP * 16 + threadIdx.x % WARP / 4) * 32 + threadIdx.x % 4;
    uint32_t a[STEPS * 4];
#pragma unroll
    for (int k = 0; k < STEPS; k++) {
        a[4 * k] = row[8 * k];
        a[4 * k + 1] = row[8 * 32 + 8 * k];
        a[4 * k + 2] = row[8 * k + 4];
        a[4 * k + 3] = row[8 * 32 + 8 * k + 4];
    }
    copy_wait<0>();
    fence_proxy_async();
    block_sync();
    const uint64_t mb = tile_matrix(b);
    float d[32];
    wgmma_fence(d, a);
    wgmma<false, B_MAJOR>(d, a, mb);
#pragma unroll
    for (int k = 1; k < STEPS; k++) wgmma<true, B_MAJOR>(d, a + 4 * k, tile_matrix_at(mb, k * STEP_BYTES<B_MAJOR>));
    wgmma_commit();
    wgmma_wait<0>(d, a);
    keep<KEEP>(out, d);
}

template <int B_MAJOR, int KEEP>
static cudaError_t run_registers(const uint32_t *in, uint32_t *out, cudaStream_t stream)
{
    return vt_launch(registers_kernel<B_MAJOR, KEEP>, 1, WARPGROUP, smem_bytes<bf16>(64 * TILE_WIDTH), stream, in,
                     (float *)out);
}

/* Two products in flight, taken one after the other. */
static __global__ void __launch_bounds__(WARPGROUP) groups_kernel(const bf16 *in, // [128 + 56, 64]
                                                                  float *out)     // [2, 128, 28]
{
    smem_cursor at = smem_open();
    bf16 *a = smem_take<bf16>(at, 128 * TILE_WIDTH, TILE_ALIGN), *b = smem_take<bf16>(at, 56 * TILE_WIDTH, TILE_ALIGN);
    fill_tile(a, in, 128);
    fill_tile(b, in + 128 * TILE_WIDTH, 56);
    fence_proxy_async();
    block_sync();
    const uint64_t ma = tile_matrix(a), mb = tile_matrix(b);
    float first[28], second[28];
    wgmma_fence(first, second);
    wgmma<false, K_MAJOR, K_MAJOR>(first, ma, mb);
#pragma unroll
    for (int k = 1; k < STEPS; k++)
        wgmma<true, K_MAJOR, K_MAJOR>(first, tile_matrix_at(ma, k * 32), tile_matrix_at(mb, k * 32));
    wgmma_commit();
    wgmma<false, K_MAJOR, K_MAJOR>(second, tile_matrix_at(ma, HALF_BYTES), mb);
#pragma unroll
    for (int k = 1; k < STEPS; k++)
        wgmma<true, K_MAJOR, K_MAJOR>(second, tile_matrix_at(ma, HALF_BYTES + k * 32), tile_matrix_at(mb, k * 32));
    wgmma_commit();
    wgmma_wait<1>(first);
    keep<28>(out, first);
    wgmma_wait<0>(second);
    keep<28>(out + 128 * 28, second);
}

cudaError_t run_wgmma_groups(const uint32_t *in, uint32_t *out, cudaStream_t stream)
{
    return vt_launch(groups_kernel, 1, WARPGROUP, smem_bytes<bf16>((128 + 56) * TILE_WIDTH), stream, (const bf16 *)in,
                     (float *)out);
}

#define RUN(name, ...)                                                                \
    cudaError_t run_##name(const uint32_t *in, uint32_t *out, cudaStream_t stream)     \
    {                                                                                 \
        return __VA_ARGS__(in, out, stream);                                          \
    }
RUN(wgmma_k_k_16, run_tiles<16, K_MAJOR, K_MAJOR, 8>)
RUN(wgmma_k_k_56, run_tiles<56, K_MAJOR, K_MAJOR, 28>)
RUN(wgmma_k_k_72, run_tiles<72, K_MAJOR, K_MAJOR, 36>)
RUN(wgmma_k_k_96, run_tiles<96, K_MAJOR, K_MAJOR, 48>)
RUN(wgmma_k_k_112, run_tiles<112, K_MAJOR, K_MAJOR, 56>)
RUN(wgmma_k_k_128, run_tiles<128, K_MAJOR, K_MAJOR, 64>)
RUN(wgmma_k_k_136, run_tiles<136, K_MAJOR, K_MAJOR, 68>)
RUN(wgmma_k_k_200, run_tiles<200, K_MAJOR, K_MAJOR, 100>)
RUN(wgmma_k_k_208, run_tiles<208, K_MAJOR, K_MAJOR, 104>)
RUN(wgmma_k_mn_56, run_tiles<56, K_MAJOR, MN_MAJOR, 28>)
RUN(wgmma_k_mn_128, run_tiles<128, K_MAJOR, MN_MAJOR, 64>)
RUN(wgmma_mn_k_56, run_tiles<56, MN_MAJOR, K_MAJOR, 28>)
RUN(wgmma_mn_mn_56, run_tiles<56, MN_MAJOR, MN_MAJOR, 28>)
RUN(wgmma_mn_mn_64, run_tiles<64, MN_MAJOR, MN_MAJOR, 32>)
RUN(wgmma_random, run_tiles<56, K_MAJOR, K_MAJOR, 8>)
RUN(wgmma_order, run_tiles<56, K_MAJOR, K_MAJOR, 8>)
RUN(wgmma_registers_k, run_registers<K_MAJOR, 32>)
RUN(wgmma_registers_mn, run_registers<MN_MAJOR, 32>)
RUN(wgmma_registers_random, run_registers<MN_MAJOR, 8>)
