#include "data/sampler.h"

#include "test.h"

enum { MAX = 5000 };

/* Walks an epoch; returns the number of picks, and how often each sample came. */
static int64_t walk(const vt_sampler *s, uint32_t epoch, int *times)
{
    static uint32_t order[MAX];
    static vt_pick picks[MAX];
    int64_t total = 0;
    int batch = s->micro_batch * s->micros;
    memset(times, 0, s->samples * sizeof *times);
    if (s->train) vt_sampler_permute(s, epoch, order);
    for (int64_t step = 0; step < vt_sampler_steps(s); step++) {
        char seen[MAX] = {0};
        for (int k = 0; k < s->micros; k++) {
            int n = vt_sampler_micro(s, s->train ? order : NULL, step, k, picks);
            for (int b = 0; b < s->micro_batch; b++) {
                CHECK_EQ(picks[b].slot, k + b * s->micros);
                CHECK(picks[b].slot < batch && !seen[picks[b].slot]++);
                if (b < n) times[picks[b].sample]++;
            }
            total += n;
        }
    }
    return total;
}

TEST(evaluation)
{
    static const struct { uint32_t n; int b, m, steps; } cases[] = {
        {1, 1, 1, 1}, {1, 8, 4, 1}, {100, 8, 4, 4}, {96, 8, 4, 3}, {97, 8, 4, 4}, {5, 5, 1, 1}, {6, 5, 1, 2}};
    int times[MAX];
    vt_pick picks[8];
    for (int c = 0; c < 7; c++) {
        vt_sampler s = {.samples = cases[c].n, .repeats = 3, .micro_batch = cases[c].b, .micros = cases[c].m};
        CHECK_EQ(vt_sampler_steps(&s), cases[c].steps);
        CHECK_EQ(walk(&s, 0, times), cases[c].n);
        for (uint32_t i = 0; i < s.samples; i++) CHECK_EQ(times[i], 1);
        for (int k = 0; k < s.micros; k++) { /* in order, one after the other */
            int n = vt_sampler_micro(&s, NULL, 0, k, picks);
            for (int b = 0; b < n; b++) CHECK_EQ((int)picks[b].sample, k + b * s.micros);
        }
    }
}

TEST(permutation)
{
    /* From an independent Philox and Fisher-Yates in Python: order is part of what a checkpoint promises. */
    static const uint32_t known[] = {3, 9, 4, 1, 7, 5, 2, 10, 6, 8, 11, 0};
    uint32_t order[MAX], other[MAX];
    vt_sampler s = {.samples = 12, .seed = 7, .train = 1, .repeats = 1, .micro_batch = 1, .micros = 1};
    vt_sampler_permute(&s, 3, order);
    CHECK_EQ(memcmp(order, known, sizeof known), 0);
    s.samples = MAX;
    vt_sampler_permute(&s, 3, order);
    for (uint32_t i = 0; i < MAX; i++) other[i] = 0;
    for (uint32_t i = 0; i < MAX; i++) other[order[i]]++;
    for (uint32_t i = 0; i < MAX; i++) CHECK_EQ(other[i], 1u);
    vt_sampler_permute(&s, 4, other);
    int same = 0;
    for (uint32_t i = 0; i < MAX; i++) same += order[i] == other[i];
    CHECK(same < 10); /* 1 is expected */
    s.seed++;
    vt_sampler_permute(&s, 3, other);
    same = 0;
    for (uint32_t i = 0; i < MAX; i++) same += order[i] == other[i];
    CHECK(same < 10);
}

/* All 24 orders of 4 come equally often: chi-squared with 23 degrees of freedom, beyond 60 once in 30,000. */
TEST(uniform)
{
    enum { EPOCHS = 24000 };
    int count[256] = {0}, kinds = 0;
    double chi = 0;
    uint32_t o[4];
    vt_sampler s = {.samples = 4, .seed = 11, .train = 1, .repeats = 1, .micro_batch = 1, .micros = 1};
    for (uint32_t e = 0; e < EPOCHS; e++) {
        vt_sampler_permute(&s, e, o);
        count[o[0] | o[1] << 2 | o[2] << 4 | o[3] << 6]++;
    }
    for (int i = 0; i < 256; i++) {
        if (!count[i]) continue;
        kinds++;
        chi += (count[i] - EPOCHS / 24.0) * (count[i] - EPOCHS / 24.0) / (EPOCHS / 24.0);
    }
    CHECK_EQ(kinds, 24);
    CHECK_MSG(chi < 60, "%g", chi);
}

TEST(training)
{
    int times[MAX], once = 0;
    vt_sampler s = {.samples = 1000, .seed = 1, .train = 1, .repeats = 1, .micro_batch = 16, .micros = 4};
    CHECK_EQ(vt_sampler_steps(&s), 15); /* the last 40 are dropped */
    CHECK_EQ(walk(&s, 0, times), 960);
    for (int i = 0; i < 1000; i++) once += times[i] == 1;
    CHECK_EQ(once, 960);
    s.samples = 63;
    CHECK_EQ(vt_sampler_steps(&s), 0);
    s.samples = 64;
    CHECK_EQ(vt_sampler_steps(&s), 1);
}

TEST(repeated)
{
    int times[MAX], none = 0;
    uint32_t order[MAX];
    vt_pick picks[16];
    vt_sampler s = {.samples = 1000, .seed = 1, .train = 1, .repeats = 3, .micro_batch = 16, .micros = 4};
    CHECK_EQ(vt_sampler_steps(&s), 12); /* 1000 / 256 * 256 = 768 */
    CHECK_EQ(walk(&s, 2, times), 768);
    for (int i = 0; i < 1000; i++) {
        none += times[i] == 0;
        CHECK(times[i] == 0 || times[i] == 3);
    }
    CHECK_EQ(none, 1000 - 256);
    vt_sampler_permute(&s, 2, order);
    for (int k = 0; k < 4; k++) { /* positions k, k + 4, ... of the list 0 0 0 1 1 1 2 2 2 */
        vt_sampler_micro(&s, order, 1, k, picks);
        for (int b = 0; b < 16; b++) {
            CHECK_EQ(picks[b].sample, order[(64 + k + 4 * b) / 3]);
            CHECK_EQ(picks[b].repeat, (64 + k + 4 * b) % 3);
        }
    }
    s.samples = 200; /* under 256 the cut is lifted */
    CHECK_EQ(vt_sampler_steps(&s), 3);
}

/* The step's global list does not depend on how it is cut into micro-batches. */
TEST(cut)
{
    uint32_t order[1000], lists[4][64];
    vt_pick picks[64];
    for (int c = 0; c < 4; c++) {
        vt_sampler s = {.samples = 1000, .seed = 3, .train = 1, .repeats = 3, .micro_batch = 64 >> c, .micros = 1 << c};
        vt_sampler_permute(&s, 5, order);
        for (int k = 0; k < s.micros; k++) {
            CHECK_EQ(vt_sampler_micro(&s, order, 7, k, picks), s.micro_batch);
            for (int b = 0; b < s.micro_batch; b++) lists[c][picks[b].slot] = picks[b].sample;
        }
        CHECK_EQ(memcmp(lists[c], lists[0], sizeof lists[0]), 0);
    }
}

int main(void)
{
    RUN(evaluation);
    RUN(permutation);
    RUN(uniform);
    RUN(training);
    RUN(repeated);
    RUN(cut);
    TEST_END();
}
