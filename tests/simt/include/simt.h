/* simt.h - what an unchanged .cu file sees of the simulator when g++ compiles it: CUDA's words, and the twins of the
 * primitives in kernels/ptx*.cuh.
 *
 * A block's threads are fibers on one OS thread, run one block after the other. A thread runs until it waits (barrier,
 * collective, yield), then another ready one goes on; which one is drawn from SIMT_SEED, so that a missing barrier
 * shows as a result that varies with the seed. Seed 0 is thread order. Mistakes end the grid with a one-line report.
 * Not seen: races between two accesses without a wait between them, the memory model, proxy fences
 * behind plain stores, time. */
#ifndef VT_SIMT_H
#define VT_SIMT_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <functional>
#include <string>

/* ---- the language ------------------------------------------------------------------------------------------------ */

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(n) __attribute__((aligned(n)))

struct uint3 {
    unsigned x, y, z;
};

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned nx = 1, unsigned ny = 1, unsigned nz = 1) : x(nx), y(ny), z(nz) {}
};

extern uint3 threadIdx, blockIdx; /* of the thread that runs */
extern dim3 blockDim, gridDim;

static inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }

/* ---- a grid ------------------------------------------------------------------------------------------------------ */

/* Runs kernel() once for each of grid x block threads, `smem` bytes of shared memory a block. False after the first
 * mistake: *report (NULL: stderr) says which block, thread and what. One grid at a time, callers wait. */
bool simt_run_grid(dim3 grid, dim3 block, size_t smem, const std::function<void()> &kernel, std::string *report);

/* Ends the grid with this report. From a thread of a kernel only. */
[[noreturn]] void simt_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

uint64_t simt_random(); /* the grid's own stream of draws, from SIMT_SEED */

/* ---- shared memory ----------------------------------------------------------------------------------------------- */

typedef struct simt_cursor {
    int next; /* which take comes next */
} simt_cursor;

/* The k-th take is one region for all threads of the block, which must agree on bytes and align. It starts as 0xFF
 * bytes (NaN, -1) and lies between red zones. Takes are rounded to 16 bytes; their sum must fit the launch. */
simt_cursor simt_smem_open();
void *simt_smem_take(simt_cursor &at, size_t bytes, size_t align);

/* Offset in the block's shared memory as the device would lay it out, takes back to back; and the way back. The
 * simulator's own pointers agree with the offset modulo 1024. Outside a taken region: a mistake. */
uint32_t simt_smem_address(const void *p);
void *simt_smem_pointer(uint32_t address);
bool simt_smem_holds(const void *p, size_t bytes); /* all of it in one taken region */

/* p, which must be a multiple of align. */
const void *simt_aligned(const void *p, size_t align);

/* ---- waiting ----------------------------------------------------------------------------------------------------- */

/* Barrier `id` of `threads` threads; 0, 0: of the whole block, where a thread that has returned never arrives. */
void simt_barrier(int id, int threads);

/* What a collective's last thread does for all of them: all[i] is what thread first + i handed over, NULL outside the
 * mask. The others wait meanwhile, so all[i] may point into their stacks and results may be written there. */
typedef void (*simt_action)(void *const *all, int n);

/* Waits until threads first .. first + n - 1 of the block (n = 32: those in mask) have called with the same n, mask,
 * `what` and `shape`; then act(all, n) runs once and all go on. `what` names the collective in reports. */
void simt_meet(const char *what, int first, int n, uint32_t mask, size_t shape, void *mine, simt_action act);

/* Warp collective: `all` receives 32 * bytes, by lane; lanes outside the mask are 0xFF. NULL, 0, NULL: __syncwarp. */
void simt_exchange(uint32_t mask, const void *mine, size_t bytes, void *all);

/* The same among threads first .. first + n - 1, whole warps: `all` (or NULL) receives n * bytes. */
void simt_group_exchange(int first, int n, const void *mine, size_t bytes, void *all);

/* Lets others run: the body of a loop that waits for `what`. All ready threads yielding over and over with no
 * arrival, return or simt_progress() between is a deadlock. */
void simt_yield(const char *what = "yield");
void simt_progress(); /* something happened that a yielding thread may wait for */

int simt_thread(); /* index of the running thread in its block: x + y * X + z * X * Y */

/* ---- twins of ptx.cuh and ptx_mma.cuh ---------------------------------------------------------------------------- */

static inline uint32_t simt_bf16_bits(float f) /* nearest even; NaN stays NaN */
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    if ((u & 0x7FFFFFFFu) > 0x7F800000u) return u >> 16 | 0x40u;
    return (u + 0x7FFFu + (u >> 16 & 1u)) >> 16;
}

static inline float simt_flushed(float f) /* .ftz: a denormal becomes a zero of its sign */
{
    return fabsf(f) < 0x1p-126f ? copysignf(0, f) : f;
}

/* 16 bytes, both aligned, `to` in shared memory. From issue to the matching wait `to` is 0xFF bytes; the source is read
 * at issue or at landing, by seed. A copy that is in flight when its thread returns is a mistake. */
void simt_copy_async(void *to, const void *from, bool valid);
void simt_copy_commit();
void simt_copy_wait(int pending);

/* These 16 bytes may lie in a cache that does not see writes: that the grid writes them afterwards is a mistake. Of a
 * grid's reads the first 65536 are remembered. */
void simt_read_once(const void *p);

/* The first `count` (1, 2, 4) matrices. */
void simt_load_matrix(uint32_t (&r)[4], int count, const void *row, bool transposed);
void simt_mma_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]);

#endif
