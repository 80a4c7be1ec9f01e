#include "data/sampler.h"

#include "base/philox.h"

enum { REPEATED_UNIT = 256 }; /* DeiT's RASampler */

/* Length of an epoch's list before it is cut into steps. */
static int64_t positions(const vt_sampler *s)
{
    int64_t n = s->samples;
    return s->train && s->repeats > 1 && n >= REPEATED_UNIT ? n / REPEATED_UNIT * REPEATED_UNIT : n;
}

int64_t vt_sampler_steps(const vt_sampler *s)
{
    int64_t batch = (int64_t)s->micro_batch * s->micros;
    return (positions(s) + (s->train ? 0 : batch - 1)) / batch;
}

void vt_sampler_permute(const vt_sampler *s, uint32_t epoch, uint32_t *order)
{
    vt_rng rng = vt_rng_data(s->seed, VT_PURPOSE_SHUFFLE, epoch, 0, 0);
    for (uint32_t i = 0; i < s->samples; i++) { /* "inside-out" */
        uint32_t j = vt_rng_below(&rng, i + 1);
        if (j < i) order[i] = order[j];
        order[j] = i;
    }
}

int vt_sampler_micro(const vt_sampler *s, const uint32_t *order, int64_t step, int k, vt_pick *picks)
{
    int64_t first = step * s->micro_batch * s->micros, end = positions(s);
    int repeats = s->train ? s->repeats : 1, count = 0;
    for (int b = 0; b < s->micro_batch; b++) {
        int32_t slot = b * s->micros + k;
        int64_t p = first + slot;
        picks[b] = (vt_pick){.slot = slot};
        if (p >= end) continue;
        uint32_t i = (uint32_t)(p / repeats);
        picks[b].sample = order ? order[i] : i;
        picks[b].repeat = (int32_t)(p % repeats);
        count++;
    }
    return count;
}
