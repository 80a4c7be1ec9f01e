/* ops/op.h - what the file of an op is written with.
 *
 * csrc/ops/NAME.c is compiled twice, for float (VT_REAL 32) and for double (64). Its reference bodies, VT_BODY(NAME),
 * are written over vt_real; the rest - shape rule, gradient, builder, descriptor - stands under `#if VT_REAL == 32`. */
#ifndef VT_OPS_OP_H
#define VT_OPS_OP_H

#include <math.h>
#include <string.h>

#include "graph/graph.h"
#include "ops/ops.h"

#if VT_REAL == 64
typedef double vt_real;
#define VT_BODY(op) void vt_reference_##op##_f64(const vt_run *r); void vt_reference_##op##_f64(const vt_run *r)
#else
typedef float vt_real;
#define VT_BODY(op) void vt_reference_##op##_f32(const vt_run *r); void vt_reference_##op##_f32(const vt_run *r)
#endif

/* In a descriptor: .reference = VT_REFERENCE(linear). Needs VT_DECLARE_REFERENCE(linear) before it. */
#define VT_DECLARE_REFERENCE(op) \
    void vt_reference_##op##_f32(const vt_run *r); \
    void vt_reference_##op##_f64(const vt_run *r)
#define VT_REFERENCE(op) {vt_reference_##op##_f32, vt_reference_##op##_f64}

/* `infer` and builder helpers. */
#define VT_EXPECT(cond, ...)                                        \
    do {                                                            \
        if (!(cond)) return vt_node_fail(g, n, __VA_ARGS__);        \
    } while (0)

/* "[8, 197, 192]" for a message, living to the end of the block. */
#define VT_SHAPE(t) vt_shape_text(t, (char[96]){0}, 96)

/* Of the graph's own dtype; false for a missing one. */
static inline bool vt_is_real(const vt_graph *g, const vt_tensor *t)
{
    return t && t->dtype == g->real;
}

/* Of the dtype that the graph keeps activations in; or of that, or of the residual stream's. */
static inline bool vt_is_act(const vt_graph *g, const vt_tensor *t)
{
    return t && t->dtype == g->precision.act;
}

static inline bool vt_is_stream(const vt_graph *g, const vt_tensor *t)
{
    return vt_is_act(g, t) || (t && t->dtype == g->precision.stream);
}

/* For builders of ops with many inputs: memory of the graph's, NULL after a failure, which sticks. */
static inline void *vt_op_take(vt_graph *g, size_t bytes)
{
    void *p = g->status ? NULL : vt_arena_alloc(&g->arena, bytes);
    if (!p && !g->status) g->status = vt_fail_memory("graph");
    return p;
}

static inline vt_tensor *vt_out(const vt_node *n, int i)
{
    return n ? n->out[i] : NULL;
}

/* The last axis, and the product of those before it. */
static inline int64_t vt_cols(const vt_tensor *t)
{
    return t->shape[t->ndim - 1];
}

static inline int64_t vt_rows(const vt_tensor *t)
{
    return vt_tensor_count(t) / vt_cols(t);
}

#endif
