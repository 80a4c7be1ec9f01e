/* attention.cu - which kernels make attention and its gradient, and delta, which some gradients need first.
 *
 * bf16 goes to the tensor cores: attention_hopper*.cu where they fit, a whole head in a block or else streams;
 * attention_mma.cu for every width of which 8 is a divisor, up to 128. All else goes to attention_plain.cu. */
#include "attention.cuh"

/* delta = dout . out of each row. Moves 4 * B * N * H * D bytes in bf16. A row has `lanes` neighbouring lanes, a power
 * of two. */
template <typename T, int W>
__global__ void attention_delta_kernel(attention_problem p,
                                       const T *dout, // [B, N, H, D]
                                       const T *out,  // [B, N, H, D]
                                       float *delta,  // [B, H, N]
                                       int lanes)
{
    int64_t row = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) / lanes, tokens = (int64_t)p.batch * p.tokens;
    int part = (int)threadIdx.x % lanes;
    float sum = 0;
    if (row < tokens * p.heads) {
        for (int d = part * W; d < p.dim; d += lanes * W) {
            floats<W> a = load<W>(dout + row * p.dim + d), b = load<W>(out + row * p.dim + d);
#pragma unroll
            for (int i = 0; i < W; i++) sum += a.v[i] * b.v[i];
        }
    }
    for (int step = lanes / 2; step > 0; step /= 2) sum += shfl_xor(FULL_WARP, sum, step);
    if (row >= tokens * p.heads || part > 0) return;
    int64_t token = row / p.heads, b = token / p.tokens;
    delta[(b * p.heads + row % p.heads) * p.tokens + token % p.tokens] = sum;
}

/* ---- launchers --------------------------------------------------------------------------------------------------- */

/* qkv, bias, random: which inputs of the node these are (random: step, then slots). */
static attention_problem problem_of(const vt_run *r, int qkv, int bias, int random)
{
    const vt_attention_attrs *a = (const vt_attention_attrs *)r->node->attrs;
    const vt_tensor *t = r->node->in[qkv], *b = r->node->in[bias];
    attention_problem p = {};
    p.batch = (int)t->shape[0];
    p.tokens = (int)t->shape[1];
    p.heads = a->heads;
    p.dim = (int)(t->shape[2] / 3 / a->heads);
    p.scale = a->scale;
    p.bias = in<float>(r, bias);
    p.bias_heads = b ? (int)b->shape[0] : 0;
    p.dropout = a->dropout;
    p.key = a->key;
    p.step = in<int32_t>(r, random);
    p.slots = in<int32_t>(r, random + 1);
    return p;
}

template <typename T, int W>
static void delta_rows(const vt_run *r, const attention_problem *p, const T *dout, const T *out, float *delta)
{
    enum { THREADS = 256 };
    int lanes = 1;
    while (lanes < WARP && lanes * W < p->dim) lanes *= 2;
    int64_t rows = (int64_t)p->batch * p->tokens * p->heads;
    launch(r, attention_delta_kernel<T, W>, dim3((unsigned)ceil_div(rows * lanes, THREADS)), dim3(THREADS), 0, *p, dout,
           out, delta, lanes);
}

/* Those that a user asked for, by VT_ATTENTION=whole, stream, mma or plain, where they fit, else the first that do: its
 * first letter. */
static char kernels_for(const vt_cuda *c, const attention_problem *p)
{
    const struct {
        char name;
        bool fit;
    } all[] = {{'w', attention_hopper_fits(c, p)}, {'s', attention_hopper_stream_fits(c, p)},
               {'m', attention_mma_fits(p)}, {'p', true}};
    char first = 0;
    for (const auto &kernels : all) {
        if (!kernels.fit) continue;
        if (kernels.name == c->attention) return kernels.name;
        if (!first) first = kernels.name;
    }
    return first;
}

static void forward(const vt_run *r, const attention_problem *p, const bf16 *qkv, bf16 *o, float *lse)
{
    switch (kernels_for(vt_cuda_of(r), p)) {
    case 'w': return attention_hopper_forward(r, p, qkv, o, lse);
    case 's': return attention_hopper_forward_stream(r, p, qkv, o, lse);
    case 'm': return attention_mma_forward(r, p, qkv, o, lse);
    default: return attention_plain_forward(r, p, qkv, o, lse);
    }
}

static void forward(const vt_run *r, const attention_problem *p, const float *qkv, float *o, float *lse)
{
    attention_plain_forward(r, p, qkv, o, lse);
}

template <typename T>
static void make_delta(const vt_run *r, const attention_problem *p, const T *dout, const T *o, float *delta)
{
    if (p->dim % VECTOR<T> == 0) delta_rows<T, VECTOR<T>>(r, p, dout, o, delta);
    else delta_rows<T, 1>(r, p, dout, o, delta);
}

static void backward(const vt_run *r, const attention_problem *p, const bf16 *dout, const bf16 *qkv, const bf16 *o,
                     const float *lse, float *delta, bf16 *dqkv)
{
    switch (kernels_for(vt_cuda_of(r), p)) { /* the first two make delta themselves */
    case 'w': return attention_hopper_backward(r, p, dout, qkv, o, lse, dqkv);
    case 's': return attention_hopper_backward_stream(r, p, dout, qkv, o, lse, delta, dqkv);
    case 'm':
        make_delta(r, p, dout, o, delta);
        return attention_mma_backward(r, p, dout, qkv, lse, delta, dqkv);
    default:
        make_delta(r, p, dout, o, delta);
        return attention_plain_backward(r, p, dout, qkv, lse, delta, dqkv);
    }
}

static void backward(const vt_run *r, const attention_problem *p, const float *dout, const float *qkv, const float *o,
                     const float *lse, float *delta, float *dqkv)
{
    make_delta(r, p, dout, o, delta);
    attention_plain_backward(r, p, dout, qkv, lse, delta, dqkv);
}

static void attention(const vt_run *r)
{
    attention_problem p = problem_of(r, 0, 1, 2);
    VT_DISPATCH(r->node->in[0], forward(r, &p, in<T>(r, 0), out<T>(r, 0), out<float>(r, 1)));
}

static void attention_grad(const vt_run *r)
{
    attention_problem p = problem_of(r, 1, 4, 5);
    const float *lse = in<float>(r, 3);
    float *delta = (float *)r->scratch, *dbias = out<float>(r, 1);
    VT_DISPATCH(r->node->in[1],
                backward(r, &p, in<T>(r, 0), in<T>(r, 1), in<T>(r, 2), lse, delta, out<T>(r, 0));
                if (dbias) attention_plain_dbias(r, &p, in<T>(r, 0), in<T>(r, 1), lse, delta, dbias));
}

static size_t attention_grad_scratch(const vt_device *device, const vt_node *n)
{
    (void)device;
    return (size_t)vt_tensor_count(n->in[3]) * sizeof(float); /* delta has lse's shape */
}

VT_CUDA_OP(attention) = {attention, NULL};
VT_CUDA_OP(attention_grad) = {attention_grad, attention_grad_scratch};
