/* grad_norm.cu - the L2 norm over all gradients.
 *
 *     norm = sqrt(sum of squares over every element of every gradient)
 *
 * Moves 4 bytes an element, reads alone. First a block for each chunk of 8192 elements sums its squares, then one block
 * the chunks' sums: all in double, as squares may leave fp32's range, and in an order that follows from the shapes. */
#include "reduce.cuh"
#include "tensor_list.cuh"

enum { CHUNK = 8192, THREADS = 256, LAST_THREADS = 1024, W = 4, IN_FLIGHT = 4 };

VT_DEVICE double squares(const word4 &words)
{
    floats<W> g = unpack<float, W>(words);
    double sum = 0;
    for (int i = 0; i < W; i++) sum += (double)g.v[i] * g.v[i];
    return sum;
}

__global__ void __launch_bounds__(THREADS)
grad_norm_chunk_kernel(const tensor_list<1> list,
                       double *sums) // [chunks]
{
    smem_cursor at = smem_open();
    double *shared = smem_take<double>(at, THREADS / WARP);
    list_chunk part = list_find(list, CHUNK);
    const float *g = (const float *)list.data[part.group][0] + part.begin;
    int n = (int)(part.end - part.begin), i = W * (int)threadIdx.x, step = W * THREADS;
    double sum = 0;
    for (; i + (IN_FLIGHT - 1) * step + W <= n; i += IN_FLIGHT * step) {
        word4 words[IN_FLIGHT];
#pragma unroll
        for (int k = 0; k < IN_FLIGHT; k++) words[k] = load_words_once(g + i + k * step);
#pragma unroll
        for (int k = 0; k < IN_FLIGHT; k++) sum += squares(words[k]);
    }
    for (; i + W <= n; i += step) sum += squares(load_words_once(g + i));
    for (; i < n; i++) sum += (double)g[i] * g[i]; /* fewer than W are left, and one thread has them */
    sum = block_sum(sum, shared);
    if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

__global__ void __launch_bounds__(LAST_THREADS)
grad_norm_kernel(const double *sums, // [chunks]
                 int64_t chunks,
                 float *norm)        // [1]
{
    smem_cursor at = smem_open();
    double *shared = smem_take<double>(at, LAST_THREADS / WARP), sum = 0;
    for (int64_t i = threadIdx.x; i < chunks; i += LAST_THREADS) sum += sums[i];
    sum = block_sum(sum, shared);
    if (threadIdx.x == 0) *norm = (float)sqrt(sum);
}

static int64_t chunks_of(const vt_node *n)
{
    int64_t chunks = 0;
    for (int i = 0; i < n->n_in; i++) chunks += ceil_div(vt_tensor_count(n->in[i]), CHUNK);
    return chunks;
}

static size_t grad_norm_scratch(const vt_device *device, const vt_node *n)
{
    (void)device;
    return (size_t)chunks_of(n) * sizeof(double);
}

static void grad_norm(const vt_run *r)
{
    double *sums = (double *)r->scratch;
    tensor_list<1> list;
    for (int at = 0; at < r->node->n_in;) {
        at = list_inputs(&list, r, at, CHUNK);
        int chunks = list.first[list.n];
        if (!chunks) continue;
        launch(r, grad_norm_chunk_kernel, chunks, THREADS, smem_bytes<double>(THREADS / WARP), list, sums);
        sums += chunks;
    }
    launch(r, grad_norm_kernel, 1, LAST_THREADS, smem_bytes<double>(LAST_THREADS / WARP), (const double *)r->scratch,
           chunks_of(r->node), out<float>(r, 0));
}

VT_CUDA_OP(grad_norm) = {grad_norm, grad_norm_scratch};
