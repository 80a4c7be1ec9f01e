/* base/safetensors.h - the one file format of weights.
 *
 *     8 bytes   length of the header, little-endian
 *     header    JSON: {"__metadata__": {string: string}, "NAME": {"dtype", "shape", "data_offsets": [begin, end]}, …}
 *     data      the tensors without gaps, little-endian, row-major; offsets count from here */
#ifndef VT_BASE_SAFETENSORS_H
#define VT_BASE_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/dtype.h"
#include "base/file.h"
#include "base/status.h"

enum { VT_SAFETENSORS_DIMS = 8 };

typedef struct vt_metadata {
    const char *key, *value;
} vt_metadata;

typedef struct vt_safetensor {
    const char *name;
    vt_dtype dtype;
    int ndim;
    int64_t shape[VT_SAFETENSORS_DIMS];
    int64_t count; /* elements */
    size_t bytes;
    const void *data; /* in the file's pages, and perhaps not aligned: memcpy it */
} vt_safetensor;

/* An open file. Everything in it was checked; it can be read from several threads. */
typedef struct vt_safetensors {
    const char *path;
    int count, metadata_count;
    const vt_safetensor *tensors; /* [count], sorted by name */
    const vt_metadata *metadata;  /* [metadata_count], sorted by key */
    vt_arena arena;
    vt_file file;
} vt_safetensors;

/* VT_INVALID for a file that breaks the format in any way: cut off, overlapping, of unknown dtype, … */
vt_status vt_safetensors_open(vt_safetensors *file, const char *path);
void vt_safetensors_close(vt_safetensors *file); /* all zeros is allowed */

const vt_safetensor *vt_safetensors_find(const vt_safetensors *file, const char *name); /* NULL: none */
const char *vt_safetensors_metadata(const vt_safetensors *file, const char *key);       /* NULL: none */
void vt_safetensor_to_float(const vt_safetensor *tensor, float *out); /* out [count]; from any dtype, BOOL as 0 and 1 */

/* A tensor to be written: `data`, or where that is NULL `produce`, which puts exactly its bytes, in as many pieces as
 * it likes, so that device memory or another layout needs no second copy of the whole. */
typedef struct vt_save_tensor {
    const char *name;
    vt_dtype dtype;
    int ndim;
    int64_t shape[VT_SAFETENSORS_DIMS];
    const void *data;
    vt_status (*produce)(void *arg, vt_writer *out);
    void *arg;
} vt_save_tensor;

/* Atomic and durable (base/file.h). Adds "format": "pt" to the metadata; keys are sorted; the data begin at a multiple
 * of 8 bytes with the widest dtype first, so that every tensor is aligned to its elements. */
vt_status vt_safetensors_write(const char *path, const vt_save_tensor *tensors, int count, const vt_metadata *metadata,
                               int metadata_count);

#endif
