#include "gemm.cuh"

#include <string.h>

extern "C" {
#include "base/alloc.h"
}

enum { CANDIDATES = 8, REPEATS = 3 };

typedef struct gemm_choice {
    gemm_shape shape;
    bool found;
    cublasLtMatmulAlgo_t algo;
} gemm_choice;

/* What cuBLASLt wants made and destroyed around each call. */
typedef struct gemm_call {
    cublasLtMatmulDesc_t desc;
    cublasLtMatrixLayout_t a, b, d;
} gemm_call;

static cudaDataType_t data_type(int dtype)
{
    return dtype == VT_BF16 ? CUDA_R_16BF : CUDA_R_32F;
}

static void set(gemm_call *call, cublasLtMatmulDescAttributes_t what, const void *value, size_t bytes)
{
    cublasLtMatmulDescSetAttribute(call->desc, what, value, bytes);
}

static void open_call(gemm_call *call, const vt_cuda *c, const gemm_shape *s, void *bias)
{
    cublasComputeType_t compute = s->in == VT_F32 && c->tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
    cublasOperation_t ta = s->ta ? CUBLAS_OP_T : CUBLAS_OP_N, tb = s->tb ? CUBLAS_OP_T : CUBLAS_OP_N;
    cublasLtEpilogue_t epilogue = (cublasLtEpilogue_t)s->epilogue;
    cudaDataType_t in = data_type(s->in), out = data_type(s->out);
    cublasLtMatmulDescCreate(&call->desc, compute, CUDA_R_32F);
    set(call, CUBLASLT_MATMUL_DESC_TRANSA, &ta, sizeof ta);
    set(call, CUBLASLT_MATMUL_DESC_TRANSB, &tb, sizeof tb);
    set(call, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue);
    if (epilogue != CUBLASLT_EPILOGUE_DEFAULT) {
        set(call, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias);
        set(call, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, &out, sizeof out);
    }
    cublasLtMatrixLayoutCreate(&call->a, in, (uint64_t)(s->ta ? s->k : s->m), (uint64_t)(s->ta ? s->m : s->k), s->lda);
    cublasLtMatrixLayoutCreate(&call->b, in, (uint64_t)(s->tb ? s->n : s->k), (uint64_t)(s->tb ? s->k : s->n), s->ldb);
    cublasLtMatrixLayoutCreate(&call->d, out, (uint64_t)s->m, (uint64_t)s->n, s->ldd);
}

static void close_call(gemm_call *call)
{
    cublasLtMatrixLayoutDestroy(call->d);
    cublasLtMatrixLayoutDestroy(call->b);
    cublasLtMatrixLayoutDestroy(call->a);
    cublasLtMatmulDescDestroy(call->desc);
}

static cublasStatus_t queue(const vt_cuda *c, const gemm_call *call, const gemm_shape *s,
                            const cublasLtMatmulAlgo_t *algo, const void *a, const void *b, void *d, void *workspace)
{
    float one = 1, beta = s->accumulate ? 1.0f : 0.0f;
    return cublasLtMatmul(c->blas, call->desc, &one, a, call->a, b, call->b, &beta, d, call->d, d, call->d, algo,
                          workspace, GEMM_WORKSPACE, c->stream);
}

static gemm_choice *find(const vt_cuda *c, const gemm_shape *s)
{
    for (int i = 0; i < c->n_gemms; i++)
        if (memcmp(&c->gemms[i].shape, s, sizeof *s) == 0) return &c->gemms[i];
    return NULL;
}

/* ---- the search -------------------------------------------------------------------------------------------------- */

/* Operands for trials: the values do not matter to the time, but sums of numbers all alike would hide varying bits. */
typedef struct trial {
    char *a, *b, *d, *workspace, *bias, *first; /* device; first: what the first run made */
    size_t d_bytes;
    cudaEvent_t begin, end;
} trial;

static __global__ void fill_kernel(uint16_t *x, int64_t n) /* halves of floats or bf16: finite, of mixed signs */
{
    for (int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x; i < n; i += (int64_t)gridDim.x * blockDim.x)
        x[i] = (uint16_t)((0x3C00 + (uint32_t)(i * 2654435761u >> 24)) | (i * 40503u >> 13 & 1) << 15);
}

static __global__ void differ_kernel(const uint32_t *x, const uint32_t *y, int64_t n, uint32_t *differ) /* differ [1] */
{
    for (int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x; i < n; i += (int64_t)gridDim.x * blockDim.x)
        if (x[i] != y[i]) *differ = 1;
}

static vt_status take(vt_device *d, char **data, size_t bytes)
{
    return d->backend->alloc(d, (bytes + 15) / 16 * 16, (void **)data);
}

static void close_trial(vt_device *d, trial *t)
{
    char *all[] = {t->a, t->b, t->d, t->workspace, t->bias, t->first};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i]) d->backend->free(d, all[i]);
    if (t->begin) cudaEventDestroy(t->begin);
    if (t->end) cudaEventDestroy(t->end);
}

static vt_status open_trial(vt_device *d, const gemm_shape *s, trial *t)
{
    size_t in = vt_dtype_bytes((vt_dtype)s->in), a = in * (size_t)(s->lda * (s->ta ? s->m : s->k));
    size_t b = in * (size_t)(s->ldb * (s->tb ? s->k : s->n));
    *t = {};
    t->d_bytes = vt_dtype_bytes((vt_dtype)s->out) * (size_t)(s->ldd * s->n);
    vt_status st = take(d, &t->a, a);
    if (st == VT_OK) st = take(d, &t->b, b);
    if (st == VT_OK) st = take(d, &t->d, t->d_bytes);
    if (st == VT_OK) st = take(d, &t->first, t->d_bytes + sizeof(uint32_t));
    if (st == VT_OK) st = take(d, &t->workspace, GEMM_WORKSPACE);
    if (st == VT_OK) st = take(d, &t->bias, sizeof(float) * (size_t)(s->m + s->n));
    if (st) return st;
    cudaEventCreate(&t->begin);
    cudaEventCreate(&t->end);
    cudaStream_t stream = vt_cuda_of(d)->stream;
    vt_launch(fill_kernel, dim3(64), dim3(256), 0, stream, (uint16_t *)t->a, (int64_t)(a / 2));
    vt_launch(fill_kernel, dim3(64), dim3(256), 0, stream, (uint16_t *)t->b, (int64_t)(b / 2));
    return VT_OK;
}

/* The best of a few runs, in ms; negative where it fails or its bits vary. */
static float measure(const vt_cuda *c, const gemm_call *call, const gemm_shape *s, const cublasLtMatmulAlgo_t *algo,
                     trial *t)
{
    float best = -1;
    uint32_t differ = 0, *flag = (uint32_t *)(t->first + (t->d_bytes + 3) / 4 * 4);
    for (int i = 0; i < REPEATS; i++) {
        float ms = 0;
        cudaMemsetAsync(t->d, 0, t->d_bytes, c->stream);
        if (i == 0) cudaMemsetAsync(flag, 0, sizeof *flag, c->stream);
        cudaEventRecord(t->begin, c->stream);
        if (queue(c, call, s, algo, t->a, t->b, t->d, t->workspace) != CUBLAS_STATUS_SUCCESS) return -1;
        cudaEventRecord(t->end, c->stream);
        if (i == 0) cudaMemcpyAsync(t->first, t->d, t->d_bytes, cudaMemcpyDeviceToDevice, c->stream);
        else
            vt_launch(differ_kernel, dim3(64), dim3(256), 0, c->stream, (const uint32_t *)t->d,
                      (const uint32_t *)t->first, (int64_t)(t->d_bytes / 4), flag);
        if (cudaEventSynchronize(t->end) != cudaSuccess) return -1;
        cudaEventElapsedTime(&ms, t->begin, t->end);
        if (best < 0 || ms < best) best = ms;
    }
    cudaMemcpyAsync(&differ, flag, sizeof differ, cudaMemcpyDeviceToHost, c->stream);
    cudaStreamSynchronize(c->stream);
    return differ ? -1 : best;
}

/* A new choice for this shape, not counted yet. */
static gemm_choice *add_choice(vt_cuda *c, const gemm_shape *s)
{
    if (c->n_gemms == c->cap_gemms) {
        size_t each = sizeof *c->gemms, have = each * (size_t)c->cap_gemms;
        void *more = vt_realloc(c->gemms, have, 2 * have + 16 * each);
        if (!more) return NULL;
        c->gemms = (gemm_choice *)more;
        c->cap_gemms = 2 * c->cap_gemms + 16;
    }
    gemm_choice *choice = &c->gemms[c->n_gemms];
    *choice = {*s, false, {}};
    return choice;
}

static int candidates(const vt_cuda *c, const gemm_call *call, cublasLtMatmulHeuristicResult_t *results)
{
    cublasLtMatmulPreference_t limits;
    size_t workspace = GEMM_WORKSPACE;
    int n = 0;
    cublasLtMatmulPreferenceCreate(&limits);
    cublasLtMatmulPreferenceSetAttribute(limits, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof workspace);
    cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(c->blas, call->desc, call->a, call->b, call->d, call->d,
                                                           limits, CANDIDATES, results, &n);
    cublasLtMatmulPreferenceDestroy(limits);
    return status == CUBLAS_STATUS_SUCCESS ? n : 0;
}

vt_status vt_gemm_prepare(vt_device *device, const gemm_shape *s, bool *found)
{
    vt_cuda *c = vt_cuda_of(device);
    const gemm_choice *known = find(c, s);
    *found = known && known->found;
    if (known) return VT_OK;
    gemm_choice *choice = add_choice(c, s);
    if (!choice) return vt_fail_memory("GEMM algorithms");
    trial t;
    gemm_call call;
    cublasLtMatmulHeuristicResult_t results[CANDIDATES];
    vt_status st = open_trial(device, s, &t);
    if (st == VT_OK) {
        float best = -1;
        open_call(&call, c, s, t.bias);
        int n = candidates(c, &call, results);
        for (int i = 0; i < n; i++) {
            float ms = measure(c, &call, s, &results[i].algo, &t);
            if (ms < 0 || (best >= 0 && ms >= best)) continue;
            best = ms;
            choice->algo = results[i].algo;
            choice->found = true;
        }
        close_call(&call);
        c->n_gemms++;
    }
    close_trial(device, &t);
    *found = choice->found;
    return st;
}

bool vt_gemm_run(const vt_run *r, const gemm_shape *s, const void *a, const void *b, void *d, void *bias)
{
    vt_cuda *c = vt_cuda_of(r);
    const gemm_choice *choice = find(c, s);
    if (!choice || !choice->found) return false;
    gemm_call call;
    open_call(&call, c, s, bias);
    cublasStatus_t status = queue(c, &call, s, &choice->algo, a, b, d, r->scratch);
    close_call(&call);
    if (status != CUBLAS_STATUS_SUCCESS) vt_cuda_fail(r, "cublasLtMatmul", cublasLtGetStatusString(status));
    return true;
}

void vt_gemm_forget(vt_cuda *c)
{
    vt_free(c->gemms);
    c->gemms = NULL;
    c->n_gemms = c->cap_gemms = 0;
}
