/* graph/store.h - what outlives a step: parameters, optimizer moments, the EMA, buffers.
 *
 * A store is a list of named entries in one slab. The model's builder declares the entries (vt_param in nn/ does it on
 * the first build and finds them on later ones), so a store knows its bytes before anything is allocated. Stores made
 * by vt_store_like have the same entries at the same offsets: exp_avg of entry i lies where parameter i lies.
 *
 * A store of parameters has a low one: what GEMMs read of it, rounded to bf16. It is bound with its store where the
 * device's activations are bf16, and true from then on: the host changes a bound store through vt_store_write
 * (graph/exec.h), a graph through an optimizer, and each of them writes both.
 *
 * An entry has a file layout (timm's names and axis order) and a memory layout, joined by a permutation of axes that
 * loading, saving, tracing and export go through. */
#ifndef VT_GRAPH_STORE_H
#define VT_GRAPH_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/dtype.h"
#include "base/status.h"

enum { VT_MAX_DIMS = 6 };

typedef enum vt_init {
    VT_INIT_CONSTANT,
    VT_INIT_NORMAL,  /* timm's trunc_normal_: cut at +-2, which a std of 0.02 never meets */
    VT_INIT_UNIFORM, /* on (-bound, bound) */
} vt_init;

typedef struct vt_entry {
    const char *name;              /* timm's */
    int ndim;
    int64_t shape[VT_MAX_DIMS];    /* in memory */
    int file_axis[VT_MAX_DIMS];    /* memory axis i is axis file_axis[i] of the file's shape */
    int64_t count, offset;         /* elements; offset from the slab's start, a multiple of VT_ALIGN bytes */
    vt_init init;
    float init_value;              /* constant: the value; normal: std; uniform: the bound */
    bool decay;                    /* weight decay applies ... */
    bool undecayed;                /* ... unless a run spares it */
    bool gemm;                     /* read by GEMMs, in the activations' dtype */
    bool frozen;                   /* not trained: no gradient, no moments */
    int layer;                     /* for rates by depth: 0 the embedding, i + 1 block i, then the head */
} vt_entry;

typedef struct vt_store {
    const char *role;              /* "param", "exp_avg", …: for messages and tables */
    vt_dtype dtype;                /* of every entry */
    vt_entry *entries;
    int count, capacity;
    int64_t elements;              /* of the slab, padding included */
    void *data;                    /* the slab, on the device; NULL until vt_store_bind */
    const struct vt_store *like;   /* owns the entries, when not this store */
    struct vt_store *low;          /* its own; NULL: none */
    bool derived;                  /* from another store: its tensors are named ROLE.NAME */
    vt_arena arena;                /* names */
} vt_store;

void vt_store_init(vt_store *store, const char *role, vt_dtype dtype);
void vt_store_like(vt_store *store, const char *role, const vt_store *of);
/* The same of those entries that are not frozen. */
vt_status vt_store_trained(vt_store *store, const char *role, const vt_store *of);
/* Gives a store whose entries are all there its low one: entry i of either is the same; those that GEMMs do not read
 * have no elements in it. */
vt_status vt_store_lower(vt_store *store, vt_dtype dtype);
void vt_store_free(vt_store *store); /* not the slab: its device owns it */

/* Adds an entry; name and shape are copied. `entry->file_axis` all zeros means the identity. */
vt_status vt_store_add(vt_store *store, const vt_entry *entry, int *index);
int vt_store_find(const vt_store *store, const char *name); /* -1: none */
/* The initial values of an entry, in memory layout: a function of seed and name alone. */
void vt_entry_initialise(const vt_entry *entry, uint64_t seed, float *values);
size_t vt_store_bytes(const vt_store *store); /* of its own slab */
size_t vt_store_low_bytes(const vt_store *store, vt_dtype activations); /* of the low one's, where it is bound */
int64_t vt_store_parameters(const vt_store *store); /* elements without padding */

void vt_entry_file_shape(const vt_entry *entry, int64_t shape[VT_MAX_DIMS]);
/* Copies one entry's elements (of `bytes` each) between the layouts. */
void vt_entry_to_file(const vt_entry *entry, const void *memory, void *file, size_t bytes);
void vt_entry_from_file(const vt_entry *entry, const void *file, void *memory, size_t bytes);

#endif
