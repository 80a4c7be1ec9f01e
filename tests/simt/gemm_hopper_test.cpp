/* gemm_hopper_test.cpp - kernels/gemm_hopper.cu, simulated, against plain fp64 loops.
 *
 * The bounds follow from what is rounded: sums are fp32, results bf16 (half a unit in the last place, 2^-8). y is
 * made of the rounded pre-activation, so it is held to GELU of what the kernel gave for that. */
#include <math.h>
#include <stdlib.h>

#include <vector>

#include "fake.h"
#include "gemm_choice.cuh"
#include "test.h"

enum { PAD = 64 };

typedef std::vector<uint16_t> halves;

static const double HALF_UNIT = 1.0 / 256, EPS = 1e-5; /* of bf16; what fp32 may lose, relative to the terms */
static const uint16_t UNWRITTEN = 0x7FDE;              /* a NaN */

static double value(uint16_t bits)
{
    uint32_t u = (uint32_t)bits << 16;
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

static halves draws(int64_t n, float size)
{
    halves v((size_t)n);
    for (uint16_t &bits : v) bits = (uint16_t)simt_bf16_bits((float)(rand() / (double)RAND_MAX - 0.5) * size);
    return v;
}

static double gelu(double x)
{
    return 0.5 * x * erfc(-x * sqrt(0.5));
}

static double gelu_slope(double x)
{
    return 0.5 * erfc(-x * sqrt(0.5)) + x * exp(-0.5 * x * x) / sqrt(2 * M_PI);
}

extern "C" void vt_cuda_fail(const vt_run *, const char *call, const char *reason) /* backend.cu's */
{
    CHECK_MSG(false, "%s: %s", call, reason);
}

#define CUDA_OK(call) CHECK_MSG((call) == cudaSuccess, "%s", fake().report.c_str())

struct device {
    vt_cuda cuda = {};
    std::vector<void *> taken;
    device(int sms)
    {
        cuda.arch = 90;
        cuda.sms = sms;
        cuda.smem_block = 227 << 10;
        CUDA_OK(cudaStreamCreate(&cuda.stream)); /* ordered with cudaMemcpy */
    }
    ~device()
    {
        for (void *p : taken) CUDA_OK(cudaFree(p));
        CUDA_OK(cudaStreamDestroy(cuda.stream));
    }
    void *put(const halves &v)
    {
        void *p = nullptr;
        CUDA_OK(cudaMalloc(&p, v.size() * sizeof v[0]));
        CUDA_OK(cudaMemcpy(p, v.data(), v.size() * sizeof v[0], cudaMemcpyHostToDevice));
        taken.push_back(p);
        return p;
    }
    halves get(const void *p, size_t n)
    {
        halves v(n);
        CUDA_OK(cudaMemcpy(v.data(), p, n * sizeof v[0], cudaMemcpyDeviceToHost));
        return v;
    }
};

struct product {
    int rows, columns, depth, gradient;
    bool biased;
};

static gemm_shape shape_of(const product &p)
{
    int64_t m = p.columns, k = p.depth;
    int epilogue = p.biased ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
    return {m, p.rows, k, p.gradient ? m : k, k, m, !p.gradient, 0, VT_BF16, VT_BF16, 0, epilogue, VT_GELU, p.gradient};
}

/* Threads and blocks take turns in another order from here on. */
static void reorder()
{
    static int seed;
    setenv("SIMT_SEED", std::to_string(++seed).c_str(), 1);
}

/* What the kernel leaves in D, and in pre where that is wanted. */
static halves run(const product &p, const halves &x, const halves &w, const halves &b, halves *pre)
{
    device d(3); /* fewer than most products have tiles: blocks loop */
    size_t n = (size_t)p.rows * p.columns + PAD;
    void *at_pre = pre ? d.put(*pre) : nullptr, *to = d.put(halves(n, UNWRITTEN));
    gemm_operands o = {d.put(w), d.put(x), to, p.biased ? d.put(b) : nullptr, at_pre};
    gemm_shape s = shape_of(p);
    CHECK(gemm_hopper_fits(&d.cuda, &s));
    reorder();
    CUDA_OK(gemm_hopper_queue(&d.cuda, &s, &o));
    if (pre) *pre = d.get(at_pre, pre->size());
    return d.get(to, n);
}

static void compare(const product &p, const char *what, size_t at, double got, double want, double may)
{
    CHECK_MSG(fabs(got - want) <= may + HALF_UNIT * (fabs(want) + may), "%d x %d x %d: %s[%zu] is %g, not %g", p.rows,
              p.columns, p.depth, what, at, got, want);
}

static void check(const product &p)
{
    size_t n = (size_t)p.rows * p.columns;
    halves x = draws((int64_t)p.rows * p.depth, 2), w = draws((int64_t)p.columns * p.depth, 1), b = draws(p.columns, 4);
    halves pre(n + PAD, UNWRITTEN), given = draws(p.gradient ? (int64_t)n : 0, 8);
    std::copy(given.begin(), given.end(), pre.begin());
    halves before = pre, got = run(p, x, w, b, &pre), again = run(p, x, w, b, &before);
    CHECK_MSG(got == again && pre == before, "%d x %d x %d: other bits", p.rows, p.columns, p.depth);
    bool alone = p.gradient || got == run(p, x, w, b, nullptr);
    CHECK_MSG(alone, "%d x %d x %d: other bits of y without pre", p.rows, p.columns, p.depth);
    for (size_t i = 0; i < n; i++) {
        size_t row = i / p.columns, column = i % p.columns;
        double sum = p.biased ? value(b[column]) : 0, size = fabs(sum);
        for (size_t k = 0; k < (size_t)p.depth; k++) {
            double term = value(x[row * p.depth + k]) *
                          value(p.gradient ? w[k * p.columns + column] : w[column * p.depth + k]);
            sum += term;
            size += fabs(term);
        }
        double at = value(pre[i]), out = value(got[i]);
        if (p.gradient) {
            double by = gelu_slope(at);
            compare(p, "dx", i, out, sum * by, EPS * (size * fabs(by) + fabs(sum)));
        } else {
            compare(p, "pre", i, at, sum, EPS * size);
            compare(p, "y", i, out, gelu(at), EPS * fabs(at));
        }
    }
    for (size_t i = n; i < n + PAD; i++) CHECK_MSG(got[i] == UNWRITTEN && pre[i] == UNWRITTEN, "written past the end");
}

TEST(widths_of_models)
{
    check({131, 192, 96, 0, true});
    check({131, 192, 96, 1, false});
    check({300, 128, 192, 0, true});
    check({300, 128, 192, 1, false});
    check({70, 256, 384, 0, true});
    check({70, 256, 384, 1, false});
}

TEST(edges)
{
    for (int gradient = 0; gradient < 2; gradient++)
        for (int rows : {1, 15, 64, 65, 257})
            for (int columns : {8, 72, 136})
                for (int depth : {8, 64, 72}) check({rows, columns, depth, gradient, !gradient && rows > 1});
}

TEST(refuses_what_it_cannot)
{
    device d(3);
    gemm_shape fits = shape_of({64, 64, 64, 0, true}), s = fits;
    CHECK(gemm_hopper_fits(&d.cuda, &s));
    s.in = VT_F32;
    CHECK(!gemm_hopper_fits(&d.cuda, &s));
    s = shape_of({64, 64, 392, 0, true});
    CHECK(!gemm_hopper_fits(&d.cuda, &s));
    s = shape_of({64, 60, 64, 0, true});
    CHECK(!gemm_hopper_fits(&d.cuda, &s));
    s = fits;
    s.activation = VT_RELU;
    CHECK(!gemm_hopper_fits(&d.cuda, &s));
    s = fits;
    s.accumulate = 1;
    CHECK(!gemm_hopper_fits(&d.cuda, &s));
    s = fits;
    d.cuda.arch = 80;
    CHECK(!gemm_hopper_fits(&d.cuda, &s));
}

int main()
{
    setenv("VT_FAKE_ARCH", "90", 1); /* its shared memory */
    srand(1);
    RUN(widths_of_models);
    RUN(edges);
    RUN(refuses_what_it_cannot);
    TEST_END();
}
