/* graph/backend.h - what executes a graph. A backend is one vtable; a device is a backend opened with its options.
 *
 * Memory that a device gives out is its own ("device memory"): the host reads and writes it through read and write
 * alone. */
#ifndef VT_GRAPH_BACKEND_H
#define VT_GRAPH_BACKEND_H

#include "base/text.h"
#include "graph/graph.h"

typedef struct vt_device vt_device;

typedef struct vt_device_options {
    const char *name;     /* "cpu", "cuda" */
    const char *cpu;      /* code path: "auto", "avx512", "avx2", "plain" (portable fast bodies), "reference" */
    int threads;          /* 0: vt_pool_default_threads() */
    const char *precision; /* "fp32", "bf16", "tf32"; NULL: fp32 */
    const char *residual;  /* of the residual stream beside bf16 activations: "fp32", "bf16"; NULL: fp32 */
} vt_device_options;

enum { VT_RING = 2 };
typedef struct vt_copy { /* between host and device */
    void *to;
    const void *from;
    size_t bytes;
} vt_copy;

typedef struct vt_room { /* device memory that nobody uses before a graph's first run */
    void *memory, *scratch;
    size_t bytes; /* of memory; scratch is what the graph's nodes asked for */
} vt_room;

typedef struct vt_backend {
    const char *name;
    vt_status (*answers)(void); /* whether there is such a device; a failure says why not */
    vt_status (*open)(vt_device *device, const vt_device_options *options);
    void (*close)(vt_device *device);
    vt_status (*alloc)(vt_device *device, size_t bytes, void **data); /* zeroed */
    void (*free)(vt_device *device, void *data);
    void (*write)(vt_device *device, void *data, const void *host, size_t bytes);
    void (*read)(vt_device *device, const void *data, void *host, size_t bytes);
    vt_body (*body)(const vt_device *device, const vt_node *n);       /* never NULL */
    size_t (*scratch)(const vt_device *device, const vt_node *n);     /* bytes that body wants */

    /* Where bodies only queue work (all NULL on the CPU). prepare: what a graph needs before its first run, in room of
     * at least `room` bytes. A run's inputs lie in one of VT_RING slots of device memory: begin queues their copies,
     * after the run that used the slot last; run queues the recorded bodies behind them, and then the copies of results
     * to pinned memory. */
    size_t (*room)(const vt_device *device, const vt_graph *graph);
    vt_status (*prepare)(vt_device *device, const vt_graph *graph, const vt_room *room);
    vt_status (*begin)(vt_device *device, int slot, const vt_copy *uploads, int n);
    vt_status (*record)(vt_device *device, void (*bodies)(void *arg), void *arg, void **recording);
    vt_status (*run)(vt_device *device, int slot, void *recording, const vt_copy *results, int n);
    vt_status (*wait)(vt_device *device, int slot);  /* for the slot's last run and its results */
    /* Host memory that copies from and to need no detour: for results and batches. Aligned to VT_ALIGN. */
    vt_status (*pin)(vt_device *device, size_t bytes, void **host);
    void (*unpin)(vt_device *device, void *host);
    void (*discard)(vt_device *device, void *recording);
    vt_status (*finish)(vt_device *device); /* waits; the first failure since the last call, naming its op */
    /* Runs a recording once, then `runs` times without a pause; seconds [runs] of each by the device's clock. */
    vt_status (*time)(vt_device *device, void *recording, int runs, double *seconds);
    /* Queues n bodies without a pause and waits; adds the seconds of each by the device's clock to seconds [n]. */
    vt_status (*laps)(vt_device *device, void (*body)(void *arg, int i), void *arg, int n, double *seconds);

    /* What was chosen by timing and changes results in their last bits, as text, and taken from such text: before the
     * graphs that it is for are made. VT_INVALID: of another device, or damaged. NULL: there is nothing of the kind. */
    vt_status (*choices)(vt_device *device, vt_text *text);
    vt_status (*adopt)(vt_device *device, const char *text);
} vt_backend;

/* The backends of this build, best first; ends with NULL. */
extern const vt_backend *const vt_backends[];

struct vt_device {
    const vt_backend *backend;
    struct vt_pool *pool;
    const char *path;     /* the code path in use: the same bits are promised within one */
    char about[128];      /* for people: "cpu (avx2, 2 threads)" */
    size_t cache_bytes;   /* of its last-level cache; 0: not known */
    int threads;          /* of the host: the pool's, or as many as there are processors */
    size_t memory_bytes, taken_bytes; /* of its own memory: all, and what others than vitc have once it is open (driver,
                                       * context, libraries, other processes); 0: the host's, or not known */
    vt_precision precision; /* of its graphs */
    const void *state;    /* the backend's own */
};

/* Runs that may be queued before the first of them is waited for. */
static inline int vt_device_depth(const vt_device *d)
{
    return d->backend->begin ? VT_RING : 1;
}

vt_status vt_device_open(vt_device **device, const vt_device_options *options);
void vt_device_close(vt_device *device);

#endif
