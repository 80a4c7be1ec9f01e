/* Reverse-mode differentiation over the node list, with optional recomputation.
 *
 * Nodes of one segment (a transformer block) are recomputed as a unit: when the walk first meets the segment it
 * appends a copy of its nodes, whose tensors are the originals' twins, and the segment's gradient rules then read the
 * twins. What the copy makes that no rule reads is removed later as unused, and the originals' activations die in the
 * forward pass. */
#include <string.h>

#include "base/alloc.h"
#include "graph/graph.h"

typedef struct walk {
    vt_graph *g;
    const vt_autodiff *with;
    int first, n_tensors; /* tensors there were before the walk: the others have no gradient */
} walk;

static vt_tensor *twin_of(vt_tensor *t)
{
    return t && t->twin ? t->twin : t;
}

/* Appends copies of the segment that ends at node `end`; returns the index of its first node. */
static void recompute_segment(walk *w, int segment, int end)
{
    int begin = end;
    while (begin > w->first && w->g->nodes[begin - 1]->segment == segment) begin--;
    w->g->segment = 0;
    for (int i = begin; i <= end && !w->g->status; i++) {
        const vt_node *n = w->g->nodes[i];
        vt_tensor **in = vt_arena_alloc(&w->g->arena, (size_t)(n->n_in + 1) * sizeof *in);
        if (!in) {
            w->g->status = vt_fail_memory("recomputation");
            return;
        }
        for (int k = 0; k < n->n_in; k++) in[k] = twin_of(n->in[k]);
        vt_node *copy = vt_node_add(w->g, n->op, n->name, n->attrs, in, n->n_in);
        for (int k = 0; copy && k < n->n_out; k++)
            if (n->out[k]) n->out[k]->twin = copy->out[k];
    }
}

/* The node as its gradient rule should see it: reading twins where there are some. */
static vt_node *seen_by_rule(walk *w, const vt_node *n)
{
    if (!n->segment || !w->with->recompute) return (vt_node *)n;
    vt_node *view = vt_arena_alloc(&w->g->arena, sizeof *view);
    vt_tensor **tensors = vt_arena_alloc(&w->g->arena, (size_t)(n->n_in + n->n_out) * sizeof *tensors);
    if (!view || !tensors) {
        w->g->status = vt_fail_memory("recomputation");
        return NULL;
    }
    *view = *n;
    view->in = tensors;
    view->out = tensors + n->n_in;
    for (int k = 0; k < n->n_in; k++) view->in[k] = twin_of(n->in[k]);
    for (int k = 0; k < n->n_out; k++) view->out[k] = twin_of(n->out[k]);
    return view;
}

static void accumulate(walk *w, vt_tensor *t, vt_tensor *d)
{
    if (!d || !t || !t->wants_grad || t->id >= w->n_tensors) return;
    t->grad = t->grad ? w->with->add(w->g, vt_graph_name(w->g, "d(%s)", t->name), t->grad, d) : d;
}

static void step_back(walk *w, const vt_node *n, vt_tensor **dout, vt_tensor **din)
{
    bool any = false;
    for (int k = 0; k < n->n_out; k++) {
        dout[k] = n->out[k] ? n->out[k]->grad : NULL;
        any |= dout[k] != NULL;
    }
    if (!any || !n->op->grad) return;
    vt_node *view = seen_by_rule(w, n);
    if (!view) return;
    memset(din, 0, (size_t)n->n_in * sizeof *din);
    n->op->grad(w->g, view, dout, din);
    for (int k = 0; k < n->n_in; k++) accumulate(w, n->in[k], din[k]);
}

/* Forgets an earlier walk, in the time that the nodes take and not the whole graph: a step walks once a micro-batch.
 * Returns the most inputs or outputs that one of them has. */
static int forget_grads(vt_graph *g, int first, int last)
{
    int most = 1;
    for (int i = first; i < last; i++) {
        const vt_node *n = g->nodes[i];
        for (int k = 0; k < n->n_in; k++)
            if (n->in[k]) n->in[k]->grad = NULL;
        for (int k = 0; k < n->n_out; k++)
            if (n->out[k]) n->out[k]->grad = NULL;
        if (n->n_in > most) most = n->n_in;
        if (n->n_out > most) most = n->n_out;
    }
    return most;
}

static bool is_of(const vt_tensor *t, const vt_store *wrt)
{
    return t && t->memory == VT_STORED && (t->store == wrt || t->store == wrt->low);
}

vt_status vt_graph_backward_from(vt_graph *g, const vt_autodiff *with, int first, int last, const vt_seed *seeds, int n,
                                 const vt_store *wrt, vt_tensor **grads)
{
    if (g->status) return g->status;
    walk w = {.g = g, .with = with, .first = first, .n_tensors = g->n_tensors};
    int most = forget_grads(g, first, last);
    vt_tensor **scratch = vt_alloc(2 * (size_t)most * sizeof *scratch);
    if (!scratch) return g->status = vt_fail_memory("differentiation");
    g->segment = 0;
    for (int i = 0; i < n; i++) accumulate(&w, seeds[i].of, seeds[i].grad);
    for (int i = last - 1, segment = 0; i >= first && !g->status; i--) {
        const vt_node *node = g->nodes[i];
        if (with->recompute && node->segment && node->segment != segment) recompute_segment(&w, node->segment, i);
        segment = node->segment;
        step_back(&w, node, scratch, scratch + most);
    }
    for (int i = 0; i < wrt->count; i++) grads[i] = NULL;
    for (int i = first; i < last && !g->status; i++) /* what the walk's nodes read of wrt */
        for (int k = 0; k < g->nodes[i]->n_in; k++) {
            const vt_tensor *t = g->nodes[i]->in[k];
            if (is_of(t, wrt) && t->grad) grads[t->entry] = t->grad;
        }
    vt_free(scratch);
    return g->status;
}

vt_status vt_graph_backward(vt_graph *g, const vt_autodiff *with, int first, int last, vt_tensor *loss, double seed,
                            const vt_store *wrt, vt_tensor **grads)
{
    vt_seed s = {loss, with->fill(g, "d(loss)", seed)};
    return vt_graph_backward_from(g, with, first, last, &s, 1, wrt, grads);
}
