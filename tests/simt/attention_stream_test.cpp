/* attention_stream_test.cpp - kernels/attention_hopper_stream.cu, simulated, against plain fp64 loops. */
#include "attention_problem.h"

static void forward(const problem &p, std::vector<uint16_t> *out, std::vector<float> *lse)
{
    vt_cuda cuda = {};
    vt_run r = {};
    const attention_problem a = described(p);
    r.state = &cuda;
    CUDA_OK(cudaStreamCreate(&cuda.stream)); /* ordered with cudaMemcpy */
    out->assign(p.out.v.size() + PAD, UNWRITTEN);
    lse->assign(p.lse.v.size() + PAD, UNWRITTEN);
    uint16_t *qkv = device_copy(p.qkv), *to = device_copy(*out);
    float *to_lse = device_copy(*lse);
    reorder();
    attention_hopper_forward_stream(&r, &a, (const bf16 *)qkv, (bf16 *)to, to_lse);
    CUDA_OK(cudaMemcpy(out->data(), to, out->size() * sizeof *to, cudaMemcpyDeviceToHost));
    CUDA_OK(cudaMemcpy(lse->data(), to_lse, lse->size() * sizeof *to_lse, cudaMemcpyDeviceToHost));
    CUDA_OK(cudaFree(qkv));
    CUDA_OK(cudaFree(to));
    CUDA_OK(cudaFree(to_lse));
    CUDA_OK(cudaStreamDestroy(cuda.stream));
}

static void run(int batch, int tokens, int heads, float of_scores, float apart = 0, float slope = 0, int bit = 0,
                float scale = 0.125f)
{
    problem p(batch, tokens, heads, of_scores, apart, slope, bit, scale);
    std::vector<uint16_t> out, again;
    std::vector<float> lse, lse_again;
    forward(p, &out, &lse);
    for (int times = 0; times < 2; times++) { /* in other orders */
        forward(p, &again, &lse_again);
        CHECK_MSG(out == again && lse == lse_again, "N = %d: other bits", tokens);
    }
    compare("out", p, out, p.out);
    compare("lse", p, lse, p.lse);
}

TEST(edges_of_tiles)
{
    const int tokens[] = {1, 15, 16, 17, 63, 64, 65, 80, 81, 127, 128, 129, 191, 192, 193, 209, 256, 300};
    for (int n : tokens) run(1, n, 1, 1);
}

TEST(sizes_of_models) /* the ring goes round */
{
    run(2, 257, 3, 1);
    run(1, 577, 2, 1);
}

TEST(peaked_rows) /* scores of some tens: a few keys have all the weight */
{
    run(1, 129, 1, 3);
    run(1, 300, 1, 3);
}

TEST(scores_far_below_0) /* a padded key's is 0: its probability would be infinite */
{
    run(1, 65, 1, 0.5f, 3.7f);
    run(1, 190, 1, 0.5f, 3.7f);
    run(1, 300, 1, 0.5f, 3.7f);
}

TEST(maxima_that_move) /* the mean of the scores, by 64 keys: 2^3, 2^15 and 2^37 times up or down */
{
    for (float slope : {0.004f, -0.004f, 0.02f, -0.02f, 0.05f, -0.05f}) run(1, 330, 1, 0.5f, 1, slope);
}

TEST(scales_above_1) /* how far a maximum may move is told in units of q . k, where it is less than with scales below */
{
    for (float slope : {0.002f, 0.01f, -0.01f}) run(1, 330, 1, 0.05f, 1, slope, 0, 8);
}

TEST(one_of_two_rows) /* a thread's two are 8 apart: one goes up beyond fp32's range, the other one down */
{
    run(1, 330, 1, 0.5f, 1, 0.05f, 8);
    run(1, 330, 1, 0.5f, -1, 0.05f, 8);
}

int main()
{
    setenv("VT_FAKE_ARCH", "90", 1); /* its shared memory */
    srand(1);
    RUN(edges_of_tiles);
    RUN(sizes_of_models);
    RUN(peaked_rows);
    RUN(scores_far_below_0);
    RUN(maxima_that_move);
    RUN(scales_above_1);
    RUN(one_of_two_rows);
    TEST_END();
}
