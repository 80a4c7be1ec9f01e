/* ops/draw.h - random numbers inside the graph: whether element e of a sample is kept. The key is mixed from the seed
 * and the node's name, and gradients carry it, so that a mask is the same wherever and how often it is drawn. */
#ifndef VT_OPS_DRAW_H
#define VT_OPS_DRAW_H

#include "base/philox.h"
#include "ops/op.h"

static inline bool vt_is_kept(uint64_t key, const int32_t *step, int32_t slot, int64_t element, float rate)
{
    return vt_graph_uniform(key, (uint32_t)*step, (uint32_t)slot, (uint32_t)element) >= rate;
}

static inline uint64_t vt_draw_key(const vt_random *random, const char *name)
{
    return random ? vt_mix_key(random->seed, vt_hash_name(name)) : 0;
}

/* For `infer`: draws want step i32 [1] and slots i32 [batch]; `elements` a sample must be countable. */
static inline vt_status vt_expect_random(vt_graph *g, const vt_node *n, const vt_tensor *step, const vt_tensor *slots,
                                         int64_t batch, int64_t elements)
{
    VT_EXPECT(step->dtype == VT_I32 && vt_tensor_count(step) == 1, "the step's number is not I32 [1]");
    VT_EXPECT(slots->dtype == VT_I32 && slots->ndim == 1 && slots->shape[0] == batch,
              "the slots are %s, not I32 [%lld]", VT_SHAPE(slots), (long long)batch);
    VT_EXPECT(elements <= UINT32_MAX, "%lld elements a sample are more than can be drawn", (long long)elements);
    return VT_OK;
}

static inline vt_status vt_expect_draws(vt_graph *g, const vt_node *n, float rate, const vt_tensor *step,
                                        const vt_tensor *slots, int64_t batch, int64_t elements)
{
    VT_EXPECT(rate >= 0 && rate < 1, "the rate is %g; it must be at least 0 and below 1", (double)rate);
    if (rate == 0) return VT_OK;
    VT_EXPECT(step && slots, "a rate of %g wants the step's number and the samples' slots", (double)rate);
    return vt_expect_random(g, n, step, slots, batch, elements);
}

/* For `infer`: of a batch's vt_effects, `where` and `weights`, or neither. */
static inline vt_status vt_expect_mixing(vt_graph *g, const vt_node *n, const vt_tensor *where,
                                         const vt_tensor *weights, int64_t batch)
{
    if (!where && !weights) return VT_OK;
    VT_EXPECT(where && where->dtype == VT_I32 && where->ndim == 2 && where->shape[0] == batch && where->shape[1] == 5,
              "wants where samples are mixed, I32 [%lld, 5]", (long long)batch);
    VT_EXPECT(vt_is_real(g, weights) && weights->ndim == 2 && weights->shape[0] == batch && weights->shape[1] == 3,
              "wants the weights that samples are mixed with, %s [%lld, 3]", vt_dtype_name(g->real), (long long)batch);
    return VT_OK;
}

#endif
