/* Liveness to offsets. A tensor lives from the node that makes it to the last that reads it. An output that may
 * overwrite an input dying at the same node shares its buffer. Buffers are placed largest first, each at the lowest
 * offset where it overlaps no placed buffer that is alive at the same time. */
#include <stdlib.h>

#include "base/alloc.h"
#include "graph/graph.h"

typedef struct buffer {
    int first, last;   /* nodes */
    size_t bytes, offset;
} buffer;

typedef struct plan {
    vt_graph *g;
    buffer *buffers;
    int *of_tensor;    /* tensor id -> buffer, -1: not in the workspace */
    int *order;        /* buffers, largest first; then the placed ones by offset */
    int count;
} plan;

static int last_reader(const int *last, const vt_tensor *t, int end)
{
    return t->keep ? end : last[t->id];
}

static bool shares(const plan *p, const vt_node *n, int k, const int *last)
{
    int from = k < 2 ? n->op->in_place[k] - 1 : -1;
    if (from < 0 || from >= n->n_in || !n->in[from]) return false;
    const vt_tensor *in = n->in[from], *out = n->out[k];
    if (p->of_tensor[in->id] < 0 || in->keep || last[in->id] != n->index) return false;
    for (int i = 0; i < n->n_in; i++) /* read twice by the same node, or by a sharer of the same buffer */
        if (i != from && n->in[i] && p->of_tensor[n->in[i]->id] == p->of_tensor[in->id]) return false;
    return vt_tensor_bytes(in) == vt_tensor_bytes(out);
}

static void find_lives(plan *p, int *last)
{
    const vt_graph *g = p->g;
    for (int i = 0; i < g->n_tensors; i++) last[i] = p->of_tensor[i] = -1;
    for (int i = 0; i < g->n_nodes; i++) {
        for (int k = 0; k < g->nodes[i]->n_in; k++)
            if (g->nodes[i]->in[k]) last[g->nodes[i]->in[k]->id] = i;
        for (int k = 0; k < g->nodes[i]->n_out; k++)
            if (g->nodes[i]->out[k]) last[g->nodes[i]->out[k]->id] = i;
    }
    for (int i = 0; i < g->n_nodes; i++)
        for (int k = 0; k < g->nodes[i]->n_out; k++) {
            const vt_tensor *t = g->nodes[i]->out[k];
            if (!t || t->memory != VT_WORKSPACE) continue;
            int end = last_reader(last, t, g->n_nodes);
            if (shares(p, g->nodes[i], k, last)) {
                int b = p->of_tensor[t->id] = p->of_tensor[g->nodes[i]->in[g->nodes[i]->op->in_place[k] - 1]->id];
                p->buffers[b].last = end;
                continue;
            }
            size_t bytes = (vt_tensor_bytes(t) + VT_ALIGN - 1) / VT_ALIGN * VT_ALIGN;
            p->of_tensor[t->id] = p->count;
            p->buffers[p->count++] = (buffer){i, end, bytes, 0};
        }
}

static void sort_by_size(plan *p)
{
    for (int i = 0; i < p->count; i++) p->order[i] = i;
    for (int gap = p->count / 2; gap > 0; gap /= 2) /* Shell's: stable enough, no comparison through globals */
        for (int i = gap; i < p->count; i++) {
            int b = p->order[i], j = i;
            for (; j >= gap; j -= gap) {
                const buffer *x = &p->buffers[p->order[j - gap]], *y = &p->buffers[b];
                if (x->bytes > y->bytes || (x->bytes == y->bytes && p->order[j - gap] < b)) break;
                p->order[j] = p->order[j - gap];
            }
            p->order[j] = b;
        }
}

/* order[0..placed) holds the placed buffers by offset; finds room for b among those alive with it. */
static size_t place(const plan *p, const buffer *b, int placed)
{
    size_t at = 0;
    for (int i = 0; i < placed; i++) {
        const buffer *q = &p->buffers[p->order[i]];
        if (q->last < b->first || b->last < q->first) continue;
        if (q->offset >= at + b->bytes) break;
        if (q->offset + q->bytes > at) at = q->offset + q->bytes;
    }
    return at;
}

vt_status vt_graph_plan(vt_graph *g)
{
    if (g->status) return g->status;
    size_t n = (size_t)g->n_tensors + 1;
    plan p = {.g = g, .buffers = vt_alloc(n * sizeof *p.buffers), .of_tensor = vt_alloc(n * sizeof(int)),
              .order = vt_alloc(n * sizeof(int))};
    int *last = vt_alloc(n * sizeof *last);
    if (!p.buffers || !p.of_tensor || !p.order || !last) {
        g->status = vt_fail_memory("memory plan");
        goto done;
    }
    find_lives(&p, last);
    sort_by_size(&p);
    g->workspace_bytes = 0;
    for (int i = 0; i < p.count; i++) {
        int b = p.order[i], j = i;
        buffer *x = &p.buffers[b];
        x->offset = place(&p, x, i);
        for (; j > 0 && p.buffers[p.order[j - 1]].offset > x->offset; j--) p.order[j] = p.order[j - 1];
        p.order[j] = b;
        if (x->offset + x->bytes > g->workspace_bytes) g->workspace_bytes = x->offset + x->bytes;
    }
    for (int i = 0; i < g->n_tensors; i++)
        if (p.of_tensor[i] >= 0) g->tensors[i]->offset = p.buffers[p.of_tensor[i]].offset;
done:
    vt_free(p.buffers);
    vt_free(p.of_tensor);
    vt_free(p.order);
    vt_free(last);
    return g->status;
}
