/* cast: any number of tensors in another float dtype, rounded to nearest even: of an average, what GEMMs read.
 *
 * A launch takes as many tensors of one dtype as fit into its list, input and output each; a block PIECE_BLOCK
 * elements.
 *
 * Floor: inputs read, outputs written: 6 bytes an element from fp32 to bf16. */
#include "piece.cuh"
#include "tensor_list.cuh"

template <typename I, typename O>
__global__ void __launch_bounds__(PIECE_THREADS) cast_kernel(const tensor_list<2> list)
{
    list_chunk c = list_find(list, PIECE_BLOCK);
    int64_t at = c.begin + threadIdx.x * PIECE;
    if (at >= c.end) return;
    int n = c.end - at < PIECE ? (int)(c.end - at) : PIECE;
    floats<PIECE> f = load_some<PIECE>((const I *)list.data[c.group][0] + at, n, n == PIECE);
    store_some((O *)list.data[c.group][1] + at, f, n, n == PIECE);
}

/* ---- launcher ---------------------------------------------------------------------------------------------------- */

template <typename I, typename O> static void flush(const vt_run *r, tensor_list<2> *list)
{
    if (list->n > 0) launch(r, cast_kernel<I, O>, (unsigned)list->first[list->n], PIECE_THREADS, 0, *list);
    list->n = 0;
}

/* Those of the inputs that are of type I, which is dtype. */
template <typename I, typename O> static void cast_those(const vt_run *r, vt_dtype dtype)
{
    tensor_list<2> list = {};
    for (int i = 0; i < r->node->n_in; i++) {
        if (r->node->in[i]->dtype != dtype || !r->out[i]) continue;
        if (list.n == list.MOST) flush<I, O>(r, &list);
        int k = list.n++;
        list.data[k][0] = r->in[i];
        list.data[k][1] = r->out[i];
        list.count[k] = vt_tensor_count(r->node->in[i]);
        list.first[k + 1] = list.first[k] + (int)ceil_div(list.count[k], PIECE_BLOCK);
    }
    flush<I, O>(r, &list);
}

static void cast(const vt_run *r)
{
    if (((const vt_cast_attrs *)r->node->attrs)->dtype == VT_BF16) {
        cast_those<float, bf16>(r, VT_F32);
        cast_those<bf16, bf16>(r, VT_BF16);
    } else {
        cast_those<float, float>(r, VT_F32);
        cast_those<bf16, float>(r, VT_BF16);
    }
}

VT_CUDA_OP(cast) = {cast, NULL};
