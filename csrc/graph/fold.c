/* Unused nodes go first, so that a fold sees true reader counts; then each node is offered to the table, in order. */
#include "base/alloc.h"
#include "graph/graph.h"

static void count_readers(const vt_graph *g, int *readers)
{
    for (int i = 0; i < g->n_tensors; i++) readers[i] = g->tensors[i]->keep;
    for (int i = 0; i < g->n_nodes; i++)
        for (int k = 0; k < g->nodes[i]->n_in; k++)
            if (g->nodes[i]->in[k]) readers[g->nodes[i]->in[k]->id]++;
}

static bool is_unused(const vt_node *n, const int *readers)
{
    if (n->op->side_effect) return false;
    for (int k = 0; k < n->n_out; k++)
        if (n->out[k] && readers[n->out[k]->id]) return false;
    return true;
}

static void compact(vt_graph *g)
{
    int kept = 0;
    for (int i = 0; i < g->n_nodes; i++)
        if (g->nodes[i]) {
            g->nodes[kept] = g->nodes[i];
            g->nodes[kept]->index = kept;
            kept++;
        }
    g->n_nodes = kept;
}

static void remove_unused(vt_graph *g, int *readers)
{
    for (int i = g->n_nodes - 1; i >= 0; i--) {
        vt_node *n = g->nodes[i];
        if (is_unused(n, readers)) {
            for (int k = 0; k < n->n_in; k++)
                if (n->in[k]) readers[n->in[k]->id]--;
            g->nodes[i] = NULL;
            continue;
        }
        for (int k = 0; k < n->n_out; k++) /* an output an op may leave out and nobody reads */
            if (n->out[k] && !readers[n->out[k]->id] && k < 32 && (n->op->out_optional >> k & 1)) n->out[k] = NULL;
    }
    compact(g);
}

/* The producer that `consumer` may be folded into: all else the consumer reads must exist when the producer runs. */
static vt_node *early_enough(const vt_node *consumer, int input)
{
    const vt_tensor *t = consumer->in[input];
    if (!t || !t->producer || t->keep) return NULL;
    for (int k = 0; k < consumer->n_in; k++) {
        const vt_tensor *other = consumer->in[k];
        if (k != input && other && other->producer && other->producer->index >= t->producer->index) return NULL;
    }
    return t->producer;
}

static bool fold_node(vt_graph *g, const vt_fold *table, const vt_node *consumer, const int *readers)
{
    for (const vt_fold *f = table; f->fold; f++) {
        if (f->consumer != consumer->op) continue;
        for (int k = 0; k < consumer->n_in; k++) {
            vt_node *p = early_enough(consumer, k);
            if (!p || p->op != f->producer) continue;
            if (f->fold(g, p, consumer, k, readers[consumer->in[k]->id] == 1)) return true;
        }
    }
    return false;
}

vt_status vt_graph_fold(vt_graph *g, const vt_fold *table)
{
    if (g->status) return g->status;
    int *readers = vt_alloc((size_t)g->n_tensors * sizeof *readers);
    if (!readers) return g->status = vt_fail_memory("folding");
    count_readers(g, readers);
    remove_unused(g, readers);
    for (int i = 0; i < g->n_nodes && !g->status; i++)
        if (fold_node(g, table, g->nodes[i], readers)) g->nodes[i] = NULL;
    compact(g);
    vt_free(readers);
    return g->status;
}
