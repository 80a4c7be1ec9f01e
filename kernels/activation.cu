/* activation: y = f(x) and dx = dy * f'(x), elementwise; f is GELU by erf, ReLU or tanh. Behind a linear both are its
 * epilogue's instead.
 *
 * Floor: 2 and 3 elements of T moved for each of x. y may be x, dx may be dy: a thread reads what it writes first. */
#include "activation.cuh"
#include "piece.cuh"

template <typename T, int KIND>
__global__ void __launch_bounds__(PIECE_THREADS)
activation_kernel(int64_t count,
                  const T *x, // [count]
                  T *y)       // [count]
{
    piece p = piece_of(count);
    if (p.n > 0) store_piece(y, activate((vt_activation_kind)KIND, load_piece(x, p)), p);
}

template <typename T, int KIND>
__global__ void __launch_bounds__(PIECE_THREADS)
activation_grad_kernel(int64_t count,
                       const T *dy, // [count]
                       const T *x,  // [count]
                       T *dx)       // [count]
{
    piece p = piece_of(count);
    if (p.n <= 0) return;
    floats<PIECE> d, at;
    load_pieces(dy, x, p, d, at);
    store_piece(dx, activate_grad((vt_activation_kind)KIND, d, at), p);
}

/* ---- launchers --------------------------------------------------------------------------------------------------- */

template <typename T>
static cudaError_t start(const vt_cuda *c, vt_activation_kind kind, int64_t count, const void *x, void *y)
{
    static void (*const kernels[])(int64_t, const T *, T *) = {
        activation_kernel<T, VT_IDENTITY>, activation_kernel<T, VT_GELU>, activation_kernel<T, VT_RELU>,
        activation_kernel<T, VT_TANH>};
    return vt_launch(kernels[kind], piece_grid(1, count), PIECE_THREADS, 0, c->stream, count, (const T *)x, (T *)y);
}

template <typename T>
static cudaError_t start(const vt_cuda *c, vt_activation_kind kind, int64_t count, const void *dy, const void *x,
                         void *dx)
{
    static void (*const kernels[])(int64_t, const T *, const T *, T *) = {
        activation_grad_kernel<T, VT_IDENTITY>, activation_grad_kernel<T, VT_GELU>,
        activation_grad_kernel<T, VT_RELU>, activation_grad_kernel<T, VT_TANH>};
    return vt_launch(kernels[kind], piece_grid(1, count), PIECE_THREADS, 0, c->stream, count, (const T *)dy,
                     (const T *)x, (T *)dx);
}

cudaError_t activation_launch(const vt_cuda *c, vt_activation_kind kind, vt_dtype dtype, int64_t count, const void *x,
                              void *y)
{
    return dtype == VT_BF16 ? start<bf16>(c, kind, count, x, y) : start<float>(c, kind, count, x, y);
}

cudaError_t activation_grad_launch(const vt_cuda *c, vt_activation_kind kind, vt_dtype dtype, int64_t count,
                                   const void *dy, const void *x, void *dx)
{
    return dtype == VT_BF16 ? start<bf16>(c, kind, count, dy, x, dx) : start<float>(c, kind, count, dy, x, dx);
}

void activation_queue(const vt_run *r, vt_activation_kind kind, const vt_tensor *like, const void *x, void *y)
{
    vt_cuda_check(r, activation_launch(vt_cuda_of(r), kind, like->dtype, vt_tensor_count(like), x, y), "kernel launch");
}

void activation_grad_queue(const vt_run *r, vt_activation_kind kind, const vt_tensor *like, const void *dy,
                           const void *x, void *dx)
{
    vt_cuda_check(r, activation_grad_launch(vt_cuda_of(r), kind, like->dtype, vt_tensor_count(like), dy, x, dx),
                  "kernel launch");
}

static vt_activation_kind kind_of(const vt_run *r)
{
    return ((const vt_activation_attrs *)r->node->attrs)->kind;
}

static void activation(const vt_run *r)
{
    activation_queue(r, kind_of(r), r->node->in[0], r->in[0], r->out[0]);
}

static void activation_grad(const vt_run *r)
{
    activation_grad_queue(r, kind_of(r), r->node->in[0], r->in[0], r->in[1], r->out[0]);
}

VT_CUDA_OP(activation) = {activation, NULL};
VT_CUDA_OP(activation_grad) = {activation_grad, NULL};
