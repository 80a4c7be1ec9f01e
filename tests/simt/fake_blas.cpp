/* fake_blas.cpp - the fake cuBLASLt's handles, descriptors and attributes. */
#include "fake.h"
#include "fake_blas.h"

#include <cstring>

struct cublasLtContext {
    int device;
};

static std::set<cublasLtHandle_t> &handles()
{
    static std::set<cublasLtHandle_t> *all = new std::set<cublasLtHandle_t>;
    return *all;
}

bool blas_handle_ok(cublasLtHandle_t handle)
{
    return handles().count(handle) && handle->device == fake_current();
}

cublasStatus_t cublasLtCreate(cublasLtHandle_t *handle)
{
    std::lock_guard<std::recursive_mutex> hold(fake().lock);
    if (!handle) return CUBLAS_STATUS_INVALID_VALUE;
    *handle = nullptr;
    if (fake_open("cublasLtCreate", FAKE_UNSAFE) != cudaSuccess) return CUBLAS_STATUS_NOT_INITIALIZED;
    *handle = new cublasLtContext{fake_current()};
    handles().insert(*handle);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle)
{
    std::lock_guard<std::recursive_mutex> hold(fake().lock);
    if (!handles().erase(handle)) return CUBLAS_STATUS_NOT_INITIALIZED;
    delete handle;
    return CUBLAS_STATUS_SUCCESS;
}

size_t cublasLtGetVersion(void)
{
    return CUBLAS_VERSION;
}

size_t cublasLtGetCudartVersion(void)
{
    return CUDART_VERSION;
}

static const struct { cublasStatus_t status; const char *name, *text; } STATUSES[] = {
    {CUBLAS_STATUS_SUCCESS, "CUBLAS_STATUS_SUCCESS", "success"},
    {CUBLAS_STATUS_NOT_INITIALIZED, "CUBLAS_STATUS_NOT_INITIALIZED", "the library was not initialized"},
    {CUBLAS_STATUS_ALLOC_FAILED, "CUBLAS_STATUS_ALLOC_FAILED", "the resource allocation failed"},
    {CUBLAS_STATUS_INVALID_VALUE, "CUBLAS_STATUS_INVALID_VALUE",
     "an unsupported value or parameter was passed to the function"},
    {CUBLAS_STATUS_ARCH_MISMATCH, "CUBLAS_STATUS_ARCH_MISMATCH", "an absent device architectural feature is required"},
    {CUBLAS_STATUS_MAPPING_ERROR, "CUBLAS_STATUS_MAPPING_ERROR", "an access to GPU memory space failed"},
    {CUBLAS_STATUS_EXECUTION_FAILED, "CUBLAS_STATUS_EXECUTION_FAILED", "the function failed to launch on the GPU"},
    {CUBLAS_STATUS_INTERNAL_ERROR, "CUBLAS_STATUS_INTERNAL_ERROR", "an internal operation failed"},
    {CUBLAS_STATUS_NOT_SUPPORTED, "CUBLAS_STATUS_NOT_SUPPORTED", "the functionality requested is not supported"},
    {CUBLAS_STATUS_LICENSE_ERROR, "CUBLAS_STATUS_LICENSE_ERROR", "the functionality requested requires some license"},
};

const char *cublasGetStatusName(cublasStatus_t status)
{
    for (auto &s : STATUSES)
        if (s.status == status) return s.name;
    return "unknown status";
}

const char *cublasGetStatusString(cublasStatus_t status)
{
    for (auto &s : STATUSES)
        if (s.status == status) return s.text;
    return "unknown status";
}

const char *cublasLtGetStatusName(cublasStatus_t status)
{
    return cublasGetStatusName(status);
}

const char *cublasLtGetStatusString(cublasStatus_t status)
{
    return cublasGetStatusString(status);
}

/* ---- attributes: a table for each descriptor, so that a wrong size is refused as the library does ---------------- */

struct field {
    int attr;
    size_t offset, bytes;
};
#define FIELD(attr, type, member) {attr, offsetof(type, member), sizeof(((type *)0)->member)}

static cublasStatus_t set(void *descriptor, const std::vector<field> &fields, int attr, const void *value, size_t bytes)
{
    if (!descriptor || !value) return CUBLAS_STATUS_INVALID_VALUE;
    for (const field &f : fields)
        if (f.attr == attr) {
            if (f.bytes != bytes) return CUBLAS_STATUS_INVALID_VALUE;
            memcpy((char *)descriptor + f.offset, value, bytes);
            return CUBLAS_STATUS_SUCCESS;
        }
    return CUBLAS_STATUS_NOT_SUPPORTED;
}

template <typename Opaque> static cublasStatus_t destroy(Opaque *descriptor)
{
    delete descriptor;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *layout, cudaDataType type, uint64_t rows,
                                          uint64_t cols, int64_t ld)
{
    if (!layout) return CUBLAS_STATUS_INVALID_VALUE;
    *layout = new cublasLtMatrixLayoutOpaque_t{};
    *blas_open<blas_layout>(*layout) = {(int32_t)type, CUBLASLT_ORDER_COL, 1, rows, cols, ld, 0};
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout)
{
    return destroy(layout);
}

cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t layout, cublasLtMatrixLayoutAttribute_t attr,
                                                const void *value, size_t bytes)
{
    static const std::vector<field> fields = {
        FIELD(CUBLASLT_MATRIX_LAYOUT_TYPE, blas_layout, type), FIELD(CUBLASLT_MATRIX_LAYOUT_ORDER, blas_layout, order),
        FIELD(CUBLASLT_MATRIX_LAYOUT_ROWS, blas_layout, rows), FIELD(CUBLASLT_MATRIX_LAYOUT_COLS, blas_layout, cols),
        FIELD(CUBLASLT_MATRIX_LAYOUT_LD, blas_layout, ld),
        FIELD(CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, blas_layout, batch),
        FIELD(CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, blas_layout, stride)};
    return set(layout, fields, attr, value, bytes);
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *desc, cublasComputeType_t compute, cudaDataType_t scale)
{
    if (!desc) return CUBLAS_STATUS_INVALID_VALUE;
    *desc = new cublasLtMatmulDescOpaque_t{};
    blas_desc *d = blas_open<blas_desc>(*desc);
    d->compute = compute;
    d->scale = scale;
    d->epilogue = CUBLASLT_EPILOGUE_DEFAULT;
    d->bias_type = d->aux_type = -1;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t desc)
{
    return destroy(desc);
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t attr,
                                              const void *value, size_t bytes)
{
    static const std::vector<field> fields = {
        FIELD(CUBLASLT_MATMUL_DESC_COMPUTE_TYPE, blas_desc, compute),
        FIELD(CUBLASLT_MATMUL_DESC_SCALE_TYPE, blas_desc, scale),
        FIELD(CUBLASLT_MATMUL_DESC_POINTER_MODE, blas_desc, pointer_mode),
        FIELD(CUBLASLT_MATMUL_DESC_TRANSA, blas_desc, trans_a), FIELD(CUBLASLT_MATMUL_DESC_TRANSB, blas_desc, trans_b),
        FIELD(CUBLASLT_MATMUL_DESC_TRANSC, blas_desc, trans_c),
        FIELD(CUBLASLT_MATMUL_DESC_EPILOGUE, blas_desc, epilogue),
        FIELD(CUBLASLT_MATMUL_DESC_BIAS_POINTER, blas_desc, bias),
        FIELD(CUBLASLT_MATMUL_DESC_BIAS_BATCH_STRIDE, blas_desc, bias_stride),
        FIELD(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, blas_desc, aux),
        FIELD(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, blas_desc, aux_ld),
        FIELD(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_BATCH_STRIDE, blas_desc, aux_stride),
        FIELD(CUBLASLT_MATMUL_DESC_SM_COUNT_TARGET, blas_desc, sms),
        FIELD(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_DATA_TYPE, blas_desc, aux_type),
        FIELD(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, blas_desc, bias_type)};
    return set(desc, fields, attr, value, bytes);
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *pref)
{
    if (!pref) return CUBLAS_STATUS_INVALID_VALUE;
    *pref = new cublasLtMatmulPreferenceOpaque_t{};
    *blas_open<blas_pref>(*pref) = {0, 0, CUBLASLT_REDUCTION_SCHEME_MASK, {256, 256, 256, 256}};
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t pref)
{
    return destroy(pref);
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t pref,
                                                    cublasLtMatmulPreferenceAttributes_t attr, const void *value,
                                                    size_t bytes)
{
    static const std::vector<field> fields = {
        FIELD(CUBLASLT_MATMUL_PREF_SEARCH_MODE, blas_pref, search),
        FIELD(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, blas_pref, workspace),
        FIELD(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, blas_pref, schemes),
        FIELD(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, blas_pref, align[0]),
        FIELD(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, blas_pref, align[1]),
        FIELD(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, blas_pref, align[2]),
        FIELD(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, blas_pref, align[3])};
    return set(pref, fields, attr, value, bytes);
}

cublasStatus_t cublasLtMatmulAlgoConfigGetAttribute(const cublasLtMatmulAlgo_t *algo,
                                                    cublasLtMatmulAlgoConfigAttributes_t attr, void *value,
                                                    size_t bytes, size_t *written)
{
    static const std::vector<field> fields = {
        FIELD(CUBLASLT_ALGO_CONFIG_ID, blas_algo, id), FIELD(CUBLASLT_ALGO_CONFIG_TILE_ID, blas_algo, tile),
        FIELD(CUBLASLT_ALGO_CONFIG_SPLITK_NUM, blas_algo, splits),
        FIELD(CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME, blas_algo, scheme)};
    if (!algo) return CUBLAS_STATUS_INVALID_VALUE;
    for (const field &f : fields)
        if (f.attr == (int)attr) {
            if (written) *written = f.bytes;
            if (bytes == 0) return written ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
            if (!value || bytes != f.bytes) return CUBLAS_STATUS_INVALID_VALUE;
            memcpy(value, (const char *)algo + f.offset, f.bytes);
            return CUBLAS_STATUS_SUCCESS;
        }
    return CUBLAS_STATUS_NOT_SUPPORTED;
}
