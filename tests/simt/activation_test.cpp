/* activation_test.cpp - GELU of the kernels against erf in double. A GPU's exp2 and reciprocal may be 2 ulp worse. */
#include "activation.cuh"

#include "test.h"

static double phi(double x)
{
    return erfc(-x * 0.70710678118654752440) / 2;
}

static double want_gelu(double x) { return x * phi(x); }
static double want_grad(double x) { return phi(x) + x * 0.39894228040143267794 * exp(-0.5 * x * x); }

static float made_gelu(float x)
{
    return activate(VT_GELU, floats<1>{{x}}).v[0];
}

static float made_grad(float x)
{
    return activate_grad(VT_GELU, floats<1>{{1}}, floats<1>{{x}}).v[0];
}

typedef struct errors {
    double absolute, relative; /* worst over the sweep */
} errors;

/* Of one rounding to fp32, of a number as large as v. */
static double half_ulp(double v)
{
    return ldexp(1, ilogb((float)fabs(v) + 1e-30f) - 24);
}

/* From `from` to `to` in steps, and by magnitude as far down as fp32 has numbers; beyond the result's own rounding. */
static errors sweep(float (*made)(float), double (*want)(double), double from, double to)
{
    errors worst = {};
    auto look = [&](float x) {
        double w = want(x), off = fabs(made(x) - w), least = fabs(w) > 1e-30 ? off / fabs(w) : 0;
        worst.absolute = fmax(worst.absolute, isnan(off) ? INFINITY : fmax(off - half_ulp(w), 0));
        worst.relative = fmax(worst.relative, least);
    };
    for (double x = from; x <= to; x += 1.0 / 4096) look((float)x);
    for (float x = 1e-45f; x < 4; x *= 1.5f) {
        if (to > 0) look(x);
        if (from < 0) look(-x);
    }
    return worst;
}

TEST(gelu_errors)
{
    errors all = sweep(made_gelu, want_gelu, -40, 40), tail = sweep(made_gelu, want_gelu, -5, 0);
    CHECK_MSG(all.absolute <= 2.4e-7, "absolute: %.3g", all.absolute);
    CHECK_MSG(tail.relative <= 8e-6, "relative, -5 .. 0: %.3g", tail.relative);
}

TEST(gelu_grad_errors)
{
    errors all = sweep(made_grad, want_grad, -40, 40);
    CHECK_MSG(all.absolute <= 2e-7, "absolute: %.3g", all.absolute);
}

TEST(limits)
{
    const float huge = 3e38f;
    CHECK(made_gelu(0.0f) == 0 && made_gelu(-0.0f) == 0 && made_gelu(huge) == huge && made_gelu(-huge) == 0);
    CHECK(made_grad(huge) == 1 && made_grad(-huge) == 0);
    for (float x : {INFINITY, -INFINITY, NAN}) CHECK(isnan(made_gelu(x)) && isnan(made_grad(x)));
}

int main()
{
    RUN(gelu_errors);
    RUN(gelu_grad_errors);
    RUN(limits);
    TEST_END();
}
