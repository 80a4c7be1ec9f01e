/* attention_hopper_test.cpp - kernels/attention_hopper.cu, simulated, against plain fp64 loops.
 *
 * The bounds follow from what is rounded: P and dS to bf16 (half a unit in the last place, 2^-8) before they are
 * multiplied, results to bf16; for gradient B also delta, made from a rounded out; the rest is fp32. */
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
    std::vector<double> b_may; /* how much more B's dqkv may differ */
    problem(int b, int n, int h, float of_scores, float apart);
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
        double delta_may = 0; /* of B's, from out as forward rounds it */
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
                p->b_may[q] += (1 + HALF_UNIT) * pr * delta_may * p->scale * fabs(x(1, j, e));
                p->dqkv.v[k] += ds * x(0, i, e);
                p->dqkv.may[k] += ds_may * fabs(x(0, i, e));
                p->b_may[k] += (1 + HALF_UNIT) * pr * delta_may * p->scale * fabs(x(0, i, e));
                p->dqkv.v[v] += pr * g;
                p->dqkv.may[v] += (HALF_UNIT + EPS) * pr * fabs(g);
            }
        }
    }
}

problem::problem(int b, int n, int h, float of_scores, float apart) /* apart: of all q from all k, halved */
    : batch(b), tokens(n), heads(h), scale(0.125f), qkv((size_t)b * n * h * 3 * D), dout((size_t)b * n * h * D),
      out(dout.size()), lse((size_t)b * h * n), dqkv(qkv.size()), b_may(qkv.size())
{
    for (size_t i = 0; i < qkv.size(); i++) {
        const size_t part = i / ((size_t)h * D) % 3;
        const float mean = part == 0 ? apart : part == 1 ? -apart : 0;
        qkv[i] = (uint16_t)simt_bf16_bits((float)draw() * of_scores + mean);
    }
    for (uint16_t &bits : dout) bits = (uint16_t)simt_bf16_bits((float)draw());
    for (int i = 0; i < b; i++)
        for (int j = 0; j < h; j++) one_head(this, i, j);
}

/* ---- kernels against loops --------------------------------------------------------------------------------------- */

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

/* Forward, and the gradient by A ('a') or B. */
struct device_problem {
    const problem &p;
    attention_problem a;
    vt_cuda cuda = {};
    vt_run r = {};
    uint16_t *qkv, *dout, *out;
    float *lse;
    device_problem(const problem &of);
    ~device_problem();
    void forward(std::vector<uint16_t> *out, std::vector<float> *lse);
    std::vector<uint16_t> backward(char kernel);
};

enum { SMS = 2 }; /* fewer than most problems have heads: B loops */

device_problem::device_problem(const problem &of) : p(of), a(described(of))
{
    cuda.arch = 90;
    cuda.sms = SMS;
    r.state = &cuda;
    CHECK(attention_hopper_fits(&cuda, &a));
    CUDA_OK(cudaStreamCreate(&cuda.stream)); /* ordered with cudaMemcpy */
    qkv = device_copy(p.qkv);
    dout = device_copy(p.dout);
    out = device_copy(std::vector<uint16_t>(p.out.v.size() + PAD, UNWRITTEN));
    lse = device_copy(std::vector<float>(p.lse.v.size() + PAD, UNWRITTEN));
}

device_problem::~device_problem()
{
    CUDA_OK(cudaFree(qkv));
    CUDA_OK(cudaFree(dout));
    CUDA_OK(cudaFree(out));
    CUDA_OK(cudaFree(lse));
    CUDA_OK(cudaStreamDestroy(cuda.stream));
}

void device_problem::forward(std::vector<uint16_t> *to, std::vector<float> *to_lse)
{
    reorder();
    attention_hopper_forward(&r, &a, (const bf16 *)qkv, (bf16 *)out, lse);
    to->resize(p.out.v.size() + PAD);
    to_lse->resize(p.lse.v.size() + PAD);
    CUDA_OK(cudaMemcpy(to->data(), out, to->size() * sizeof *out, cudaMemcpyDeviceToHost));
    CUDA_OK(cudaMemcpy(to_lse->data(), lse, to_lse->size() * sizeof *lse, cudaMemcpyDeviceToHost));
}

std::vector<uint16_t> device_problem::backward(char kernel)
{
    std::vector<uint16_t> dqkv(p.qkv.size() + PAD, UNWRITTEN);
    uint16_t *to = device_copy(dqkv);
    cuda.attention_backward = kernel;
    reorder();
    attention_hopper_backward(&r, &a, (const bf16 *)dout, (const bf16 *)qkv, (const bf16 *)out, lse, (bf16 *)to);
    CUDA_OK(cudaMemcpy(dqkv.data(), to, dqkv.size() * sizeof *to, cudaMemcpyDeviceToHost));
    CUDA_OK(cudaFree(to));
    return dqkv;
}

static void run(int batch, int tokens, int heads, float of_scores, float apart = 0)
{
    problem p(batch, tokens, heads, of_scores, apart);
    device_problem d(p);
    std::vector<uint16_t> out, again;
    std::vector<float> lse, lse_again;
    d.forward(&out, &lse);
    d.forward(&again, &lse_again);
    CHECK_MSG(out == again && lse == lse_again, "N = %d: forward gives other bits", tokens);
    compare("out", p, out, p.out);
    compare("lse", p, lse, p.lse);
    for (char kernel : {'a', 'b'}) {
        std::vector<uint16_t> dqkv = d.backward(kernel);
        CHECK_MSG(dqkv == d.backward(kernel), "N = %d: backward %c gives other bits", tokens, kernel);
        values want = p.dqkv;
        for (size_t i = 0; kernel == 'b' && i < want.may.size(); i++) want.may[i] += p.b_may[i];
        compare(kernel == 'a' ? "dqkv, A" : "dqkv, B", p, dqkv, want);
    }
}

TEST(sizes_of_models)
{
    run(1, 197, 2, 1);
    run(2, 198, 1, 1);
    run(1, 50, 1, 1);
    run(1, 65, 3, 1);
    run(2, 197, 3, 1);
    run(1, 208, 3, 1);
}

TEST(edges_of_instances)
{
    const int tokens[] = {1,  7,   8,   9,   55,  56,  57,  63,  64,  66,  71,  72,
                          73, 128, 129, 136, 137, 192, 193, 199, 200, 201, 207, 208};
    for (int n : tokens) run(1, n, 1, 1);
}

TEST(peaked_rows) /* scores of some tens: a few keys have all the weight */
{
    run(1, 197, 1, 3);
    run(1, 50, 1, 3);
}

TEST(scores_far_below_0) /* a padded key's is 0: its probability would be infinite */
{
    run(1, 197, 1, 0.5f, 3.7f);
    run(1, 50, 1, 0.5f, 3.7f);
    run(1, 205, 1, 0.5f, 3.7f);
}

TEST(refuses_what_it_cannot)
{
    vt_cuda cuda = {};
    cuda.arch = 90;
    attention_problem a = {};
    a.batch = a.heads = 1;
    a.tokens = 197;
    a.dim = 64;
    a.scale = 0.125f;
    CHECK(attention_hopper_fits(&cuda, &a));
    attention_problem other = a;
    other.tokens = 209;
    CHECK(!attention_hopper_fits(&cuda, &other));
    other = a;
    other.dim = 32;
    CHECK(!attention_hopper_fits(&cuda, &other));
    other = a;
    other.dropout = 0.1f;
    CHECK(!attention_hopper_fits(&cuda, &other));
    float bias = 0;
    other = a;
    other.bias = &bias;
    CHECK(!attention_hopper_fits(&cuda, &other));
    cuda.arch = 80;
    CHECK(!attention_hopper_fits(&cuda, &a));
}

int main()
{
    setenv("VT_FAKE_ARCH", "90", 1); /* its shared memory */
    srand(1);
    RUN(sizes_of_models);
    RUN(edges_of_instances);
    RUN(peaked_rows);
    RUN(scores_far_below_0);
    RUN(refuses_what_it_cannot);
    TEST_END();
}
