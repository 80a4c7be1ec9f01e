#include "data/augment_policy.h"

#include "base/alloc.h"
#include "base/philox.h"
#include "test.h"

enum { SEED = 20, SAMPLES = 40000 };

static vt_augment parsed(const char *text)
{
    vt_augment a = {0};
    CHECK_OK(vt_augment_parse(&a, text));
    return a;
}

static int draw(const vt_augment *a, uint32_t sample, vt_augment_step *steps)
{
    return vt_augment_draw(a, VT_FILTER_RANDOM, SEED, 1, sample, 0, steps);
}

/* --- --aa --- */

TEST(reads_rand)
{
    const struct { const char *text; double level, deviation; int increasing, layers; double probability; } cases[] = {
        {"rand", 10, 0, 0, 2, 0.5},
        {"rand-m9-mstd0.5-inc1", 9, 0.5, 1, 2, 0.5},
        {"rand-inc1-mstd0.5-m9", 9, 0.5, 1, 2, 0.5},
        {"rand-p0.25-n3-m2.5", 2.5, 0, 0, 3, 0.25},
        {"rand-n16-inc0-p1-m0", 0, 0, 0, 16, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vt_augment a = parsed(cases[i].text);
        CHECK_EQ(a.policy, VT_AUGMENT_RAND);
        CHECK_MSG(a.level == cases[i].level && a.deviation == cases[i].deviation && a.layers == cases[i].layers &&
                      a.increasing == cases[i].increasing && a.probability == cases[i].probability,
                  "%s", cases[i].text);
    }
}

TEST(reads_others)
{
    vt_augment a = {.jitter = 0.3, .policy = VT_AUGMENT_RAND};
    CHECK_OK(vt_augment_parse(&a, "none"));
    CHECK(a.policy == VT_AUGMENT_NONE && a.jitter == 0.3);
    CHECK_OK(vt_augment_parse(&a, NULL));
    CHECK(a.policy == VT_AUGMENT_NONE && a.jitter == 0.3);
    CHECK(parsed("v0").policy == VT_AUGMENT_AUTO && parsed("original").policy == VT_AUGMENT_AUTO);
    CHECK(parsed("v0").pairs != parsed("original").pairs && parsed("v0").deviation == 0);
    CHECK(parsed("v0-mstd0.5").deviation == 0.5 && parsed("original-mstd1").deviation == 1);
    CHECK_EQ(parsed("3a").policy, VT_AUGMENT_THREE);
}

TEST(names_what_is_wrong)
{
    const struct { const char *text, *message; } cases[] = {
        {"rand-m9-x3", "--aa rand-m9-x3: unknown part \"x3\""},
        {"rand-mmax3", "unknown part \"mmax3\""},
        {"rand-m9-", "unknown part \"\""},
        {"rand-9", "unknown part \"9\""},
        {"rand-m", "\"m\": want m and a number of 0 to 10"},
        {"rand-m11", "\"m11\""},
        {"rand-m-1", "\"m\""},
        {"rand-m9x", "\"m9x\""},
        {"rand-mstd101", "\"mstd101\""},
        {"rand-n0", "\"n0\": want n and a whole number of 1 to 16"},
        {"rand-n17", "\"n17\""},
        {"rand-n1.5", "\"n1.5\""},
        {"rand-inc2", "\"inc2\""},
        {"rand-inc0.5", "\"inc0.5\""},
        {"rand-p1.1", "\"p1.1\""},
        {"rand-m9-m9", "m stands there twice"},
        {"v0-m9", "unknown part \"m9\""},
        {"original-", "unknown part \"\""},
        {"3a-mstd1", "unknown part \"mstd1\""},
        {"random", "unknown policy \"random\""},
        {"augmix-m3", "unknown policy \"augmix\""},
        {"-m9", "unknown policy \"\""},
        {"0", "unknown policy \"0\""}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vt_augment a = {0};
        CHECK_FAILS(vt_augment_parse(&a, cases[i].text), VT_INVALID, cases[i].message);
        CHECK(strstr(vt_error(), "--aa ") && !strchr(vt_error(), '\n'));
    }
}

/* --- levels --- */

/* The arguments of an op that a policy draws: the least and the greatest size, and whether both signs are there. */
static void arguments_of(const char *policy, const char *op, double *least, double *most, int *signs)
{
    vt_augment a = parsed(policy);
    vt_augment_step steps[VT_AUGMENT_STEPS];
    *least = INFINITY;
    *most = -INFINITY;
    *signs = 0;
    for (uint32_t i = 0; i < 2000; i++)
        for (int k = 0, n = draw(&a, i, steps); k < n; k++)
            if (strcmp(steps[k].op->name, op) == 0) {
                *least = fmin(*least, steps[k].argument);
                *most = fmax(*most, steps[k].argument);
                *signs |= steps[k].argument < 0 ? 1 : 2;
            }
}

TEST(levels_mean_what_timm_says)
{
    const struct { const char *policy, *op; double least, most; } cases[] = {
        {"rand-m9-inc1", "Rotate", -27, 27},          {"rand-m9-inc1", "Posterize", 1, 1},
        {"rand-m9-inc1", "Solarize", 26, 26},         {"rand-m9-inc1", "SolarizeAdd", 99, 99},
        {"rand-m9-inc1", "Color", 0.19, 1.81},        {"rand-m9-inc1", "Contrast", 0.19, 1.81},
        {"rand-m9-inc1", "Brightness", 0.19, 1.81},   {"rand-m9-inc1", "Sharpness", 0.19, 1.81},
        {"rand-m9-inc1", "ShearX", -0.27, 0.27},      {"rand-m9-inc1", "ShearY", -0.27, 0.27},
        {"rand-m9-inc1", "TranslateXRel", -0.405, 0.405}, {"rand-m9-inc1", "TranslateYRel", -0.405, 0.405},
        {"rand-m9", "Posterize", 3, 3},               {"rand-m9", "Solarize", 230, 230},
        {"rand-m9", "Color", 1.72, 1.72},             {"rand-m9", "Sharpness", 1.72, 1.72},
        {"rand-m9", "SolarizeAdd", 99, 99},           {"rand-m0-inc1", "Posterize", 4, 4},
        {"rand-m0-inc1", "Solarize", 256, 256},       {"rand-m10-inc1", "Posterize", 0, 0},
        {"rand-m10-inc1", "Solarize", 0, 0},          {"rand-m0", "Brightness", 0.1, 0.1},
        {"original", "PosterizeOriginal", 6, 7},      {"original", "Solarize", 76, 204},
        {"original", "Rotate", -27, 27},              {"original", "Color", 0.1, 1.54},
        {"v0", "SolarizeAdd", 33, 77},                {"v0", "Posterize", 0, 2},
        {"v0", "ShearX", -0.27, 0.27},                {"v0", "TranslateYRel", -0.405, 0.405}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double least, most;
        int signs;
        arguments_of(cases[i].policy, cases[i].op, &least, &most, &signs);
        CHECK_MSG(fabs(least - cases[i].least) < 1e-12 && fabs(most - cases[i].most) < 1e-12,
                  "%s, %s: %.9g to %.9g, seed %d", cases[i].policy, cases[i].op, least, most, SEED);
    }
}

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
    vt_augment_step steps[VT_AUGMENT_STEPS];
    for (vt_filter f = VT_FILTER_NEAREST; f <= VT_FILTER_BICUBIC; f++)
        for (uint32_t i = 0; i < 20; i++) {
            CHECK_EQ(vt_augment_draw(&a, f, SEED, 0, i, 0, steps), 2);
            CHECK_EQ(steps[0].filter, f == VT_FILTER_NEAREST ? VT_FILTER_BILINEAR : f);
        }
}

/* --- keys, sizes, memory --- */

static uint64_t hash_steps(const vt_augment *a, uint64_t seed, uint32_t epoch, uint32_t sample, uint32_t repeat)
{
    vt_augment_step steps[VT_AUGMENT_STEPS];
    uint64_t h = 1;
    for (int k = 0, n = vt_augment_draw(a, VT_FILTER_RANDOM, seed, epoch, sample, repeat, steps); k < n; k++)
        h = vt_mix_key(h + (uint64_t)llround(1e6 * steps[k].argument), vt_hash_name(steps[k].op->name));
    return h;
}

TEST(depends_on_the_key_alone)
{
    vt_augment a = parsed("rand-p1-mstd0.5");
    uint64_t h = hash_steps(&a, 1, 2, 3, 4);
    for (uint32_t i = 0; i < 50; i++) hash_steps(&a, i, i, i, i);
    CHECK(hash_steps(&a, 1, 2, 3, 4) == h);
    CHECK(hash_steps(&a, 2, 2, 3, 4) != h);
    CHECK(hash_steps(&a, 1, 3, 3, 4) != h);
    CHECK(hash_steps(&a, 1, 2, 4, 4) != h);
    CHECK(hash_steps(&a, 1, 2, 3, 5) != h);
}

/* Every policy on images of any size, without the heap. */
TEST(allocates_nothing)
{
    const char *const policies[] = {"rand-m9-mstd0.5-inc1-n16-p1", "rand-m5-n8-p1", "original-mstd3", "v0", "3a"};
    const int sizes[][2] = {{1, 1}, {1, 2}, {3, 1}, {2, 2}, {3, 3}, {5, 7}, {31, 17}, {64, 33}};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (int channels = 1; channels <= 3; channels += 2) {
            int height = sizes[s][0], width = sizes[s][1];
            size_t n = (size_t)height * (size_t)width * (size_t)channels;
            uint8_t *pixels = malloc(n);
            vt_canvas c = {.pixels = pixels, .height = height, .width = width, .channels = channels,
                           .fill = {124, 116, 104}, .work = vt_alloc_raw(vt_canvas_work(height, width, channels))};
            for (size_t k = 0; k < n; k++) pixels[k] = (uint8_t)(k * 2654435761u >> 13);
#ifdef VT_TEST_ALLOC
            vt_alloc_fail_at(1000, 1);
#endif
            for (uint32_t i = 0; i < 60; i++) {
                vt_augment_step steps[VT_AUGMENT_STEPS];
                vt_augment a = parsed(policies[i % 5]);
                a.jitter = 0.4;
                vt_augment_apply(steps, draw(&a, i, steps), c);
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
    RUN(reads_rand);
    RUN(reads_others);
    RUN(names_what_is_wrong);
    RUN(levels_mean_what_timm_says);
    RUN(rand_draws_ops_evenly);
    RUN(rand_draws_levels);
    RUN(auto_draws_pairs_evenly);
    RUN(three_and_jitter);
    RUN(warps_use_the_filter);
    RUN(depends_on_the_key_alone);
    RUN(allocates_nothing);
    TEST_END();
}
