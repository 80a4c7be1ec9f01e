/* ptx_hopper.cuh - what sm_90a adds: products of a warpgroup straight from shared memory (wgmma), and stmatrix.
 *
 * A warpgroup is 128 threads, warps 4k .. 4k+3; all of them make every call below, with the same descriptors. In any
 * other code than sm_90a's the primitives trap, and launchers never choose kernels made of them.
 *
 * The twins (tests/simt/simt_hopper.cpp) follow the PTX ISA's text: they read operands from shared memory at the issue
 * or as late as the wait, poison accumulators and operand A's registers in between and want the fence, with the
 * registers' names; what copy_async and store_matrix4 wrote they do not see before fence_proxy_async. Of plain stores
 * that goes unnoticed, and so does the memory model.
 *
 * No TMA and no mbarriers here: a head's row is 128 bytes, so copy_async fills swizzled tiles with whole lines, at
 * three instructions a copy: some 120 issue slots of the 7,800 clocks that memory takes for a head of 197 tokens. It
 * zero-fills an image's end too, and wants no tensor map, no encoding on the host, no barrier in shared memory. */
#ifndef VT_PTX_HOPPER_CUH
#define VT_PTX_HOPPER_CUH

#include "ptx.cuh"

enum { WARPGROUP = 128 };

#if defined(VT_SIMT)
#include "simt_hopper.h"
#elif defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define VT_HOPPER 1
#endif

/* ---- tiles: 128-byte rows (64 elements of 16 bits), 1024-byte aligned, swizzled ---------------------------------- */

enum { TILE_WIDTH = 64, TILE_CHUNKS = 8, TILE_ALIGN = 1024 }; /* elements a row; 16-byte chunks a row; bytes */

/* Where chunk c of row r lies, in elements: the 128-byte swizzle exchanges the chunks of a row by the row's number. */
VT_DEVICE int tile_at(int r, int c) { return r * TILE_WIDTH + (c ^ (r & 7)) * (TILE_WIDTH / TILE_CHUNKS); }

/* Descriptor of a tile for wgmma: 128-byte swizzle, 1024 bytes between groups of eight rows. The leading offset, in
 * bytes, counts only for an MN-major operand wider than one row: there its next 64 columns lie. */
VT_DEVICE uint64_t tile_matrix(const void *tile, uint32_t leading = 16)
{
    const uint64_t stride = 1024 >> 4, swizzle_128 = 1;
    return swizzle_128 << 62 | stride << 32 | (uint64_t)(leading >> 4) << 16 | (smem_address(tile) & 0x3FFFF) >> 4;
}

/* The matrix `bytes` further on: 32 for 16 elements along the rows (a step of a K-major operand), 2048 for 16 rows (a
 * step of an MN-major one). */
VT_DEVICE uint64_t tile_matrix_at(uint64_t matrix, uint32_t bytes) { return matrix + (bytes >> 4); }

/* ---- order ------------------------------------------------------------------------------------------------------- */

/* What this thread wrote to shared memory becomes visible to wgmma; to that of others behind a barrier. copy_async is a
 * write of the thread, done when it has waited. */
VT_DEVICE void fence_proxy_async()
{
#if defined(VT_SIMT)
    simt_fence_proxy();
#elif defined(VT_HOPPER)
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#else
    __trap();
#endif
}

/* No work on these registers moves over this point: wgmma reads and writes them behind the compiler's back. */
template <int R> VT_DEVICE void pin(float (&d)[R])
{
#if !defined(VT_SIMT)
#pragma unroll
    for (int i = 0; i < R; i++) asm volatile("" : "+f"(d[i])::"memory");
#else
    (void)d;
#endif
}

template <int R> VT_DEVICE void pin(uint32_t (&a)[R])
{
#if !defined(VT_SIMT)
#pragma unroll
    for (int i = 0; i < R; i++) asm volatile("" : "+r"(a[i])::"memory");
#else
    (void)a;
#endif
}

/* Before the first wgmma, and before the next after its registers (accumulators or A) were touched: name those. To name
 * accumulators that are about to be overwritten as well spares the compiler copies (15 registers in attention). */
template <typename... R> VT_DEVICE void wgmma_fence(R &...registers)
{
    (pin(registers), ...);
#if defined(VT_SIMT)
    const simt_registers named[] = {{&registers, sizeof registers}...};
    simt_wgmma_fence(named, sizeof...(registers));
#elif defined(VT_HOPPER)
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#else
    __trap();
#endif
}

VT_DEVICE void wgmma_commit() /* those issued since the last one become a group */
{
#if defined(VT_SIMT)
    simt_wgmma_commit();
#elif defined(VT_HOPPER)
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
#else
    __trap();
#endif
}

/* Until at most PENDING groups are in flight. Name the accumulators that are ready then; none may be touched before,
 * nor may the registers of operand A, not even to be read. */
template <int PENDING, typename... R> VT_DEVICE void wgmma_wait(R &...ready)
{
#if defined(VT_SIMT)
    simt_wgmma_wait(PENDING);
#elif defined(VT_HOPPER)
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(PENDING) : "memory");
#else
    __trap();
#endif
    (pin(ready), ...);
}

/* ---- products: m64nNk16, bf16 in, fp32 accumulators -------------------------------------------------------------- */

enum { K_MAJOR = 0, MN_MAJOR = 1 }; /* which dimension of an operand lies along the rows of its tile */

/* wgmma<ADD, A_MAJOR, B_MAJOR>(d, a, b): d [64, N] (+)= a [64, 16] b [16, N] with both operands in tiles, N = 2 R;
 * wgmma<ADD, B_MAJOR>(d, a, b): the same, a from four registers. ADD false ignores what d held.
 * With w the warp of the warpgroup, row = 16w + lane / 4, t = lane % 4:
 * d[4n .. 4n+3] = (row, 8n + 2t), (row, 8n + 2t+1), (row + 8, 8n + 2t), (row + 8, 8n + 2t+1);
 * a = pairs at (row, 2t), (row + 8, 2t), (row, 2t+8), (row + 8, 2t+8): d[8n .. 8n+7] of a product, packed in order. */
#if defined(VT_SIMT)
template <bool ADD, int A_MAJOR, int B_MAJOR, int R> VT_DEVICE void wgmma(float (&d)[R], uint64_t a, uint64_t b)
{
    simt_wgmma(d, R, nullptr, a, A_MAJOR, b, B_MAJOR, ADD);
}
template <bool ADD, int B_MAJOR, int R> VT_DEVICE void wgmma(float (&d)[R], const uint32_t *a, uint64_t b)
{
    simt_wgmma(d, R, a, 0, K_MAJOR, b, B_MAJOR, ADD);
}
#else

/* Operand lists: names %0 to %(R-1) in the text, registers d[0] to d[R-1] behind it. */
#define VT_NAMES2(t, i, j) "%" t #i ", %" t #j
#define VT_NAMES6(t) VT_NAMES2(t, 0, 1) ", " VT_NAMES2(t, 2, 3) ", " VT_NAMES2(t, 4, 5)
#define VT_NAMES8(t) VT_NAMES6(t) ", " VT_NAMES2(t, 6, 7)
#define VT_NAMES10(t) VT_NAMES8(t) ", " VT_NAMES2(t, 8, 9)
#define VT_NAMES20(t, u) VT_NAMES10(t) ", " VT_NAMES10(u)
#define VT_NAMES60 VT_NAMES20("", "1") ", " VT_NAMES20("2", "3") ", " VT_NAMES20("4", "5")
#define VT_REGS4(c, i) c(d[i]), c(d[i + 1]), c(d[i + 2]), c(d[i + 3])
#define VT_REGS28(c, i)                                                                                               \
    VT_REGS4(c, i), VT_REGS4(c, i + 4), VT_REGS4(c, i + 8), VT_REGS4(c, i + 12), VT_REGS4(c, i + 16),                 \
        VT_REGS4(c, i + 20), VT_REGS4(c, i + 24)
#define VT_REGS32(c, i) VT_REGS28(c, i), VT_REGS4(c, i + 28)

#ifdef VT_HOPPER
#define VT_WGMMA_TEXT(n, names, operands) \
    "wgmma.mma_async.sync.aligned.m64n" #n "k16.f32.bf16.bf16 {" names "}, " operands ";"
#define VT_WGMMA_TILES(n, names, regs, a, b, ta, tb)                                                                  \
    if constexpr (ADD)                                                                                                \
        asm volatile(VT_WGMMA_TEXT(n, names, a ", " b ", 1, 1, 1, " ta ", " tb)                                       \
                     : regs("+f") : "l"(a_tile), "l"(b_tile), "n"(A_MAJOR), "n"(B_MAJOR));                            \
    else                                                                                                              \
        asm volatile(VT_WGMMA_TEXT(n, names, a ", " b ", 0, 1, 1, " ta ", " tb)                                       \
                     : regs("=f") : "l"(a_tile), "l"(b_tile), "n"(A_MAJOR), "n"(B_MAJOR))
#define VT_WGMMA_REGISTERS(n, names, regs, a, b, tb)                                                                  \
    if constexpr (ADD)                                                                                                \
        asm volatile(VT_WGMMA_TEXT(n, names, a ", " b ", 1, 1, 1, " tb)                                               \
                     : regs("+f") : "r"(a_pairs[0]), "r"(a_pairs[1]), "r"(a_pairs[2]), "r"(a_pairs[3]), "l"(b_tile),  \
                       "n"(B_MAJOR));                                                                                 \
    else                                                                                                              \
        asm volatile(VT_WGMMA_TEXT(n, names, a ", " b ", 0, 1, 1, " tb)                                               \
                     : regs("=f") : "r"(a_pairs[0]), "r"(a_pairs[1]), "r"(a_pairs[2]), "r"(a_pairs[3]), "l"(b_tile),  \
                       "n"(B_MAJOR))
#else
#define VT_WGMMA_TILES(...) __trap()
#define VT_WGMMA_REGISTERS(...) __trap()
#endif

#define VT_REGS_N16(c) VT_REGS4(c, 0), VT_REGS4(c, 4)
#define VT_REGS_N56(c) VT_REGS28(c, 0)
#define VT_REGS_N64(c) VT_REGS32(c, 0)
#define VT_REGS_N72(c) VT_REGS32(c, 0), VT_REGS4(c, 32)
#define VT_REGS_N96(c) VT_REGS32(c, 0), VT_REGS4(c, 32), VT_REGS4(c, 36), VT_REGS4(c, 40), VT_REGS4(c, 44)
#define VT_REGS_N112(c) VT_REGS28(c, 0), VT_REGS28(c, 28)
#define VT_REGS_N128(c) VT_REGS32(c, 0), VT_REGS32(c, 32)
#define VT_REGS_N136(c) VT_REGS32(c, 0), VT_REGS32(c, 32), VT_REGS4(c, 64)
#define VT_REGS_N200(c) VT_REGS32(c, 0), VT_REGS32(c, 32), VT_REGS32(c, 64), VT_REGS4(c, 96)
#define VT_REGS_N208(c) VT_REGS_N200(c), VT_REGS4(c, 100)

template <bool ADD, int A_MAJOR, int B_MAJOR> VT_DEVICE void wgmma(float (&d)[8], uint64_t a_tile, uint64_t b_tile)
{
    VT_WGMMA_TILES(16, VT_NAMES8(""), VT_REGS_N16, "%8", "%9", "%10", "%11");
}
template <bool ADD, int A_MAJOR, int B_MAJOR> VT_DEVICE void wgmma(float (&d)[28], uint64_t a_tile, uint64_t b_tile)
{
    VT_WGMMA_TILES(56, VT_NAMES20("", "1") ", " VT_NAMES8("2"), VT_REGS_N56, "%28", "%29", "%30", "%31");
}
template <bool ADD, int A_MAJOR, int B_MAJOR> VT_DEVICE void wgmma(float (&d)[32], uint64_t a_tile, uint64_t b_tile)
{
    VT_WGMMA_TILES(64, VT_NAMES20("", "1") ", " VT_NAMES10("2") ", " VT_NAMES2("3", 0, 1), VT_REGS_N64, "%32", "%33",
                   "%34", "%35");
}
template <bool ADD, int A_MAJOR, int B_MAJOR> VT_DEVICE void wgmma(float (&d)[36], uint64_t a_tile, uint64_t b_tile)
{
    VT_WGMMA_TILES(72, VT_NAMES20("", "1") ", " VT_NAMES10("2") ", " VT_NAMES6("3"), VT_REGS_N72, "%36", "%37", "%38",
                   "%39");
}
template <bool ADD, int A_MAJOR, int B_MAJOR> VT_DEVICE void wgmma(float (&d)[48], uint64_t a_tile, uint64_t b_tile)
{
    VT_WGMMA_TILES(96, VT_NAMES20("", "1") ", " VT_NAMES20("2", "3") ", " VT_NAMES8("4"), VT_REGS_N96, "%48", "%49",
                   "%50", "%51");
}
template <bool ADD, int A_MAJOR, int B_MAJOR> VT_DEVICE void wgmma(float (&d)[56], uint64_t a_tile, uint64_t b_tile)
{
    VT_WGMMA_TILES(112, VT_NAMES20("", "1") ", " VT_NAMES20("2", "3") ", " VT_NAMES10("4") ", " VT_NAMES6("5"),
                   VT_REGS_N112, "%56", "%57", "%58", "%59");
}
template <bool ADD, int A_MAJOR, int B_MAJOR> VT_DEVICE void wgmma(float (&d)[64], uint64_t a_tile, uint64_t b_tile)
{
    VT_WGMMA_TILES(128, VT_NAMES60 ", " VT_NAMES2("6", 0, 1) ", " VT_NAMES2("6", 2, 3), VT_REGS_N128, "%64", "%65",
                   "%66", "%67");
}
template <bool ADD, int A_MAJOR, int B_MAJOR> VT_DEVICE void wgmma(float (&d)[68], uint64_t a_tile, uint64_t b_tile)
{
    VT_WGMMA_TILES(136, VT_NAMES60 ", " VT_NAMES8("6"), VT_REGS_N136, "%68", "%69", "%70", "%71");
}
template <bool ADD, int A_MAJOR, int B_MAJOR> VT_DEVICE void wgmma(float (&d)[100], uint64_t a_tile, uint64_t b_tile)
{
    VT_WGMMA_TILES(200, VT_NAMES60 ", " VT_NAMES20("6", "7") ", " VT_NAMES20("8", "9"), VT_REGS_N200, "%100", "%101",
                   "%102", "%103");
}
template <bool ADD, int A_MAJOR, int B_MAJOR> VT_DEVICE void wgmma(float (&d)[104], uint64_t a_tile, uint64_t b_tile)
{
    VT_WGMMA_TILES(208, VT_NAMES60 ", " VT_NAMES20("6", "7") ", " VT_NAMES20("8", "9") ", " VT_NAMES2("10", 0, 1) ", "
                   VT_NAMES2("10", 2, 3), VT_REGS_N208, "%104", "%105", "%106", "%107");
}
template <bool ADD, int B_MAJOR> VT_DEVICE void wgmma(float (&d)[32], const uint32_t *a_pairs, uint64_t b_tile)
{
    VT_WGMMA_REGISTERS(64, VT_NAMES20("", "1") ", " VT_NAMES10("2") ", " VT_NAMES2("3", 0, 1), VT_REGS_N64,
                       "{%32, %33, %34, %35}", "%36", "%37");
}
#endif

/* ---- registers to shared memory: ldmatrix's inverse -------------------------------------------------------------- */

/* Four 8x8 matrices of 16-bit elements: r[m] is row lane / 4, elements 2 * (lane % 4) and the next, of matrix m; lane i
 * gives the address of row i % 8 of matrix i / 8 (16 bytes, aligned). */
VT_DEVICE void store_matrix4(void *row, const uint32_t (&r)[4])
{
#if defined(VT_SIMT)
    simt_store_matrix(row, r);
#elif defined(VT_HOPPER)
    asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(smem_address(row)),
                 "r"(r[0]), "r"(r[1]), "r"(r[2]), "r"(r[3]) : "memory");
#else
    __trap();
#endif
}

#endif
