/* fake_blas_case.h - one product with all it needs: descriptors, operands on the device and as doubles. */
#ifndef FAKE_BLAS_CASE_H
#define FAKE_BLAS_CASE_H

#include <cublasLt.h>

#include "fake.h"
#include "test.h"

struct matrix { /* column-major [rows, cols] */
    int64_t rows, cols, ld;
    cudaDataType type;
    std::vector<double> v; /* as stored, ld * cols */
    void *device = nullptr;
    cublasLtMatrixLayout_t layout = nullptr;
};

static inline double at(const matrix &x, int64_t i, int64_t j)
{
    return x.v[(size_t)(i + j * x.ld)];
}

static inline uint16_t to_bf16(double v)
{
    float f = (float)v;
    uint32_t u;
    memcpy(&u, &f, 4);
    return (uint16_t)((u + 0x7FFF + (u >> 16 & 1)) >> 16);
}

static inline double from_bf16(uint16_t b)
{
    uint32_t u = (uint32_t)b << 16;
    float f;
    memcpy(&f, &u, 4);
    return f;
}

static inline size_t size_of(cudaDataType type)
{
    return type == CUDA_R_16BF ? 2 : 4;
}

static inline void upload(matrix *x)
{
    std::vector<char> raw(x->v.size() * size_of(x->type));
    for (size_t i = 0; i < x->v.size(); i++) {
        if (x->type == CUDA_R_16BF) {
            ((uint16_t *)raw.data())[i] = to_bf16(x->v[i]);
            x->v[i] = from_bf16(to_bf16(x->v[i]));
        } else {
            ((float *)raw.data())[i] = (float)x->v[i];
            x->v[i] = (float)x->v[i];
        }
    }
    CHECK(cudaMemcpy(x->device, raw.data(), raw.size(), cudaMemcpyHostToDevice) == cudaSuccess);
}

static inline std::vector<double> download(const matrix &x)
{
    std::vector<char> raw(x.v.size() * size_of(x.type));
    std::vector<double> out(x.v.size());
    CHECK(cudaMemcpy(raw.data(), x.device, raw.size(), cudaMemcpyDeviceToHost) == cudaSuccess);
    for (size_t i = 0; i < out.size(); i++)
        out[i] = x.type == CUDA_R_16BF ? from_bf16(((uint16_t *)raw.data())[i]) : ((float *)raw.data())[i];
    return out;
}

static inline matrix make(int64_t rows, int64_t cols, int64_t ld, cudaDataType type, int salt)
{
    matrix x = {rows, cols, ld, type, std::vector<double>((size_t)(ld * cols)), nullptr, nullptr};
    for (size_t i = 0; i < x.v.size(); i++) x.v[i] = sin((double)(i * 7 + (size_t)salt * 31) * 0.37);
    CHECK(cudaMalloc(&x.device, x.v.size() * size_of(type)) == cudaSuccess);
    CHECK_EQ(cublasLtMatrixLayoutCreate(&x.layout, type, (uint64_t)rows, (uint64_t)cols, ld), CUBLAS_STATUS_SUCCESS);
    upload(&x);
    return x;
}

static inline void drop(matrix *x)
{
    CHECK_EQ(cublasLtMatrixLayoutDestroy(x->layout), CUBLAS_STATUS_SUCCESS);
    CHECK(cudaFree(x->device) == cudaSuccess);
}

struct setting {
    int64_t m, n, k;
    bool ta, tb;
    cudaDataType in, out;
    float alpha, beta;
    uint32_t epilogue;
    int64_t pad; /* of leading dimensions */
    cublasComputeType_t compute = CUBLAS_COMPUTE_32F;
};

struct call {
    setting s;
    cublasLtHandle_t handle;
    cublasLtMatmulDesc_t desc;
    matrix a, b, c, d, bias, aux;
    void *workspace;
    size_t workspace_bytes;
};

template <typename T> static inline void set(call *x, cublasLtMatmulDescAttributes_t attr, T value)
{
    CHECK_EQ(cublasLtMatmulDescSetAttribute(x->desc, attr, &value, sizeof value), CUBLAS_STATUS_SUCCESS);
}

static inline call open_call(const setting &s)
{
    call x = {};
    x.s = s;
    CHECK_EQ(cublasLtCreate(&x.handle), CUBLAS_STATUS_SUCCESS);
    CHECK_EQ(cublasLtMatmulDescCreate(&x.desc, s.compute, CUDA_R_32F), CUBLAS_STATUS_SUCCESS);
    int64_t ar = s.ta ? s.k : s.m, ac = s.ta ? s.m : s.k, br = s.tb ? s.n : s.k, bc = s.tb ? s.k : s.n;
    x.a = make(ar, ac, ar + s.pad, s.in, 1);
    x.b = make(br, bc, br + s.pad, s.in, 2);
    x.c = make(s.m, s.n, s.m + s.pad, s.out, 3);
    x.d = make(s.m, s.n, s.m + s.pad, s.out, 4);
    x.bias = make(s.epilogue == CUBLASLT_EPILOGUE_BGRADB ? s.n : s.m, 1, s.m + s.n, s.out, 5);
    x.aux = make(s.m, s.n, (s.m + 7) / 8 * 8, s.out, 6);
    x.workspace_bytes = (size_t)(s.m * s.n * 4 * 8 + 4096);
    CHECK(cudaMalloc(&x.workspace, x.workspace_bytes) == cudaSuccess);
    set(&x, CUBLASLT_MATMUL_DESC_TRANSA, (int32_t)(s.ta ? CUBLAS_OP_T : CUBLAS_OP_N));
    set(&x, CUBLASLT_MATMUL_DESC_TRANSB, (int32_t)(s.tb ? CUBLAS_OP_T : CUBLAS_OP_N));
    set(&x, CUBLASLT_MATMUL_DESC_EPILOGUE, s.epilogue);
    set(&x, CUBLASLT_MATMUL_DESC_BIAS_POINTER, x.bias.device);
    set(&x, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, x.aux.device);
    set(&x, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, x.aux.ld);
    return x;
}

static inline void close_call(call *x)
{
    for (matrix *each : {&x->a, &x->b, &x->c, &x->d, &x->bias, &x->aux}) drop(each);
    CHECK(cudaFree(x->workspace) == cudaSuccess);
    CHECK_EQ(cublasLtMatmulDescDestroy(x->desc), CUBLAS_STATUS_SUCCESS);
    CHECK_EQ(cublasLtDestroy(x->handle), CUBLAS_STATUS_SUCCESS);
}

static inline cublasStatus_t run(call *x, const cublasLtMatmulAlgo_t *algo)
{
    return cublasLtMatmul(x->handle, x->desc, &x->s.alpha, x->a.device, x->a.layout, x->b.device, x->b.layout,
                          &x->s.beta, x->c.device, x->c.layout, x->d.device, x->d.layout, algo, x->workspace,
                          x->workspace_bytes, nullptr);
}

static inline std::vector<cublasLtMatmulHeuristicResult_t> offers(call *x, cublasStatus_t *status, uint32_t schemes = 7)
{
    cublasLtMatmulPreference_t pref;
    std::vector<cublasLtMatmulHeuristicResult_t> all(8);
    uint64_t bytes = x->workspace_bytes;
    int n = 0;
    cublasLtMatmulPreferenceCreate(&pref);
    cublasLtMatmulPreferenceSetAttribute(pref, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &bytes, sizeof bytes);
    cublasLtMatmulPreferenceSetAttribute(pref, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &schemes, sizeof schemes);
    *status = cublasLtMatmulAlgoGetHeuristic(x->handle, x->desc, x->a.layout, x->b.layout, x->c.layout, x->d.layout,
                                             pref, 8, all.data(), &n);
    cublasLtMatmulPreferenceDestroy(pref);
    all.resize((size_t)n);
    return all;
}

#endif
