/* fake_blas_call.cpp - what the fake cuBLASLt accepts, the algorithms it offers, and cublasLtMatmul.
 *
 * Four algorithms, whose sums differ in the last bits as the real ones' do: all of K in one run; K in blocks; K split
 * with the parts in the workspace; K split and reduced in place, in an order that no two runs share. */
#include "fake.h"
#include "fake_blas.h"

#include <algorithm>
#include <cstring>

bool blas_handle_ok(cublasLtHandle_t handle);

enum { SPLITS = 3, ALIGN = 16 };

/* ---- what is accepted -------------------------------------------------------------------------------------------- */

static bool types_ok(const blas_desc &o, const blas_layout &a, const blas_layout &b, const blas_layout &c,
                     const blas_layout &d)
{
    if (o.scale != CUDA_R_32F || o.pointer_mode != CUBLASLT_POINTER_MODE_HOST || o.trans_c != CUBLAS_OP_N) return false;
    if (a.type != b.type || c.type != d.type) return false;
    bool fp32 = a.type == CUDA_R_32F && d.type == CUDA_R_32F;
    bool bf16 = a.type == CUDA_R_16BF && (d.type == CUDA_R_16BF || d.type == CUDA_R_32F);
    if (o.compute == CUBLAS_COMPUTE_32F || o.compute == CUBLAS_COMPUTE_32F_PEDANTIC) return fp32 || bf16;
    return fp32 && (o.compute == CUBLAS_COMPUTE_32F_FAST_TF32 || o.compute == CUBLAS_COMPUTE_32F_FAST_16BF);
}

static bool layout_ok(const blas_layout &x)
{
    uint64_t lead = x.order == CUBLASLT_ORDER_COL ? x.rows : x.cols;
    return x.rows > 0 && x.cols > 0 && x.ld > 0 && (uint64_t)x.ld >= lead && x.batch > 0;
}

static bool has_aux(uint32_t epilogue)
{
    return epilogue == CUBLASLT_EPILOGUE_GELU_AUX || epilogue == CUBLASLT_EPILOGUE_GELU_AUX_BIAS ||
           epilogue == CUBLASLT_EPILOGUE_DGELU || epilogue == CUBLASLT_EPILOGUE_DGELU_BGRAD;
}

static bool has_bias(uint32_t epilogue) /* read or written */
{
    return (epilogue & CUBLASLT_EPILOGUE_BIAS) || epilogue == CUBLASLT_EPILOGUE_DGELU_BGRAD ||
           epilogue == CUBLASLT_EPILOGUE_BGRADA || epilogue == CUBLASLT_EPILOGUE_BGRADB;
}

static cublasStatus_t epilogue_ok(const blas_desc &o, bool columns, const blas_layout &d)
{
    static const uint32_t known[] = {CUBLASLT_EPILOGUE_DEFAULT,   CUBLASLT_EPILOGUE_BIAS,
                                     CUBLASLT_EPILOGUE_RELU,      CUBLASLT_EPILOGUE_RELU_BIAS,
                                     CUBLASLT_EPILOGUE_GELU,      CUBLASLT_EPILOGUE_GELU_BIAS,
                                     CUBLASLT_EPILOGUE_GELU_AUX,  CUBLASLT_EPILOGUE_GELU_AUX_BIAS,
                                     CUBLASLT_EPILOGUE_DGELU,     CUBLASLT_EPILOGUE_DGELU_BGRAD,
                                     CUBLASLT_EPILOGUE_BGRADA,    CUBLASLT_EPILOGUE_BGRADB};
    uint32_t e = o.epilogue;
    if (std::find(std::begin(known), std::end(known), e) == std::end(known)) return CUBLAS_STATUS_NOT_SUPPORTED;
    if (e != CUBLASLT_EPILOGUE_DEFAULT && !columns) return CUBLAS_STATUS_NOT_SUPPORTED;
    /* The operand that is summed must have k as its slow axis: the forms known to work, N x T. */
    if (e == CUBLASLT_EPILOGUE_BGRADA && o.trans_a != CUBLAS_OP_N) return CUBLAS_STATUS_NOT_SUPPORTED;
    if (e == CUBLASLT_EPILOGUE_BGRADB && o.trans_b == CUBLAS_OP_N) return CUBLAS_STATUS_NOT_SUPPORTED;
    if (d.batch > 1 && (e == CUBLASLT_EPILOGUE_BGRADA || e == CUBLASLT_EPILOGUE_BGRADB))
        return CUBLAS_STATUS_NOT_SUPPORTED;
    if (has_bias(e) && o.bias_type != -1 && o.bias_type != d.type) return CUBLAS_STATUS_NOT_SUPPORTED;
    if (!has_aux(e)) return CUBLAS_STATUS_SUCCESS;
    if (o.aux_type != -1 && o.aux_type != d.type) return CUBLAS_STATUS_NOT_SUPPORTED;
    bool ld = o.aux_ld % 8 == 0 && o.aux_ld >= (int64_t)d.rows, step = o.aux_stride % 8 == 0;
    return ld && step ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}

static blas_matrix matrix(const blas_layout &x, bool transposed)
{
    int64_t fast = 1, slow = x.ld;
    if ((x.order == CUBLASLT_ORDER_ROW) != transposed) std::swap(fast, slow);
    return {nullptr, x.type, fast, slow, x.stride};
}

static cublasStatus_t pose(const blas_desc &o, const blas_layout &a, const blas_layout &b, const blas_layout &c,
                           const blas_layout &d, blas_problem *p)
{
    bool columns = true;
    for (const blas_layout *x : {&a, &b, &c, &d}) {
        if (x->order != CUBLASLT_ORDER_COL && x->order != CUBLASLT_ORDER_ROW) return CUBLAS_STATUS_NOT_SUPPORTED;
        if (!layout_ok(*x) || x->batch != d.batch) return CUBLAS_STATUS_INVALID_VALUE;
        columns = columns && x->order == CUBLASLT_ORDER_COL;
    }
    bool ta = o.trans_a != CUBLAS_OP_N, tb = o.trans_b != CUBLAS_OP_N;
    p->m = (int64_t)d.rows;
    p->n = (int64_t)d.cols;
    p->k = (int64_t)(ta ? a.rows : a.cols);
    bool meet = (ta ? a.cols : a.rows) == d.rows && (tb ? b.rows : b.cols) == d.cols;
    meet = meet && (tb ? b.cols : b.rows) == (uint64_t)p->k && c.rows == d.rows && c.cols == d.cols;
    if (!meet) return CUBLAS_STATUS_INVALID_VALUE;
    if (!types_ok(o, a, b, c, d)) return CUBLAS_STATUS_NOT_SUPPORTED;
    p->batch = d.batch;
    p->a = matrix(a, ta);
    p->b = matrix(b, tb);
    p->c = matrix(c, false);
    p->d = matrix(d, false);
    p->bias = {o.bias, d.type, 1, 0, o.bias_stride};
    p->aux = {o.aux, d.type, 1, o.aux_ld, o.aux_stride};
    p->epilogue = o.epilogue;
    p->compute = o.compute;
    return epilogue_ok(o, columns, d);
}

/* ---- algorithms -------------------------------------------------------------------------------------------------- */

static uint32_t made_for(const blas_desc &o, const blas_problem &p)
{
    uint32_t h = 2166136261u;
    for (uint32_t v : {(uint32_t)p.a.type, (uint32_t)p.d.type, (uint32_t)o.trans_a, (uint32_t)o.trans_b, p.epilogue,
                       (uint32_t)p.compute})
        h = (h ^ v) * 16777619u;
    return h;
}

static uint32_t alignment(uint64_t bytes, uint32_t at_most)
{
    while (at_most > 1 && bytes % at_most) at_most /= 2;
    return at_most;
}

static std::vector<blas_algo> algorithms(const blas_desc &o, const blas_problem &p, uint32_t align)
{
    uint64_t parts = (uint64_t)(p.m * p.n * p.batch) * 4 * SPLITS;
    uint32_t tag = made_for(o, p);
    std::vector<blas_algo> all = {{0, 1, 0, 20, CUBLASLT_REDUCTION_SCHEME_NONE, align, 0, tag}};
    if (align < ALIGN) return all; /* the others load 16 bytes at once */
    all.push_back({1, 1, 32, 15, CUBLASLT_REDUCTION_SCHEME_NONE, align, 0, tag});
    if (p.k < 2 * SPLITS) return all;
    all.push_back({2, SPLITS, 0, 18, CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE, align, parts, tag});
    all.push_back({3, SPLITS, 0, 18, CUBLASLT_REDUCTION_SCHEME_INPLACE, align, 1024, tag});
    return all;
}

static uint32_t lead_alignment(const blas_layout &x, uint32_t at_most)
{
    return alignment((uint64_t)x.ld * blas_size(x.type), at_most);
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t pref, int wanted,
                                              cublasLtMatmulHeuristicResult_t results[], int *found)
{
    std::lock_guard<std::recursive_mutex> hold(fake().lock);
    if (!blas_handle_ok(handle)) return CUBLAS_STATUS_NOT_INITIALIZED;
    if (!desc || !a || !b || !c || !d || !pref || wanted <= 0 || !results || !found) return CUBLAS_STATUS_INVALID_VALUE;
    *found = 0;
    fake().heuristics++;
    blas_problem p = {};
    const blas_layout *layouts[] = {blas_open<blas_layout>(a), blas_open<blas_layout>(b), blas_open<blas_layout>(c),
                                    blas_open<blas_layout>(d)};
    const blas_desc &o = *blas_open<blas_desc>(desc);
    const blas_pref &wish = *blas_open<blas_pref>(pref);
    cublasStatus_t st = pose(o, *layouts[0], *layouts[1], *layouts[2], *layouts[3], &p);
    if (st != CUBLAS_STATUS_SUCCESS) return st;
    uint32_t align = ALIGN;
    for (int i = 0; i < 4; i++) align = lead_alignment(*layouts[i], std::min(align, std::max(1u, wish.align[i])));
    for (const blas_algo &each : algorithms(o, p, align)) {
        bool scheme = each.scheme == CUBLASLT_REDUCTION_SCHEME_NONE || (wish.schemes & each.scheme);
        if (each.workspace > wish.workspace || !scheme || *found == wanted) continue;
        cublasLtMatmulHeuristicResult_t *r = &results[(*found)++];
        *r = {};
        *blas_open<blas_algo>(&r->algo) = each;
        r->workspaceSize = each.workspace;
        r->wavesCount = 1;
    }
    return *found ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

/* Whether this library made the algorithm, for this kind of problem; its workspace follows the shape. */
static cublasStatus_t adopt(const blas_desc &o, const cublasLtMatmulAlgo_t *algo, blas_problem *p)
{
    blas_algo given = *blas_open<const blas_algo>(algo);
    for (const blas_algo &each : algorithms(o, *p, ALIGN))
        if (each.id == given.id && each.made_for == given.made_for) {
            p->algo = each;
            p->algo.align = given.align;
            return CUBLAS_STATUS_SUCCESS;
        }
    return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatmulAlgoCheck(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, cublasLtMatrixLayout_t a,
                                       cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                       const cublasLtMatmulAlgo_t *algo, cublasLtMatmulHeuristicResult_t *result)
{
    std::lock_guard<std::recursive_mutex> hold(fake().lock);
    if (!blas_handle_ok(handle)) return CUBLAS_STATUS_NOT_INITIALIZED;
    if (!desc || !a || !b || !c || !d || !algo || !result) return CUBLAS_STATUS_INVALID_VALUE;
    blas_problem p = {};
    const blas_desc &o = *blas_open<blas_desc>(desc);
    cublasStatus_t st = pose(o, *blas_open<blas_layout>(a), *blas_open<blas_layout>(b), *blas_open<blas_layout>(c),
                             *blas_open<blas_layout>(d), &p);
    if (has_bias(o.epilogue) && !o.bias) st = CUBLAS_STATUS_INVALID_VALUE; /* stricter than some versions, perhaps */
    if (st == CUBLAS_STATUS_SUCCESS) st = adopt(o, algo, &p);
    if (st != CUBLAS_STATUS_SUCCESS) return st;
    result->workspaceSize = p.algo.workspace;
    result->state = CUBLAS_STATUS_SUCCESS;
    result->wavesCount = 1;
    return CUBLAS_STATUS_SUCCESS;
}

/* ---- the call ---------------------------------------------------------------------------------------------------- */

struct span { /* memory that the operation touches */
    const char *name;
    const char *p;
    size_t bytes;
};

static span extent(const char *name, const blas_matrix &x, int64_t rows, int64_t cols, int32_t batch)
{
    int64_t last = (rows - 1) * x.rs + (cols - 1) * x.cs + (batch - 1) * x.stride;
    return {name, (const char *)x.p, (size_t)(last + 1) * blas_size(x.type)};
}

static std::vector<span> spans(const blas_problem &p, const void *workspace)
{
    std::vector<span> all = {extent("D", p.d, p.m, p.n, p.batch), extent("A", p.a, p.m, p.k, p.batch),
                             extent("B", p.b, p.k, p.n, p.batch)};
    if (p.beta != 0) all.push_back(extent("C", p.c, p.m, p.n, p.batch));
    int64_t length = p.epilogue == CUBLASLT_EPILOGUE_BGRADB ? p.n : p.m;
    if (has_bias(p.epilogue)) all.push_back(extent("the bias", p.bias, length, 1, p.batch));
    if (has_aux(p.epilogue)) all.push_back(extent("the auxiliary matrix", p.aux, p.m, p.n, p.batch));
    if (p.algo.workspace) all.push_back({"the workspace", (const char *)workspace, p.algo.workspace});
    return all;
}

static bool all_there(const std::vector<span> &all, std::string *why)
{
    for (const span &s : all)
        if (!fake_memory_holds(s.p, s.bytes, why)) {
            *why = fake_text("cublasLtMatmul, %s: ", s.name) + *why;
            return false;
        }
    return true;
}

/* D, what else is written and the workspace meet nothing; only C may be D itself. */
static bool disjoint(const blas_problem &p, const std::vector<span> &all, std::string *why)
{
    for (const span &s : all)
        for (const span &t : all) {
            bool written = !strcmp(t.name, "D") || !strcmp(t.name, "the workspace") || !strcmp(t.name, "the bias") ||
                           !strcmp(t.name, "the auxiliary matrix");
            bool same = !strcmp(s.name, "C") && s.p == t.p && p.c.rs == p.d.rs && p.c.cs == p.d.cs;
            if (&s == &t || !written || same || s.p + s.bytes <= t.p || t.p + t.bytes <= s.p) continue;
            *why = fake_text("cublasLtMatmul: %s overlaps %s", s.name, t.name);
            return false;
        }
    return true;
}

static bool aligned(const blas_problem &p)
{
    uint64_t all = (uint64_t)p.a.p | (uint64_t)p.b.p | (uint64_t)p.d.p | (p.beta != 0 ? (uint64_t)p.c.p : 0);
    if (has_aux(p.epilogue) && (uint64_t)p.aux.p % ALIGN) return false;
    return all % p.algo.align == 0;
}

static cublasStatus_t enqueue(const blas_problem &p, void *workspace, cudaStream_t stream)
{
    CUstream_st *s = fake_stream(stream);
    if (!s || s->device != fake_current()) return CUBLAS_STATUS_EXECUTION_FAILED;
    std::vector<span> all = spans(p, workspace);
    double factor = 0.8 + 0.1 * ((p.m * 7 + p.n * 13 + p.k * 3 + p.algo.id * 5) % 8);
    if (p.algo.id == (int32_t)fake_env("VT_FAKE_FASTEST", SIZE_MAX)) factor = 0.1;
    double us = 1 + 2e-6 * factor * (double)(p.m * p.n * p.k * p.batch);
    cudaError_t err = fake_enqueue(s, "cublasLtMatmul", us, [=](std::string *report) {
        if (!all_there(all, report)) return false;
        if (p.algo.workspace) memset(workspace, 0xFF, p.algo.workspace);
        blas_multiply(p);
        return true;
    });
    return err == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, const void *alpha, const void *A,
                              cublasLtMatrixLayout_t a, const void *B, cublasLtMatrixLayout_t b, const void *beta,
                              const void *C, cublasLtMatrixLayout_t c, void *D, cublasLtMatrixLayout_t d,
                              const cublasLtMatmulAlgo_t *algo, void *workspace, size_t workspace_bytes,
                              cudaStream_t stream)
{
    std::lock_guard<std::recursive_mutex> hold(fake().lock);
    if (!blas_handle_ok(handle)) return CUBLAS_STATUS_NOT_INITIALIZED;
    if (fake_open("cublasLtMatmul", FAKE_SAFE) != cudaSuccess) return CUBLAS_STATUS_EXECUTION_FAILED;
    if (!desc || !alpha || !beta || !a || !b || !c || !d) return CUBLAS_STATUS_INVALID_VALUE;
    blas_problem p = {};
    const blas_desc &o = *blas_open<blas_desc>(desc);
    cublasStatus_t st = pose(o, *blas_open<blas_layout>(a), *blas_open<blas_layout>(b), *blas_open<blas_layout>(c),
                             *blas_open<blas_layout>(d), &p);
    if (st != CUBLAS_STATUS_SUCCESS) return st;
    p.alpha = *(const float *)alpha;
    p.beta = *(const float *)beta;
    p.a.p = (void *)A;
    p.b.p = (void *)B;
    p.c.p = (void *)C;
    p.d.p = D;
    p.algo = algorithms(o, p, 2)[0];
    if (algo) st = adopt(o, algo, &p);
    if (st != CUBLAS_STATUS_SUCCESS) return st;
    if (!aligned(p)) return CUBLAS_STATUS_NOT_SUPPORTED;
    std::string why;
    std::vector<span> all = spans(p, workspace);
    for (const span &s : all)
        if (!s.p) return CUBLAS_STATUS_INVALID_VALUE;
    if (workspace_bytes < p.algo.workspace || (uint64_t)workspace % ALIGN) return CUBLAS_STATUS_INVALID_VALUE;
    if (!all_there(all, &why) || !disjoint(p, all, &why)) {
        fake_misuse(cudaErrorInvalidValue, "%s", why.c_str());
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    return enqueue(p, workspace, stream);
}
