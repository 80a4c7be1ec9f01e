/* cast: any number of tensors in another float dtype, rounded to nearest even: the weights' copies that GEMMs read.
 *
 * A launch takes up to CAST_TENSORS tensors of one dtype, listed in its arguments; a block finds its tensor by the
 * number of blocks before it.
 *
 * Floor: inputs read, outputs written: 6 bytes an element from fp32 to bf16. */
#include "cuda.cuh"
#include "piece.cuh"

enum { CAST_TENSORS = 48 };

typedef struct cast_list {
    const void *from[CAST_TENSORS];
    void *to[CAST_TENSORS];
    int64_t count[CAST_TENSORS];        /* elements */
    unsigned first[CAST_TENSORS + 1];   /* the number of its first block; [n]: blocks in all */
    int n;
} cast_list;

template <typename I, typename O>
__global__ void __launch_bounds__(PIECE_THREADS) cast_kernel(const cast_list list)
{
    int k = 0;
    for (int step = 32; step > 0; step /= 2)
        if (k + step < list.n && list.first[k + step] <= blockIdx.x) k += step;
    int64_t at = (int64_t)(blockIdx.x - list.first[k]) * PIECE_BLOCK + threadIdx.x * PIECE, left = list.count[k] - at;
    if (left <= 0) return;
    int n = left < PIECE ? (int)left : PIECE;
    floats<PIECE> f = load_some<PIECE>((const I *)list.from[k] + at, n, n == PIECE);
    store_some((O *)list.to[k] + at, f, n, n == PIECE);
}

/* ---- launcher ---------------------------------------------------------------------------------------------------- */

template <typename I, typename O> static void flush(const vt_run *r, cast_list *list)
{
    if (list->n > 0) launch(r, cast_kernel<I, O>, list->first[list->n], PIECE_THREADS, 0, *list);
    list->n = 0;
}

template <typename I, typename O> static void cast_from(const vt_run *r, vt_dtype dtype)
{
    cast_list list = {};
    for (int i = 0; i < r->node->n_in; i++) {
        if (r->node->in[i]->dtype != dtype || !r->out[i]) continue;
        int64_t count = vt_tensor_count(r->node->in[i]);
        int k = list.n++;
        list.from[k] = r->in[i];
        list.to[k] = r->out[i];
        list.count[k] = count;
        list.first[k + 1] = list.first[k] + (unsigned)ceil_div(count, PIECE_BLOCK);
        if (list.n == CAST_TENSORS) flush<I, O>(r, &list);
    }
    flush<I, O>(r, &list);
}

static void cast(const vt_run *r)
{
    if (((const vt_cast_attrs *)r->node->attrs)->dtype == VT_BF16) {
        cast_from<float, bf16>(r, VT_F32);
        cast_from<bf16, bf16>(r, VT_BF16);
    } else {
        cast_from<float, float>(r, VT_F32);
        cast_from<bf16, float>(r, VT_BF16);
    }
}

VT_CUDA_OP(cast) = {cast, NULL};
