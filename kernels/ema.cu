/* ema.cu - the exponential moving average of the parameters: ema = d ema + (1 - d) param.
 *
 * Moves 12 bytes an element (ema read and written, param read). The decay and the flag are read from device memory; a
 * block for each chunk of a tensor, as many tensors a launch as its parameters can name. */
#include "tensor_list.cuh"

enum { FLAG, CONTROL, PAIRS }; /* the node's inputs; then ema, param of each pair */
enum { CHUNK = 8192, THREADS = 256, W = 4 };

__global__ void __launch_bounds__(THREADS)
ema_kernel(const tensor_list<2> list,
           const float *flag,    // [1]
           const float *control) // [VT_CONTROL_COUNT]
{
    if (*flag != 0) return;
    float old = control[VT_CONTROL_EMA_DECAY], fresh = (float)(1 - (double)old);
    list_chunk part = list_find(list, CHUNK);
    float *ema = (float *)list.data[part.group][0] + part.begin;
    const float *param = (const float *)list.data[part.group][1] + part.begin;
    int n = (int)(part.end - part.begin), i = W * (int)threadIdx.x;
    for (; i + W <= n; i += W * THREADS) {
        floats<W> e = load<W>(ema + i), p = unpack<float, W>(load_words_once(param + i));
#pragma unroll
        for (int k = 0; k < W; k++) e.v[k] = old * e.v[k] + fresh * p.v[k];
        store<W>(ema + i, e);
    }
    for (; i < n; i++) ema[i] = old * ema[i] + fresh * param[i]; /* fewer than W are left, one thread's */
}

static void ema(const vt_run *r)
{
    tensor_list<2> list;
    for (int at = PAIRS; at < r->node->n_in;) {
        at = list_inputs(&list, r, at, CHUNK);
        if (list.first[list.n])
            launch(r, ema_kernel, list.first[list.n], THREADS, 0, list, in<float>(r, FLAG), in<float>(r, CONTROL));
    }
}

VT_CUDA_OP(ema) = {ema, nullptr};
