/* linear: y = f(x w^T + b), dx = (dy w) f'(pre), dw = dy^T x with db = column sums of dy.
 *
 * The products go through cuBLASLt (gemm.cuh), which is column-major: a row-major [R, C] is its [C, R]. The bias and db
 * are its epilogues where it has them for the shape, kernels of this file elsewhere. Activations are not, since its
 * GELU is the tanh form and the models' the one by erf: a kernel of ours makes product and activation
 * (gemm_hopper.cu), or one for the activation alone follows. */
#include "activation.cuh"
#include "gemm.cuh"
#include "partials.cuh"
#include "piece.cuh"

/* y [M, N] += b [N].  Floor: y read and written once. */
template <typename T>
__global__ void __launch_bounds__(PIECE_THREADS)
add_bias_kernel(int64_t count, int64_t columns,
                const T *b, // [columns]
                T *y)       // [count]
{
    piece p = piece_of(count);
    if (p.n <= 0) return;
    floats<PIECE> f = load_piece(y, p);
#pragma unroll
    for (int i = 0; i < PIECE; i++) f.v[i] += to_float(b[(p.at + i) % columns]);
    store_piece(y, f, p);
}

enum { SUM_ROWS = 256, SUM_COLUMNS = 128 };

/* Sums of SUM_ROWS rows; partials.cuh adds those up. A block takes SUM_COLUMNS columns of them, a thread one.
 * Floor: dy read once. */
template <typename T>
__global__ void __launch_bounds__(SUM_COLUMNS)
column_sums_kernel(int64_t rows, int64_t columns,
                   const T *dy,    // [rows, columns]
                   float *partial) // [ceil(rows / SUM_ROWS), columns]
{
    int64_t strips = (columns + SUM_COLUMNS - 1) / SUM_COLUMNS, chunk = blockIdx.x / strips;
    int64_t column = blockIdx.x % strips * SUM_COLUMNS + threadIdx.x, first = chunk * SUM_ROWS;
    int64_t last = first + SUM_ROWS < rows ? first + SUM_ROWS : rows;
    if (column >= columns) return;
    float sum = 0;
#pragma unroll 8
    for (int64_t i = first; i < last; i++) sum += to_float(dy[i * columns + column]);
    partial[chunk * columns + column] = sum;
}

/* ---- shapes ------------------------------------------------------------------------------------------------------ */

static vt_activation_kind activation_of(const vt_node *n)
{
    return ((const vt_linear_attrs *)n->attrs)->activation;
}

static gemm_shape forward_shape(const vt_node *n)
{
    int64_t m = vt_tensor_count(n->out[0]) / n->in[1]->shape[0], rows = n->in[1]->shape[0];
    int64_t k = n->in[0]->shape[n->in[0]->ndim - 1];
    int epilogue = n->in[2] ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
    return {rows, m, k, k, k, rows, 1, 0, n->in[0]->dtype, n->out[0]->dtype, 0, epilogue, activation_of(n)};
}

static gemm_shape dx_shape(const vt_node *n)
{
    int64_t cols = n->in[1]->shape[0], m = vt_tensor_count(n->in[0]) / cols, k = vt_tensor_count(n->out[0]) / m;
    return {k, m, cols, k, cols, k, 0, 0, n->in[0]->dtype, n->out[0]->dtype, 0, CUBLASLT_EPILOGUE_DEFAULT,
            activation_of(n), activation_of(n) != VT_IDENTITY};
}

/* db is the GEMM's epilogue where there is nothing to add it to. */
static gemm_shape dw_shape(const vt_node *n)
{
    int64_t cols = n->out[0]->shape[0], k = n->out[0]->shape[1], m = vt_tensor_count(n->in[0]) / cols;
    int epilogue = n->out[1] && !n->in[3] ? CUBLASLT_EPILOGUE_BGRADB : CUBLASLT_EPILOGUE_DEFAULT;
    return {k, cols, m, k, cols, k, 0, 1, n->in[0]->dtype, n->out[0]->dtype, n->in[2] != NULL, epilogue};
}

/* The product with its epilogue, else without. */
static vt_status prepare(vt_device *d, const vt_node *n, const vt_room *room, gemm_shape s)
{
    bool found;
    vt_status st = vt_gemm_prepare(d, &s, room, &found);
    if (st || found) return st;
    s.epilogue = CUBLASLT_EPILOGUE_DEFAULT;
    st = vt_gemm_prepare(d, &s, room, &found);
    return st || found ? st
                       : vt_fail(VT_FAILED, "op %s (%s): cuBLASLt has no algorithm for a product of %lld x %lld x %lld",
                                 n->name, n->op->name, (long long)s.m, (long long)s.n, (long long)s.k);
}

static vt_status forward_prepare(vt_device *d, const vt_node *n, const vt_room *room)
{
    return prepare(d, n, room, forward_shape(n));
}

static size_t forward_room(const vt_device *d, const vt_node *n)
{
    gemm_shape s = forward_shape(n);
    return vt_gemm_room(&s);
}

static vt_status dx_prepare(vt_device *d, const vt_node *n, const vt_room *room)
{
    return prepare(d, n, room, dx_shape(n));
}

static size_t dx_room(const vt_device *d, const vt_node *n)
{
    gemm_shape s = dx_shape(n);
    return vt_gemm_room(&s);
}

static vt_status dw_prepare(vt_device *d, const vt_node *n, const vt_room *room)
{
    return prepare(d, n, room, dw_shape(n));
}

static size_t dw_room(const vt_device *d, const vt_node *n)
{
    gemm_shape s = dw_shape(n);
    return vt_gemm_room(&s);
}

/* True: with cuBLASLt's epilogue; false: without it. */
static bool multiply(const vt_run *r, gemm_shape s, const gemm_operands *o)
{
    if (vt_gemm_run(r, &s, o)) return true;
    s.epilogue = CUBLASLT_EPILOGUE_DEFAULT;
    if (!vt_gemm_run(r, &s, o)) vt_cuda_fail(r, "GEMM", "the shape was not prepared");
    return false;
}

/* ---- launchers --------------------------------------------------------------------------------------------------- */

static void linear(const vt_run *r)
{
    const vt_node *n = r->node;
    vt_activation_kind kind = activation_of(n);
    const vt_tensor *y = n->out[0];
    int64_t count = vt_tensor_count(y);
    gemm_shape s = forward_shape(n);
    gemm_operands o = {r->in[1], r->in[0], r->out[0], r->in[2], r->out[1]};
    if (vt_gemm_run_fused(r, &s, &o)) return;
    void *sum = o.d = r->out[1] ? r->out[1] : r->out[0];
    if (!multiply(r, s, &o) && r->in[2])
        VT_DISPATCH(y, launch(r, add_bias_kernel<T>, piece_grid(1, count), PIECE_THREADS, 0, count, n->in[1]->shape[0],
                              in<T>(r, 2), (T *)sum));
    if (kind != VT_IDENTITY) activation_queue(r, kind, y, sum, r->out[0]);
}

static void linear_dx(const vt_run *r)
{
    vt_activation_kind kind = activation_of(r->node);
    gemm_shape s = dx_shape(r->node);
    gemm_operands o = {r->in[1], r->in[0], r->out[0], NULL, r->in[2]};
    if (vt_gemm_run_fused(r, &s, &o)) return;
    multiply(r, s, &o);
    if (kind != VT_IDENTITY) activation_grad_queue(r, kind, r->node->out[0], r->out[0], r->in[2], r->out[0]);
}

static void linear_dw(const vt_run *r)
{
    const vt_node *n = r->node;
    const vt_tensor *dy = n->in[0];
    gemm_shape s = dw_shape(n);
    if (r->in[2] && r->in[2] != r->out[0])
        vt_cuda_check(r, cudaMemcpyAsync(r->out[0], r->in[2], vt_tensor_bytes(n->out[0]), cudaMemcpyDeviceToDevice,
                                         vt_cuda_of(r)->stream), "cudaMemcpyAsync");
    gemm_operands o = {r->in[1], r->in[0], r->out[0], r->out[1], NULL};
    bool epilogue = multiply(r, s, &o);
    if (!r->out[1] || (epilogue && s.epilogue == CUBLASLT_EPILOGUE_BGRADB)) return;
    int64_t columns = s.n, rows = s.k, chunks = ceil_div(rows, SUM_ROWS);
    float *partial = (float *)((char *)r->scratch + GEMM_WORKSPACE);
    VT_DISPATCH(dy, launch(r, column_sums_kernel<T>, (unsigned)(chunks * ceil_div(columns, SUM_COLUMNS)), SUM_COLUMNS,
                           0, rows, columns, in<T>(r, 0), partial));
    partials_results sum = {{{out<float>(r, 1), in<float>(r, 3), 0, columns}}};
    partials_sum(r, (int)chunks, columns, partial, sum);
}

static size_t workspace(const vt_device *d, const vt_node *n) { return GEMM_WORKSPACE; }

static size_t dw_scratch(const vt_device *d, const vt_node *n)
{
    gemm_shape s = dw_shape(n);
    return GEMM_WORKSPACE + (n->out[1] ? (size_t)(ceil_div(s.k, SUM_ROWS) * s.n) * sizeof(float) : 0);
}

VT_CUDA_OP(linear) = {linear, workspace, forward_prepare, forward_room};
VT_CUDA_OP(linear_dx) = {linear_dx, workspace, dx_prepare, dx_room};
VT_CUDA_OP(linear_dw) = {linear_dw, dw_scratch, dw_prepare, dw_room};
