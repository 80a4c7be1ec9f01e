/* data/sampler.h - which samples make up step s of epoch e: pure functions, so any process and any resumed run agrees.
 *
 * An epoch is a list of positions. In training it is the epoch's permutation of the samples, each `repeats` times in a
 * row; in evaluation the samples in order. A step takes the next micros * micro_batch positions: its global list.
 * Micro-batch k of the step takes positions k, k + micros, k + 2 micros, ... of that list, so the repeats of a sample
 * fall into different micro-batches, and the list does not depend on who computes which micro-batch. */
#ifndef VT_DATA_SAMPLER_H
#define VT_DATA_SAMPLER_H

#include <stdint.h>

typedef struct vt_sampler {
    uint32_t samples; /* in the data set, at least 1 */
    uint64_t seed;
    int train;        /* 1: permuted, repeated, the last partial step dropped; 0: in order, the last step padded */
    int repeats;      /* of each sample in an epoch's list, at least 1; in evaluation 1 */
    int micro_batch;  /* B, samples of a micro-batch */
    int micros;       /* M, micro-batches of a step, over all processes */
} vt_sampler;

typedef struct vt_pick {
    uint32_t sample;
    int32_t repeat; /* 0 .. repeats - 1 */
    int32_t slot;   /* position in the step's global list: the identity for random draws in the graph */
} vt_pick;

/* Steps of an epoch; 0: the data is smaller than a batch. With repeats an epoch is no longer than without: as in DeiT,
 * the list is cut to samples / 256 * 256 positions, or to `samples` where that would leave none. */
int64_t vt_sampler_steps(const vt_sampler *s);

/* order [samples]: the permutation of an epoch (Fisher-Yates on Philox). */
void vt_sampler_permute(const vt_sampler *s, uint32_t epoch, uint32_t *order);

/* The picks [B] of micro-batch k of a step, with `order` of its epoch (NULL in evaluation). Returns how many there are;
 * beyond these, in the last step of an evaluation, only `slot` is set. */
int vt_sampler_micro(const vt_sampler *s, const uint32_t *order, int64_t step, int k, vt_pick *picks);

#endif
