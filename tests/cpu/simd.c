/* The vector helpers against libm in double: those of the instruction set this is compiled for. */
#include "cpu/fast/simd_math.h"
#include "test.h"

typedef double (*scalar)(double);
#define OVER_ARRAY(f)                                                  \
    static void f##_array(const float *x, float *y, int n)             \
    {                                                                  \
        for (int i = 0; i < n; i += VT_LANES) {                        \
            int lanes = n - i < VT_LANES ? n - i : VT_LANES;           \
            vf_store_n(y + i, f(vf_load_n(x + i, lanes)), lanes);      \
        }                                                              \
    }
OVER_ARRAY(vf_exp)
OVER_ARRAY(vf_tanh)
OVER_ARRAY(vf_gelu)
OVER_ARRAY(vf_gelu_grad)

static double gelu(double x)
{
    return 0.5 * x * erfc(-x * sqrt(0.5));
}

static double gelu_grad(double x)
{
    return 0.5 * erfc(-x * sqrt(0.5)) + x * exp(-0.5 * x * x) * 0.3989422804014327;
}

static float float_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static double ulp(double y) /* of fp32 at y */
{
    int e;
    frexp(y, &e);
    return ldexp(1.0, (e < -125 ? -125 : e) - 24);
}

/* Every 1021st fp32 number between lo and hi in magnitude, both signs where `negative`: the error is within
 * ulps * ulp + absolute; a result beyond fp32 must be infinite. */
static void sweep(const char *name, void (*f)(const float *, float *, int), scalar want, float lo, float hi,
                  int negative, double ulps, double absolute)
{
    enum { N = 4096 - 3 };
    static float x[N], y[N];
    uint32_t bits, last;
    memcpy(&bits, &lo, 4);
    memcpy(&last, &hi, 4);
    double worst = 0, at = 0;
    while (bits <= last) {
        int n = 0;
        for (; n + 1 < N && bits <= last; bits += 1021) {
            x[n++] = float_of(bits);
            if (negative) x[n++] = -float_of(bits);
        }
        f(x, y, n);
        for (int i = 0; i < n; i++) {
            double w = want(x[i]), error = (fabs(y[i] - w) - absolute) / ulp(w);
            if (fabs(w) > 3.4028235e38) error = isinf(y[i]) ? 0 : INFINITY;
            if (!(error <= worst)) worst = error, at = x[i];
        }
    }
    CHECK_MSG(worst <= ulps, "%s(%.9g): %.3g ulp beyond %.1g", name, at, worst, absolute);
}

TEST(functions)
{
    sweep("exp", vf_exp_array, exp, 1e-30f, 80.0f, 1, 2, 0);
    sweep("exp, into denormals and infinity", vf_exp_array, exp, 80.0f, 200.0f, 1, 2, 0);
    sweep("tanh", vf_tanh_array, tanh, 1e-30f, 50.0f, 1, 3, 0);
    sweep("gelu", vf_gelu_array, gelu, 1e-30f, 50.0f, 1, 1, 2.5e-7);
    sweep("gelu_grad", vf_gelu_grad_array, gelu_grad, 1e-30f, 50.0f, 1, 1, 4e-7);
}

static float one(void (*f)(const float *, float *, int), float x)
{
    float y;
    f(&x, &y, 1);
    return y;
}

TEST(limits)
{
    const float inf = INFINITY;
    CHECK(one(vf_exp_array, -inf) == 0 && one(vf_exp_array, inf) == inf && one(vf_exp_array, 0) == 1);
    CHECK(one(vf_tanh_array, inf) == 1 && one(vf_tanh_array, -inf) == -1 && one(vf_tanh_array, 0) == 0);
    CHECK(one(vf_gelu_array, inf) == inf && fabsf(one(vf_gelu_array, -inf)) <= 2.5e-7f && one(vf_gelu_array, 0) == 0);
    CHECK_NEAR(one(vf_gelu_grad_array, inf), 1, 4e-7);
    CHECK_NEAR(one(vf_gelu_grad_array, -inf), 0, 4e-7);
    CHECK(isnan(one(vf_exp_array, NAN)) && isnan(one(vf_tanh_array, NAN)));
    CHECK(isnan(one(vf_gelu_array, NAN)) && isnan(one(vf_gelu_grad_array, NAN)));
}

TEST(memory)
{
    for (int n = 0; n <= VT_LANES; n++) { /* nothing beyond n is touched: the block ends there */
        float *block = malloc(sizeof(float) * (n ? n : 1)), out[VT_LANES + 1];
        for (int i = 0; i < n; i++) block[i] = 1.5f + i;
        vf v = vf_load_n(block, n);
        for (int i = 0; i < VT_LANES; i++) CHECK(v[i] == (i < n ? 1.5f + i : 0));
        vf first = vf_first(v, n, vf_set(-2));
        for (int i = 0; i < VT_LANES; i++) CHECK(first[i] == (i < n ? 1.5f + i : -2));
        for (int i = 0; i <= VT_LANES; i++) out[i] = -1;
        vf_store_n(out, v + 1.0f, n);
        for (int i = 0; i <= VT_LANES; i++) CHECK(out[i] == (i < n ? 2.5f + i : -1));
        vf_store_n(block, v, n);
        free(block);
    }
}

TEST(lanes)
{
    float x[VT_LANES], a[VT_LANES][7];
    for (int i = 0; i < VT_LANES; i++) x[i] = (float)(i * 7 % VT_LANES);
    CHECK(vf_sum(vf_load(x)) == VT_LANES * (VT_LANES - 1) / 2);
    CHECK(vf_max_lane(vf_load(x)) == VT_LANES - 1);
    for (int i = 0; i < VT_LANES; i++)
        for (int j = 0; j < 7; j++) a[i][j] = (float)(10 * i + j);
    const float *rows[VT_LANES];
    for (int i = 0; i < VT_LANES; i++) rows[i] = a[i];
    vf t[4];
    vf_transpose(rows, 3, t);
    for (int j = 0; j < 4; j++)
        for (int i = 0; i < VT_LANES; i++) CHECK(t[j][i] == 10 * i + 3 + j);
    vf p = vf_set(1), q = vf_set(2), nan = vf_set(NAN);
    CHECK(vf_min(p, q)[0] == 1 && vf_max(p, q)[0] == 2 && vf_select(p < q, p, q)[0] == 1 && vf_abs(-q)[0] == 2);
    CHECK(isnan(vf_min(p, nan)[0]) && vf_min(nan, p)[0] == 1 && isnan(vf_max(p, nan)[0]) && vf_max(nan, p)[0] == 1);
    CHECK(signbit(vf_set(-0.0f)[0]));
}

int main(void)
{
#if defined(VT_ISA_AVX512)
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512dq")) SKIP("no AVX-512 here");
#elif defined(VT_ISA_AVX2)
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) SKIP("no AVX2 here");
#endif
    RUN(functions);
    RUN(limits);
    RUN(memory);
    RUN(lanes);
    TEST_END();
}
