/* data/loader.h - from a data set to micro-batches of pixels, in the sampler's order, made ahead of time by threads.
 *
 * A ring of slots, one micro-batch each. The threads share the samples of one slot, then go on to the next; the caller
 * takes the slots in order. What stands at a position of a step depends on (seed, epoch, sample, repeat) alone: batches
 * are the same for any number of workers and after any resume.
 *
 * A sample that cannot be read stops the run, when the caller comes to its micro-batch, with the file's name. With
 * skip_bad it is instead replaced, in training, by the next sample in the data set's order that can be read (most often
 * of the same class), drawn under that sample's own key; in evaluation it counts for nothing (label -1). Which files
 * are bad does not depend on time, so neither do the batches. */
#ifndef VT_DATA_LOADER_H
#define VT_DATA_LOADER_H

#include "base/alloc.h"
#include "data/dataset.h"
#include "data/erase.h"
#include "data/mixing.h"
#include "data/sampler.h"
#include "data/transform.h"

typedef struct vt_loader vt_loader;

enum { VT_PREFETCH = 3 }; /* of training runs */

/* Where batches are kept, in place of the heap: memory that a device copies from. */
typedef struct vt_batch_memory {
    vt_status (*take)(void *of, size_t bytes, void **memory); /* VT_ALIGN-aligned */
    void (*give)(void *of, void *memory);
    void *of;
} vt_batch_memory;

typedef struct vt_loader_options {
    vt_sampler sampler;       /* `samples` is filled in from the data set */
    vt_transform transform;
    vt_erase erase;           /* in training; all zeros: none */
    vt_mixing mixing;         /* likewise */
    int micro_begin, micro_end; /* this process's micro-batches of each step: [begin, end) of 0 .. micros */
    uint32_t epoch;           /* where to begin */
    int64_t step;             /* in that epoch; its number of steps means the next epoch */
    uint32_t epochs;          /* ends before this epoch */
    int workers;              /* threads; 0: vt_loader_next does the work itself */
    int prefetch; /* micro-batches made ahead, beside those that the caller may hold; at least 1 */
    int held;     /* steps whose micro-batches the caller may hold; 0: 1 */
    vt_batch_memory memory;   /* all zeros: the heap */
    int skip_bad;             /* --bad-images skip */
} vt_loader_options;

/* The ring, before it is allocated: its slots, and the bytes of one's pixels. */
static inline int vt_loader_slots(const vt_loader_options *o)
{
    return o->prefetch + (o->held ? o->held : 1) * (o->micro_end - o->micro_begin);
}

static inline size_t vt_loader_slot_bytes(const vt_loader_options *o)
{
    const vt_transform *t = &o->transform;
    size_t bytes = (size_t)o->sampler.micro_batch * (size_t)t->height * (size_t)t->width * (size_t)t->channels;
    return (bytes + VT_ALIGN - 1) / VT_ALIGN * VT_ALIGN;
}

typedef struct vt_batch {
    uint8_t *images;   /* [B, H, W, C], VT_ALIGN-aligned; zeros where the label is -1 */
    int32_t *labels;   /* [B]; -1: padding or a dropped sample, not to be counted */
    uint32_t *samples; /* [B] index in the data set, of the replacement where there is one */
    int32_t *repeats;  /* [B] */
    int32_t *slots;    /* [B] position in the step's global list */
    int32_t *boxes;    /* [B, R, 4] what the graph erases; NULL: nothing */
    vt_mixed mixed;    /* how the graph mixes the samples; NULLs: not at all */
    int valid;         /* labels that are not -1 */
    uint32_t epoch;
    int64_t step;
    int micro;
} vt_batch;

/* VT_INVALID: options that make no sense, or a batch larger than the data. Fills in sampler.samples; *steps: of an
 * epoch. */
vt_status vt_loader_check(vt_loader_options *options, const vt_dataset *ds, int64_t *steps);
/* Starts the threads. VT_INVALID as vt_loader_check. The data set must outlive the loader. */
vt_status vt_loader_create(vt_loader **loader, const vt_dataset *ds, const vt_loader_options *options);
void vt_loader_destroy(vt_loader *loader); /* at any moment: stops the threads and waits for them; NULL is allowed */

/* The next micro-batch, micro_begin .. micro_end - 1 of each step; waits until it is made. NULL after the last. After a
 * failure every call fails in the same way. */
vt_status vt_loader_next(vt_loader *loader, const vt_batch **batch);
/* Gives a batch back, in any order; its memory is then used again. At most vt_loader_slots are held. */
void vt_loader_release(vt_loader *loader, const vt_batch *batch);

double vt_loader_waited(const vt_loader *loader);       /* seconds that vt_loader_next has taken, over all calls */
uint32_t vt_loader_bad_count(const vt_loader *loader);  /* samples found unreadable so far */
int vt_loader_is_bad(const vt_loader *loader, uint32_t sample);

#endif
