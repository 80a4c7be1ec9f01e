/* attention_problem.h - tests of attention's kernels: a problem, what plain fp64 loops make of it, and how near it a
 * result must come.
 *
 * The bounds follow from what is rounded: P and dS to bf16 (half a unit in the last place, 2^-8) before they are
 * multiplied, results to bf16; where delta is made from a rounded out, also that; the rest is fp32. */
#ifndef VT_SIMT_ATTENTION_PROBLEM_H
#define VT_SIMT_ATTENTION_PROBLEM_H

#include <math.h>
#include <stdlib.h>

#include <vector>

#include "attention.cuh"
#include "fake.h"
#include "test.h"

/* ---- plain loops ------------------------------------------------------------------------------------------------- */

enum { D = 64, PAD = 64 };

static const double HALF_UNIT = 1.0 / 256, EPS = 1e-5; /* of bf16; what fp32 sums may lose, relative to their terms */
static const uint16_t UNWRITTEN = 0x7FDE;              /* a NaN */

struct values {
    std::vector<double> v;      /* what fp64 gives */
    std::vector<double> may;    /* by how much a result may differ */
    values(size_t n) : v(n), may(n) {}
};

struct problem {
    int batch, tokens, heads;
    float scale;
    std::vector<uint16_t> qkv, dout;
    values out, lse, dqkv;
    std::vector<double> delta_may; /* how much more dqkv may differ where delta is made from a rounded out */
    /* apart: of all q from all k, halved, with q's sign changed where its token has this bit; slope: what the mean of
     * k gains by token. */
    problem(int b, int n, int h, float of_scores, float apart = 0, float slope = 0, int bit = 0,
            float scale = 0.125f);
};

static double value(uint16_t bits)
{
    uint32_t u = (uint32_t)bits << 16;
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

static double draw() /* about normal */
{
    double sum = 0;
    for (int i = 0; i < 12; i++) sum += rand() / (double)RAND_MAX;
    return sum - 6;
}

static void one_head(problem *p, int b, int h)
{
    const int n = p->tokens, width = p->heads * D, stride = 3 * width;
    auto at = [=](int part, int i) { return ((size_t)b * n + i) * stride + part * width + h * D; };
    auto row = [=](int i) { return ((size_t)b * n + i) * width + h * D; };
    auto x = [=](int part, int i, int e) { return value(p->qkv[at(part, i) + e]); };
    std::vector<double> prob((size_t)n * n), dp((size_t)n * n);
    for (int i = 0; i < n; i++) {
        double sum = 0, delta = 0, size = 0;
        for (int j = 0; j < n; j++) {
            double s = 0, g = 0;
            for (int e = 0; e < D; e++) {
                s += x(0, i, e) * x(1, j, e);
                g += value(p->dout[row(i) + e]) * x(2, j, e);
            }
            sum += prob[(size_t)i * n + j] = exp(s * p->scale);
            dp[(size_t)i * n + j] = g;
        }
        size_t l = ((size_t)b * p->heads + h) * n + i;
        p->lse.v[l] = log(sum);
        p->lse.may[l] = EPS * (1 + fabs(log(sum)));
        for (int j = 0; j < n; j++) {
            double pr = prob[(size_t)i * n + j] /= sum;
            delta += pr * dp[(size_t)i * n + j];
            size += pr * fabs(dp[(size_t)i * n + j]);
            for (int e = 0; e < D; e++) {
                p->out.v[row(i) + e] += pr * x(2, j, e);
                p->out.may[row(i) + e] += (HALF_UNIT + EPS) * pr * fabs(x(2, j, e));
            }
        }
        double delta_may = 0; /* from out as forward rounds it */
        for (int e = 0; e < D; e++) {
            double may = p->out.may[row(i) + e];
            delta_may += fabs(value(p->dout[row(i) + e])) * (may + HALF_UNIT * (fabs(p->out.v[row(i) + e]) + may));
        }
        for (int j = 0; j < n; j++) {
            double pr = prob[(size_t)i * n + j], ds = pr * (dp[(size_t)i * n + j] - delta) * p->scale;
            double ds_may = HALF_UNIT * fabs(ds) + EPS * pr * (fabs(dp[(size_t)i * n + j]) + size) * p->scale;
            for (int e = 0; e < D; e++) {
                size_t q = at(0, i) + e, k = at(1, j) + e, v = at(2, j) + e;
                double g = value(p->dout[row(i) + e]);
                p->dqkv.v[q] += ds * x(1, j, e);
                p->dqkv.may[q] += ds_may * fabs(x(1, j, e));
                p->delta_may[q] += (1 + HALF_UNIT) * pr * delta_may * p->scale * fabs(x(1, j, e));
                p->dqkv.v[k] += ds * x(0, i, e);
                p->dqkv.may[k] += ds_may * fabs(x(0, i, e));
                p->delta_may[k] += (1 + HALF_UNIT) * pr * delta_may * p->scale * fabs(x(0, i, e));
                p->dqkv.v[v] += pr * g;
                p->dqkv.may[v] += (HALF_UNIT + EPS) * pr * fabs(g);
            }
        }
    }
}

problem::problem(int b, int n, int h, float of_scores, float apart, float slope, int bit, float scale)
    : batch(b), tokens(n), heads(h), scale(scale), qkv((size_t)b * n * h * 3 * D), dout((size_t)b * n * h * D),
      out(dout.size()), lse((size_t)b * h * n), dqkv(qkv.size()), delta_may(qkv.size())
{
    for (size_t i = 0; i < qkv.size(); i++) {
        const int part = (int)(i / ((size_t)h * D) % 3), token = (int)(i / ((size_t)h * D * 3) % n);
        const float mean = part == 0 ? token & bit ? -apart : apart : part == 1 ? slope * (float)token - apart : 0;
        qkv[i] = (uint16_t)simt_bf16_bits((float)draw() * of_scores + mean);
    }
    for (uint16_t &bits : dout) bits = (uint16_t)simt_bf16_bits((float)draw());
    for (int i = 0; i < b; i++)
        for (int j = 0; j < h; j++) one_head(this, i, j);
}

/* ---- results against loops --------------------------------------------------------------------------------------- */

/* got: of bf16, or of fp32 where it has a float's size. Padding behind it must be untouched. */
template <typename T>
static void compare(const char *what, const problem &p, const std::vector<T> &got, const values &want)
{
    double most = 0;
    size_t n = want.v.size(), worst = 0;
    for (size_t i = 0; i < n; i++) {
        double v, may = want.may[i] + 1e-30;
        if constexpr (sizeof(T) == 2) {
            v = value(got[i]);
            may += HALF_UNIT * (fabs(want.v[i]) + may) + 1e-30;
        } else {
            v = got[i];
        }
        double off = isfinite(v) ? fabs(v - want.v[i]) / may : INFINITY;
        if (off > most) {
            most = off;
            worst = i;
        }
    }
    CHECK_MSG(most <= 1, "N = %d, H = %d: %s[%zu] is off by %.3g times its bound", p.tokens, p.heads, what, worst,
              most);
    for (size_t i = n; i < got.size(); i++)
        CHECK_MSG(got[i] == (T)UNWRITTEN, "N = %d: %s is written past its end", p.tokens, what);
}

extern "C" void vt_cuda_fail(const vt_run *, const char *call, const char *reason) /* backend.cu's */
{
    CHECK_MSG(false, "%s: %s", call, reason);
}

/* ---- on the device ----------------------------------------------------------------------------------------------- */

static attention_problem described(const problem &p)
{
    attention_problem a = {};
    a.batch = p.batch;
    a.tokens = p.tokens;
    a.heads = p.heads;
    a.dim = D;
    a.scale = p.scale;
    return a;
}

#define CUDA_OK(call) CHECK_MSG((call) == cudaSuccess, "%s", fake().report.c_str())

template <typename T> static T *device_copy(const std::vector<T> &v)
{
    T *p = nullptr;
    CUDA_OK(cudaMalloc(&p, v.size() * sizeof(T)));
    CUDA_OK(cudaMemcpy(p, v.data(), v.size() * sizeof(T), cudaMemcpyHostToDevice));
    return p;
}

/* Threads and blocks take turns in another order from here on. */
static void reorder()
{
    static int seed;
    setenv("SIMT_SEED", std::to_string(++seed).c_str(), 1);
}

#endif
