/* cudnn_graph.cuh - operation graphs of cuDNN 9 through its C backend API: descriptors, tensors, operations.
 *
 * The library is loaded when it is wanted: vitc runs without it. The first failure sticks to the builder: later calls
 * do nothing, so a graph is written without a check a line. */
#ifndef VT_CUDNN_GRAPH_CUH
#define VT_CUDNN_GRAPH_CUH

#include <cudnn.h>
#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

extern "C" {
#include "base/status.h"
}

enum { MOST_DESCRIPTORS = 96, MOST_OPS = 24 };

/* ---- the library ------------------------------------------------------------------------------------------------- */

#define CUDNN_CALLS(call)                                                                                       \
    call(cudnnGetVersion) call(cudnnGetErrorString) call(cudnnGetLastErrorString) call(cudnnCreate)             \
    call(cudnnDestroy) call(cudnnSetStream) call(cudnnBackendCreateDescriptor)                                  \
    call(cudnnBackendDestroyDescriptor) call(cudnnBackendSetAttribute) call(cudnnBackendGetAttribute)           \
    call(cudnnBackendFinalize) call(cudnnBackendExecute)

typedef struct cudnn_api {
#define FIELD(name) decltype(&::name) name;
    CUDNN_CALLS(FIELD)
#undef FIELD
} cudnn_api;

/* The one it was configured with, else the loader's. It stays: its threads may still be in it. */
static vt_status load_cudnn(cudnn_api *api)
{
    void *library = dlopen(VT_CUDNN_LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!library) library = dlopen("libcudnn.so.9", RTLD_NOW | RTLD_LOCAL);
    if (!library) return vt_fail(VT_INVALID, "cuDNN cannot be loaded: %s", dlerror());
    void *symbol;
#define FIND(name)                                                                  \
    symbol = dlsym(library, #name);                                                 \
    if (!symbol) return vt_fail(VT_INVALID, "this cuDNN lacks %s", #name);          \
    memcpy(&api->name, &symbol, sizeof symbol);
    CUDNN_CALLS(FIND)
#undef FIND
    return VT_OK;
}

/* ---- descriptors ------------------------------------------------------------------------------------------------- */

typedef struct builder {
    const cudnn_api *api;
    vt_status status;
    cudnnBackendDescriptor_t all[MOST_DESCRIPTORS], ops[MOST_OPS];
    int n_all, n_ops;
} builder;

static vt_status failed(const cudnn_api *api, const char *call, const char *of, cudnnStatus_t status)
{
    char last[160] = "";
    api->cudnnGetLastErrorString(last, sizeof last);
    return vt_fail(VT_FAILED, "%s, %s: %s; %s", call, of, api->cudnnGetErrorString(status), last);
}

static void check(builder *b, const char *call, const char *of, cudnnStatus_t status)
{
    if (status != CUDNN_STATUS_SUCCESS && b->status == VT_OK) b->status = failed(b->api, call, of, status);
}

static cudnnBackendDescriptor_t create(builder *b, cudnnBackendDescriptorType_t type, const char *of)
{
    cudnnBackendDescriptor_t made = NULL;
    if (b->status) return NULL;
    if (b->n_all == MOST_DESCRIPTORS) {
        b->status = vt_fail(VT_FAILED, "cuDNN graph: it has more than %d descriptors", MOST_DESCRIPTORS);
        return NULL;
    }
    check(b, "cudnnBackendCreateDescriptor", of, b->api->cudnnBackendCreateDescriptor(type, &made));
    if (made) b->all[b->n_all++] = made;
    return made;
}

static void set(builder *b, cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name,
                cudnnBackendAttributeType_t type, int64_t n, const void *values, const char *of)
{
    if (b->status == VT_OK)
        check(b, "cudnnBackendSetAttribute", of, b->api->cudnnBackendSetAttribute(d, name, type, n, values));
}

static void set_tensor(builder *b, cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name,
                       cudnnBackendDescriptor_t value, const char *of)
{
    set(b, d, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value, of);
}

static void finalize(builder *b, cudnnBackendDescriptor_t d, const char *of)
{
    if (b->status == VT_OK) check(b, "cudnnBackendFinalize", of, b->api->cudnnBackendFinalize(d));
}

static void close_builder(builder *b)
{
    while (b->n_all) b->api->cudnnBackendDestroyDescriptor(b->all[--b->n_all]);
}

/* ---- tensors ----------------------------------------------------------------------------------------------------- */

typedef struct tensor_kind {
    cudnnDataType_t type;
    int64_t dims[4], strides[4]; /* elements */
    bool is_virtual;             /* lives inside the engine */
    bool by_value;               /* its pointer is the host's */
} tensor_kind;

/* id: what the plan knows it by. */
static cudnnBackendDescriptor_t add_tensor(builder *b, int64_t id, const tensor_kind *t)
{
    static const char of[] = "tensor";
    int64_t alignment = 16;
    cudnnBackendDescriptor_t d = create(b, CUDNN_BACKEND_TENSOR_DESCRIPTOR, of);
    set(b, d, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &t->type, of);
    set(b, d, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, t->dims, of);
    set(b, d, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, t->strides, of);
    set(b, d, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &id, of);
    set(b, d, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment, of);
    set(b, d, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &t->is_virtual, of);
    set(b, d, CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN, 1, &t->by_value, of);
    finalize(b, d, of);
    return d;
}

/* ---- operations: each appends itself and returns y --------------------------------------------------------------- */

static void append(builder *b, cudnnBackendDescriptor_t op, const char *of)
{
    finalize(b, op, of);
    if (b->status == VT_OK && b->n_ops == MOST_OPS)
        b->status = vt_fail(VT_FAILED, "cuDNN graph: it has more than %d operations", MOST_OPS);
    if (b->status == VT_OK) b->ops[b->n_ops++] = op;
}

static const cudnnDataType_t compute = CUDNN_DATA_FLOAT;

static cudnnBackendDescriptor_t matmul(builder *b, cudnnBackendDescriptor_t x, cudnnBackendDescriptor_t w,
                                       cudnnBackendDescriptor_t y)
{
    static const char of[] = "matmul";
    cudnnBackendDescriptor_t kind = create(b, CUDNN_BACKEND_MATMUL_DESCRIPTOR, of);
    set(b, kind, CUDNN_ATTR_MATMUL_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &compute, of);
    finalize(b, kind, of);
    cudnnBackendDescriptor_t op = create(b, CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR, of);
    set_tensor(b, op, CUDNN_ATTR_OPERATION_MATMUL_ADESC, x, of);
    set_tensor(b, op, CUDNN_ATTR_OPERATION_MATMUL_BDESC, w, of);
    set_tensor(b, op, CUDNN_ATTR_OPERATION_MATMUL_CDESC, y, of);
    set_tensor(b, op, CUDNN_ATTR_OPERATION_MATMUL_DESC, kind, of);
    append(b, op, of);
    return y;
}

/* with NULL: of one operand */
static cudnnBackendDescriptor_t pointwise(builder *b, cudnnPointwiseMode_t mode, cudnnBackendDescriptor_t x,
                                          cudnnBackendDescriptor_t with, cudnnBackendDescriptor_t y)
{
    static const char of[] = "pointwise";
    cudnnBackendDescriptor_t kind = create(b, CUDNN_BACKEND_POINTWISE_DESCRIPTOR, of);
    set(b, kind, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode, of);
    set(b, kind, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &compute, of);
    finalize(b, kind, of);
    cudnnBackendDescriptor_t op = create(b, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, of);
    set_tensor(b, op, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, kind, of);
    set_tensor(b, op, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x, of);
    if (with) set_tensor(b, op, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, with, of);
    set_tensor(b, op, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y, of);
    append(b, op, of);
    return y;
}

static cudnnBackendDescriptor_t reduce(builder *b, cudnnReduceTensorOp_t how, cudnnBackendDescriptor_t x,
                                       cudnnBackendDescriptor_t y)
{
    static const char of[] = "reduction";
    cudnnBackendDescriptor_t kind = create(b, CUDNN_BACKEND_REDUCTION_DESCRIPTOR, of);
    set(b, kind, CUDNN_ATTR_REDUCTION_OPERATOR, CUDNN_TYPE_REDUCTION_OPERATOR_TYPE, 1, &how, of);
    set(b, kind, CUDNN_ATTR_REDUCTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &compute, of);
    finalize(b, kind, of);
    cudnnBackendDescriptor_t op = create(b, CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR, of);
    set_tensor(b, op, CUDNN_ATTR_OPERATION_REDUCTION_XDESC, x, of);
    set_tensor(b, op, CUDNN_ATTR_OPERATION_REDUCTION_YDESC, y, of);
    set_tensor(b, op, CUDNN_ATTR_OPERATION_REDUCTION_DESC, kind, of);
    append(b, op, of);
    return y;
}

/* The same memory by other dims and strides: how a transpose is written. */
static cudnnBackendDescriptor_t view(builder *b, cudnnBackendDescriptor_t x, cudnnBackendDescriptor_t y)
{
    static const char of[] = "reshape";
    cudnnBackendDescriptor_t op = create(b, CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR, of);
    set_tensor(b, op, CUDNN_ATTR_OPERATION_RESHAPE_XDESC, x, of);
    set_tensor(b, op, CUDNN_ATTR_OPERATION_RESHAPE_YDESC, y, of);
    append(b, op, of);
    return y;
}

#endif
