#include "cpu/fast/cut.h"

enum { FLAG, CONTROL, PAIRS };

typedef struct job {
    const vt_run *r;
    const vt_part *parts;
    float old, new;
} job;

static void average_part(void *arg, int task, int worker)
{
    const job *j = arg;
    const vt_part *part = &j->parts[task];
    float *restrict ema = (float *)j->r->in[part->input] + part->at;
    const float *restrict param = (const float *)j->r->in[part->input + 1] + part->at;
    float old = j->old, new = j->new;
    for (int i = 0; i < part->count; i++) ema[i] = old * ema[i] + new * param[i];
}

VT_FAST_BODY(ema)
{
    float decay = ((const float *)r->in[CONTROL])[VT_CONTROL_EMA_DECAY];
    if (*(const float *)r->in[FLAG] != 0) return;
    vt_part_list(r->node, PAIRS, 2, r->scratch);
    job j = {r, r->scratch, decay, (float)(1 - (double)decay)};
    vt_pool_run(r->pool, vt_part_count(r->node, PAIRS, 2), average_part, &j);
}

VT_FAST_SCRATCH(ema)
{
    return (size_t)vt_part_count(n, PAIRS, 2) * sizeof(vt_part);
}
