#include "graph/graph.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/philox.h"

vt_status vt_graph_create(vt_graph **graph, vt_dtype real)
{
    vt_graph *g = *graph = vt_alloc(sizeof *g);
    if (!g) return vt_fail_memory("graph");
    g->real = real;
    g->precision = (vt_precision){real, real};
    return VT_OK;
}

void vt_graph_destroy(vt_graph *g)
{
    if (!g) return;
    vt_arena_free(&g->arena);
    vt_free(g->nodes);
    vt_free(g->tensors);
    vt_free(g->marks);
    vt_free(g);
}

vt_status vt_graph_status(const vt_graph *g)
{
    return g->status;
}

static vt_status stick(vt_graph *g, vt_status status)
{
    if (g->status == VT_OK) g->status = status;
    return status;
}

/* Makes room for one more in a growing array. */
static bool grow(vt_graph *g, void **items, int count, int *capacity, size_t bytes)
{
    if (count < *capacity) return true;
    int wanted = *capacity ? 2 * *capacity : 256;
    void *grown = vt_realloc(*items, (size_t)*capacity * bytes, (size_t)wanted * bytes);
    if (!grown) {
        stick(g, vt_fail_memory("graph"));
        return false;
    }
    *items = grown;
    *capacity = wanted;
    return true;
}

static void *take(vt_graph *g, size_t bytes)
{
    void *p = vt_arena_alloc(&g->arena, bytes);
    if (!p) stick(g, vt_fail_memory("graph"));
    return p;
}

const char *vt_graph_name(vt_graph *g, const char *fmt, ...)
{
    char text[256];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    const char *name = vt_arena_printf(&g->arena, "%s", text);
    if (!name) stick(g, vt_fail_memory("graph"));
    return name ? name : "";
}

static vt_tensor *add_tensor(vt_graph *g, const char *name, vt_memory memory, vt_dtype dtype, int ndim,
                             const int64_t *shape)
{
    /* With this bound no sum of the bytes of a graph's tensors overflows. */
    int64_t room = (int64_t)1 << 44;
    for (int i = 0; i < ndim; i++) room = shape[i] > 0 ? room / shape[i] : room;
    if (room == 0) {
        stick(g, vt_fail(VT_INVALID, "tensor %s would have over 2^44 elements: a smaller batch, image or model is "
                         "wanted", name));
        return NULL;
    }
    if (!grow(g, (void **)&g->tensors, g->n_tensors, &g->cap_tensors, sizeof *g->tensors)) return NULL;
    vt_tensor *t = take(g, sizeof *t);
    if (!t) return NULL;
    *t = (vt_tensor){.name = name, .memory = memory, .dtype = dtype, .ndim = ndim, .id = g->n_tensors};
    for (int i = 0; i < ndim; i++) t->shape[i] = shape[i];
    return g->tensors[g->n_tensors++] = t;
}

/* Where a table has the tensor of a store's entry, or room for it. */
static vt_tensor **place_of(vt_tensor **table, int capacity, const vt_store *store, int entry)
{
    uint64_t mask = (uint64_t)capacity - 1, i = vt_mix_key((uint64_t)entry, (uint64_t)(uintptr_t)store) & mask;
    while (table[i] && (table[i]->store != store || table[i]->entry != entry)) i = (i + 1) & mask;
    return &table[i];
}

/* Keeps a quarter of the table free, so that a search ends soon. */
static bool make_room_for_stored(vt_graph *g)
{
    if (4 * (g->n_stored + 1) <= 3 * g->cap_stored) return true;
    int capacity = g->cap_stored ? 2 * g->cap_stored : 256;
    vt_tensor **table = take(g, (size_t)capacity * sizeof *table);
    if (!table) return false;
    for (int i = 0; i < g->cap_stored; i++) {
        vt_tensor *t = g->stored[i];
        if (t) *place_of(table, capacity, t->store, t->entry) = t;
    }
    g->stored = table;
    g->cap_stored = capacity;
    return true;
}

vt_tensor *vt_graph_stored(vt_graph *g, const vt_store *store, int entry, bool trainable)
{
    if (g->status || !make_room_for_stored(g)) return NULL;
    vt_tensor **place = place_of(g->stored, g->cap_stored, store, entry);
    if (*place) return *place;
    const vt_entry *e = &store->entries[entry];
    const char *name = store->derived ? vt_graph_name(g, "%s.%s", store->role, e->name) : e->name;
    vt_tensor *t = add_tensor(g, name, VT_STORED, store->dtype, e->ndim, e->shape);
    if (!t) return NULL;
    t->store = store;
    t->entry = entry;
    t->wants_grad = trainable;
    g->n_stored++;
    return *place = t;
}

vt_tensor *vt_graph_low(vt_graph *g, const vt_store *store, int entry, bool trainable)
{
    bool has = store->low && store->low->dtype == g->precision.act && store->low->entries[entry].count;
    return has ? vt_graph_stored(g, store->low, entry, trainable) : NULL;
}

vt_tensor *vt_graph_input(vt_graph *g, const char *name, vt_dtype dtype, int ndim, const int64_t *shape)
{
    if (g->status) return NULL;
    return add_tensor(g, vt_graph_name(g, "%s", name), VT_INPUT, dtype, ndim, shape);
}

vt_tensor *vt_graph_find_input(const vt_graph *g, const char *name)
{
    for (int i = 0; i < g->n_tensors; i++)
        if (g->tensors[i]->memory == VT_INPUT && strcmp(g->tensors[i]->name, name) == 0) return g->tensors[i];
    return NULL;
}

vt_node *vt_node_add(vt_graph *g, const vt_op *op, const char *name, const void *attrs, vt_tensor *const *in, int n_in)
{
    if (g->status || !grow(g, (void **)&g->nodes, g->n_nodes, &g->cap_nodes, sizeof *g->nodes)) return NULL;
    vt_node *n = take(g, sizeof *n);
    void *own = op->attr_bytes ? take(g, op->attr_bytes) : NULL;
    int n_out = op->n_out == VT_OUT_EACH ? n_in : op->n_out;
    vt_tensor **tensors = take(g, (size_t)(n_in + n_out) * sizeof *tensors);
    if (!n || !tensors || (op->attr_bytes && !own)) return NULL;
    if (own) memcpy(own, attrs, op->attr_bytes);
    *n = (vt_node){.op = op, .name = vt_graph_name(g, "%s", name), .in = tensors, .out = tensors + n_in, .n_in = n_in,
                   .n_out = n_out, .attrs = own, .segment = g->segment, .index = g->n_nodes};
    bool wants_grad = false;
    for (int i = 0; i < n_in; i++) {
        n->in[i] = in[i];
        wants_grad |= in[i] && in[i]->wants_grad;
    }
    if (stick(g, op->infer(g, n)) || g->status) return NULL;
    for (int i = 0; i < n->n_out; i++)
        if (n->out[i]) n->out[i]->wants_grad = wants_grad && op->grad;
    return g->nodes[g->n_nodes++] = n;
}

vt_status vt_node_output(vt_graph *g, vt_node *n, int i, vt_dtype dtype, int ndim, const int64_t *shape)
{
    const char *name = i ? vt_graph_name(g, "%s:%d", n->name, i) : n->name;
    vt_tensor *t = add_tensor(g, name, VT_WORKSPACE, dtype, ndim, shape);
    if (!t) return g->status;
    t->producer = n;
    n->out[i] = t;
    return VT_OK;
}

vt_status vt_node_fail(vt_graph *g, const vt_node *n, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return stick(g, vt_fail(VT_INVALID, "%s (%s): %s", n->name, n->op->name, text));
}

void vt_graph_mark(vt_graph *g, const char *name, vt_tensor *t)
{
    if (g->status || !grow(g, (void **)&g->marks, g->n_marks, &g->cap_marks, sizeof *g->marks)) return;
    g->marks[g->n_marks++] = (vt_mark){vt_graph_name(g, "%s", name), t};
}

int64_t vt_tensor_count(const vt_tensor *t)
{
    int64_t n = 1;
    for (int i = 0; i < t->ndim; i++) n *= t->shape[i];
    return n;
}

size_t vt_tensor_bytes(const vt_tensor *t)
{
    return (size_t)vt_tensor_count(t) * vt_dtype_bytes(t->dtype);
}

bool vt_same_shape(const vt_tensor *a, const vt_tensor *b)
{
    if (a->ndim != b->ndim) return false;
    for (int i = 0; i < a->ndim; i++)
        if (a->shape[i] != b->shape[i]) return false;
    return true;
}

const char *vt_shape_text(const vt_tensor *t, char *text, size_t bytes)
{
    int at = snprintf(text, bytes, "[");
    for (int i = 0; i < t->ndim && at < (int)bytes; i++)
        at += snprintf(text + at, bytes - (size_t)at, "%s%lld", i ? ", " : "", (long long)t->shape[i]);
    if (at < (int)bytes) snprintf(text + at, bytes - (size_t)at, "]");
    return text;
}

void vt_node_cost(const vt_node *n, vt_cost *cost)
{
    *cost = (vt_cost){0};
    for (int i = 0; i < n->n_in; i++)
        if (n->in[i]) cost->bytes += (double)vt_tensor_bytes(n->in[i]);
    for (int i = 0; i < n->n_out; i++)
        if (n->out[i]) cost->bytes += (double)vt_tensor_bytes(n->out[i]);
    if (n->op->cost) n->op->cost(n, cost);
}
