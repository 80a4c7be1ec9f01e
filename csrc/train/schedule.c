#include "train/schedule.h"

#include <math.h>

double vt_schedule_lr(const vt_schedule *c, int64_t step)
{
    if (c->per_epoch_updates) {
        int64_t epoch = step / c->per_epoch;
        step = epoch > c->lag ? (epoch - c->lag) * c->per_epoch : 0;
    }
    if (step < c->warmup) return c->warmup_lr + (c->lr - c->warmup_lr) * (double)step / (double)c->warmup;
    double part = (double)step / (double)c->total;
    switch (c->kind) {
    case VT_SCHED_COSINE: return c->min_lr + 0.5 * (c->lr - c->min_lr) * (1 + cos(3.14159265358979323846 * part));
    case VT_SCHED_LINEAR: return c->min_lr + (c->lr - c->min_lr) * (1 - part);
    case VT_SCHED_STEP: return c->lr * pow(c->decay_rate, floor((double)step / c->decay_every));
    default: return c->lr;
    }
}

double vt_ema_decay(double decay, bool warmup, int64_t step)
{
    return warmup ? fmin(decay, 1 - pow((double)step + 1, -2.0 / 3)) : decay;
}

double vt_ema_half_life(double decay)
{
    return decay <= 0 ? 0 : decay >= 1 ? INFINITY : log(0.5) / log(decay);
}

double vt_ema_initial_share(double decay, bool warmup, int64_t steps)
{
    return warmup && steps > 0 ? 0 : pow(decay, (double)steps); /* with a warm-up the first decay is 0 */
}
