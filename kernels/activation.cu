/* activation: y = f(x) and dx = dy * f'(x), elementwise; f is GELU by erf, ReLU or tanh. Behind a linear both are its
 * epilogue's instead.
 *
 * Floor: 2 and 3 elements of T moved for each of x. y may be x, dx may be dy: a thread reads what it writes first. */
#include "activation.cuh"
#include "piece.cuh"

template <typename T>
__global__ void __launch_bounds__(PIECE_THREADS)
activation_kernel(vt_activation_kind kind, int64_t count,
                  const T *x, // [count]
                  T *y)       // [count]
{
    piece p = piece_of(count);
    if (p.n > 0) store_piece(y, activate(kind, load_piece(x, p)), p);
}

template <typename T>
__global__ void __launch_bounds__(PIECE_THREADS)
activation_grad_kernel(vt_activation_kind kind, int64_t count,
                       const T *dy, // [count]
                       const T *x,  // [count]
                       T *dx)       // [count]
{
    piece p = piece_of(count);
    if (p.n <= 0) return;
    floats<PIECE> d = load_piece(dy, p), at = load_piece(x, p);
    store_piece(dx, activate_grad(kind, d, at), p);
}

/* ---- launchers --------------------------------------------------------------------------------------------------- */

static vt_activation_kind kind_of(const vt_run *r)
{
    return ((const vt_activation_attrs *)r->node->attrs)->kind;
}

static void activation(const vt_run *r)
{
    int64_t count = vt_tensor_count(r->node->in[0]);
    VT_DISPATCH(r->node->in[0], launch(r, activation_kernel<T>, piece_grid(1, count), PIECE_THREADS, 0, kind_of(r),
                                       count, in<T>(r, 0), out<T>(r, 0)));
}

static void activation_grad(const vt_run *r)
{
    int64_t count = vt_tensor_count(r->node->in[0]);
    VT_DISPATCH(r->node->in[0], launch(r, activation_grad_kernel<T>, piece_grid(1, count), PIECE_THREADS, 0,
                                       kind_of(r), count, in<T>(r, 0), in<T>(r, 1), out<T>(r, 0)));
}

VT_CUDA_OP(activation) = {activation, NULL};
VT_CUDA_OP(activation_grad) = {activation_grad, NULL};
