/* data/loader_batch.h - how the arrays of a micro-batch lie in memory. */
#ifndef VT_DATA_LOADER_BATCH_H
#define VT_DATA_LOADER_BATCH_H

#include "data/loader.h"

/* Where the arrays begin, each aligned to VT_ALIGN, in bytes; images come first. 0: there is none. */
typedef struct vt_batch_layout {
    size_t labels, samples, repeats, slots, boxes, where, weights, bytes;
} vt_batch_layout;

vt_batch_layout vt_batch_layout_of(const vt_loader_options *options);
/* The batch whose memory begins at p. */
vt_batch vt_batch_at(char *p, const vt_batch_layout *layout);

#endif
