#include "nn/builder.h"

#include <string.h>

/* On the first build the entry is added; on later ones its shape must be the same. */
vt_tensor *vt_param(vt_builder *b, const vt_entry *entry)
{
    if (b->g->status) return NULL;
    int index = vt_store_find(b->params, entry->name);
    if (index < 0) {
        b->g->status = vt_store_add(b->params, entry, &index);
        if (b->g->status) return NULL;
    }
    const vt_entry *found = &b->params->entries[index];
    bool same = found->ndim == entry->ndim;
    for (int i = 0; same && i < entry->ndim; i++) same = found->shape[i] == entry->shape[i];
    if (!same) {
        b->g->status = vt_fail(VT_INVALID, "parameter %s was declared with another shape", entry->name);
        return NULL;
    }
    return vt_graph_stored(b->g, b->params, index, b->train);
}

vt_tensor *vt_param_constant(vt_builder *b, const char *name, int64_t n, float value)
{
    return vt_param(b, &(vt_entry){.name = name, .ndim = 1, .shape = {n}, .init_value = value});
}

vt_tensor *vt_nn_linear(vt_builder *b, const char *name, vt_tensor *x, int64_t n, bool bias)
{
    if (!x) return NULL;
    vt_entry weight = {.name = vt_graph_name(b->g, "%s.weight", name), .ndim = 2, .shape = {n, x->shape[x->ndim - 1]},
                       .init = VT_INIT_NORMAL, .init_value = 0.02f, .decay = true};
    vt_tensor *w = vt_param(b, &weight);
    vt_tensor *shift = bias ? vt_param_constant(b, vt_graph_name(b->g, "%s.bias", name), n, 0) : NULL;
    return vt_linear(b->g, name, x, w, shift);
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
