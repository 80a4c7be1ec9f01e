/* The fast bodies of one instruction set, in the order of ops.def: a missing body fails at link time. */
#include "cpu/cpu.h"
#include "ops/ops.h"

#define FAST(name) \
    VT_FAST_BODY(name); \
    VT_FAST_SCRATCH(name);
#define REF(name)
#define VT_OP(name, fast) fast(name)
#include "ops/ops.def"
#undef VT_OP
#undef FAST
#undef REF

#define FAST(name) {VT_ISA_NAME(vt_fast_##name), VT_ISA_NAME(vt_scratch_##name)},
#define REF(name) {NULL, NULL},
#define VT_OP(name, fast) fast(name)
const vt_fast VT_ISA_NAME(vt_fast)[] = {
#include "ops/ops.def"
};
