/* attention_unfused.cu - attention as a chain, for `vitc bench attention`: S = Q K^T, softmax, O = P V by cuBLASLt's
 * strided batches on packed qkv, P stored for the backward pass. What frameworks do without a fused kernel: P has the
 * activations' dtype, softmax is fp32 inside.
 *
 * A strided batch has one stride, heads lie D apart and samples N * 3 * H * D: the longer of the two is the batch, the
 * shorter a loop of calls. Rows of S are `ld` elements long, N filled to a multiple of 8, for aligned accesses.
 *
 * Bytes beside the floor of attention.cu, each B * H * N * ld elements: forward, S and P are written and read;
 * backward, P is read twice, dP written and read, dS written and read twice. */
#include "cuda.cuh"
#include "gemm.cuh"
#include "reduce.cuh"

extern "C" {
#include "base/alloc.h"
#include "ops/rivals.h"
}

enum { ROW_WARPS = 8 };

/* ---- kernels: a warp takes a row; that it reads it again is left to the cache ------------------------------------ */

template <typename T>
__global__ void __launch_bounds__(ROW_WARPS * WARP)
unfused_softmax_kernel(int64_t rows, int n, int ld, float scale,
                       T *s) // [rows, ld]: scores to probabilities
{
    constexpr int W = VECTOR<T>;
    int64_t row = (int64_t)blockIdx.x * ROW_WARPS + threadIdx.x / WARP;
    if (row >= rows) return;
    s += row * ld;
    float most = -INFINITY, sum = 0;
    for (int c = lane_id() * W; c < n; c += WARP * W) {
        floats<W> f = load<W>(s + c);
#pragma unroll
        for (int i = 0; i < W; i++)
            if (c + i < n) most = fmaxf(most, f.v[i]);
    }
    most = warp_max(most);
    for (int c = lane_id() * W; c < n; c += WARP * W) {
        floats<W> f = load<W>(s + c);
#pragma unroll
        for (int i = 0; i < W; i++) sum += c + i < n ? expf((f.v[i] - most) * scale) : 0;
    }
    float inverse = 1 / warp_sum(sum);
    for (int c = lane_id() * W; c < n; c += WARP * W) {
        floats<W> f = load<W>(s + c);
#pragma unroll
        for (int i = 0; i < W; i++) f.v[i] = c + i < n ? expf((f.v[i] - most) * scale) * inverse : 0;
        store(s + c, f);
    }
}

/* dS = scale * P * (dP - delta), delta = P . dP of the row. */
template <typename T>
__global__ void __launch_bounds__(ROW_WARPS * WARP)
unfused_softmax_grad_kernel(int64_t rows, int n, int ld, float scale,
                            const T *p, // [rows, ld]
                            T *s)       // [rows, ld]: dP to dS
{
    constexpr int W = VECTOR<T>;
    int64_t row = (int64_t)blockIdx.x * ROW_WARPS + threadIdx.x / WARP;
    if (row >= rows) return;
    p += row * ld;
    s += row * ld;
    float delta = 0;
    for (int c = lane_id() * W; c < n; c += WARP * W) {
        floats<W> a = load<W>(p + c), b = load<W>(s + c);
#pragma unroll
        for (int i = 0; i < W; i++) delta += c + i < n ? a.v[i] * b.v[i] : 0;
    }
    delta = warp_sum(delta);
    for (int c = lane_id() * W; c < n; c += WARP * W) {
        floats<W> a = load<W>(p + c), b = load<W>(s + c);
#pragma unroll
        for (int i = 0; i < W; i++) b.v[i] = c + i < n ? scale * a.v[i] * (b.v[i] - delta) : 0;
        store(s + c, b);
    }
}

/* ---- products ---------------------------------------------------------------------------------------------------- */

typedef struct unfused {
    int64_t batch, heads, tokens, dim, ld;
    float scale;
    int dtype;
} unfused;

/* A matrix of every head: rows of `ld` elements, a head and a sample so many further. */
typedef struct operand {
    int64_t ld, head, sample;
} operand;

static operand rows_of(const unfused *u, int parts) /* of [B, N, parts, H, D] */
{
    return {parts * u->heads * u->dim, u->dim, u->tokens * parts * u->heads * u->dim};
}

static operand square(const unfused *u) /* [B, H, N, ld] */
{
    return {u->ld, u->tokens * u->ld, u->heads * u->tokens * u->ld};
}

static bool heads_outside(const unfused *u)
{
    return u->heads <= u->batch;
}

static int64_t step(const unfused *u, operand x)
{
    return heads_outside(u) ? x.sample : x.head;
}

static gemm_shape shape(const unfused *u, int64_t m, int64_t k, operand a, int ta, operand b, int tb, operand d)
{
    return {m, u->tokens, k, a.ld, b.ld, d.ld, ta, tb, u->dtype, u->dtype, 0, CUBLASLT_EPILOGUE_DEFAULT,
            VT_IDENTITY, 0, heads_outside(u) ? u->batch : u->heads, step(u, a), step(u, b), step(u, d)};
}

/* The six products, row-major: */
typedef enum product { S_QK, O_PV, DV_PDO, DP_DOV, DQ_DSK, DK_DSQ, PRODUCTS } product;

/* Row-major matrices are cuBLASLt's transposed: X Y^T [N, N] is Y^T's product with X, S X [N, D] is X with S. */
static gemm_shape shape_of(const unfused *u, product which, operand *a, operand *b, operand *d)
{
    operand packed = rows_of(u, 3), plain = rows_of(u, 1), s = square(u);
    bool scores = which == S_QK || which == DP_DOV, transposed = which == DV_PDO || which == DK_DSQ;
    *a = which == DV_PDO ? plain : packed;
    *b = which == DP_DOV ? plain : scores ? packed : s;
    *d = which == O_PV ? plain : scores ? s : packed;
    return scores ? shape(u, u->tokens, u->dim, *a, 1, *b, 0, *d)
                  : shape(u, u->dim, u->tokens, *a, 0, *b, transposed, *d);
}

static void multiply(const unfused *u, const vt_run *r, product which, const void *a, const void *b, void *d)
{
    operand at_a, at_b, at_d;
    gemm_shape s = shape_of(u, which, &at_a, &at_b, &at_d);
    int64_t calls = heads_outside(u) ? u->heads : u->batch, each = (int64_t)vt_dtype_bytes((vt_dtype)u->dtype);
    for (int64_t i = 0; i < calls; i++) {
        int64_t head = heads_outside(u) ? i : 0, sample = heads_outside(u) ? 0 : i;
        const char *from = (const char *)a + each * (head * at_a.head + sample * at_a.sample);
        const char *by = (const char *)b + each * (head * at_b.head + sample * at_b.sample);
        char *to = (char *)d + each * (head * at_d.head + sample * at_d.sample);
        gemm_operands o = {from, by, to, NULL, NULL};
        if (!vt_gemm_run(r, &s, &o)) vt_cuda_fail(r, "GEMM", "the shape was not prepared");
    }
}

/* ---- the rival --------------------------------------------------------------------------------------------------- */

static size_t square_bytes(const unfused *u)
{
    return (size_t)(u->batch * u->heads * u->tokens * u->ld) * vt_dtype_bytes((vt_dtype)u->dtype);
}

/* Chooses the algorithms of the first `products`. */
static vt_status prepare(vt_device *device, const unfused *u, int products)
{
    vt_status st = VT_OK;
    vt_room room = {};
    operand a, b, d;
    for (int i = 0; i < products; i++) {
        gemm_shape s = shape_of(u, (product)i, &a, &b, &d);
        size_t bytes = vt_gemm_room(&s);
        if (bytes > room.bytes) room.bytes = bytes;
    }
    st = device->backend->alloc(device, room.bytes, &room.memory);
    if (st == VT_OK) st = device->backend->alloc(device, GEMM_WORKSPACE, &room.scratch);
    for (int i = 0; i < products && st == VT_OK; i++) {
        bool found;
        gemm_shape s = shape_of(u, (product)i, &a, &b, &d);
        st = vt_gemm_prepare(device, &s, &room, &found);
        if (st == VT_OK && !found)
            st = vt_fail(VT_FAILED, "cuBLASLt has no algorithm for %lld products of %lld x %lld x %lld",
                         (long long)s.batch, (long long)s.m, (long long)s.n, (long long)s.k);
    }
    if (room.memory) device->backend->free(device, room.memory);
    if (room.scratch) device->backend->free(device, room.scratch);
    return st;
}

static vt_status unfused_open(vt_device *device, const vt_node *const nodes[VT_ATTENTION_PASSES], void **state)
{
    const vt_node *n = nodes[VT_ATTENTION_FORWARD];
    const vt_attention_attrs *attrs = (const vt_attention_attrs *)n->attrs;
    const int64_t *qkv = n->in[0]->shape;
    int64_t dim = qkv[2] / 3 / attrs->heads;
    if (dim * (int64_t)vt_dtype_bytes(n->in[0]->dtype) % 16 != 0)
        return vt_fail(VT_INVALID, "heads of %lld are not whole 16 bytes, which cuBLASLt's fast products want",
                       (long long)dim);
    unfused *u = (unfused *)vt_alloc(sizeof *u);
    if (!u) return vt_fail_memory("attention");
    *state = u;
    *u = {qkv[0], attrs->heads, qkv[1], dim, (qkv[1] + 7) / 8 * 8, attrs->scale, n->in[0]->dtype};
    return prepare(device, u, nodes[VT_ATTENTION_BACKWARD] ? PRODUCTS : DV_PDO);
}

static size_t unfused_scratch(const void *state)
{
    return GEMM_WORKSPACE + 2 * square_bytes((const unfused *)state); /* then P, then dP */
}

static void unfused_close(vt_device *device, void *state)
{
    vt_free(state);
}

template <typename T> static void forward(const unfused *u, const vt_run *r)
{
    T *p = (T *)((char *)r->scratch + GEMM_WORKSPACE);
    const T *q = in<T>(r, 0), *k = q + u->heads * u->dim, *v = k + u->heads * u->dim;
    int64_t rows = u->batch * u->heads * u->tokens;
    multiply(u, r, S_QK, k, q, p);
    launch(r, unfused_softmax_kernel<T>, dim3((unsigned)ceil_div(rows, ROW_WARPS)), dim3(ROW_WARPS * WARP), 0, rows,
           (int)u->tokens, (int)u->ld, u->scale, p);
    multiply(u, r, O_PV, v, p, out<T>(r, 0));
}

template <typename T> static void backward(const unfused *u, const vt_run *r)
{
    T *p = (T *)((char *)r->scratch + GEMM_WORKSPACE), *s = (T *)((char *)p + square_bytes(u));
    const T *dout = in<T>(r, 0), *q = in<T>(r, 1), *k = q + u->heads * u->dim, *v = k + u->heads * u->dim;
    T *dq = out<T>(r, 0), *dk = dq + u->heads * u->dim, *dv = dk + u->heads * u->dim;
    int64_t rows = u->batch * u->heads * u->tokens;
    multiply(u, r, DV_PDO, dout, p, dv);
    multiply(u, r, DP_DOV, v, dout, s);
    launch(r, unfused_softmax_grad_kernel<T>, dim3((unsigned)ceil_div(rows, ROW_WARPS)), dim3(ROW_WARPS * WARP), 0,
           rows, (int)u->tokens, (int)u->ld, u->scale, p, s);
    multiply(u, r, DQ_DSK, k, s, dq);
    multiply(u, r, DK_DSQ, q, s, dk);
}

static void unfused_forward(const void *state, const vt_run *r)
{
    const unfused *u = (const unfused *)state;
    VT_DISPATCH(r->node->in[0], forward<T>(u, r));
}

static void unfused_backward(const void *state, const vt_run *r)
{
    const unfused *u = (const unfused *)state;
    VT_DISPATCH(r->node->in[1], backward<T>(u, r));
}

extern "C" const vt_attention_rival vt_attention_unfused_cuda = {
    "unfused", "cuda", unfused_open, unfused_scratch, {unfused_forward, unfused_backward}, unfused_close};
