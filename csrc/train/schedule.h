/* train/schedule.h - the learning rate of each step, and the decay of the weights' average. */
#ifndef VT_TRAIN_SCHEDULE_H
#define VT_TRAIN_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

typedef enum vt_schedule_kind {  /* in the order of --sched's choices */
    VT_SCHED_COSINE,
    VT_SCHED_LINEAR,
    VT_SCHED_STEP,
    VT_SCHED_CONSTANT,
    VT_SCHED_NONE,               /* the same */
} vt_schedule_kind;

typedef struct vt_schedule {
    vt_schedule_kind kind;
    double lr;                  /* peak, already scaled by the global batch */
    double warmup_lr, min_lr;   /* not scaled */
    int64_t total, warmup;      /* steps */
    double decay_every, decay_rate; /* of VT_SCHED_STEP: steps, a factor */
    int64_t per_epoch;          /* steps of an epoch */
    bool per_epoch_updates;     /* set once an epoch */
    int lag;                    /* then: to the value of so many epochs before: DeiT 1, timm 0 */
} vt_schedule;

/* The rate of step s, 0 <= s < T = total, with W warm-up steps:
 *   s < W     warmup_lr + (lr - warmup_lr) s / W
 *   cosine    min_lr + (lr - min_lr) (1 + cos(pi s / T)) / 2     (timm's CosineLRScheduler)
 *   linear    min_lr + (lr - min_lr) (1 - s / T)                 (timm's PolyLRScheduler with power 1)
 *   step      lr decay_rate^floor(s / decay_every)               (timm's StepLRScheduler: min_lr does not bound it)
 *   constant  lr
 * None is shifted by the warm-up: where it ends the rate steps from lr to the schedule's value at W, as in timm. With
 * per-epoch updates s is the start of the epoch, or of that `lag` before: with DeiT's 1 epochs 0 and 1 share the
 * warm-up rate. */
double vt_schedule_lr(const vt_schedule *schedule, int64_t step);

/* d of ema = d ema + (1 - d) p in step s = 0, 1, ...: decay, or with a warm-up min(decay, 1 - (s + 1)^(-2/3)): the
 * first step makes the average the weights themselves. (timm's ModelEmaV3 with use_warmup, gamma 1 and power 2/3: its
 * step count is of updates done, s + 1, and it takes 1 off.) */
double vt_ema_decay(double decay, bool warmup, int64_t step);
double vt_ema_half_life(double decay); /* steps, of a decay in [0, 1]; 0 and infinity at its ends */
/* The weight of what the average began with, after so many steps: the product of their decays. */
double vt_ema_initial_share(double decay, bool warmup, int64_t steps);

#endif
