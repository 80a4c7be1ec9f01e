/* graph/backend.h - what executes a graph. A backend is one vtable; a device is a backend opened with its options.
 *
 * Memory that a device gives out is its own ("device memory"): the host reads and writes it through read and write
 * alone. */
#ifndef VT_GRAPH_BACKEND_H
#define VT_GRAPH_BACKEND_H

#include "graph/graph.h"

typedef struct vt_device vt_device;

typedef struct vt_device_options {
    const char *name;     /* "cpu" */
    const char *cpu;      /* code path: "auto", "avx512", "avx2", "plain" (portable fast bodies), "reference" */
    int threads;          /* 0: vt_pool_default_threads() */
} vt_device_options;

typedef struct vt_backend {
    const char *name;
    vt_status (*open)(vt_device *device, const vt_device_options *options);
    void (*close)(vt_device *device);
    vt_status (*alloc)(vt_device *device, size_t bytes, void **data); /* zeroed */
    void (*free)(vt_device *device, void *data);
    void (*write)(vt_device *device, void *data, const void *host, size_t bytes);
    void (*read)(vt_device *device, const void *data, void *host, size_t bytes);
    vt_body (*body)(const vt_device *device, const vt_node *n);       /* never NULL */
    size_t (*scratch)(const vt_device *device, const vt_node *n);     /* bytes that body wants */
} vt_backend;

struct vt_device {
    const vt_backend *backend;
    struct vt_pool *pool;
    const char *path;     /* the code path in use: the same bits are promised within one */
    const void *state;    /* the backend's own */
};

vt_status vt_device_open(vt_device **device, const vt_device_options *options);
void vt_device_close(vt_device *device);

#endif
