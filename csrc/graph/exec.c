#include "graph/exec.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/pool.h"

extern const vt_backend vt_cpu_backend;
static const vt_backend *const backends[] = {&vt_cpu_backend};

struct vt_exec {
    vt_graph *graph;
    vt_workspace *workspace;
    vt_body *bodies;     /* [n_nodes] */
    void **data;         /* [n_tensors]: an input's bound address; others are computed from their place */
    void **pointers;     /* the longest node's in and out */
    double (*clock)(void);
    double *seconds;     /* [n_nodes], the caller's; NULL: not timed */
};

vt_status vt_device_open(vt_device **device, const vt_device_options *options)
{
    *device = NULL;
    vt_device *d = vt_alloc(sizeof *d);
    if (!d) return vt_fail_memory("device");
    for (size_t i = 0; i < sizeof backends / sizeof *backends; i++)
        if (strcmp(backends[i]->name, options->name) == 0) d->backend = backends[i];
    vt_status st = d->backend
                       ? d->backend->open(d, options)
                       : vt_fail(VT_INVALID, "--device %s: this build has no such backend; use cpu", options->name);
    if (st) {
        vt_free(d);
        return st;
    }
    *device = d;
    return VT_OK;
}

void vt_device_close(vt_device *device)
{
    if (!device) return;
    device->backend->close(device);
    vt_free(device);
}

vt_status vt_store_bind(vt_store *store, vt_device *device)
{
    if (store->data) return VT_OK;
    return device->backend->alloc(device, vt_store_bytes(store), &store->data);
}

void vt_store_unbind(vt_store *store, vt_device *device)
{
    if (store->data) device->backend->free(device, store->data);
    store->data = NULL;
}

/* Through the host in pieces: it happens once a run. */
void vt_store_copy(vt_store *to, const vt_store *from, vt_device *device)
{
    unsigned char block[4096];
    size_t bytes = vt_store_bytes(from);
    for (size_t at = 0; at < bytes; at += sizeof block) {
        size_t n = bytes - at < sizeof block ? bytes - at : sizeof block;
        device->backend->read(device, (const char *)from->data + at, block, n);
        device->backend->write(device, (char *)to->data + at, block, n);
    }
}

size_t vt_exec_scratch_bytes(const vt_graph *graph, const vt_device *device)
{
    size_t most = 0;
    for (int i = 0; i < graph->n_nodes; i++) {
        size_t bytes = device->backend->scratch(device, graph->nodes[i]);
        if (bytes > most) most = bytes;
    }
    return most;
}

static vt_status reserve(vt_device *device, void **data, size_t *have, size_t want)
{
    if (want <= *have && *data) return VT_OK;
    if (*data) device->backend->free(device, *data);
    *data = NULL;
    *have = 0;
    vt_status st = device->backend->alloc(device, want, data);
    if (st == VT_OK) *have = want;
    return st;
}

vt_status vt_exec_create(vt_exec **exec, vt_graph *graph, vt_workspace *workspace)
{
    vt_status st = graph->status;
    *exec = NULL;
    if (st) return st;
    int most = 1;
    for (int i = 0; i < graph->n_nodes; i++) {
        int n = graph->nodes[i]->n_in + graph->nodes[i]->n_out;
        if (n > most) most = n;
    }
    vt_exec *e = vt_alloc(sizeof *e);
    if (!e) return vt_fail_memory("executor");
    e->graph = graph;
    e->workspace = workspace;
    e->bodies = vt_alloc(((size_t)graph->n_nodes + 1) * sizeof *e->bodies);
    e->data = vt_alloc(((size_t)graph->n_tensors + 1) * sizeof *e->data);
    e->pointers = vt_alloc((size_t)most * sizeof *e->pointers);
    if (!e->bodies || !e->data || !e->pointers) {
        st = vt_fail_memory("executor");
        goto fail;
    }
    vt_device *d = workspace->device;
    VT_TRY(reserve(d, &workspace->data, &workspace->bytes, graph->workspace_bytes));
    VT_TRY(reserve(d, &workspace->scratch, &workspace->scratch_bytes, vt_exec_scratch_bytes(graph, d)));
    for (int i = 0; i < graph->n_nodes; i++) e->bodies[i] = d->backend->body(d, graph->nodes[i]);
    *exec = e;
    return VT_OK;
fail:
    vt_exec_destroy(e);
    return st;
}

void vt_exec_destroy(vt_exec *e)
{
    if (!e) return;
    vt_free(e->bodies);
    vt_free(e->data);
    vt_free(e->pointers);
    vt_free(e);
}

void vt_workspace_free(vt_workspace *w)
{
    if (!w->device) return;
    if (w->data) w->device->backend->free(w->device, w->data);
    if (w->scratch) w->device->backend->free(w->device, w->scratch);
    *w = (vt_workspace){.device = w->device};
}

void vt_exec_bind(vt_exec *e, const char *input, const void *data)
{
    const vt_tensor *t = vt_graph_find_input(e->graph, input);
    if (t) e->data[t->id] = (void *)data; /* inputs are only read */
}

static void *address(const vt_exec *e, const vt_tensor *t)
{
    if (!t) return NULL;
    switch (t->memory) {
    case VT_INPUT: return e->data[t->id];
    case VT_STORED: return (char *)t->store->data + (size_t)t->store->entries[t->entry].offset * vt_dtype_bytes(t->dtype);
    default: return (char *)e->workspace->data + t->offset;
    }
}

static void run_node(vt_exec *e, int i)
{
    const vt_node *n = e->graph->nodes[i];
    void **in = e->pointers, **out = in + n->n_in;
    for (int k = 0; k < n->n_in; k++) in[k] = address(e, n->in[k]);
    for (int k = 0; k < n->n_out; k++) out[k] = address(e, n->out[k]);
    const vt_device *d = e->workspace->device;
    vt_run run = {n, in, out, e->workspace->scratch, d->pool, d->state};
    e->bodies[i](&run);
}

static vt_status check_bound(const vt_exec *e)
{
    for (int i = 0; i < e->graph->n_tensors; i++) {
        const vt_tensor *t = e->graph->tensors[i];
        if (t->memory == VT_INPUT && !e->data[i]) return vt_fail(VT_INVALID, "graph input %s was not given", t->name);
    }
    return VT_OK;
}

void vt_exec_time(vt_exec *e, double (*clock)(void), double *seconds)
{
    e->clock = clock;
    e->seconds = seconds;
}

vt_status vt_exec_run(vt_exec *e)
{
    vt_status st = check_bound(e);
    for (int i = 0; st == VT_OK && i < e->graph->n_nodes; i++) {
        double start = e->seconds ? e->clock() : 0;
        run_node(e, i);
        if (e->seconds) e->seconds[i] += e->clock() - start;
    }
    return st;
}

const void *vt_exec_data(const vt_exec *e, const vt_tensor *t)
{
    return address(e, t);
}

void vt_exec_read(vt_exec *e, const vt_tensor *t, float *out)
{
    vt_device *d = e->workspace->device;
    int64_t n = vt_tensor_count(t);
    if (t->dtype == VT_F32) {
        d->backend->read(d, address(e, t), out, (size_t)n * sizeof *out);
        return;
    }
    double block[64];
    const char *at = address(e, t);
    for (int64_t i = 0; i < n; i += 64) {
        int64_t m = n - i < 64 ? n - i : 64;
        d->backend->read(d, at + i * (int64_t)sizeof *block, block, (size_t)m * sizeof *block);
        for (int64_t k = 0; k < m; k++) out[i + k] = (float)block[k];
    }
}

static bool is_finite(vt_exec *e, const vt_tensor *t, int64_t *where)
{
    vt_device *d = e->workspace->device;
    size_t each = vt_dtype_bytes(t->dtype);
    unsigned char block[512];
    const char *at = address(e, t);
    int64_t n = vt_tensor_count(t), step = (int64_t)(sizeof block / each);
    for (int64_t i = 0; i < n; i += step) {
        int64_t m = n - i < step ? n - i : step;
        d->backend->read(d, at + i * (int64_t)each, block, (size_t)m * each);
        for (int64_t k = 0; k < m; k++) {
            double v = t->dtype == VT_F32 ? ((float *)block)[k] : ((double *)block)[k];
            *where = i + k;
            if (!isfinite(v)) return false;
        }
    }
    return true;
}

vt_status vt_exec_run_checked(vt_exec *e)
{
    vt_status st = check_bound(e);
    if (st) return st;
    for (int i = 0; i < e->graph->n_nodes; i++) {
        const vt_node *n = e->graph->nodes[i];
        run_node(e, i);
        for (int k = 0; k < n->n_out; k++) {
            const vt_tensor *t = n->out[k];
            char shape[96];
            int64_t at;
            if (!t || (t->dtype != VT_F32 && t->dtype != VT_F64) || is_finite(e, t, &at)) continue;
            return vt_fail(VT_FAILED, "op %s (%s) made a value that is not finite: tensor %s %s, element %lld", n->name,
                           n->op->name, t->name, vt_shape_text(t, shape, sizeof shape), (long long)at);
        }
    }
    return VT_OK;
}
