#include "train/schedule.h"

#include <math.h>

double vt_schedule_lr(const vt_schedule *c, int64_t step)
{
    if (c->per_epoch_updates) {
        int64_t epoch = step / c->per_epoch;
        step = epoch > 0 ? (epoch - 1) * c->per_epoch : 0;
    }
    if (step < c->warmup) return c->warmup_lr + (c->lr - c->warmup_lr) * (double)step / (double)c->warmup;
    if (c->constant) return c->lr;
    double part = (double)step / (double)c->total;
    return c->min_lr + 0.5 * (c->lr - c->min_lr) * (1 + cos(3.14159265358979323846 * part));
}
