#include "nn/builder.h"

#include <string.h>

/* On the first build the entry is added; on later ones its shape must be the same. */
vt_tensor *vt_param(vt_builder *b, const vt_entry *entry)
{
    if (b->g->status) return NULL;
    int index = b->next; /* a build asks for them in the order in which the first declared them */
    if (index >= b->params->count || strcmp(b->params->entries[index].name, entry->name) != 0)
        index = vt_store_find(b->params, entry->name);
    if (index < 0) {
        vt_entry own = *entry;
        own.layer = b->layer;
        b->g->status = vt_store_add(b->params, &own, &index);
        if (b->g->status) return NULL;
    }
    b->next = index + 1;
    const vt_entry *found = &b->params->entries[index];
    bool same = found->ndim == entry->ndim;
    for (int i = 0; same && i < entry->ndim; i++) same = found->shape[i] == entry->shape[i];
    if (!same) {
        b->g->status = vt_fail(VT_INVALID, "parameter %s was declared with another shape", entry->name);
        return NULL;
    }
    return vt_graph_stored(b->g, b->params, index, b->train && !found->frozen);
}

vt_tensor *vt_gemm_param(vt_builder *b, const vt_entry *entry)
{
    vt_entry gemm = *entry;
    gemm.gemm = true;
    vt_tensor *t = vt_param(b, &gemm);
    return t && b->low ? b->low[t->entry] : t;
}

void vt_nn_low_weights(vt_builder *b)
{
    vt_graph *g = b->g;
    size_t n = (size_t)b->params->count;
    if (g->status || g->precision.act == g->real) return;
    vt_tensor **low = b->low = vt_arena_alloc(&g->arena, 3 * n * sizeof *low);
    if (!low) {
        g->status = vt_fail_memory("graph");
        return;
    }
    vt_tensor **from = low + n, **to = from + n;
    int count = 0;
    for (int i = 0; i < b->params->count; i++) {
        if (!b->params->entries[i].gemm) continue;
        low[i] = vt_graph_low(g, b->params, i, b->train && !b->params->entries[i].frozen);
        if (!low[i]) from[count++] = vt_graph_stored(g, b->params, i, false);
    }
    if (count && b->train && !g->status)
        g->status = vt_fail(VT_INVALID, "%s has no low store to be trained with", b->params->role);
    if (!count || g->status) return;
    vt_cast_all(g, "weights", from, count, g->precision.act, to);
    for (int i = 0; i < count && !g->status; i++) low[from[i]->entry] = to[i];
}

vt_tensor *vt_param_constant(vt_builder *b, const char *name, int64_t n, float value)
{
    return vt_param(b, &(vt_entry){.name = name, .ndim = 1, .shape = {n}, .init_value = value});
}

static vt_entry linear_weight(vt_builder *b, const char *name, int64_t n, int64_t k)
{
    return (vt_entry){.name = vt_graph_name(b->g, "%s.weight", name), .ndim = 2, .shape = {n, k},
                      .init = VT_INIT_NORMAL, .init_value = 0.02f, .decay = true};
}

static vt_entry linear_bias(vt_builder *b, const char *name, int64_t n)
{
    return (vt_entry){.name = vt_graph_name(b->g, "%s.bias", name), .ndim = 1, .shape = {n}};
}

vt_tensor *vt_nn_linear(vt_builder *b, const char *name, vt_tensor *x, int64_t n, bool bias)
{
    if (!x) return NULL;
    vt_entry weight = linear_weight(b, name, n, x->shape[x->ndim - 1]), shift = linear_bias(b, name, n);
    vt_tensor *w = vt_gemm_param(b, &weight);
    return vt_linear(b->g, name, x, w, bias ? vt_gemm_param(b, &shift) : NULL);
}

vt_tensor *vt_nn_linear_scaled(vt_builder *b, const char *name, vt_tensor *x, int64_t n, const char *gamma,
                               float init_values)
{
    if (!x) return NULL;
    vt_entry weight = linear_weight(b, name, n, x->shape[x->ndim - 1]), shift = linear_bias(b, name, n);
    vt_tensor *w = vt_param(b, &weight), *bias = vt_param(b, &shift);
    vt_scaled scaled = vt_layer_scale(b->g, gamma, w, bias, vt_param_constant(b, gamma, n, init_values));
    return vt_linear(b->g, name, x, scaled.w, scaled.b);
}

vt_tensor *vt_nn_head(vt_builder *b, const char *name, vt_tensor *x, int64_t n)
{
    if (!x) return NULL;
    vt_entry weight = linear_weight(b, name, n, x->shape[x->ndim - 1]);
    vt_tensor *w = vt_gemm_param(b, &weight);
    return vt_linear_wide(b->g, name, x, w, vt_param_constant(b, vt_graph_name(b->g, "%s.bias", name), n, 0));
}

vt_normed vt_nn_layernorm(vt_builder *b, const char *name, vt_tensor *x, vt_tensor *branch, vt_tensor *scale, float eps)
{
    if (!x) return (vt_normed){NULL, NULL};
    int64_t d = x->shape[x->ndim - 1];
    vt_tensor *w = vt_param_constant(b, vt_graph_name(b->g, "%s.weight", name), d, 1);
    vt_tensor *shift = vt_param_constant(b, vt_graph_name(b->g, "%s.bias", name), d, 0);
    return vt_layernorm(b->g, name, x, branch, scale, w, shift, eps);
}

vt_tensor *vt_nn_dropout(vt_builder *b, const char *name, vt_tensor *x, float rate)
{
    return b->train && rate > 0 ? vt_dropout(b->g, name, x, rate, &b->random) : x;
}

vt_tensor *vt_nn_drop_path(vt_builder *b, const char *name, float rate)
{
    if (!b->train || rate <= 0) return NULL;
    vt_tensor *mask = NULL;
    if (b->masks)
        mask = vt_graph_input(b->g, vt_graph_name(b->g, "mask.%s%s", name, b->suffix), b->g->real, 1, &b->batch);
    return vt_drop_path(b->g, name, rate, &b->random, mask);
}
