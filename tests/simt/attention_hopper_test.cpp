/* attention_hopper_test.cpp - kernels/attention_hopper.cu and the gradients of whole heads, simulated, against plain
 * fp64 loops. Gradient B makes delta from a rounded out, A does not. */
#include "attention_problem.h"

/* Forward, and the gradient by A ('a') or B. */
struct device_problem {
    const problem &p;
    attention_problem a;
    vt_cuda cuda = {};
    vt_run r = {};
    uint16_t *qkv, *dout, *out;
    float *lse;
    device_problem(const problem &of);
    ~device_problem();
    void forward(std::vector<uint16_t> *out, std::vector<float> *lse);
    std::vector<uint16_t> backward(char kernel);
};

enum { SMS = 2 }; /* fewer than most problems have heads: B loops */

device_problem::device_problem(const problem &of) : p(of), a(described(of))
{
    cuda.arch = 90;
    cuda.sms = SMS;
    r.state = &cuda;
    CHECK(attention_hopper_fits(&cuda, &a));
    CUDA_OK(cudaStreamCreate(&cuda.stream)); /* ordered with cudaMemcpy */
    qkv = device_copy(p.qkv);
    dout = device_copy(p.dout);
    out = device_copy(std::vector<uint16_t>(p.out.v.size() + PAD, UNWRITTEN));
    lse = device_copy(std::vector<float>(p.lse.v.size() + PAD, UNWRITTEN));
}

device_problem::~device_problem()
{
    CUDA_OK(cudaFree(qkv));
    CUDA_OK(cudaFree(dout));
    CUDA_OK(cudaFree(out));
    CUDA_OK(cudaFree(lse));
    CUDA_OK(cudaStreamDestroy(cuda.stream));
}

void device_problem::forward(std::vector<uint16_t> *to, std::vector<float> *to_lse)
{
    reorder();
    attention_hopper_forward(&r, &a, (const bf16 *)qkv, (bf16 *)out, lse);
    to->resize(p.out.v.size() + PAD);
    to_lse->resize(p.lse.v.size() + PAD);
    CUDA_OK(cudaMemcpy(to->data(), out, to->size() * sizeof *out, cudaMemcpyDeviceToHost));
    CUDA_OK(cudaMemcpy(to_lse->data(), lse, to_lse->size() * sizeof *lse, cudaMemcpyDeviceToHost));
}

std::vector<uint16_t> device_problem::backward(char kernel)
{
    std::vector<uint16_t> dqkv(p.qkv.size() + PAD, UNWRITTEN);
    uint16_t *to = device_copy(dqkv);
    cuda.attention_backward = kernel;
    reorder();
    attention_hopper_backward(&r, &a, (const bf16 *)dout, (const bf16 *)qkv, (const bf16 *)out, lse, (bf16 *)to);
    CUDA_OK(cudaMemcpy(dqkv.data(), to, dqkv.size() * sizeof *to, cudaMemcpyDeviceToHost));
    CUDA_OK(cudaFree(to));
    return dqkv;
}

static void run(int batch, int tokens, int heads, float of_scores, float apart = 0)
{
    problem p(batch, tokens, heads, of_scores, apart);
    device_problem d(p);
    std::vector<uint16_t> out, again;
    std::vector<float> lse, lse_again;
    d.forward(&out, &lse);
    d.forward(&again, &lse_again);
    CHECK_MSG(out == again && lse == lse_again, "N = %d: forward gives other bits", tokens);
    compare("out", p, out, p.out);
    compare("lse", p, lse, p.lse);
    for (char kernel : {'a', 'b'}) {
        std::vector<uint16_t> dqkv = d.backward(kernel);
        CHECK_MSG(dqkv == d.backward(kernel), "N = %d: backward %c gives other bits", tokens, kernel);
        values want = p.dqkv;
        for (size_t i = 0; kernel == 'b' && i < want.may.size(); i++) want.may[i] += p.delta_may[i];
        compare(kernel == 'a' ? "dqkv, A" : "dqkv, B", p, dqkv, want);
    }
}

TEST(sizes_of_models)
{
    run(1, 197, 2, 1);
    run(2, 198, 1, 1);
    run(1, 50, 1, 1);
    run(1, 65, 3, 1);
    run(2, 197, 3, 1);
    run(1, 208, 3, 1);
}

TEST(edges_of_instances)
{
    const int tokens[] = {1,  7,   8,   9,   55,  56,  57,  63,  64,  66,  71,  72,
                          73, 128, 129, 136, 137, 192, 193, 199, 200, 201, 207, 208};
    for (int n : tokens) run(1, n, 1, 1);
}

TEST(peaked_rows) /* scores of some tens: a few keys have all the weight */
{
    run(1, 197, 1, 3);
    run(1, 50, 1, 3);
}

TEST(scores_far_below_0) /* a padded key's is 0: its probability would be infinite */
{
    run(1, 197, 1, 0.5f, 3.7f);
    run(1, 50, 1, 0.5f, 3.7f);
    run(1, 205, 1, 0.5f, 3.7f);
}

TEST(refuses_what_it_cannot)
{
    vt_cuda cuda = {};
    cuda.arch = 90;
    attention_problem a = {};
    a.batch = a.heads = 1;
    a.tokens = 197;
    a.dim = 64;
    a.scale = 0.125f;
    CHECK(attention_hopper_fits(&cuda, &a));
    attention_problem other = a;
    other.tokens = 209;
    CHECK(!attention_hopper_fits(&cuda, &other));
    other = a;
    other.dim = 32;
    CHECK(!attention_hopper_fits(&cuda, &other));
    other = a;
    other.dropout = 0.1f;
    CHECK(!attention_hopper_fits(&cuda, &other));
    float bias = 0;
    other = a;
    other.bias = &bias;
    CHECK(!attention_hopper_fits(&cuda, &other));
    cuda.arch = 80;
    CHECK(!attention_hopper_fits(&cuda, &a));
}

int main()
{
    setenv("VT_FAKE_ARCH", "90", 1); /* its shared memory */
    srand(1);
    RUN(sizes_of_models);
    RUN(edges_of_instances);
    RUN(peaked_rows);
    RUN(scores_far_below_0);
    RUN(refuses_what_it_cannot);
    TEST_END();
}
