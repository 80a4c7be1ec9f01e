/* The ops in the order of ops.def. */
#include "ops/op.h"

#if VT_REAL == 32
const vt_op *const vt_ops[] = {
#define VT_OP(name, fast) &vt_op_##name,
#include "ops/ops.def"
#undef VT_OP
};

int vt_op_index(const vt_op *op)
{
    for (int i = 0; i < VT_OP_COUNT; i++)
        if (vt_ops[i] == op) return i;
    return -1;
}
#endif
