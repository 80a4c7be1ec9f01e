/* Mixing: groups and partners, what the draws hang on, and that they have the distribution that data/mixing.h says. */
#include "data/mixing.h"

#include "data/beta.h"

#include "test.h"

enum { SEED = 11, N = 40000, H = 48, W = 64, MOST = 9 };

static const vt_mixing deit = {.mixup = 0.8, .cutmix = 1, .mix_probability = 1, .switch_probability = 0.5};

typedef struct record {
    int32_t where[5 * MOST];
    float weights[3 * MOST];
} record;

static record draw(const vt_mixing *m, uint32_t epoch, uint32_t step, int first_slot, int batch)
{
    record r = {{0}, {0}};
    int32_t slots[MOST];
    for (int i = 0; i < batch; i++) slots[i] = first_slot + 4 * i;
    vt_mixing_draw(m, H, W, SEED, epoch, step, slots, batch, &(vt_mixed){r.where, r.weights});
    return r;
}

static int same_draw(const record *r, int i, int k)
{
    return memcmp(r->where + 5 * i + 1, r->where + 5 * k + 1, 4 * sizeof *r->where) == 0 &&
           memcmp(r->weights + 3 * i, r->weights + 3 * k, 3 * sizeof *r->weights) == 0;
}

TEST(groups_and_partners)
{
    for (int batch = 1; batch <= MOST; batch++) {
        vt_mixing m = deit;
        record r = draw(&m, 0, 3, 1, batch);
        for (int i = 0; i < batch; i++) CHECK(r.where[5 * i] == batch - 1 - i && same_draw(&r, 0, i));
        m.mode = VT_MIX_PAIR;
        record pair = draw(&m, 0, 3, 1, batch);
        m.mode = VT_MIX_ELEM;
        record elem = draw(&m, 0, 3, 1, batch);
        CHECK(same_draw(&r, 0, 0));
        CHECK(memcmp(r.weights, pair.weights, 12) == 0 && memcmp(r.weights, elem.weights, 12) == 0);
        for (int i = 0; i < batch; i++) {
            CHECK_EQ(pair.where[5 * i], batch - 1 - i);
            CHECK_EQ(elem.where[5 * i], batch - 1 - i);
            for (int k = 0; k < i; k++) {
                CHECK_EQ(same_draw(&pair, i, k), i + k == batch - 1);
                CHECK(!same_draw(&elem, i, k));
            }
        }
    }
}

TEST(keys)
{
    record r = draw(&deit, 0, 3, 1, 4), again = draw(&deit, 5, 3, 1, 4); /* the epoch is in the step */
    CHECK(memcmp(&r, &again, sizeof r) == 0);
    record step = draw(&deit, 0, 4, 1, 4), micro = draw(&deit, 0, 3, 2, 4);
    CHECK(memcmp(&r, &step, sizeof r) != 0 && memcmp(&r, &micro, sizeof r) != 0);
}

TEST(off)
{
    vt_mixing m = deit, none = {.mix_probability = 1};
    CHECK(vt_mixing_on(&m) && !vt_mixing_on(&none));
    m.off_epoch = 2;
    record nothing = {{0}, {0}};
    vt_mixing_none(4, &(vt_mixed){nothing.where, nothing.weights});
    for (int i = 0; i < 4; i++) {
        CHECK(nothing.where[5 * i] == 3 - i && nothing.where[5 * i + 3] == 0);
        for (int k = 0; k < 3; k++) CHECK(nothing.weights[3 * i + k] == 1);
    }
    record before = draw(&m, 1, 9, 0, 4), after = draw(&m, 2, 9, 0, 4);
    CHECK(memcmp(&before, &nothing, sizeof before) != 0);
    CHECK(memcmp(&after, &nothing, sizeof after) == 0);
    m.off_epoch = 0;
    m.mix_probability = 0;
    after = draw(&m, 0, 9, 0, 4);
    CHECK(memcmp(&after, &nothing, sizeof after) == 0);
}

/* Beta(a, a) has mean 1/2 and variance 1 / (4 (2a + 1)); below 1/4 lies a known share where a is 1/2, 1 or 2. */
TEST(beta)
{
    static const struct { double a, below; } cases[] = {
        {0.001, -1}, {0.2, -1}, {0.5, 1.0 / 3}, {0.8, -1}, {1, 0.25}, {2, 0.15625}, {32, -1}, {1000, -1}};
    printf("seed %d\n", SEED);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        double sum = 0, squares = 0, below = 0, a = cases[k].a, variance = 1 / (4 * (2 * a + 1));
        for (uint32_t i = 0; i < N; i++) {
            vt_rng r = vt_rng_mix(SEED, i, (uint32_t)k);
            double v = vt_beta_draw(&r, a);
            CHECK_MSG(v >= 0 && v <= 1, "%g", v);
            sum += v;
            squares += (v - 0.5) * (v - 0.5);
            below += v < 0.25;
        }
        CHECK_NEAR(sum / N, 0.5, 4 * sqrt(variance / N));
        CHECK_NEAR(squares / N / variance, 1, 4 * sqrt(2.0 / N));
        if (cases[k].below > 0) CHECK_NEAR(below / N, cases[k].below, 4 * sqrt(cases[k].below / N));
    }
}

/* Dirichlet(a, ..., a) of n: means 1 / n, variances (n - 1) / (n^2 (n a + 1)), any two negatively correlated. */
TEST(dirichlet)
{
    static const struct { double a; int n; } cases[] = {{0.01, 3}, {0.3, 2}, {1, 1}, {1, 3}, {1, 8}, {5, 4}, {1000, 3}};
    printf("seed %d\n", SEED);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        int n = cases[k].n;
        double a = cases[k].a, variance = (n - 1.0) / (n * n * (n * a + 1)), product = 0;
        double sums[8] = {0}, squares[8] = {0};
        for (uint32_t i = 0; i < N; i++) {
            vt_rng r = vt_rng_mix(SEED, i, (uint32_t)k);
            double v[8], total = 0;
            vt_dirichlet_draw(&r, a, v, n);
            for (int j = 0; j < n; j++) {
                CHECK_MSG(v[j] >= 0 && v[j] <= 1, "%g", v[j]);
                total += v[j];
                sums[j] += v[j];
                squares[j] += (v[j] - 1.0 / n) * (v[j] - 1.0 / n);
            }
            CHECK_NEAR(total, 1, 1e-12);
            product += (v[0] - 1.0 / n) * (v[n - 1] - 1.0 / n);
        }
        for (int j = 0; j < n && n > 1; j++) {
            CHECK_NEAR(sums[j] / N, 1.0 / n, 4 * sqrt(variance / N));
            CHECK_NEAR(squares[j] / N / variance, 1, 4 * sqrt(n / (double)N * 4)); /* the fourth moment, generously */
        }
        if (n > 1) CHECK_NEAR(product / N / variance, -1.0 / (n - 1), 4 * sqrt(n / (double)N * 4));
    }
}

typedef struct counts {
    double cutmix, mixup, lam, lam2, share; /* lam: of mixup; share: of a cutmix box */
} counts;

static counts count(const vt_mixing *m)
{
    counts c = {0};
    for (uint32_t i = 0; i < N; i++) {
        record r = draw(m, 0, i, 0, 2);
        const int32_t *w = r.where;
        CHECK(w[1] >= 0 && w[2] >= 0 && w[3] >= 0 && w[4] >= 0 && w[1] + w[3] <= H && w[2] + w[4] <= W);
        double share = (double)w[3] * w[4] / (H * W);
        if (r.weights[0] == 0 && r.weights[1] == 1) {
            CHECK_NEAR(r.weights[2], 1 - share, 1e-6);
            c.cutmix++;
            c.share += share;
        } else if (r.weights[0] != 1) {
            CHECK(r.weights[0] == r.weights[1] && r.weights[1] == r.weights[2] && share == 0);
            c.mixup++;
            c.lam += r.weights[0];
            c.lam2 += (r.weights[0] - 0.5) * (r.weights[0] - 0.5);
        } else {
            CHECK(r.weights[1] == 1 && r.weights[2] == 1 && share == 0);
        }
    }
    c.lam /= c.mixup;
    c.lam2 /= c.mixup;
    c.share /= c.cutmix;
    return c;
}

static double off(double p) /* 4 standard errors of a share */
{
    return 4 * sqrt(p * (1 - p) / N);
}

TEST(shares)
{
    vt_mixing m = deit;
    counts c = count(&m);
    CHECK_NEAR(c.cutmix / N, 0.5, off(0.5));
    CHECK_NEAR(c.lam, 0.5, 4 * sqrt(1 / (4 * 2.6) / c.mixup));
    CHECK_NEAR(c.lam2 * 4 * 2.6, 1, 0.03);
    m.mix_probability = 0.7;
    m.switch_probability = 0.2;
    c = count(&m);
    CHECK_NEAR(c.cutmix / N, 0.14, off(0.14));
    CHECK_NEAR(c.mixup / N, 0.56, off(0.56));
    m.cutmix = 0;
    c = count(&m);
    CHECK_NEAR(c.mixup / N, 0.7, off(0.7));
    CHECK(c.cutmix == 0);
    m.mixup = 0;
    m.cutmix = 1;
    c = count(&m);
    CHECK_NEAR(c.cutmix / N, 0.7, off(0.7));
    CHECK(c.mixup == 0);
}

/* The box's expected share of the image, both sides' expectations over the ratio's: the length that is within the image
 * of one of n cut to 2 half around centre c = 0 .. n-1 is summed over every centre. lambda is uniform: a = 1. */
TEST(cutmix_area)
{
    double want = 0;
    enum { STEPS = 20000 };
    for (int k = 0; k < STEPS; k++) {
        double ratio = sqrt((k + 0.5) / STEPS), length[2];
        for (int i = 0; i < 2; i++) {
            int n = i ? W : H, half = (int)(n * ratio) / 2;
            length[i] = 0;
            for (int c = 0; c < n; c++) length[i] += (c + half < n ? c + half : n) - (c > half ? c - half : 0);
            length[i] /= n;
        }
        want += length[0] * length[1] / (H * W) / STEPS;
    }
    vt_mixing m = {.cutmix = 1, .mix_probability = 1};
    CHECK_NEAR(count(&m).share, want, 4 * 0.3 / sqrt(N));
}

/* Sides are even over int(n * min) .. int(n * max) - 1. */
TEST(minmax)
{
    vt_mixing m = {.minmax = {0.25, 0.75}, .mix_probability = 1};
    counts c = count(&m);
    CHECK(vt_mixing_on(&m) && c.cutmix == N);
    CHECK_NEAR(c.share, 23.5 / H * 31.5 / W, 0.005);
    vt_mixing whole = {.minmax = {0, 1}, .mix_probability = 1}, thin = {.minmax = {0.5, 0.501}, .mix_probability = 1};
    CHECK_NEAR(count(&whole).share, 23.5 / H * 31.5 / W, 0.006);
    CHECK_NEAR(count(&thin).share, 0.25, 1e-12);
}

int main(void)
{
    RUN(groups_and_partners);
    RUN(keys);
    RUN(off);
    RUN(beta);
    RUN(dirichlet);
    RUN(shares);
    RUN(cutmix_area);
    RUN(minmax);
    TEST_END();
}
