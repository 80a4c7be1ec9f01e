/* Liveness to offsets. A tensor lives from the node that makes it to the last that reads it. An output that may
 * overwrite an input dying at the same node shares its buffer. Buffers are placed largest first, each at the lowest
 * offset where it overlaps no placed buffer that is alive at the same time.
 *
 * What is placed is looked up by time: a binary tree over the nodes, whose spans hold taken offsets, not buffers. The
 * micro-batches of a step take the same offsets one after another, so a long span holds as few as a short one. */
#include <string.h>

#include "base/alloc.h"
#include "graph/graph.h"

typedef struct buffer {
    int first, last;   /* nodes */
    size_t bytes, offset;
} buffer;

typedef struct range {
    size_t begin, end;
} range;

typedef struct ranges { /* ascending; neither overlap nor touch */
    range *items;
    int count, capacity;
} ranges;

typedef struct span { /* [first node, one after the last], halved by the spans 2i and 2i + 1 */
    ranges some, all;  /* offsets taken at some time in it; those taken by a buffer that lives all through it */
} span;

enum { MOST_SEEN = 128 }; /* spans that a life is made of and those around them: under 4 at each of 31 levels */

typedef struct plan {
    vt_graph *g;
    buffer *buffers;
    int *of_tensor;    /* tensor id -> buffer, -1: not in the workspace */
    int *order;        /* buffers, largest first */
    int count;
    span *spans;
    vt_arena arena;    /* the ranges */
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

/* The first range that ends after `at`. */
static int find_range(const ranges *r, size_t at)
{
    int low = 0, high = r->count;
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (r->items[middle].end > at) high = middle;
        else low = middle + 1;
    }
    return low;
}

static bool add_range(plan *p, ranges *r, range x)
{
    int from = x.begin ? find_range(r, x.begin - 1) : 0, to = from; /* [from, to) overlap or touch it */
    for (; to < r->count && r->items[to].begin <= x.end; to++) {
        if (r->items[to].begin < x.begin) x.begin = r->items[to].begin;
        if (r->items[to].end > x.end) x.end = r->items[to].end;
    }
    if (from == to && r->count == r->capacity) {
        int capacity = r->capacity ? 2 * r->capacity : 4;
        range *grown = vt_arena_alloc(&p->arena, (size_t)capacity * sizeof *grown);
        if (!grown) return false;
        if (r->count) memcpy(grown, r->items, (size_t)r->count * sizeof *grown);
        r->items = grown;
        r->capacity = capacity;
    }
    memmove(&r->items[from + 1], &r->items[to], (size_t)(r->count - to) * sizeof x);
    r->items[from] = x;
    r->count += 1 - (to - from);
    return true;
}

/* Span i is of the nodes [begin, end). */
static bool take(plan *p, const buffer *b, int i, int begin, int end)
{
    if (b->last < begin || end <= b->first) return true;
    range x = {b->offset, b->offset + b->bytes};
    if (!add_range(p, &p->spans[i].some, x)) return false;
    if (b->first <= begin && end <= b->last + 1) return add_range(p, &p->spans[i].all, x);
    int middle = begin + (end - begin) / 2;
    return take(p, b, 2 * i, begin, middle) && take(p, b, 2 * i + 1, middle, end);
}

/* Collects what is taken while b lives; returns how many there are. */
static int find_taken(const plan *p, const buffer *b, int i, int begin, int end, const ranges **seen, int n)
{
    if (b->last < begin || end <= b->first) return n;
    bool whole = b->first <= begin && end <= b->last + 1;
    const ranges *r = whole ? &p->spans[i].some : &p->spans[i].all;
    if (r->count) seen[n++] = r;
    if (whole) return n;
    int middle = begin + (end - begin) / 2;
    n = find_taken(p, b, 2 * i, begin, middle, seen, n);
    return find_taken(p, b, 2 * i + 1, middle, end, seen, n);
}

/* The lowest offset at which b overlaps nothing that is taken while it lives. */
static size_t find_room(const plan *p, const buffer *b)
{
    const ranges *seen[MOST_SEEN];
    size_t at = 0;
    int n = find_taken(p, b, 1, 0, p->g->n_nodes + 1, seen, 0), clear = 0;
    for (int i = 0; clear < n; i = (i + 1) % n, clear++)
        for (int k = find_range(seen[i], at); k < seen[i]->count && seen[i]->items[k].begin < at + b->bytes; k++) {
            at = seen[i]->items[k].end;
            clear = 0;
        }
    return at;
}

static bool place(plan *p, buffer *b)
{
    b->offset = find_room(p, b);
    if (b->offset + b->bytes > p->g->workspace_bytes) p->g->workspace_bytes = b->offset + b->bytes;
    return take(p, b, 1, 0, p->g->n_nodes + 1);
}

vt_status vt_graph_plan(vt_graph *g)
{
    if (g->status) return g->status;
    size_t n = (size_t)g->n_tensors + 1, spans = 2;
    while (spans < 2 * ((size_t)g->n_nodes + 1)) spans *= 2;
    plan p = {.g = g, .buffers = vt_alloc(n * sizeof *p.buffers), .of_tensor = vt_alloc(n * sizeof(int)),
              .order = vt_alloc(n * sizeof(int)), .spans = vt_alloc(spans * sizeof *p.spans)};
    int *last = vt_alloc(n * sizeof *last);
    bool room = p.buffers && p.of_tensor && p.order && p.spans && last;
    if (room) {
        find_lives(&p, last);
        sort_by_size(&p);
        g->workspace_bytes = 0;
    }
    for (int i = 0; room && i < p.count; i++) room = place(&p, &p.buffers[p.order[i]]);
    for (int i = 0; room && i < g->n_tensors; i++)
        if (p.of_tensor[i] >= 0) g->tensors[i]->offset = p.buffers[p.of_tensor[i]].offset;
    if (!room) g->status = vt_fail_memory("memory plan");
    vt_free(p.buffers);
    vt_free(p.of_tensor);
    vt_free(p.order);
    vt_free(p.spans);
    vt_free(last);
    vt_arena_free(&p.arena);
    return g->status;
}
