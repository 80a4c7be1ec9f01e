/* simt_hopper.h - twins of kernels/ptx_hopper.cuh: wgmma and stmatrix as the PTX ISA's text describes them.
 *
 * wgmma works by warp: each of a warpgroup's four warps issues when it comes there and computes its own 16 rows, so
 * warps drift apart as far as barriers let them. Operands in shared memory are read at the issue or at the wait, drawn
 * anew for each; from issue to wait the accumulators and operand A's registers hold NaNs. Mistakes that are reported:
 * no wgmma_fence before the first wgmma or between a wait and the next one; accumulators that are added to or registers
 * of operand A that no fence named, or touched since; either changed in flight; warps of a warpgroup that issue
 * different products; a descriptor or shape the ISA does not know, a tile that wants a base offset; operands outside
 * shared memory; products in flight at the end.
 * Shown in results, as NaN: registers read in flight, what copies and stmatrix wrote without a fence_proxy_async.
 * Not seen: such a fence missing behind plain stores, the hardware's order and rounding of the sums (fp32 in order of k
 * here). */
#ifndef VT_SIMT_HOPPER_H
#define VT_SIMT_HOPPER_H

#include <stddef.h>
#include <stdint.h>

/* d [64, N] (+)= a [64, 16] b [16, N], N = 2 * registers: bf16 in, fp32 accumulators. a_pairs [4], or NULL: a is where
 * its descriptor says. Majors: 0 is K, 1 M or N. The arrays must live until the wait. */
void simt_wgmma(float *d, int registers, const uint32_t *a_pairs, uint64_t a, int a_major, uint64_t b, int b_major,
                bool add);

typedef struct simt_registers { /* of the thread, named to a fence */
    const void *at;
    size_t bytes;
} simt_registers;

void simt_wgmma_fence(const simt_registers *registers, int n);
void simt_wgmma_commit();
void simt_wgmma_wait(int pending);

/* What simt_copy_async and simt_store_matrix wrote is a NaN to wgmma until the writer has fenced it. */
void simt_fence_proxy();
bool simt_smem_fenced(uint32_t address); /* the 16 bytes there */

void simt_store_matrix(void *row, const uint32_t (&r)[4]); /* x4 */

/* For the engine: a block starts; a thread of it has returned. */
void simt_hopper_begin();
void simt_hopper_end(int thread);

#endif
