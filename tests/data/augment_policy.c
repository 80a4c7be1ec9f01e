#include "data/augment_policy.h"

#include "base/alloc.h"
#include "base/philox.h"
#include "policy.h"

/* --- distributions --- */

enum { NAMES = 24 };
typedef struct counts {
    const char *names[NAMES];
    double n[NAMES];
    int used;
} counts;

static double *count_of(counts *c, const char *name)
{
    int i = 0;
    while (i < c->used && strcmp(c->names[i], name) != 0) i++;
    if (i == c->used) c->names[c->used++] = name;
    return &c->n[i];
}

static double chi_square(const double *n, int cells, double expected)
{
    double sum = 0;
    for (int i = 0; i < cells; i++) sum += (n[i] - expected) * (n[i] - expected) / expected;
    return sum;
}

/* Ops evenly, each with probability 0.5: 1/4, 1/2, 1/4 of no, one and two. Bounds that chance exceeds once in 10^5. */
TEST(rand_draws_ops_evenly)
{
    vt_augment a = parsed("rand-m9-mstd0.5-inc1");
    vt_augment_step steps[VT_AUGMENT_STEPS];
    counts c = {.used = 0};
    double applied[3] = {0}, total = 0, cubic = 0;
    for (uint32_t i = 0; i < SAMPLES; i++) {
        int n = draw(&a, i, steps);
        CHECK(n >= 0 && n <= 2);
        applied[n]++;
        for (int k = 0; k < n; k++, total++) {
            ++*count_of(&c, steps[k].op->name);
            cubic += steps[k].filter == VT_FILTER_BICUBIC;
        }
    }
    CHECK_EQ(c.used, 15);
    double ops = chi_square(c.n, 15, total / 15);
    CHECK_MSG(ops < 50, "chi square %g of 14 degrees, seed %d", ops, SEED);
    applied[1] /= 2;
    double number = chi_square(applied, 3, SAMPLES / 4.0);
    CHECK_MSG(number < 23, "chi square %g of 2 degrees, seed %d", number, SEED);
    CHECK_MSG(fabs(cubic / total - 0.5) < 4.5 * 0.5 / sqrt(total), "bicubic in %g of %g, seed %d", cubic, total, SEED);
}

/* What the argument of a warp is at level 1; 0: not a warp. */
static double unit_of(const vt_augment_op *op)
{
    if (op->apply == vt_op_rotate) return 3;
    if (op->apply == vt_op_shear_x || op->apply == vt_op_shear_y) return 0.03;
    return op->apply == vt_op_translate_x || op->apply == vt_op_translate_y ? 0.045 : 0;
}

/* N(9, 0.5), what is above 10 clipped to it, seen through the arguments of warps; their sign is either at random. */
TEST(rand_draws_levels)
{
    vt_augment a = parsed("rand-m9-mstd0.5-inc1-n16-p1");
    vt_augment_step steps[VT_AUGMENT_STEPS];
    double n = 0, clipped = 0, positive = 0, below[4] = {0};
    const double edges[] = {8.5, 9, 9.5, 9.75}, shares[] = {0.158655, 0.5, 0.841345, 0.933193};
    for (uint32_t i = 0; i < SAMPLES; i++)
        for (int k = 0, count = draw(&a, i, steps); k < count; k++) {
            double unit = unit_of(steps[k].op), level = unit > 0 ? fabs(steps[k].argument) / unit : 0;
            if (unit == 0) continue;
            n++;
            positive += steps[k].argument > 0;
            clipped += level > 10 - 1e-9;
            CHECK(level >= 0 && level <= 10 + 1e-9);
            for (int e = 0; e < 4; e++) below[e] += level < edges[e];
        }
    for (int e = 0; e < 4; e++)
        CHECK_MSG(fabs(below[e] / n - shares[e]) < 4.5 * sqrt(shares[e] * (1 - shares[e]) / n),
                  "below %g: %g of %g, seed %d", edges[e], below[e], n, SEED);
    CHECK_MSG(fabs(clipped / n - 0.02275) < 4.5 * sqrt(0.02275 / n), "clipped: %g of %g, seed %d", clipped, n, SEED);
    CHECK_MSG(fabs(positive / n - 0.5) < 4.5 * 0.5 / sqrt(n), "positive: %g of %g, seed %d", positive, n, SEED);
}

/* Level 0 .. m evenly. */
TEST(draws_levels_evenly)
{
    const struct { const char *policy; double most; } cases[] = {{"rand-m8-mstd101-n16-p1", 8}, {"augmix-m5", 5}};
    for (int p = 0; p < 2; p++) {
        vt_augment a = parsed(cases[p].policy);
        vt_augment_step steps[VT_AUGMENT_STEPS];
        double n = 0, tenths[10] = {0};
        for (uint32_t i = 0; i < SAMPLES; i++)
            for (int k = 0, count = draw(&a, i, steps); k < count; k++) {
                double unit = unit_of(steps[k].op);
                if (unit == 0) continue;
                if (p && unit == 0.045) unit = 0.03; /* AugMix's shifts */
                double share = fabs(steps[k].argument) / unit / cases[p].most;
                CHECK(share >= 0 && share < 1);
                tenths[(int)(10 * share)]++;
                n++;
            }
        CHECK_MSG(chi_square(tenths, 10, n / 10) < 42, "%s, seed %d", cases[p].policy, SEED);
    }
}

/* Two of 15 without replacement: the first by its weight, the second by what the first leaves. */
TEST(rand_draws_by_weight)
{
    vt_augment a = parsed("rand-tweights-p1");
    const vt_augment_set *s = a.set;
    double seen[2][VT_AUGMENT_SET] = {{0}}, share[VT_AUGMENT_SET], sum = 0;
    vt_augment_step steps[VT_AUGMENT_STEPS];
    for (int i = 0; i < s->count; i++) sum += s->weight[i];
    for (int i = 0; i < s->count; i++) share[i] = s->weight[i] / sum;
    for (uint32_t i = 0; i < SAMPLES; i++) {
        CHECK_EQ(draw(&a, i, steps), 2);
        CHECK(steps[0].op != steps[1].op);
        for (int k = 0; k < 2; k++)
            for (int j = 0; j < s->count; j++) seen[k][j] += steps[k].op == &vt_augment_ops[s->op[j]];
    }
    for (int k = 0; k < 2; k++)
        for (int j = 0; j < s->count; j++) {
            double want = k ? 0 : share[j];
            for (int i = 0; k && i < s->count; i++) want += i == j ? 0 : share[i] * share[j] / (1 - share[i]);
            CHECK_MSG(fabs(seen[k][j] / SAMPLES - want) < 4.5 * sqrt(want * (1 - want) / SAMPLES),
                      "%s drawn %s: %g, not %g, seed %d", vt_augment_ops[s->op[j]].name, k ? "second" : "first",
                      seen[k][j] / SAMPLES, want, SEED);
        }
    a = parsed("rand-n15-p1-tweights"); /* all of them, each once */
    for (uint32_t i = 0; i < 100; i++) {
        unsigned all = 0;
        CHECK_EQ(draw(&a, i, steps), 15);
        for (int k = 0; k < 15; k++)
            for (int j = 0; j < 15; j++) all |= (unsigned)(steps[k].op == &vt_augment_ops[s->op[j]]) << j;
        CHECK_EQ(all, 0x7FFF);
    }
    a = parsed("rand-t3a-p1");
    double both = 0;
    for (uint32_t i = 0; i < SAMPLES; i++) {
        CHECK_EQ(draw(&a, i, steps), 2);
        both += steps[0].op == steps[1].op;
    }
    CHECK_MSG(fabs(both / SAMPLES - 1.0 / 3) < 4.5 * sqrt(2.0 / 9 / SAMPLES), "3a: %g twice the same, seed %d",
              both / SAMPLES, SEED);
}

/* Chains of one to three of 13 ops, evenly; weights of Dirichlet(a), a share of Beta(a), and the two independent. */
TEST(augmix_draws_chains)
{
    const double alphas[] = {1, 0.5};
    for (int p = 0; p < 2; p++) {
        vt_augment a = parsed(p ? "augmix-w4-a0.5" : "augmix-w4");
        double depths[3] = {0}, weight[4] = {0}, squares = 0, share = 0, share2 = 0, product = 0, total = 0;
        double variance = 3.0 / (16 * (4 * alphas[p] + 1)), of_share = 1 / (4 * (2 * alphas[p] + 1));
        counts c = {.used = 0};
        for (uint32_t i = 0; i < SAMPLES; i++) {
            vt_augment_drawn d;
            vt_augment_draw(&a, VT_FILTER_RANDOM, SEED, 1, i, 0, &d);
            double sum = 0;
            CHECK(d.chains == 4 && d.ends[3] == d.count && !d.blended);
            for (int k = 0, begin = 0; k < 4; begin = d.ends[k++]) {
                int depth = d.ends[k] - begin;
                CHECK(depth >= 1 && depth <= 3);
                depths[depth - 1]++;
                weight[k] += (double)d.weight[k] / SAMPLES;
                sum += (double)d.weight[k];
            }
            CHECK_NEAR(sum, 1, 1e-6);
            squares += ((double)d.weight[0] - 0.25) * ((double)d.weight[0] - 0.25) / SAMPLES;
            share += (double)d.share / SAMPLES;
            share2 += ((double)d.share - 0.5) * ((double)d.share - 0.5) / SAMPLES;
            product += ((double)d.weight[0] - 0.25) * ((double)d.share - 0.5) / SAMPLES;
            for (int k = 0; k < d.count; k++, total++) ++*count_of(&c, d.steps[k].op->name);
        }
        CHECK_EQ(c.used, 13);
        CHECK_MSG(chi_square(c.n, 13, total / 13) < 48, "ops, seed %d", SEED);
        CHECK_MSG(chi_square(depths, 3, 4.0 * SAMPLES / 3) < 23, "depths, seed %d", SEED);
        for (int k = 0; k < 4; k++)
            CHECK_MSG(fabs(weight[k] - 0.25) < 4.5 * sqrt(variance / SAMPLES), "weight %d: %g, seed %d", k,
                      weight[k], SEED);
        CHECK_MSG(fabs(squares / variance - 1) < 4.5 * sqrt(3.0 / SAMPLES), "weights vary by %g, seed %d", squares,
                  SEED);
        CHECK_MSG(fabs(share - 0.5) < 4.5 * sqrt(of_share / SAMPLES), "share %g, seed %d", share, SEED);
        CHECK_MSG(fabs(share2 / of_share - 1) < 4.5 / sqrt(SAMPLES), "share varies by %g, seed %d", share2, SEED);
        CHECK_MSG(fabs(product) < 4.5 * sqrt(variance * of_share / SAMPLES), "correlation %g, seed %d", product, SEED);
    }
    vt_augment a = parsed("augmix-w2-d5-b1");
    vt_augment_drawn d;
    vt_augment_draw(&a, VT_FILTER_RANDOM, SEED, 1, 0, 0, &d);
    CHECK(d.chains == 2 && d.ends[0] == 5 && d.ends[1] == 10 && d.count == 10 && d.blended);
}

/* As many ops as the pairs' probabilities say, and of Equalize, which most pairs have, as the published tables say. */
TEST(auto_draws_pairs_evenly)
{
    const char *const policies[] = {"original", "v0-mstd0.5"};
    for (int p = 0; p < 2; p++) {
        vt_augment a = parsed(policies[p]);
        vt_augment_step steps[VT_AUGMENT_STEPS];
        counts c = {.used = 0};
        double expected = 0, total = 0, variance = 0;
        for (int i = 0; i < VT_AUGMENT_SUBPOLICIES; i++)
            for (int k = 0; k < 2; k++) {
                double q = (*a.pairs)[i][k].probability;
                expected += q / VT_AUGMENT_SUBPOLICIES;
                CHECK(q >= 0 && q <= 1 && (*a.pairs)[i][k].level >= 0 && (*a.pairs)[i][k].level <= 10);
            }
        for (uint32_t i = 0; i < SAMPLES; i++) {
            int n = draw(&a, i, steps);
            total += n;
            variance += (n - expected) * (n - expected) / SAMPLES;
            for (int k = 0; k < n; k++) ++*count_of(&c, steps[k].op->name);
        }
        CHECK_MSG(fabs(total / SAMPLES - expected) < 4.5 * sqrt(variance / SAMPLES), "%s: %g ops, not %g, seed %d",
                  policies[p], total / SAMPLES, expected, SEED);
        double share = (p == 0 ? 11.2 : 8) / VT_AUGMENT_SUBPOLICIES;
        double n = *count_of(&c, "Equalize") / SAMPLES;
        CHECK_MSG(fabs(n - share) < 4.5 * sqrt(0.7 / SAMPLES), "%s: Equalize %g, not %g, seed %d", policies[p], n,
                  share, SEED);
    }
}

/* One of three; then brightness, contrast and saturation in any of six orders, by factors of 0.7 to 1.3. */
TEST(three_and_jitter)
{
    vt_augment a = parsed("3a");
    vt_augment_step steps[VT_AUGMENT_STEPS];
    counts first = {.used = 0};
    double orders[9] = {0}, seen[6], mean = 0, blur = 0;
    int used = 0;
    CHECK_EQ(draw(&a, 0, steps), 1);
    a.jitter = 0.3;
    for (uint32_t i = 0; i < SAMPLES; i++) {
        CHECK_EQ(draw(&a, i, steps), 4);
        ++*count_of(&first, steps[0].op->name);
        if (steps[0].op->apply == vt_op_solarize) CHECK(steps[0].argument == 128);
        if (steps[0].op->apply == vt_op_blur) {
            CHECK(steps[0].argument >= 0.1 && steps[0].argument <= 2);
            blur += steps[0].argument;
        }
        int place[3] = {0};
        for (int k = 1; k < 4; k++) {
            vt_augment_fn *op = steps[k].op->apply;
            place[op == vt_op_brightness ? 0 : op == vt_op_contrast ? 1 : 2] += k;
            CHECK(steps[k].argument >= 0.7 && steps[k].argument <= 1.3);
            mean += steps[k].argument / (3.0 * SAMPLES);
        }
        CHECK(place[0] && place[1] && place[2] && place[0] + place[1] + place[2] == 6);
        orders[3 * (place[0] - 1) + place[1] - 1]++;
    }
    for (int i = 0; i < 9; i++)
        if (orders[i] > 0 && used < 6) seen[used++] = orders[i];
    CHECK_EQ(used, 6);
    CHECK_EQ(first.used, 3);
    CHECK_MSG(chi_square(first.n, 3, SAMPLES / 3.0) < 23, "seed %d", SEED);
    CHECK_MSG(chi_square(seen, 6, SAMPLES / 6.0) < 33, "seed %d", SEED);
    CHECK_MSG(fabs(mean - 1) < 4.5 * 0.1732 / sqrt(3.0 * SAMPLES), "mean %g, seed %d", mean, SEED);
    blur /= *count_of(&first, "Blur");
    CHECK_MSG(fabs(blur - 1.05) < 4.5 * 0.5485 / sqrt(SAMPLES / 3.0), "blur %g, seed %d", blur, SEED);
    a = parsed("rand-p0");
    a.jitter = 0.3;
    CHECK_EQ(draw(&a, 0, steps), 0); /* a policy takes the jitter's place */
    a = parsed("none");
    CHECK_EQ(draw(&a, 0, steps), 0);
    a.jitter = 1.5;
    CHECK_EQ(draw(&a, 0, steps), 3);
}

TEST(warps_use_the_filter)
{
    vt_augment a = parsed("rand-p1");
    vt_augment_drawn d;
    for (vt_filter f = VT_FILTER_NEAREST; f <= VT_FILTER_BICUBIC; f++)
        for (uint32_t i = 0; i < 20; i++) {
            vt_augment_draw(&a, f, SEED, 0, i, 0, &d);
            CHECK_EQ(d.count, 2);
            CHECK_EQ(d.steps[0].filter, f == VT_FILTER_NEAREST ? VT_FILTER_BILINEAR : f);
        }
}

/* --- keys, sizes, memory --- */

static uint64_t hash_steps(const vt_augment *a, uint64_t seed, uint32_t epoch, uint32_t sample, uint32_t repeat)
{
    vt_augment_drawn d;
    uint64_t h = 1;
    vt_augment_draw(a, VT_FILTER_RANDOM, seed, epoch, sample, repeat, &d);
    for (int k = 0; k < d.count; k++)
        h = vt_mix_key(h + (uint64_t)llround(1e6 * d.steps[k].argument), vt_hash_name(d.steps[k].op->name));
    for (int k = 0; k < d.chains; k++)
        h = vt_mix_key(h + (uint64_t)llround(1e6 * (double)d.weight[k]), (uint64_t)d.ends[k]);
    return h;
}

TEST(depends_on_the_key_alone)
{
    const char *const policies[] = {"rand-p1-mstd0.5", "augmix", "rand-tweights-p1"};
    for (int p = 0; p < 3; p++) {
        vt_augment a = parsed(policies[p]);
        uint64_t h = hash_steps(&a, 1, 2, 3, 4);
        for (uint32_t i = 0; i < 50; i++) hash_steps(&a, i, i, i, i);
        CHECK(hash_steps(&a, 1, 2, 3, 4) == h);
        CHECK(hash_steps(&a, 2, 2, 3, 4) != h);
        CHECK(hash_steps(&a, 1, 3, 3, 4) != h);
        CHECK(hash_steps(&a, 1, 2, 4, 4) != h);
        CHECK(hash_steps(&a, 1, 2, 3, 5) != h);
    }
}

/* Every policy on images of any size, without the heap. */
TEST(allocates_nothing)
{
    const char *const policies[] = {"rand-m9-mstd0.5-inc1-n16-p1", "rand-m5-n8-p1",     "original-mstd3",         "v0",
                                    "3a",     "rand-m30-mmax30-inc1-n16-p1-mstd9", "rand-m30-mmax30-n16-p1", "augmix",
                                    "augmix-m9-w8-d8-b1",          "rand-t3aw-n8-p1"};
    enum { POLICIES = sizeof policies / sizeof *policies };
    const int sizes[][2] = {{1, 1}, {1, 2}, {3, 1}, {2, 2}, {3, 3}, {5, 7}, {31, 17}, {64, 33}};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (int channels = 1; channels <= 3; channels += 2) {
            int height = sizes[s][0], width = sizes[s][1];
            size_t n = (size_t)height * (size_t)width * (size_t)channels;
            uint8_t *pixels = malloc(n);
            vt_canvas c = {.pixels = pixels, .height = height, .width = width, .channels = channels,
                           .fill = {124, 116, 104}};
            size_t work = 0;
            for (int i = 0; i < POLICIES; i++) {
                vt_augment a = parsed(policies[i]);
                size_t wants = vt_augment_work(&a, height, width, channels);
                work = wants > work ? wants : work;
            }
            c.work = vt_alloc_raw(work);
            for (size_t k = 0; k < n; k++) pixels[k] = (uint8_t)(k * 2654435761u >> 13);
#ifdef VT_TEST_ALLOC
            vt_alloc_fail_at(1000, 1);
#endif
            for (uint32_t i = 0; i < 60; i++) {
                vt_augment a = parsed(policies[i % POLICIES]);
                vt_augment_drawn d;
                a.jitter = 0.4;
                vt_augment_draw(&a, VT_FILTER_RANDOM, SEED, 1, i, 0, &d);
                vt_augment_apply(&d, c);
            }
#ifdef VT_TEST_ALLOC
            CHECK_EQ(vt_alloc_fail_at(0, 0), 1000);
#endif
            free(pixels);
            vt_free(c.work);
        }
}

int main(void)
{
    RUN(rand_draws_ops_evenly);
    RUN(rand_draws_levels);
    RUN(draws_levels_evenly);
    RUN(rand_draws_by_weight);
    RUN(augmix_draws_chains);
    RUN(auto_draws_pairs_evenly);
    RUN(three_and_jitter);
    RUN(warps_use_the_filter);
    RUN(depends_on_the_key_alone);
    RUN(allocates_nothing);
    TEST_END();
}
