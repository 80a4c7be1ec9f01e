/* Erasing: what the draws hang on, and that they have the distribution that data/erase.h says. */
#include "data/erase.h"

#include "test.h"

enum { SEED = 5, N = 40000, H = 64, W = 48 };

static void draw(const vt_erase *e, uint32_t sample, int32_t *boxes)
{
    vt_erase_draw(e, H, W, SEED, 2, sample, 1, boxes);
}

TEST(keys)
{
    vt_erase e = {1, 3};
    int32_t first[12], again[12], others[5][12];
    vt_erase_draw(&e, H, W, SEED, 2, 7, 1, first);
    vt_erase_draw(&e, H, W, SEED, 2, 7, 1, again);
    CHECK(memcmp(first, again, sizeof first) == 0);
    vt_erase_draw(&e, H, W, SEED + 1, 2, 7, 1, others[0]);
    vt_erase_draw(&e, H, W, SEED, 3, 7, 1, others[1]);
    vt_erase_draw(&e, H, W, SEED, 2, 8, 1, others[2]);
    vt_erase_draw(&e, H, W, SEED, 2, 7, 2, others[3]);
    vt_erase_draw(&e, W, H, SEED, 2, 7, 1, others[4]);
    for (int i = 0; i < 5; i++) CHECK(memcmp(first, others[i], sizeof first) != 0);
}

/* Boxes are within the image, and those that are not there stand behind the others. */
TEST(boxes_fit)
{
    for (int most = 1; most <= 4; most++) {
        vt_erase e = {0.7, most};
        for (uint32_t i = 0; i < 2000; i++) {
            int32_t boxes[16];
            memset(boxes, 0x55, sizeof boxes);
            draw(&e, i, boxes);
            for (int k = 0; k < most; k++) {
                const int32_t *b = boxes + 4 * k;
                CHECK(b[0] >= 0 && b[1] >= 0 && b[2] >= 0 && b[3] >= 0 && b[0] + b[2] <= H && b[1] + b[3] <= W);
                CHECK((b[2] == 0) == (b[3] == 0));
            }
            for (int k = 4 * most; k < 16; k++) CHECK_EQ(boxes[k], 0x55555555);
        }
    }
}

/* A square image: every aspect is as likely to be taken as its inverse, and but for the few boxes that are too long the
 * area is uniform in [0.02, 1/3], ln(h / w) in +-ln(1/0.3). Standard errors times 4. */
TEST(distribution)
{
    enum { SIDE = 1000 };
    vt_erase e = {0.25, 1};
    int erased = 0;
    double area = 0, squares = 0, aspect = 0, bend = 0, centre = 0;
    printf("seed %d\n", SEED);
    for (uint32_t i = 0; i < N; i++) {
        int32_t b[4];
        vt_erase_draw(&e, SIDE, SIDE, SEED, 0, i, 0, b);
        if (!b[2]) continue;
        double share = (double)b[2] * b[3] / SIDE / SIDE, ln = log((double)b[2] / b[3]);
        erased++;
        area += share;
        squares += share * share;
        aspect += ln;
        bend += ln * ln;
        centre += (b[0] + 0.5 * b[2]) / SIDE;
    }
    double n = erased, mean = (0.02 + 1.0 / 3) / 2, width = 1.0 / 3 - 0.02, reach = log(1 / 0.3);
    CHECK_NEAR(n / N, 0.25, 4 * sqrt(0.25 * 0.75 / N));
    /* Boxes longer than the image: area > aspect, at most 3 in 1000 of the tries; the largest areas. */
    CHECK_NEAR(area / n, mean, 4 * width / sqrt(12 * n) + 0.001);
    CHECK_NEAR(squares / n - area / n * area / n, width * width / 12, 0.0004);
    CHECK_NEAR(aspect / n, 0, 4 * reach / sqrt(3 * n));
    CHECK_NEAR(bend / n, reach * reach / 3, 0.03);
    CHECK_NEAR(centre / n, 0.5, 4 * 0.25 / sqrt(n));
}

/* The number of boxes is even over 1 .. most; all boxes of a sample together have the area of one. */
TEST(count)
{
    enum { SIDE = 1000, MOST = 4 };
    vt_erase e = {1, MOST};
    int times[MOST + 1] = {0};
    double area[MOST + 1] = {0};
    for (uint32_t i = 0; i < N; i++) {
        int32_t b[4 * MOST];
        int count = 0;
        double sum = 0;
        vt_erase_draw(&e, SIDE, SIDE, SEED, 0, i, 0, b);
        for (int k = 0; k < MOST; k++) {
            count += b[4 * k + 2] > 0;
            sum += (double)b[4 * k + 2] * b[4 * k + 3] / SIDE / SIDE;
        }
        times[count]++;
        area[count] += sum;
    }
    for (int k = 1; k <= MOST; k++) {
        CHECK_NEAR(times[k], N / MOST, 5 * sqrt(N * 0.25 * 0.75));
        CHECK_NEAR(area[k] / times[k], (0.02 + 1.0 / 3) / 2, 0.005);
    }
}

TEST(off_and_tiny)
{
    vt_erase off = {0, 2}, on = {1, 1};
    int32_t b[8];
    for (uint32_t i = 0; i < 100; i++) {
        draw(&off, i, b);
        for (int k = 0; k < 8; k++) CHECK_EQ(b[k], 0);
        vt_erase_draw(&on, 1, 1, SEED, 0, i, 0, b);
        CHECK(b[2] == 0 || b[3] == 0);
    }
}

int main(void)
{
    RUN(keys);
    RUN(boxes_fit);
    RUN(distribution);
    RUN(count);
    RUN(off_and_tiny);
    TEST_END();
}
