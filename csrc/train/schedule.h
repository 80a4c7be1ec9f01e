/* train/schedule.h - the learning rate of each step. */
#ifndef VT_TRAIN_SCHEDULE_H
#define VT_TRAIN_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct vt_schedule {
    bool constant;              /* --sched none */
    double lr;                  /* peak, already scaled by the global batch */
    double warmup_lr, min_lr;   /* not scaled */
    int64_t total, warmup;      /* steps */
    int64_t per_epoch;          /* steps of an epoch */
    bool per_epoch_updates;     /* DeiT's: set once, after each epoch */
} vt_schedule;

/* The rate of step s, 0 <= s < total. With W warm-up steps of T:
 *   s < W: warmup_lr + (lr - warmup_lr) s / W;  else min_lr + (lr - min_lr) (1 + cos(pi s / T)) / 2
 * (timm's CosineLRScheduler: the cosine is not shifted by the warm-up). With per-epoch updates s is the start of the
 * epoch before: epochs 0 and 1 share the warm-up rate. */
double vt_schedule_lr(const vt_schedule *schedule, int64_t step);

#endif
