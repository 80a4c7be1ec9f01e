#include "train/evaluate.h"

#include "test.h"

TEST(scores)
{
    enum { K = 6 };
    static const float logits[4 * K] = {
        9, 1, 2, 3, 4, 5, /* label 0 is first */
        9, 1, 2, 3, 4, 5, /* label 1 is last */
        0, 0, 0, 0, 0, 0, /* a tie counts against the label */
        1, 2, NAN, 4, 5, 6, /* not counted */
    };
    static const int32_t labels[4] = {0, 1, 3, -1};
    vt_score s = {0};
    vt_score_add(&s, logits, labels, 2, K);
    vt_score_add(&s, logits + 2 * K, labels + 2, 2, K);
    vt_score_finish(&s);
    double lse = log(exp(9) + exp(1) + exp(2) + exp(3) + exp(4) + exp(5));
    CHECK_EQ(s.n, 3);
    CHECK_NEAR(s.acc1, 100 / 3.0, 1e-12);
    CHECK_NEAR(s.acc5, 100 / 3.0, 1e-12);
    CHECK_NEAR(s.loss, (lse - 9 + lse - 1 + log(6)) / 3, 1e-12);
}

TEST(top)
{
    static const float logits[5] = {0, 3, 1, 3, -1};
    int best[3];
    float p[3];
    vt_top(logits, 5, 3, best, p);
    double sum = 1 + 2 * exp(3) + exp(1) + exp(-1);
    CHECK(best[0] == 1 && best[1] == 3 && best[2] == 2);
    CHECK_NEAR(p[0], exp(3) / sum, 1e-7);
    CHECK_NEAR(p[2], exp(1) / sum, 1e-7);
}

int main(void)
{
    RUN(scores);
    RUN(top);
    TEST_END();
}
