/* gemm.cu - the choices, and products by them. */
#include "gemm_choice.cuh"

#include <string.h>

extern "C" {
#include "base/alloc.h"
}

/* ---- choices ----------------------------------------------------------------------------------------------------- */

gemm_choice *gemm_find(const gemm_list *list, const gemm_shape *s, int tf32)
{
    for (int i = 0; i < list->count; i++)
        if (list->items[i].tf32 == tf32 && memcmp(&list->items[i].shape, s, sizeof *s) == 0) return &list->items[i];
    return NULL;
}

gemm_choice *gemm_add(gemm_list *list, const gemm_shape *s, int tf32)
{
    gemm_choice *known = gemm_find(list, s, tf32);
    if (known) return known;
    if (list->count == list->capacity) {
        size_t each = sizeof *list->items, have = each * (size_t)list->capacity;
        void *more = vt_realloc(list->items, have, 2 * have + 16 * each);
        if (!more) return NULL;
        list->items = (gemm_choice *)more;
        list->capacity = 2 * list->capacity + 16;
    }
    gemm_choice *choice = &list->items[list->count++];
    *choice = {*s, tf32, false, false, false, false, {}};
    return choice;
}

void gemm_list_free(gemm_list *list)
{
    vt_free(list->items);
    *list = {};
}

/* ---- a call of cuBLASLt ------------------------------------------------------------------------------------------ */

static cudaDataType_t data_type(int dtype)
{
    return dtype == VT_BF16 ? CUDA_R_16BF : CUDA_R_32F;
}

static void set(gemm_call *call, cublasLtMatmulDescAttributes_t what, const void *value, size_t bytes)
{
    cublasLtMatmulDescSetAttribute(call->desc, what, value, bytes);
}

static void set_batch(cublasLtMatrixLayout_t layout, int64_t batch, int64_t step)
{
    int32_t count = (int32_t)batch;
    cublasLtMatrixLayoutSetAttribute(layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof count);
    cublasLtMatrixLayoutSetAttribute(layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &step, sizeof step);
}

void gemm_call_open(gemm_call *call, const vt_cuda *c, const gemm_shape *s, void *bias)
{
    cublasComputeType_t compute = gemm_tf32(c, s) ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
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
    if (!s->batch) return;
    set_batch(call->a, s->batch, s->step_a);
    set_batch(call->b, s->batch, s->step_b);
    set_batch(call->d, s->batch, s->step_d);
}

void gemm_call_close(gemm_call *call)
{
    cublasLtMatrixLayoutDestroy(call->d);
    cublasLtMatrixLayoutDestroy(call->b);
    cublasLtMatrixLayoutDestroy(call->a);
    cublasLtMatmulDescDestroy(call->desc);
}

cublasStatus_t gemm_queue(const vt_cuda *c, const gemm_call *call, const gemm_shape *s,
                          const cublasLtMatmulAlgo_t *algo, const gemm_operands *o, void *workspace)
{
    float one = 1, beta = s->accumulate ? 1.0f : 0.0f;
    return cublasLtMatmul(c->blas, call->desc, &one, o->a, call->a, o->b, call->b, &beta, o->d, call->d, o->d, call->d,
                          algo, workspace, GEMM_WORKSPACE, c->stream);
}

/* ---- the backend's ----------------------------------------------------------------------------------------------- */

vt_status vt_gemm_prepare(vt_device *device, const gemm_shape *s, const vt_room *room, bool *found)
{
    vt_cuda *c = vt_cuda_of(device);
    gemm_choice *choice = gemm_add(c->gemms, s, gemm_tf32(c, s));
    if (!choice) return vt_fail_memory("GEMM algorithms");
    bool kept = !choice->used && choice->found, good = kept && gemm_accepts(c, choice, room);
    if (!choice->used && !good) {
        c->gemms_refused += kept;
        gemm_search(c, s, room, choice);
        choice->fresh = choice->found;
    }
    choice->used = true;
    *found = choice->found;
    return VT_OK;
}

/* NULL: none was prepared, or cuBLASLt has no algorithm. */
static const gemm_choice *chosen(const vt_cuda *c, const gemm_shape *s)
{
    const gemm_choice *choice = gemm_find(c->gemms, s, gemm_tf32(c, s));
    return choice && choice->found && choice->used ? choice : NULL;
}

bool vt_gemm_run(const vt_run *r, const gemm_shape *s, const gemm_operands *o)
{
    const vt_cuda *c = vt_cuda_of(r);
    const gemm_choice *choice = chosen(c, s);
    if (!choice) return false;
    gemm_call call;
    gemm_call_open(&call, c, s, o->bias);
    cublasStatus_t status = gemm_queue(c, &call, s, &choice->algo, o, r->scratch);
    gemm_call_close(&call);
    if (status != CUBLAS_STATUS_SUCCESS) vt_cuda_fail(r, "cublasLtMatmul", cublasLtGetStatusString(status));
    return true;
}

bool vt_gemm_run_fused(const vt_run *r, const gemm_shape *s, const gemm_operands *o)
{
    const vt_cuda *c = vt_cuda_of(r);
    const gemm_choice *choice = chosen(c, s);
    if (!choice || !s->activation || !gemm_hopper_fits(c, s)) return false;
    if (c->gemm_activation ? c->gemm_activation != 'f' : !choice->fused) return false;
    vt_cuda_check(r, gemm_hopper_queue(c, s, o), "kernel launch");
    return true;
}
