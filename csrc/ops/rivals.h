/* ops/rivals.h - other implementations of attention, which `vitc bench attention` times beside the ops' own bodies. */
#ifndef VT_OPS_RIVALS_H
#define VT_OPS_RIVALS_H

#include "graph/backend.h"

enum { VT_ATTENTION_FORWARD, VT_ATTENTION_BACKWARD, VT_ATTENTION_PASSES };

/* It is given nodes of the ops attention and attention_grad and computes what they do, but for the log-sum-exp, which
 * it may leave out or keep in its own form. Biases and dropout it is not asked for. */
typedef struct vt_attention_rival {
    const char *name, *backend;
    /* What it prepares for these nodes; the second is NULL where it will not be run. A failure says what it lacks. */
    vt_status (*open)(vt_device *device, const vt_node *const nodes[VT_ATTENTION_PASSES], void **state);
    size_t (*scratch)(const void *state); /* bytes of vt_run.scratch; what forward leaves there, backward finds */
    void (*run[VT_ATTENTION_PASSES])(const void *state, const vt_run *r); /* as a vt_body */
    void (*close)(vt_device *device, void *state);
} vt_attention_rival;

/* Those of this build; ends with NULL. */
extern const vt_attention_rival *const vt_attention_rivals[];

#endif
