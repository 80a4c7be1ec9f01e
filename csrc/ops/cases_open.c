/* Opening a case: its graph, the seeds of its gradient, the values of its inputs. */
#include "base/philox.h"
#include "ops/cases.h"
#include "ops/op.h"

#if VT_REAL == 32

float vt_case_value(uint64_t seed, const char *name, int64_t e, float low, float high)
{
    if (low == high || low != low) return low;
    union { float f; uint32_t bits; } v;
    v.f = low + (high - low) * vt_graph_uniform(vt_mix_key(seed, vt_hash_name(name)), 0, 0, (uint32_t)e);
    v.bits &= 0xFFFF0000u;
    return v.f < low ? low : v.f;
}

vt_tensor *vt_case_feed(vt_case_graph *c, const char *name, vt_dtype dtype, float low, float high, int ndim,
                        const int64_t *shape)
{
    vt_tensor *t = vt_graph_input(c->g, name, dtype, ndim, shape);
    c->inputs[c->n_inputs++] = (vt_case_input){t, low, high, NULL};
    return t;
}

vt_tensor *vt_case_copy(vt_case_graph *c, vt_tensor *t)
{
    return t ? vt_add_scaled(c->g, vt_graph_name(c->g, "%s.copy", t->name), 1, t, 0, NULL, NULL) : NULL;
}

static void seed_outputs(vt_case_graph *c)
{
    static const char *const names[] = {"seed0", "seed1", "seed2", "seed3"};
    for (int i = 0; i < c->n_out && !c->g->status; i++) {
        vt_tensor *t = c->out[i];
        if (!t->wants_grad) continue;
        vt_tensor *seed = vt_case_feed(c, names[i], c->g->real, -1, 1, t->ndim, t->shape);
        c->seeds[c->n_seeds++] = (vt_seed){t, vt_cast(c->g, names[i], vt_case_copy(c, seed), t->dtype)};
    }
}

vt_status vt_case_open(vt_case_graph *c, const vt_case *which, vt_dtype real, vt_precision precision, bool gradient)
{
    static const vt_autodiff with = {vt_fill, vt_add, false};
    *c = (vt_case_graph){0};
    vt_store_init(&c->store, which->op, real);
    vt_status st = vt_graph_create(&c->g, real);
    if (st) goto fail;
    c->g->precision = precision;
    which->build(c, which);
    for (int i = 0; i < c->n_out && c->out[i]; i++) c->out[i]->keep = true;
    VT_TRY(c->g->status);
    if (!gradient) return VT_OK;
    seed_outputs(c);
    VT_TRY(vt_graph_backward_from(c->g, &with, 0, c->g->n_nodes, c->seeds, c->n_seeds, &c->store, c->grad));
    for (int i = 0; i < c->store.count; i++)
        if (c->grad[i]) c->grad[i]->keep = true;
    return VT_OK;
fail:
    vt_case_close(c);
    return st;
}

void vt_case_close(vt_case_graph *c)
{
    vt_graph_destroy(c->g);
    vt_store_free(&c->store);
    *c = (vt_case_graph){0};
}
#endif
