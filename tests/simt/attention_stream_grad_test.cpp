/* attention_stream_grad_test.cpp - kernels/attention_hopper_stream_grad.cu, simulated, against plain fp64 loops. It is
 * given the loops' lse and, rounded, out. */
#include "attention_problem.h"

static std::vector<float> rounded(const std::vector<double> &v)
{
    std::vector<float> f(v.begin(), v.end());
    f.resize(f.size() + PAD, NAN); /* nothing may read it */
    return f;
}

static std::vector<uint16_t> in_bf16(const std::vector<double> &v)
{
    std::vector<uint16_t> bits;
    for (double x : v) bits.push_back((uint16_t)simt_bf16_bits((float)x));
    return bits;
}

static std::vector<uint16_t> padded(std::vector<uint16_t> v)
{
    v.resize(v.size() + PAD, UNWRITTEN);
    return v;
}

/* The gradient in device memory that held NaNs, of a device with so many multiprocessors. */
static std::vector<uint16_t> backward(const problem &p, int sms)
{
    attention_problem a = described(p);
    vt_cuda cuda = {};
    vt_run r = {};
    cuda.arch = 90;
    cuda.sms = sms;
    r.state = &cuda;
    std::vector<uint16_t> dqkv(p.qkv.size() + PAD, UNWRITTEN);
    CUDA_OK(cudaStreamCreate(&cuda.stream)); /* ordered with cudaMemcpy */
    uint16_t *qkv = device_copy(padded(p.qkv)), *dout = device_copy(padded(p.dout)), *to = device_copy(dqkv);
    uint16_t *out = device_copy(padded(in_bf16(p.out.v)));
    float *lse = device_copy(rounded(p.lse.v));
    float *delta = device_copy(std::vector<float>(p.lse.v.size() + PAD, NAN));
    reorder();
    attention_hopper_backward_stream(&r, &a, (const bf16 *)dout, (const bf16 *)qkv, (const bf16 *)out, lse,
                                     delta, (bf16 *)to);
    CUDA_OK(cudaMemcpy(dqkv.data(), to, dqkv.size() * sizeof *to, cudaMemcpyDeviceToHost));
    CUDA_OK(cudaFree(qkv));
    CUDA_OK(cudaFree(dout));
    CUDA_OK(cudaFree(to));
    CUDA_OK(cudaFree(out));
    CUDA_OK(cudaFree(lse));
    CUDA_OK(cudaFree(delta));
    CUDA_OK(cudaStreamDestroy(cuda.stream));
    return dqkv;
}

static void run(int batch, int tokens, int heads, float of_scores, float apart = 0)
{
    problem p(batch, tokens, heads, of_scores, apart);
    std::vector<uint16_t> dqkv = backward(p, 2); /* fewer than there are blocks of rows, mostly */
    CHECK_MSG(dqkv == backward(p, 2), "N = %d: other bits", tokens);
    CHECK_MSG(dqkv == backward(p, 5), "N = %d: other bits with more multiprocessors", tokens);
    values want = p.dqkv;
    for (size_t i = 0; i < want.may.size(); i++) want.may[i] += p.delta_may[i];
    compare("dqkv", p, dqkv, want);
}

TEST(sizes_of_models)
{
    run(1, 257, 2, 1);
    run(1, 577, 2, 1);
    run(2, 300, 3, 1);
}

TEST(edges_of_tiles_and_blocks)
{
    const int tokens[] = {1,   7,   16,  17,  63,  64,  65,  80,  81,  127, 128, 129,
                          191, 192, 193, 208, 209, 255, 256, 272, 273, 320, 384, 385};
    for (int n : tokens) run(1, n, 1, 1);
    run(2, 1, 3, 1);
    run(2, 65, 2, 1);
}

TEST(peaked_rows) /* scores of some tens: a few keys have all the weight */
{
    run(1, 257, 1, 3);
    run(1, 50, 1, 3);
}

TEST(scores_far_below_0) /* a padded key's is 0: its probability would be infinite */
{
    run(1, 257, 1, 0.5f, 3.7f);
    run(1, 50, 1, 0.5f, 3.7f);
    run(1, 205, 1, 0.5f, 3.7f);
}

TEST(what_streams)
{
    vt_cuda cuda = {};
    cuda.arch = 90;
    attention_problem a = {};
    a.batch = a.heads = 1;
    a.tokens = 209;
    a.dim = 64;
    a.scale = 0.125f;
    CHECK(attention_hopper_stream_fits(&cuda, &a));
    a.tokens = 100000;
    CHECK(attention_hopper_stream_fits(&cuda, &a));
    a.dropout = 0.1f;
    CHECK(!attention_hopper_stream_fits(&cuda, &a));
    a.dropout = 0;
    cuda.arch = 100;
    CHECK(!attention_hopper_stream_fits(&cuda, &a));
}

int main()
{
    setenv("VT_FAKE_ARCH", "90", 1); /* its shared memory */
    srand(1);
    RUN(sizes_of_models);
    RUN(edges_of_tiles_and_blocks);
    RUN(peaked_rows);
    RUN(scores_far_below_0);
    RUN(what_streams);
    TEST_END();
}
