/* Normal numbers: against libm, and their moments. */
#include "base/normal.h"

#include "test.h"

TEST(as_libm_has_them)
{
    const double pi = 3.14159265358979323846;
    double worst = 0;
    for (uint32_t i = 0; i < 200000; i++) {
        vt_philox b = vt_philox_4x32(3, i, 0, 0, 0);
        if (i < 64) b.v[0] = i << 8;                            /* small u: the tail */
        if (i >= 64 && i < 128) b.v[0] = 0xFFFFFFFFu - (i << 8); /* u near 1: small numbers */
        if (i >= 128 && i < 160) b.v[1] = (i - 128) << 27;      /* turns at and between the quarters */
        float got[4];
        vt_normals(b, got);
        for (int k = 0; k < 4; k += 2) {
            double u = ((double)(b.v[k] >> 8) + 1) / 16777216, v = (double)(b.v[k + 1] >> 8) / 16777216;
            double radius = sqrt(-2 * log(u)), a = radius * cos(2 * pi * v), c = radius * sin(2 * pi * v);
            worst = fmax(worst, fmax(fabs(got[k] - a), fabs(got[k + 1] - c)) / fmax(radius, 1e-3));
            CHECK(got[k] == got[k] && got[k + 1] == got[k + 1]);
        }
    }
    CHECK_MSG(worst < 4e-7, "%g", worst);
    CHECK(vt_graph_normal(5, 6, 7, 4 * 9 + 2) == vt_graph_normal(5, 6, 7, 38));
    CHECK(vt_graph_normal(5, 6, 7, 38) != vt_graph_normal(5, 6, 7, 39));
}

/* Mean, variance, kurtosis and the covariance of neighbours, within 5 standard errors. */
TEST(moments)
{
    enum { N = 400000 };
    double sum[4] = {0}, pair = 0, before = 0;
    for (uint32_t i = 0; i < N / 4; i++) {
        float x[4];
        vt_normals(vt_graph_draw(1, 2, 3, i), x);
        for (int k = 0; k < 4; k++) {
            double v = (double)x[k];
            sum[0] += v;
            sum[1] += v * v;
            sum[2] += v * v * v;
            sum[3] += v * v * v * v;
            pair += v * before;
            before = v;
        }
    }
    CHECK_NEAR(sum[0] / N, 0, 5 / sqrt(N));
    CHECK_NEAR(sum[1] / N, 1, 5 * sqrt(2.0 / N));
    CHECK_NEAR(sum[2] / N, 0, 5 * sqrt(15.0 / N));
    CHECK_NEAR(sum[3] / N, 3, 5 * sqrt(96.0 / N));
    CHECK_NEAR(pair / N, 0, 5 / sqrt(N));
}

int main(void)
{
    RUN(as_libm_has_them);
    RUN(moments);
    TEST_END();
}
