/* The fake cuBLASLt against plain loops in double: transposes, types, epilogues, algorithms; and what it refuses. */
#include "fake_blas_case.h"

/* ---- plain loops ------------------------------------------------------------------------------------------------- */

static double gelu(double x)
{
    return 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}

static double gelu_slope(double x)
{
    return (gelu(x + 1e-5) - gelu(x - 1e-5)) / 2e-5;
}

struct expected {
    std::vector<double> d, bias, aux; /* [m, n] packed; [m] or [n] */
};

static double op_a(const call &x, int64_t i, int64_t l)
{
    return x.s.ta ? at(x.a, l, i) : at(x.a, i, l);
}

static double op_b(const call &x, int64_t l, int64_t j)
{
    return x.s.tb ? at(x.b, j, l) : at(x.b, l, j);
}

static expected loops(const call &x)
{
    const setting &s = x.s;
    expected e;
    e.bias.assign((size_t)(s.epilogue == CUBLASLT_EPILOGUE_BGRADB ? s.n : s.m), 0);
    for (int64_t j = 0; j < s.n; j++)
        for (int64_t i = 0; i < s.m; i++) {
            double v = 0;
            for (int64_t l = 0; l < s.k; l++) v += op_a(x, i, l) * op_b(x, l, j);
            v = s.alpha * v + (s.beta != 0 ? s.beta * at(x.c, i, j) : 0);
            uint32_t p = s.epilogue;
            if (p == CUBLASLT_EPILOGUE_BIAS || p == CUBLASLT_EPILOGUE_RELU_BIAS || p == CUBLASLT_EPILOGUE_GELU_BIAS ||
                p == CUBLASLT_EPILOGUE_GELU_AUX_BIAS)
                v += at(x.bias, i, 0);
            e.aux.push_back(v);
            if (p == CUBLASLT_EPILOGUE_RELU || p == CUBLASLT_EPILOGUE_RELU_BIAS) v = v > 0 ? v : 0;
            if (p == CUBLASLT_EPILOGUE_GELU || p == CUBLASLT_EPILOGUE_GELU_BIAS || p == CUBLASLT_EPILOGUE_GELU_AUX ||
                p == CUBLASLT_EPILOGUE_GELU_AUX_BIAS)
                v = gelu(v);
            if (p == CUBLASLT_EPILOGUE_DGELU || p == CUBLASLT_EPILOGUE_DGELU_BGRAD) v *= gelu_slope(at(x.aux, i, j));
            if (p == CUBLASLT_EPILOGUE_DGELU_BGRAD) e.bias[(size_t)i] += v;
            e.d.push_back(v);
        }
    for (int64_t l = 0; l < s.k; l++)
        for (size_t i = 0; i < e.bias.size(); i++) {
            if (s.epilogue == CUBLASLT_EPILOGUE_BGRADA) e.bias[i] += op_a(x, (int64_t)i, l);
            if (s.epilogue == CUBLASLT_EPILOGUE_BGRADB) e.bias[i] += op_b(x, l, (int64_t)i);
        }
    return e;
}

/* ---- comparisons ------------------------------------------------------------------------------------------------- */

static double slack(const setting &s, double v)
{
    return (s.out == CUDA_R_16BF ? 1.0 / 256 : 2e-6) * fabs(v) + 1e-5 * (double)s.k;
}

static void compare(const call &x, const expected &e, const char *algo)
{
    const setting &s = x.s;
    std::vector<double> d = download(x.d), bias = download(x.bias), aux = download(x.aux);
    bool wrote_bias = s.epilogue == CUBLASLT_EPILOGUE_DGELU_BGRAD || s.epilogue >= CUBLASLT_EPILOGUE_BGRADA;
    bool wrote_aux = s.epilogue == CUBLASLT_EPILOGUE_GELU_AUX || s.epilogue == CUBLASLT_EPILOGUE_GELU_AUX_BIAS;
    int wrong = 0;
    for (int64_t j = 0; j < s.n; j++)
        for (int64_t i = 0; i < x.d.ld; i++) {
            double got = d[(size_t)(i + j * x.d.ld)];
            double want = i < s.m ? e.d[(size_t)(i + j * s.m)] : at(x.d, i, j); /* padding is left alone */
            wrong += !(fabs(got - want) <= (i < s.m ? slack(s, want) : 0));
            if (i >= s.m || !wrote_aux) continue;
            want = e.aux[(size_t)(i + j * s.m)];
            wrong += !(fabs(aux[(size_t)(i + j * x.aux.ld)] - want) <= slack(s, want));
        }
    for (size_t i = 0; wrote_bias && i < e.bias.size(); i++)
        wrong += !(fabs(bias[i] - e.bias[i]) <= slack(s, e.bias[i]) * 4);
    CHECK_MSG(wrong == 0, "%d elements: m %lld n %lld k %lld ta %d tb %d in %d out %d beta %g epilogue %u pad %lld, %s",
              wrong, (long long)s.m, (long long)s.n, (long long)s.k, s.ta, s.tb, s.in, s.out, s.beta, s.epilogue,
              (long long)s.pad, algo);
}

/* With every algorithm that is offered, and without one. */
static void check_setting(const setting &s)
{
    call x = open_call(s);
    expected e = loops(x);
    cublasStatus_t status;
    auto all = offers(&x, &status);
    CHECK_MSG(status == CUBLAS_STATUS_SUCCESS && !all.empty(), "epilogue %u: nothing is offered", s.epilogue);
    CHECK_EQ(run(&x, nullptr), CUBLAS_STATUS_SUCCESS);
    compare(x, e, "no algorithm given");
    for (auto &each : all) {
        int32_t id = -1;
        size_t n;
        cublasLtMatmulAlgoConfigGetAttribute(&each.algo, CUBLASLT_ALGO_CONFIG_ID, &id, sizeof id, &n);
        upload(&x.d);
        upload(&x.bias);
        upload(&x.aux);
        CHECK_EQ(run(&x, &each.algo), CUBLAS_STATUS_SUCCESS);
        compare(x, e, fake_text("algorithm %d", id).c_str());
    }
    close_call(&x);
}

TEST(products_in_all_transposes)
{
    for (int t = 0; t < 4; t++) {
        bool ta = t & 1, tb = t & 2;
        check_setting({24, 40, 56, ta, tb, CUDA_R_16BF, CUDA_R_16BF, 1, 0, CUBLASLT_EPILOGUE_DEFAULT, 0});
        check_setting({24, 40, 56, ta, tb, CUDA_R_16BF, CUDA_R_32F, 1, 1, CUBLASLT_EPILOGUE_DEFAULT, 8});
        check_setting({17, 5, 1, ta, tb, CUDA_R_32F, CUDA_R_32F, 0.5f, 0, CUBLASLT_EPILOGUE_DEFAULT, 0});
        check_setting({33, 7, 19, ta, tb, CUDA_R_16BF, CUDA_R_16BF, 2, -1, CUBLASLT_EPILOGUE_BIAS, 3});
        check_setting({8, 12, 20, ta, tb, CUDA_R_32F, CUDA_R_32F, 1, 1, CUBLASLT_EPILOGUE_GELU_AUX_BIAS, 4});
    }
}

TEST(epilogues)
{
    for (uint32_t e : {CUBLASLT_EPILOGUE_BIAS, CUBLASLT_EPILOGUE_RELU, CUBLASLT_EPILOGUE_RELU_BIAS,
                       CUBLASLT_EPILOGUE_GELU, CUBLASLT_EPILOGUE_GELU_BIAS, CUBLASLT_EPILOGUE_GELU_AUX,
                       CUBLASLT_EPILOGUE_GELU_AUX_BIAS, CUBLASLT_EPILOGUE_DGELU, CUBLASLT_EPILOGUE_DGELU_BGRAD})
        for (cudaDataType out : {CUDA_R_16BF, CUDA_R_32F})
            check_setting({22, 30, 48, true, false, CUDA_R_16BF, out, 1, 0, e, 2});
    for (cudaDataType in : {CUDA_R_16BF, CUDA_R_32F}) {
        check_setting({24, 16, 40, false, true, in, CUDA_R_32F, 1, 1, CUBLASLT_EPILOGUE_BGRADB, 0});
        check_setting({24, 16, 40, false, true, in, CUDA_R_32F, 1, 0, CUBLASLT_EPILOGUE_BGRADA, 0});
    }
}

TEST(nan_where_beta_is_zero_is_not_read)
{
    call x = open_call({8, 8, 8, false, false, CUDA_R_32F, CUDA_R_32F, 1, 0, CUBLASLT_EPILOGUE_DEFAULT, 0});
    CHECK(cudaMemset(x.c.device, 0xFF, x.c.v.size() * 4) == cudaSuccess);
    CHECK_EQ(run(&x, nullptr), CUBLAS_STATUS_SUCCESS);
    compare(x, loops(x), "C is NaN");
    close_call(&x);
}

TEST(batches)
{
    call x = open_call({8, 8, 8, false, true, CUDA_R_32F, CUDA_R_32F, 1, 0, CUBLASLT_EPILOGUE_DEFAULT, 0});
    /* two products of 8 x 4 by 4 x 4: the halves of A by columns, of B by columns, into halves of D */
    int32_t batch = 2;
    int64_t half = 32;
    uint64_t cols = 4;
    for (matrix *each : {&x.a, &x.b, &x.c, &x.d}) {
        cublasLtMatrixLayoutSetAttribute(each->layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &batch, sizeof batch);
        cublasLtMatrixLayoutSetAttribute(each->layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &half, sizeof half);
        cublasLtMatrixLayoutSetAttribute(each->layout, CUBLASLT_MATRIX_LAYOUT_COLS, &cols, sizeof cols);
    }
    uint64_t rows = 4;
    cublasLtMatrixLayoutSetAttribute(x.b.layout, CUBLASLT_MATRIX_LAYOUT_ROWS, &rows, sizeof rows);
    CHECK_EQ(run(&x, nullptr), CUBLAS_STATUS_SUCCESS);
    std::vector<double> d = download(x.d);
    for (int64_t p = 0; p < 2; p++)
        for (int64_t j = 0; j < 4; j++)
            for (int64_t i = 0; i < 8; i++) {
                double v = 0;
                for (int64_t l = 0; l < 4; l++) v += at(x.a, i, p * 4 + l) * x.b.v[(size_t)(p * half + j + l * 8)];
                CHECK_NEAR(d[(size_t)(p * half + j * 8 + i)], v, 1e-5);
            }
    close_call(&x);
}

TEST(tf32_drops_bits)
{
    setting s = {16, 16, 64, false, false, CUDA_R_32F, CUDA_R_32F, 1, 0, CUBLASLT_EPILOGUE_DEFAULT, 0};
    double worst[2] = {};
    for (int fast = 0; fast < 2; fast++) {
        s.compute = fast ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
        call x = open_call(s);
        CHECK_EQ(run(&x, nullptr), CUBLAS_STATUS_SUCCESS);
        expected e = loops(x);
        std::vector<double> d = download(x.d);
        for (size_t i = 0; i < d.size(); i++) worst[fast] = fmax(worst[fast], fabs(d[i] - e.d[i]));
        close_call(&x);
    }
    CHECK_MSG(worst[0] < 5e-5 && worst[1] > 1e-3 && worst[1] < 2e-2, "off by %g and %g", worst[0], worst[1]);
}

TEST(algorithms_differ_and_one_varies)
{
    call x = open_call({16, 16, 400, false, false, CUDA_R_32F, CUDA_R_32F, 1, 0, CUBLASLT_EPILOGUE_DEFAULT, 0});
    cublasStatus_t status;
    auto all = offers(&x, &status);
    CHECK_EQ(all.size(), 4);
    std::set<std::vector<double>> bits, varying;
    for (size_t i = 0; i < all.size(); i++)
        for (int repeat = 0; repeat < 6; repeat++) {
            CHECK_EQ(run(&x, &all[i].algo), CUBLAS_STATUS_SUCCESS);
            (i < 3 ? bits : varying).insert(download(x.d));
        }
    CHECK_EQ(bits.size(), 3);
    CHECK(varying.size() > 1);
    CHECK_EQ(offers(&x, &status, CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE).size(), 3);
    x.workspace_bytes = 0;
    CHECK_EQ(offers(&x, &status).size(), 2);
    CHECK_EQ(run(&x, &all[2].algo), CUBLAS_STATUS_INVALID_VALUE);
    close_call(&x);
}

TEST(refusals)
{
    setting s = {16, 16, 16, true, false, CUDA_R_16BF, CUDA_R_16BF, 1, 0, CUBLASLT_EPILOGUE_BGRADA, 0};
    auto status_of = [](const setting &each, const std::function<void(call *)> &change) {
        call x = open_call(each);
        cublasStatus_t heuristic;
        if (change) change(&x);
        auto all = offers(&x, &heuristic);
        cublasStatus_t status = run(&x, all.empty() ? nullptr : &all[0].algo);
        close_call(&x);
        return heuristic != CUBLAS_STATUS_SUCCESS ? heuristic : status;
    };
    CHECK_EQ(status_of(s, nullptr), CUBLAS_STATUS_NOT_SUPPORTED); /* the sum would run along A's fast axis */
    s.ta = false;
    CHECK_EQ(status_of(s, nullptr), CUBLAS_STATUS_SUCCESS);
    s.epilogue = CUBLASLT_EPILOGUE_BGRADB;
    CHECK_EQ(status_of(s, nullptr), CUBLAS_STATUS_NOT_SUPPORTED);
    s.epilogue = CUBLASLT_EPILOGUE_RELU_AUX;
    CHECK_EQ(status_of(s, nullptr), CUBLAS_STATUS_NOT_SUPPORTED);
    s.epilogue = CUBLASLT_EPILOGUE_GELU_AUX_BIAS;
    CHECK_EQ(status_of(s, nullptr), CUBLAS_STATUS_SUCCESS);
    s.m = 13;
    CHECK_EQ(status_of(s, [](call *x) { set(x, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, (int64_t)14); }),
             CUBLAS_STATUS_INVALID_VALUE); /* a multiple of 8 is wanted */
    s.m = 16;
    CHECK_EQ(status_of(s, [](call *x) { set(x, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, (int32_t)CUDA_R_32F); }),
             CUBLAS_STATUS_NOT_SUPPORTED);
    CHECK_EQ(status_of(s, [](call *x) { set(x, CUBLASLT_MATMUL_DESC_BIAS_POINTER, (void *)nullptr); }),
             CUBLAS_STATUS_INVALID_VALUE);
    s.compute = CUBLAS_COMPUTE_32F_FAST_TF32; /* for fp32 operands only */
    CHECK_EQ(status_of(s, nullptr), CUBLAS_STATUS_NOT_SUPPORTED);
    s.compute = CUBLAS_COMPUTE_32F;
    auto shift = [](call *x, size_t by) {
        x->a.device = (char *)x->a.device + by;
        cublasStatus_t heuristic;
        auto all = offers(x, &heuristic);
        cublasStatus_t status = run(x, &all[0].algo);
        x->a.device = (char *)x->a.device - by;
        return status;
    };
    s.epilogue = CUBLASLT_EPILOGUE_DEFAULT;
    call x = open_call(s);
    CHECK_EQ(shift(&x, 2), CUBLAS_STATUS_NOT_SUPPORTED); /* the algorithm loads 16 bytes */
    CHECK_EQ(shift(&x, 16), CUBLAS_STATUS_INVALID_VALUE); /* beyond the allocation */
    cublasOperation_t t = CUBLAS_OP_T;
    CHECK_EQ(cublasLtMatmulDescSetAttribute(x.desc, CUBLASLT_MATMUL_DESC_TRANSA, &t, 8), CUBLAS_STATUS_INVALID_VALUE);
    std::swap(x.d.device, x.a.device); /* D would overwrite B's other operand */
    void *d = x.d.device;
    x.d.device = x.b.device;
    CHECK_EQ(run(&x, nullptr), CUBLAS_STATUS_INVALID_VALUE);
    x.d.device = d;
    std::swap(x.d.device, x.a.device);
    close_call(&x);
}

int main(void)
{
    RUN(products_in_all_transposes);
    RUN(epilogues);
    RUN(nan_where_beta_is_zero_is_not_read);
    RUN(batches);
    RUN(tf32_drops_bits);
    RUN(algorithms_differ_and_one_varies);
    RUN(refusals);
    TEST_END();
}
