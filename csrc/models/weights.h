/* models/weights.h - a store's entries to and from safetensors, by timm's names and in timm's layout. */
#ifndef VT_MODELS_WEIGHTS_H
#define VT_MODELS_WEIGHTS_H

#include "base/safetensors.h"
#include "base/text.h"
#include "graph/backend.h"

/* Fills every entry of a bound store with its initial values. */
vt_status vt_weights_initialise(const vt_store *store, vt_device *device, uint64_t seed);

/* Reads tensor PREFIX.NAME (NAME alone where prefix is "") of every entry; each must be there in its shape. Tensors of
 * the file that no entry asks for are let be when `extra_prefixes` (a NULL-ended list, or NULL for none) names how
 * they begin. */
vt_status vt_weights_load(const vt_store *store, vt_device *device, const vt_safetensors *file, const char *prefix,
                          const char *const *extra_prefixes);

/* Appends one vt_save_tensor an entry, named PREFIX.NAME, to tensors[]; the store must stay bound until they are
 * written. `sources` [store->count] must stay too. */
typedef struct vt_weight_source {
    const vt_store *store;
    vt_device *device;
    int entry;
} vt_weight_source;
vt_status vt_weights_save(const vt_store *store, vt_device *device, const char *prefix, vt_arena *names,
                          vt_weight_source *sources, vt_save_tensor *tensors);

/* One entry's values in the file's layout, on the host; `out` [count]. */
vt_status vt_weights_read_entry(const vt_store *store, vt_device *device, int entry, float *out);

/* --- for csrc/models/finetune.c --- */

int64_t vt_weights_largest(const vt_store *store); /* elements of its largest entry, at least 1 */
bool vt_weights_same_shape(const vt_entry *entry, const vt_safetensor *tensor);
const char *vt_weights_shape(const int64_t *shape, int ndim, char *text, size_t bytes); /* "[1, 197, 192]" */
/* VT_INVALID: the tensor's shape is not the entry's. */
vt_status vt_weights_mismatch(const vt_safetensors *file, const vt_entry *entry, const vt_safetensor *tensor,
                              const char *what_to_do);
/* values in the file's layout; scratch of the same size */
void vt_weights_put_entry(const vt_store *store, vt_device *device, int entry, const float *values, float *scratch);

#endif
