#include "graph/exec.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/pool.h"

struct vt_exec {
    vt_graph *graph;
    vt_workspace *workspace;
    vt_body *bodies;     /* [n_nodes] */
    const void **host;   /* [n_tensors]: where an input was bound */
    void **pointers;     /* the longest node's in and out */
    double (*clock)(void);
    double *seconds;     /* [n_nodes], the caller's; NULL: not timed */
    /* Where the device has memory of its own: */
    size_t *place;       /* [n_tensors]: an input's offset in a slot */
    vt_copy *uploads;    /* [n_inputs] */
    void *slots;         /* device memory, VT_RING times slot_bytes; NULL: inputs are read where they are bound */
    size_t slot_bytes;
    void *recordings[VT_RING], *recorded[2]; /* with the workspace's addresses that they hold */
    int n_inputs, slot;  /* slot: of the last run */
    const vt_tensor *watched[VT_WATCHED];
    float *seen;         /* [VT_RING, VT_WATCHED]; pinned, where the device pins */
    int n_watched;
};

size_t vt_exec_scratch_bytes(const vt_graph *graph, const vt_device *device)
{
    size_t most = 0;
    for (int i = 0; i < graph->n_nodes; i++) {
        size_t bytes = device->backend->scratch(device, graph->nodes[i]);
        if (bytes > most) most = bytes;
    }
    return most;
}

size_t vt_exec_workspace_bytes(const vt_graph *graph, const vt_device *device)
{
    size_t room = device->backend->room ? device->backend->room(device, graph) : 0;
    return room > graph->workspace_bytes ? room : graph->workspace_bytes;
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

static size_t place_bytes(const vt_tensor *t)
{
    return t->memory == VT_INPUT ? (vt_tensor_bytes(t) + VT_ALIGN - 1) / VT_ALIGN * VT_ALIGN : 0;
}

size_t vt_exec_slot_bytes(const vt_graph *graph)
{
    size_t bytes = 0;
    for (int i = 0; i < graph->n_tensors; i++) bytes += place_bytes(graph->tensors[i]);
    return bytes;
}

size_t vt_exec_ring_bytes(const vt_device *device, size_t slot_bytes)
{
    return device->backend->begin ? VT_RING * slot_bytes + VT_ALIGN : 0;
}

/* Offsets of the inputs within a slot, and the slots. */
static vt_status make_ring(vt_exec *e)
{
    vt_device *d = e->workspace->device;
    for (int i = 0; i < e->graph->n_tensors; i++) {
        const vt_tensor *t = e->graph->tensors[i];
        if (t->memory != VT_INPUT) continue;
        e->place[i] = e->slot_bytes;
        e->slot_bytes += place_bytes(t);
        e->n_inputs++;
    }
    e->uploads = vt_alloc(((size_t)e->n_inputs + 1) * sizeof *e->uploads);
    if (!e->uploads) return vt_fail_memory("executor");
    return d->backend->alloc(d, vt_exec_ring_bytes(d, e->slot_bytes), &e->slots);
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
    e->host = vt_alloc(((size_t)graph->n_tensors + 1) * sizeof *e->host);
    e->place = vt_alloc(((size_t)graph->n_tensors + 1) * sizeof *e->place);
    e->pointers = vt_alloc((size_t)most * sizeof *e->pointers);
    if (!e->bodies || !e->host || !e->place || !e->pointers) {
        st = vt_fail_memory("executor");
        goto fail;
    }
    vt_device *d = workspace->device;
    VT_TRY(reserve(d, &workspace->data, &workspace->bytes, vt_exec_workspace_bytes(graph, d)));
    VT_TRY(reserve(d, &workspace->scratch, &workspace->scratch_bytes, vt_exec_scratch_bytes(graph, d)));
    if (d->backend->begin) VT_TRY(make_ring(e));
    for (int i = 0; i < graph->n_nodes; i++) e->bodies[i] = d->backend->body(d, graph->nodes[i]);
    vt_room room = {workspace->data, workspace->scratch, workspace->bytes};
    if (d->backend->prepare) VT_TRY(d->backend->prepare(d, graph, &room));
    *exec = e;
    return VT_OK;
fail:
    vt_exec_destroy(e);
    return st;
}

static void discard_recordings(vt_exec *e)
{
    vt_device *d = e->workspace->device;
    for (int i = 0; i < VT_RING; i++) {
        if (e->recordings[i]) d->backend->discard(d, e->recordings[i]);
        e->recordings[i] = NULL;
    }
}

void vt_exec_destroy(vt_exec *e)
{
    if (!e) return;
    vt_device *d = e->workspace->device;
    discard_recordings(e);
    if (e->slots) d->backend->free(d, e->slots);
    if (e->seen && d->backend->unpin) d->backend->unpin(d, e->seen);
    else vt_free(e->seen);
    vt_free(e->bodies);
    vt_free(e->host);
    vt_free(e->place);
    vt_free(e->uploads);
    vt_free(e->pointers);
    vt_free(e);
}

void vt_exec_bind(vt_exec *e, const char *input, const void *host)
{
    const vt_tensor *t = vt_graph_find_input(e->graph, input);
    if (t) vt_exec_bind_tensor(e, t, host);
}

void vt_exec_bind_tensor(vt_exec *e, const vt_tensor *input, const void *host)
{
    e->host[input->id] = host;
}

static void *address(const vt_exec *e, const vt_tensor *t)
{
    if (!t) return NULL;
    switch (t->memory) {
    case VT_INPUT:
        if (!e->slots) return (void *)e->host[t->id]; /* inputs are only read */
        return (char *)e->slots + (size_t)e->slot * e->slot_bytes + e->place[t->id];
    case VT_STORED:
        return (char *)t->store->data + (size_t)t->store->entries[t->entry].offset * vt_dtype_bytes(t->dtype);
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
        if (t->memory == VT_INPUT && !e->host[i]) return vt_fail(VT_INVALID, "graph input %s was not given", t->name);
    }
    return VT_OK;
}

void vt_exec_time(vt_exec *e, double (*clock)(void), double *seconds)
{
    e->clock = clock;
    e->seconds = seconds;
}

static void run_nodes(void *exec)
{
    vt_exec *e = exec;
    for (int i = 0; i < e->graph->n_nodes; i++) run_node(e, i);
}

static void run_lap(void *exec, int i)
{
    run_node(exec, i);
}

/* Each node by itself. */
static vt_status run_timed(vt_exec *e)
{
    vt_device *d = e->workspace->device;
    if (d->backend->laps) return d->backend->laps(d, run_lap, e, e->graph->n_nodes, e->seconds);
    for (int i = 0; i < e->graph->n_nodes; i++) {
        double start = e->clock();
        run_node(e, i);
        e->seconds[i] += e->clock() - start;
    }
    return VT_OK;
}

/* Queues the inputs' copies into the next slot. */
static vt_status begin(vt_exec *e)
{
    vt_device *d = e->workspace->device;
    vt_status st = check_bound(e);
    if (st || !e->slots) return st;
    int n = 0;
    e->slot = (e->slot + 1) % VT_RING;
    for (int i = 0; i < e->graph->n_tensors; i++) {
        const vt_tensor *t = e->graph->tensors[i];
        if (t->memory == VT_INPUT) e->uploads[n++] = (vt_copy){address(e, t), e->host[i], vt_tensor_bytes(t)};
    }
    return d->backend->begin(d, e->slot, e->uploads, n);
}

/* The recording of the slot in use. The workspace may have grown, and moved, since others were made. */
static vt_status recording_of(vt_exec *e, void **recording)
{
    vt_workspace *w = e->workspace;
    if (e->recorded[0] != w->data || e->recorded[1] != w->scratch) discard_recordings(e);
    e->recorded[0] = w->data;
    e->recorded[1] = w->scratch;
    *recording = e->recordings[e->slot];
    if (*recording) return VT_OK;
    vt_status st = w->device->backend->record(w->device, run_nodes, e, &e->recordings[e->slot]);
    *recording = e->recordings[e->slot];
    return st;
}

vt_status vt_exec_run(vt_exec *e)
{
    vt_device *d = e->workspace->device;
    vt_status st = begin(e);
    if (st) return st;
    float *seen = e->seen ? e->seen + e->slot * VT_WATCHED : NULL;
    if (e->seconds || !e->slots) {
        if (e->seconds) st = run_timed(e);
        else run_nodes(e);
        for (int i = 0; st == VT_OK && i < e->n_watched; i++) vt_exec_read(e, e->watched[i], &seen[i]);
        return st;
    }
    vt_copy results[VT_WATCHED];
    for (int i = 0; i < e->n_watched; i++)
        results[i] = (vt_copy){&seen[i], address(e, e->watched[i]), sizeof *seen};
    void *recording;
    st = recording_of(e, &recording);
    return st ? st : d->backend->run(d, e->slot, recording, results, e->n_watched);
}

vt_status vt_exec_watch(vt_exec *e, const vt_tensor *const *numbers, int n)
{
    vt_device *d = e->workspace->device;
    size_t bytes = VT_RING * VT_WATCHED * sizeof *e->seen;
    vt_status st = VT_OK;
    if (!e->seen && d->backend->pin) st = d->backend->pin(d, bytes, (void **)&e->seen);
    else if (!e->seen && !(e->seen = vt_alloc(bytes))) st = vt_fail_memory("executor");
    for (int i = 0; i < n; i++) e->watched[i] = numbers[i];
    e->n_watched = st ? 0 : n;
    return st;
}

static int slot_of(const vt_exec *e, int back)
{
    return e->slots ? (e->slot + VT_RING - back) % VT_RING : 0;
}

vt_status vt_exec_watched(vt_exec *e, int back, float values[VT_WATCHED])
{
    vt_device *d = e->workspace->device;
    int slot = slot_of(e, back);
    vt_status st = d->backend->wait ? d->backend->wait(d, slot) : VT_OK;
    for (int i = 0; st == VT_OK && i < e->n_watched; i++) values[i] = e->seen[slot * VT_WATCHED + i];
    return st;
}

vt_status vt_exec_replay(vt_exec *e, int n, double (*clock)(void), double *seconds)
{
    vt_device *d = e->workspace->device;
    vt_status st = check_bound(e);
    void *recording;
    if (st) return st;
    if (e->slots) {
        st = recording_of(e, &recording);
        return st ? st : d->backend->time(d, recording, n, seconds);
    }
    run_nodes(e);
    for (int i = 0; i < n; i++) {
        double start = clock();
        run_nodes(e);
        seconds[i] = clock() - start;
    }
    return VT_OK;
}

const void *vt_exec_data(const vt_exec *e, const vt_tensor *t)
{
    return address(e, t);
}

/* Elements of a float tensor as double, a block at a time. */
enum { BLOCK = 1 << 13 };

static void to_double(vt_dtype dtype, const void *block, int64_t n, double *out)
{
    for (int64_t i = 0; i < n; i++) {
        union { uint32_t bits; float f; } half = {dtype == VT_BF16 ? (uint32_t)((const uint16_t *)block)[i] << 16 : 0};
        out[i] = dtype == VT_F64 ? ((const double *)block)[i] : dtype == VT_F32 ? ((const float *)block)[i] : half.f;
    }
}

static int64_t read_block(vt_exec *e, const vt_tensor *t, int64_t first, double out[BLOCK])
{
    vt_device *d = e->workspace->device;
    double raw[BLOCK]; /* the widest dtype's */
    int64_t left = vt_tensor_count(t) - first, n = left < BLOCK ? left : BLOCK;
    size_t each = vt_dtype_bytes(t->dtype);
    d->backend->read(d, (const char *)address(e, t) + (size_t)first * each, raw, (size_t)n * each);
    to_double(t->dtype, raw, n, out);
    return n;
}

void vt_exec_read(vt_exec *e, const vt_tensor *t, float *out)
{
    vt_device *d = e->workspace->device;
    double block[BLOCK];
    if (t->dtype == VT_F32) {
        d->backend->read(d, address(e, t), out, vt_tensor_bytes(t));
        return;
    }
    for (int64_t i = 0, n; i < vt_tensor_count(t); i += n) {
        n = read_block(e, t, i, block);
        for (int64_t k = 0; k < n; k++) out[i + k] = (float)block[k];
    }
}

static bool is_finite(vt_exec *e, const vt_tensor *t, int64_t *where)
{
    double block[BLOCK];
    for (int64_t i = 0, n; i < vt_tensor_count(t); i += n) {
        n = read_block(e, t, i, block);
        for (int64_t k = 0; k < n; k++) {
            *where = i + k;
            if (!isfinite(block[k])) return false;
        }
    }
    return true;
}

static bool is_float(const vt_tensor *t)
{
    return t && (t->dtype == VT_F32 || t->dtype == VT_F64 || t->dtype == VT_BF16);
}

vt_status vt_exec_run_checked(vt_exec *e, int back)
{
    vt_status st = check_bound(e);
    if (st) return st;
    e->slot = slot_of(e, back);
    for (int i = 0; i < e->graph->n_nodes; i++) {
        const vt_node *n = e->graph->nodes[i];
        run_node(e, i);
        for (int k = 0; k < n->n_out; k++) {
            const vt_tensor *t = n->out[k];
            char shape[96];
            int64_t at;
            if (!is_float(t) || is_finite(e, t, &at)) continue;
            return vt_fail(VT_FAILED, "op %s (%s) made a value that is not finite: tensor %s %s, element %lld", n->name,
                           n->op->name, t->name, vt_shape_text(t, shape, sizeof shape), (long long)at);
        }
    }
    return VT_OK;
}
