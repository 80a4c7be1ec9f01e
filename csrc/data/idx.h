/* data/idx.h - the IDX format of MNIST: 0 0 type dims, then dims sizes (big-endian 32 bits), then the elements.
 * Here the type is always 8, unsigned bytes. */
#ifndef VT_DATA_IDX_H
#define VT_DATA_IDX_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum { VT_IDX_MAX_DIMS = 3 };

typedef struct vt_idx {
    uint32_t dim[VT_IDX_MAX_DIMS]; /* those beyond dims are 1 */
    size_t size;                   /* product of the dims */
    const uint8_t *data;           /* [dim 0, dim 1, dim 2]: in the input, or in `inflated` */
    uint8_t *inflated;             /* NULL if the input was plain; else for the caller to vt_free */
} vt_idx;

/* Parses a whole file, plain or gzip by its first bytes. The header is believed only as far as the input bears it out:
 * a plain file must have exactly the size it promises, and a gzip file is inflated into a buffer that grows with what
 * comes out. */
vt_status vt_idx_parse(const uint8_t *bytes, size_t size, int dims, vt_idx *idx);

#endif
