/* attention_cudnn.cu - cuDNN 9's fused attention, for `vitc bench attention`. Compiled, not yet run on a GPU; that
 * cuDNN 9.19 has engines for these graphs on sm_80 and sm_90, and compiles them, was seen without one.
 *
 * Through cuDNN's C backend API: tensors and operations make an operation graph that has the pattern documented for
 * flash attention, heuristics name engine configurations for it, the first that makes a plan is taken. Packed qkv is
 * read in place by strides. Forward writes the log-sum-exp that backward reads. Backward sums dQ in fp32 in scratch by
 * atomics, as cuDNN does unless it is asked to be deterministic: the bits of dQ vary. */
#include "cuda.cuh"
#include "cudnn_graph.cuh"

extern "C" {
#include "base/alloc.h"
#include "ops/rivals.h"
}

enum { OLDEST = 90600, PADS_WELL = 91501 }; /* cuDNN before the latter wants masks where N % 128 != 0 going backward */
enum { MOST_CONFIGS = 8, MOST_POINTERS = 16, SCRATCH_ALIGN = 256 };

/* Tensors of the graphs; a plan knows them by these numbers. From FIRST_VIRTUAL on they live inside the engine. */
enum { Q = 1, V, KT, VT, O, DOUT, STATS, SCALE, ONE, DQ, DK, DV, DELTA, DQ_SUM, FIRST_VIRTUAL };

typedef struct fused {
    cudnn_api api;
    int64_t batch, heads, tokens, dim;
    float scale, one;
    cudnnHandle_t handle;
    cudnnBackendDescriptor_t plan[VT_ATTENTION_PASSES];
    int64_t workspace;             /* bytes of the engines; then delta [B, H, N] and dQ's sums [B, H, N, D], fp32 */
} fused;

/* ---- tensors ----------------------------------------------------------------------------------------------------- */

typedef enum layout {
    PACKED,              /* [B, H, N, D] within [B, N, 3, H, D] */
    PACKED_T,            /* [B, H, D, N] of the same */
    PLAIN,               /* [B, H, N, D] within [B, N, H, D] */
    DENSE,               /* [B, H, N, D] */
    SQUARE,              /* [B, H, N, N] */
    SQUARE_T,            /* the same, transposed */
    ROW,                 /* [B, H, N, 1] */
    ONE_VALUE
} layout;

/* A graph under construction. */
typedef struct sketch {
    const fused *f;
    builder b;
    int64_t next_virtual;
} sketch;

static cudnnBackendDescriptor_t tensor(sketch *s, int64_t id, layout l, cudnnDataType_t type)
{
    const fused *f = s->f;
    int64_t h = f->heads, n = f->tokens, d = f->dim, token = (l == PLAIN ? 1 : 3) * h * d;
    int64_t table[][8] = {
        {f->batch, h, n, d, n * token, d, token, 1}, {f->batch, h, d, n, n * token, d, 1, token},
        {f->batch, h, n, d, n * token, d, token, 1}, {f->batch, h, n, d, h * n * d, n * d, d, 1},
        {f->batch, h, n, n, h * n * n, n * n, n, 1}, {f->batch, h, n, n, h * n * n, n * n, 1, n},
        {f->batch, h, n, 1, h * n, n, 1, 1},         {1, 1, 1, 1, 1, 1, 1, 1}};
    tensor_kind kind = {type, {}, {}, id >= FIRST_VIRTUAL, l == ONE_VALUE};
    for (int i = 0; i < 4; i++) {
        kind.dims[i] = table[l][i];
        kind.strides[i] = table[l][4 + i];
    }
    return add_tensor(&s->b, id, &kind);
}

static cudnnBackendDescriptor_t bf16_tensor(sketch *s, int64_t id, layout l)
{
    return tensor(s, id, l, CUDNN_DATA_BFLOAT16);
}

static cudnnBackendDescriptor_t fp32_tensor(sketch *s, int64_t id, layout l)
{
    return tensor(s, id, l, CUDNN_DATA_FLOAT);
}

static cudnnBackendDescriptor_t inner(sketch *s, layout l) { return fp32_tensor(s, s->next_virtual++, l); }
static cudnnBackendDescriptor_t inner_bf16(sketch *s, layout l) { return bf16_tensor(s, s->next_virtual++, l); }

/* ---- the two graphs ---------------------------------------------------------------------------------------------- */

static void forward_graph(sketch *g)
{
    builder *b = &g->b;
    cudnnBackendDescriptor_t q = bf16_tensor(g, Q, PACKED), kt = bf16_tensor(g, KT, PACKED_T);
    cudnnBackendDescriptor_t s = matmul(b, q, kt, inner(g, SQUARE));
    s = pointwise(b, CUDNN_POINTWISE_MUL, s, fp32_tensor(g, SCALE, ONE_VALUE), inner(g, SQUARE));
    cudnnBackendDescriptor_t most = reduce(b, CUDNN_REDUCE_TENSOR_MAX, s, inner(g, ROW));
    s = pointwise(b, CUDNN_POINTWISE_SUB, s, most, inner(g, SQUARE));
    s = pointwise(b, CUDNN_POINTWISE_EXP, s, NULL, inner(g, SQUARE));
    cudnnBackendDescriptor_t sum = reduce(b, CUDNN_REDUCE_TENSOR_ADD, s, inner(g, ROW));
    cudnnBackendDescriptor_t log = pointwise(b, CUDNN_POINTWISE_LOG, sum, NULL, inner(g, ROW));
    pointwise(b, CUDNN_POINTWISE_ADD, most, log, fp32_tensor(g, STATS, ROW));
    cudnnBackendDescriptor_t p = pointwise(b, CUDNN_POINTWISE_DIV, s, sum, inner_bf16(g, SQUARE));
    matmul(b, p, bf16_tensor(g, V, PACKED), bf16_tensor(g, O, PLAIN));
}

static void backward_graph(sketch *g)
{
    builder *b = &g->b;
    cudnnBackendDescriptor_t q = bf16_tensor(g, Q, PACKED), kt = bf16_tensor(g, KT, PACKED_T);
    cudnnBackendDescriptor_t dout = bf16_tensor(g, DOUT, PLAIN), scale = fp32_tensor(g, SCALE, ONE_VALUE);
    cudnnBackendDescriptor_t t = pointwise(b, CUDNN_POINTWISE_MUL, dout, bf16_tensor(g, O, PLAIN), inner(g, DENSE));
    t = reduce(b, CUDNN_REDUCE_TENSOR_ADD, t, inner(g, ROW));
    cudnnBackendDescriptor_t delta = pointwise(b, CUDNN_POINTWISE_MUL, t, fp32_tensor(g, ONE, ONE_VALUE),
                                               fp32_tensor(g, DELTA, ROW));
    cudnnBackendDescriptor_t p = matmul(b, q, kt, inner(g, SQUARE));
    p = pointwise(b, CUDNN_POINTWISE_MUL, p, scale, inner(g, SQUARE));
    p = pointwise(b, CUDNN_POINTWISE_SUB, p, fp32_tensor(g, STATS, ROW), inner(g, SQUARE));
    p = pointwise(b, CUDNN_POINTWISE_EXP, p, NULL, inner(g, SQUARE));
    matmul(b, view(b, p, inner_bf16(g, SQUARE_T)), dout, bf16_tensor(g, DV, PACKED));
    cudnnBackendDescriptor_t ds = matmul(b, dout, bf16_tensor(g, VT, PACKED_T), inner(g, SQUARE));
    ds = pointwise(b, CUDNN_POINTWISE_SUB, ds, delta, inner(g, SQUARE));
    ds = pointwise(b, CUDNN_POINTWISE_MUL, ds, p, inner(g, SQUARE));
    ds = pointwise(b, CUDNN_POINTWISE_MUL, ds, scale, inner(g, SQUARE));
    matmul(b, view(b, ds, inner_bf16(g, SQUARE_T)), q, bf16_tensor(g, DK, PACKED));
    cudnnBackendDescriptor_t k = view(b, kt, inner(g, PACKED));
    cudnnBackendDescriptor_t dq = matmul(b, ds, k, fp32_tensor(g, DQ_SUM, DENSE));
    pointwise(b, CUDNN_POINTWISE_IDENTITY, dq, NULL, bf16_tensor(g, DQ, PACKED));
}

/* ---- plans ------------------------------------------------------------------------------------------------------- */

static cudnnBackendDescriptor_t graph_of(sketch *s, int pass)
{
    static const char of[] = "operation graph";
    builder *b = &s->b;
    s->next_virtual = FIRST_VIRTUAL;
    if (pass == VT_ATTENTION_FORWARD) forward_graph(s);
    else backward_graph(s);
    cudnnBackendDescriptor_t graph = create(b, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, of);
    set(b, graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, b->n_ops, b->ops, of);
    set(b, graph, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &s->f->handle, of);
    finalize(b, graph, of);
    return graph;
}

/* The best first; returns how many. */
static int configs_of(builder *b, cudnnBackendDescriptor_t graph, cudnnBackendDescriptor_t configs[MOST_CONFIGS])
{
    static const char of[] = "heuristics";
    cudnnBackendHeurMode_t mode = CUDNN_HEUR_MODE_A;
    int64_t n = 0;
    cudnnBackendDescriptor_t heuristics = create(b, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, of);
    set_tensor(b, heuristics, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph, of);
    set(b, heuristics, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode, of);
    finalize(b, heuristics, of);
    for (int i = 0; i < MOST_CONFIGS; i++) configs[i] = create(b, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, of);
    if (b->status == VT_OK)
        check(b, "cudnnBackendGetAttribute", of,
              b->api->cudnnBackendGetAttribute(heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                               CUDNN_TYPE_BACKEND_DESCRIPTOR, MOST_CONFIGS, &n, configs));
    if (b->status == VT_OK && n < 1) b->status = vt_fail(VT_FAILED, "cuDNN has no engine for this shape");
    return (int)(n < MOST_CONFIGS ? n : MOST_CONFIGS);
}

/* The first configuration that cuDNN can build; what it said of the last otherwise. */
static vt_status make_plan(fused *f, int pass)
{
    static const char of[] = "execution plan";
    sketch s = {};
    builder *b = &s.b;
    cudnnBackendDescriptor_t configs[MOST_CONFIGS];
    s.f = f;
    b->api = &f->api;
    int n = configs_of(b, graph_of(&s, pass), configs);
    for (int i = 0; i < n && b->status == VT_OK && !f->plan[pass]; i++) {
        cudnnBackendDescriptor_t plan = NULL;
        int64_t bytes = 0, count = 0;
        cudnnStatus_t status = f->api.cudnnBackendCreateDescriptor(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, &plan);
        if (status == CUDNN_STATUS_SUCCESS)
            status = f->api.cudnnBackendSetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG,
                                                     CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &configs[i]);
        if (status == CUDNN_STATUS_SUCCESS) status = f->api.cudnnBackendFinalize(plan);
        if (status == CUDNN_STATUS_SUCCESS)
            status = f->api.cudnnBackendGetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64,
                                                     1, &count, &bytes);
        if (status == CUDNN_STATUS_SUCCESS) {
            f->plan[pass] = plan;
            if (bytes > f->workspace) f->workspace = bytes;
        } else {
            if (i == n - 1) b->status = failed(&f->api, "cudnnBackendFinalize", of, status);
            if (plan) f->api.cudnnBackendDestroyDescriptor(plan);
        }
    }
    close_builder(b);
    return b->status;
}

/* ---- the rival --------------------------------------------------------------------------------------------------- */

static int64_t rounded(int64_t bytes)
{
    return (bytes + SCRATCH_ALIGN - 1) / SCRATCH_ALIGN * SCRATCH_ALIGN;
}

static vt_status fused_open(vt_device *device, const vt_node *const nodes[VT_ATTENTION_PASSES], void **state)
{
    const vt_node *n = nodes[VT_ATTENTION_FORWARD];
    const vt_attention_attrs *attrs = (const vt_attention_attrs *)n->attrs;
    const int64_t *qkv = n->in[0]->shape;
    bool backward = nodes[VT_ATTENTION_BACKWARD] != NULL;
    if (n->in[0]->dtype != VT_BF16) return vt_fail(VT_INVALID, "cuDNN's fused attention is bf16; use --precision bf16");
    fused *f = (fused *)vt_alloc(sizeof *f);
    if (!f) return vt_fail_memory("attention");
    *state = f;
    *f = {{}, qkv[0], attrs->heads, qkv[1], qkv[2] / 3 / attrs->heads, attrs->scale, 1, NULL, {}, 0};
    vt_status st = load_cudnn(&f->api);
    if (st) return st;
    size_t version = f->api.cudnnGetVersion();
    if (version < OLDEST) return vt_fail(VT_INVALID, "cuDNN %zu is older than 9.6, whose patterns these are", version);
    if (backward && version < PADS_WELL && f->tokens % 128 != 0)
        return vt_fail(VT_INVALID, "cuDNN %zu wants a mask going backward with %lld tokens, 9.15.1 does not", version,
                       (long long)f->tokens);
    cudnnStatus_t status = f->api.cudnnCreate(&f->handle);
    if (status != CUDNN_STATUS_SUCCESS) return failed(&f->api, "cudnnCreate", "handle", status);
    status = f->api.cudnnSetStream(f->handle, vt_cuda_of(device)->stream);
    if (status != CUDNN_STATUS_SUCCESS) return failed(&f->api, "cudnnSetStream", "handle", status);
    st = make_plan(f, VT_ATTENTION_FORWARD);
    if (st == VT_OK && backward) st = make_plan(f, VT_ATTENTION_BACKWARD);
    f->workspace = rounded(f->workspace);
    return st;
}

static size_t fused_scratch(const void *state)
{
    const fused *f = (const fused *)state;
    int64_t rows = f->batch * f->heads * f->tokens;
    return (size_t)(f->workspace + rounded(4 * rows) + 4 * rows * f->dim);
}

static void fused_close(vt_device *device, void *state)
{
    fused *f = (fused *)state;
    cudaStreamSynchronize(vt_cuda_of(device)->stream);
    for (int i = 0; i < VT_ATTENTION_PASSES; i++)
        if (f->plan[i]) f->api.cudnnBackendDestroyDescriptor(f->plan[i]);
    if (f->handle) f->api.cudnnDestroy(f->handle);
    vt_free(f);
}

typedef struct binding {
    int64_t id;
    const void *data;
} binding;

static void execute(const fused *f, const vt_run *r, int pass, const binding *bindings, int n)
{
    int64_t ids[MOST_POINTERS];
    void *data[MOST_POINTERS];
    for (int i = 0; i < n; i++) {
        ids[i] = bindings[i].id;
        data[i] = (void *)bindings[i].data;
    }
    static const char of[] = "variant pack";
    builder b = {};
    b.api = &f->api;
    cudnnBackendDescriptor_t pack = create(&b, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, of);
    set(&b, pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, n, ids, of);
    set(&b, pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, n, data, of);
    set(&b, pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &r->scratch, of);
    finalize(&b, pack, of);
    if (b.status == VT_OK)
        check(&b, "cudnnBackendExecute", pass ? "backward" : "forward",
              f->api.cudnnBackendExecute(f->handle, f->plan[pass], pack));
    if (b.status) vt_cuda_fail(r, "cuDNN", vt_error());
    close_builder(&b);
}

static void fused_forward(const void *state, const vt_run *r)
{
    const fused *f = (const fused *)state;
    const bf16 *q = in<bf16>(r, 0), *k = q + f->heads * f->dim, *v = k + f->heads * f->dim;
    const binding all[] = {{Q, q}, {KT, k}, {V, v}, {SCALE, &f->scale}, {STATS, r->out[1]}, {O, r->out[0]}};
    execute(f, r, VT_ATTENTION_FORWARD, all, sizeof all / sizeof *all);
}

static void fused_backward(const void *state, const vt_run *r)
{
    const fused *f = (const fused *)state;
    const bf16 *q = in<bf16>(r, 1), *k = q + f->heads * f->dim, *v = k + f->heads * f->dim;
    bf16 *dq = out<bf16>(r, 0), *dk = dq + f->heads * f->dim, *dv = dk + f->heads * f->dim;
    char *delta = (char *)r->scratch + f->workspace, *dq_sum = delta + rounded(4 * f->batch * f->heads * f->tokens);
    const binding all[] = {{Q, q},          {KT, k},           {VT, v},         {DOUT, r->in[0]}, {O, r->in[2]},
                           {STATS, r->in[3]}, {SCALE, &f->scale}, {ONE, &f->one}, {DELTA, delta},   {DQ_SUM, dq_sum},
                           {DQ, dq},        {DK, dk},          {DV, dv}};
    execute(f, r, VT_ATTENTION_BACKWARD, all, sizeof all / sizeof *all);
}

extern "C" const vt_attention_rival vt_attention_cudnn = {
    "cudnn", "cuda", fused_open, fused_scratch, {fused_forward, fused_backward}, fused_close};
