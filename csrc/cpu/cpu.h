/* cpu/cpu.h - the CPU backend's own state: which code path, and the fast bodies of that path.
 *
 * csrc/cpu/fast/NAME.c holds the fast fp32 body of op NAME as `VT_FAST_BODY(NAME)`, compiled once for each instruction
 * set; where ops.def says so, it must exist, or the program does not link. */
#ifndef VT_CPU_CPU_H
#define VT_CPU_CPU_H

#include "graph/backend.h"

typedef size_t (*vt_scratch_bytes)(const vt_node *n, int threads);

typedef struct vt_fast {
    vt_body body;               /* NULL: the reference is fast enough */
    vt_scratch_bytes scratch;   /* NULL: none */
} vt_fast;

/* One table a code path, in the order of ops.def. */
extern const vt_fast vt_fast_plain[], vt_fast_avx2[], vt_fast_avx512[];

#define VT_ISA_JOIN2(a, b) a##_##b
#define VT_ISA_JOIN(a, b) VT_ISA_JOIN2(a, b)
#define VT_ISA_NAME(name) VT_ISA_JOIN(name, VT_ISA) /* vt_gemm -> vt_gemm_avx512 */
#define VT_FAST_BODY(name) void VT_ISA_NAME(vt_fast_##name)(const vt_run *r)
#define VT_FAST_SCRATCH(name) size_t VT_ISA_NAME(vt_scratch_##name)(const vt_node *n, int threads)

#endif
