/* graph/exec.h - a planned graph bound to a device and ready to run. Nothing is allocated after vt_exec_create. */
#ifndef VT_GRAPH_EXEC_H
#define VT_GRAPH_EXEC_H

#include "graph/backend.h"

/* Activations, shared by the graphs of a device that never run at the same time. */
typedef struct vt_workspace {
    vt_device *device;
    void *data, *scratch;
    size_t bytes, scratch_bytes;
} vt_workspace;

typedef struct vt_exec vt_exec;

/* Puts a store's slab on the device, zeroed, and that of its low one where the device's activations are of its dtype;
 * vt_store_unbind frees them. */
vt_status vt_store_bind(vt_store *store, vt_device *device);
void vt_store_unbind(vt_store *store, vt_device *device);
/* Elements [at, at + n) of an entry, in memory layout. */
void vt_store_write(const vt_store *store, vt_device *device, int entry, int64_t at, const void *values, int64_t n);
/* Both bound, with the same entries: an EMA begins as a copy of the parameters. */
void vt_store_copy(vt_store *to, const vt_store *from, vt_device *device);

/* Plans nothing: the graph is planned, its stores are bound. The workspace grows to what the graph needs; what was in
 * it is lost. */
vt_status vt_exec_create(vt_exec **exec, vt_graph *graph, vt_workspace *workspace);
void vt_exec_destroy(vt_exec *exec);
void vt_workspace_free(vt_workspace *workspace);

/* What vt_exec_create will ask for. */
size_t vt_exec_workspace_bytes(const vt_graph *graph, const vt_device *device);
size_t vt_exec_scratch_bytes(const vt_graph *graph, const vt_device *device);
size_t vt_exec_slot_bytes(const vt_graph *graph);
/* Of all slots; 0: inputs are read where they are bound. */
size_t vt_exec_ring_bytes(const vt_device *device, size_t slot_bytes);

/* The host memory that an input is read from at each run. An unknown name is ignored: a graph without labels takes
 * none. */
void vt_exec_bind(vt_exec *exec, const char *input, const void *host);
void vt_exec_bind_tensor(vt_exec *exec, const vt_tensor *input, const void *host); /* the same, without a search */
/* May return before the device is done; whatever reads a tensor or a store waits. */
vt_status vt_exec_run(vt_exec *exec);

/* From now on each run adds the seconds of node i to seconds[i] [n_nodes]: by the device's clock, where bodies run at
 * once by `clock`; NULL: no more. */
void vt_exec_time(vt_exec *exec, double (*clock)(void), double *seconds);

/* Numbers [1] that each run leaves for the host, which need not wait for later runs to read them. */
enum { VT_WATCHED = 4 };
vt_status vt_exec_watch(vt_exec *exec, const vt_tensor *const *numbers, int n);
/* Those of the last run (back 0) or, where the device has a ring, of one before; waits for that run alone. */
vt_status vt_exec_watched(vt_exec *exec, int back, float values[VT_WATCHED]);

/* Runs n times and once more with the inputs that the last run had; seconds [n] of each: by the device's clock, copies
 * of inputs not among them, and, where bodies run at once, by `clock`. What runs change in stores, these do too. */
vt_status vt_exec_replay(vt_exec *exec, int n, double (*clock)(void), double *seconds);

/* As vt_exec_run with the inputs that a run had, counted as above, looking at each output: stops at the first that is
 * not finite and names op and tensor in a failure. */
vt_status vt_exec_run_checked(vt_exec *exec, int back);

/* Copies a kept tensor or a store's to the host, as float. */
void vt_exec_read(vt_exec *exec, const vt_tensor *t, float *out);
const void *vt_exec_data(const vt_exec *exec, const vt_tensor *t); /* device memory */

#endif
