/* train/ledger.h - what a step takes, before anything runs: parameters, FLOPs and bytes, read off the step's graph. */
#ifndef VT_TRAIN_LEDGER_H
#define VT_TRAIN_LEDGER_H

#include "base/text.h"
#include "data/loader.h"
#include "train/trainer.h"

/* The slabs, cut so that the classes add up to their sum. The workspace is one slab for activations and gradients; it
 * is cut at its fullest moment. */
typedef enum vt_ledger_class {
    VT_BYTES_PARAMETERS,
    VT_BYTES_COPIES,      /* in bf16, of those that GEMMs read */
    VT_BYTES_OPTIMIZER,   /* AdamW's two moments */
    VT_BYTES_EMA,
    VT_BYTES_STATE,       /* the flag of rule 5, class weights */
    VT_BYTES_TEACHER,     /* its weights; what it computes is among the activations */
    VT_BYTES_ACTIVATIONS, /* workspace: made by the forward pass, or by recomputation */
    VT_BYTES_GRADIENTS,   /* workspace: made by the backward pass */
    VT_BYTES_GAPS,        /* workspace: alignment, and holes between buffers */
    VT_BYTES_SCRATCH,     /* the backend's, for the op that wants most */
    VT_BYTES_INPUTS,      /* a device with memory of its own: the ring of step inputs */
    VT_BYTES_EVALUATION,  /* likewise, those of the evaluation graphs; their workspace is the step's */
    VT_BYTES_LOADER,      /* the ring of micro-batches, where the device's memory is the host's */
    VT_BYTES_CLASSES
} vt_ledger_class;
extern const char *const vt_ledger_class_name[VT_BYTES_CLASSES];

typedef struct vt_ledger {
    int64_t parameters;         /* trainable elements */
    int64_t images;             /* of a step */
    double flops_forward;       /* of the step's images; GEMMs and attention products, multiply-add = 2 */
    double flops_step;          /* forward and backward, recomputation not counted */
    double flops_recomputed;
    size_t bytes[VT_BYTES_CLASSES];
    size_t host;                /* the ring of micro-batches, where the device has memory of its own */
    size_t taken, memory;       /* of that memory: what others have (vt_device), all; 0: not known */
    size_t workspace;           /* activations + gradients + gaps */
    size_t peak;                /* the sum of all classes */
    char fullest[128];          /* the node at which the workspace is */
} vt_ledger;

/* Plans a step of `model` and reads it; no slab is allocated. `loading` NULL: images come from nowhere, and nothing is
 * evaluated. */
vt_status vt_ledger_read(vt_ledger *ledger, const vt_model_config *model, const vt_train_options *options,
                         const vt_device *device, const vt_loader_options *loading);

/* What vt_ledger_fit may change, and what it chose. */
typedef struct vt_fit {
    int batch_size, accumulation;  /* of the recipe: they stay */
    vt_train_options options;      /* batch_size (a micro-batch), micro_batches and recompute are chosen */
    vt_ledger ledger;
} vt_fit;

/* The settings that fit into `bytes`, fastest first: large micro-batches, then recomputation, then small micro-batches
 * (a step of micro-batches under 8 images wastes more than recomputation does). VT_FAILED: nothing fits. */
vt_status vt_ledger_fit(vt_fit *fit, size_t bytes, const vt_model_config *model, const vt_device *device,
                        const vt_loader_options *loading);

/* FLOPs of a graph's nodes that are not copies made for recomputation, and of those. */
vt_status vt_graph_flops(const vt_graph *graph, double *flops, double *recomputed);

void vt_ledger_table(vt_text *text, const vt_ledger *ledger);
void vt_ledger_json(vt_text *text, const vt_ledger *ledger); /* the members of an object, without its braces */

#endif
