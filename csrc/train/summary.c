#include "train/summary.h"

#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "models/models.h"

typedef struct layer {
    const vt_node *node;
    const vt_tensor *in;
    int64_t parameters;
    double flops;
} layer;

/* The longest of each column. */
typedef struct widths {
    int name, op, in, out;
} widths;

static const vt_tensor *first_activation(const vt_node *n)
{
    for (int k = 0; k < n->n_in; k++)
        if (n->in[k] && n->in[k]->memory != VT_STORED) return n->in[k];
    return NULL;
}

/* `counted`: by entry of the store. */
static layer layer_of(const vt_node *n, bool *counted)
{
    layer l = {.node = n, .in = first_activation(n)};
    vt_cost cost;
    vt_node_cost(n, &cost);
    l.flops = cost.flops;
    for (int k = 0; k < n->n_in; k++) {
        const vt_tensor *t = n->in[k];
        if (!t || t->memory != VT_STORED || counted[t->entry]) continue;
        counted[t->entry] = true;
        l.parameters += vt_tensor_count(t);
    }
    return l;
}

static int longer(int width, const char *text)
{
    int length = (int)strlen(text);
    return length > width ? length : width;
}

static const char *shape(const vt_tensor *t, char text[96])
{
    text[0] = 0;
    return t ? vt_shape_text(t, text, 96) : text;
}

static void json_shape(vt_text *text, const char *key, const vt_tensor *t)
{
    vt_json_key(text, key);
    vt_json_open(text, '[');
    for (int i = 0; t && i < t->ndim; i++) vt_json_int(text, t->shape[i]);
    vt_json_close(text, ']');
}

static void write_json(vt_text *text, const vt_model_config *model, const layer *layers, int n, int64_t total,
                       double flops)
{
    vt_json_open(text, '{');
    vt_json_key(text, "model");
    vt_json_string(text, model->name);
    vt_json_key(text, "params");
    vt_json_int(text, total);
    vt_json_key(text, "flops_forward");
    vt_json_number(text, flops);
    vt_json_key(text, "layers");
    vt_json_open(text, '[');
    for (int i = 0; i < n; i++) {
        vt_json_open(text, '{');
        vt_json_key(text, "layer");
        vt_json_string(text, layers[i].node->name);
        vt_json_key(text, "op");
        vt_json_string(text, layers[i].node->op->name);
        json_shape(text, "input", layers[i].in);
        json_shape(text, "output", layers[i].node->out[0]);
        vt_json_key(text, "params");
        vt_json_int(text, layers[i].parameters);
        vt_json_key(text, "flops");
        vt_json_number(text, layers[i].flops);
        vt_json_close(text, '}');
    }
    vt_json_close(text, ']');
    vt_json_close(text, '}');
    vt_text_add(text, "\n");
}

static void write_table(vt_text *text, const vt_model_config *model, const layer *layers, int n, int64_t total,
                        double flops)
{
    widths w = {5, 2, 5, 6};
    char in[96], out[96];
    for (int i = 0; i < n; i++) {
        w.name = longer(w.name, layers[i].node->name);
        w.op = longer(w.op, layers[i].node->op->name);
        w.in = longer(w.in, shape(layers[i].in, in));
        w.out = longer(w.out, shape(layers[i].node->out[0], out));
    }
    vt_text_printf(text, "%-*s  %-*s  %-*s  %-*s  %12s  %10s\n", w.name, "layer", w.op, "op", w.in, "input", w.out,
                   "output",
                   "parameters", "MFLOP");
    for (int i = 0; i < n; i++) {
        const layer *l = &layers[i];
        vt_text_printf(text, "%-*s  %-*s  %-*s  %-*s  %12lld  %10.3f\n", w.name, l->node->name, w.op, l->node->op->name,
                       w.in, shape(l->in, in), w.out, shape(l->node->out[0], out), (long long)l->parameters,
                       1e-6 * l->flops);
    }
    vt_text_printf(text, "\n%s: %d layers, %lld parameters (%.1f MiB in fp32), %.4g FLOPs forward\n", model->name, n,
                   (long long)total, (double)total * 4 / 1048576, flops);
}

vt_status vt_summary(vt_text *text, const vt_model_config *model, int batch, bool json)
{
    vt_status st;
    vt_store params;
    vt_graph *g = NULL;
    layer *layers = NULL;
    bool *counted = NULL;
    int64_t total = 0, images[] = {batch, model->img_height, model->img_width, model->in_chans};
    double flops = 0;
    vt_store_init(&params, "param", VT_F32);
    VT_TRY(vt_model_declare(&params, model));
    VT_TRY(vt_graph_create(&g, VT_F32));
    vt_builder b = {.g = g, .params = &params, .suffix = "", .batch = batch};
    vt_model_build(&b, model, vt_graph_input(g, "images", VT_U8, 4, images));
    VT_TRY(vt_graph_status(g));
    layers = vt_alloc((size_t)g->n_nodes * sizeof *layers);
    counted = vt_alloc((size_t)params.count);
    if (!layers || !counted) VT_TRY(vt_fail_memory("summary"));
    for (int i = 0; i < g->n_nodes; i++) {
        layers[i] = layer_of(g->nodes[i], counted);
        total += layers[i].parameters;
        flops += layers[i].flops;
    }
    (json ? write_json : write_table)(text, model, layers, g->n_nodes, total, flops);
    st = vt_text_status(text);
fail:
    vt_free(layers);
    vt_free(counted);
    vt_graph_destroy(g);
    vt_store_free(&params);
    return st;
}
