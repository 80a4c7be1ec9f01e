/* tests/data/policy.h - a policy of --aa, and what it draws. */
#ifndef VT_TEST_POLICY_H
#define VT_TEST_POLICY_H

#include "data/augment_table.h"
#include "test.h"

enum { SEED = 20, SAMPLES = 40000 };

static inline vt_augment parsed(const char *text)
{
    vt_augment a = {0};
    CHECK_OK(vt_augment_parse(&a, text));
    return a;
}

static inline int draw(const vt_augment *a, uint32_t sample, vt_augment_step *steps)
{
    vt_augment_drawn d;
    vt_augment_draw(a, VT_FILTER_RANDOM, SEED, 1, sample, 0, &d);
    memcpy(steps, d.steps, (size_t)d.count * sizeof *steps);
    return d.count;
}

#endif
