/* gemm_search.cu - which of cuBLASLt's algorithms a shape gets: the fastest whose bits do not vary; and whether one
 * kernel of ours for product and activation is faster than that algorithm and a kernel behind it.
 *
 * A trial's operands lie in the workspace of the graph that is being prepared: nothing is allocated, nothing runs
 * yet. */
#include "activation.cuh"
#include "gemm_choice.cuh"

extern "C" {
#include "base/alloc.h"
}

enum { CANDIDATES = 8, REPEATS = 3, GRID = 64, THREADS = 256 };

typedef struct trial {
    gemm_operands o;        /* device; a and b may be the same memory: they are only read */
    uint64_t *digest;       /* [GRID * THREADS] of the first run's D, by thread */
    uint32_t *differ;       /* [1]: a later run's was another */
    void *workspace;
    int64_t words;          /* D in pieces of 4 bytes */
    cudaEvent_t begin, end;
} trial;

/* The values do not matter to the time, but sums of numbers all alike would hide varying bits. */
static __global__ void fill_kernel(uint16_t *x, int64_t n) /* halves of floats or bf16: finite, of mixed signs */
{
    for (int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x; i < n; i += (int64_t)gridDim.x * blockDim.x)
        x[i] = (uint16_t)((0x3C00 + (uint32_t)(i * 2654435761u >> 24)) | (i * 40503u >> 13 & 1) << 15);
}

/* Each thread hashes the words it comes by. Floor: D read once. */
static __global__ void digest_kernel(int64_t words, int first,
                                     const uint32_t *d, // [words]
                                     uint64_t *digest,  // [threads of the grid]
                                     uint32_t *differ)  // [1]
{
    int64_t self = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    uint64_t hash = 14695981039346656037u; /* FNV-1a, by words */
    for (int64_t i = self; i < words; i += (int64_t)gridDim.x * blockDim.x) hash = (hash ^ d[i]) * 1099511628211u;
    if (first) digest[self] = hash;
    else if (digest[self] != hash) *differ = 1;
}

static unsigned grid_of(int64_t n)
{
    int64_t blocks = ceil_div(n, THREADS);
    return blocks < GRID ? (unsigned)blocks : (unsigned)GRID;
}

/* ---- room -------------------------------------------------------------------------------------------------------- */

typedef struct sizes {
    size_t a, b, d, pre, bias, digest, differ;
} sizes;

static size_t up(size_t bytes)
{
    return (bytes + VT_ALIGN - 1) / VT_ALIGN * VT_ALIGN;
}

static sizes sizes_of(const gemm_shape *s)
{
    size_t in = vt_dtype_bytes((vt_dtype)s->in), out = vt_dtype_bytes((vt_dtype)s->out);
    int64_t more = s->batch ? s->batch - 1 : 0, longer = s->m > s->n ? s->m : s->n;
    size_t result = up(out * (size_t)(more * s->step_d + s->ldd * s->n));
    return {up(in * (size_t)(more * s->step_a + s->lda * (s->ta ? s->m : s->k))),
            up(in * (size_t)(more * s->step_b + s->ldb * (s->tb ? s->k : s->n))),
            result,
            s->activation ? result : 0,
            up(sizeof(float) * (size_t)longer),
            sizeof(uint64_t) * GRID * THREADS,
            up(sizeof(uint32_t))};
}

static size_t beside_operands(const sizes *z)
{
    return z->d + z->pre + z->bias + z->digest + z->differ;
}

size_t vt_gemm_room(const gemm_shape *s)
{
    sizes z = sizes_of(s);
    return (z.a > z.b ? z.a : z.b) + beside_operands(&z);
}

static char *take(char **at, size_t bytes)
{
    char *taken = *at;
    *at += bytes;
    return taken;
}

static void open_trial(vt_cuda *c, const gemm_shape *s, const vt_room *room, trial *t)
{
    sizes z = sizes_of(s);
    bool apart = z.a + z.b + beside_operands(&z) <= room->bytes;
    size_t operands = apart ? z.a + z.b : z.a > z.b ? z.a : z.b;
    char *at = (char *)room->memory, *a = at;
    *t = {};
    t->words = (int64_t)(z.d / sizeof(uint32_t));
    t->workspace = room->scratch;
    t->o.a = take(&at, operands);
    t->o.b = apart ? a + z.a : a;
    t->o.d = take(&at, z.d);
    t->o.pre = take(&at, z.pre);
    t->o.bias = take(&at, z.bias);
    t->digest = (uint64_t *)take(&at, z.digest);
    t->differ = (uint32_t *)take(&at, z.differ);
    cudaEventCreate(&t->begin);
    cudaEventCreate(&t->end);
    vt_launch(fill_kernel, dim3(grid_of((int64_t)operands / 2)), dim3(THREADS), 0, c->stream, (uint16_t *)a,
              (int64_t)(operands / 2));
    cudaMemsetAsync(t->o.pre, 0, z.pre, c->stream);
    cudaMemsetAsync(t->o.bias, 0, z.bias, c->stream);
}

static void close_trial(trial *t)
{
    if (t->begin) cudaEventDestroy(t->begin);
    if (t->end) cudaEventDestroy(t->end);
}

/* ---- the search -------------------------------------------------------------------------------------------------- */

typedef struct way {
    const gemm_shape *s;
    const gemm_call *call;              /* both NULL: the kernel of ours for all of it */
    const cublasLtMatmulAlgo_t *algo;
    bool activates;                     /* a kernel behind the product does */
} way;

static bool queue(const vt_cuda *c, const way *w, const trial *t)
{
    const gemm_shape *s = w->s;
    vt_activation_kind kind = (vt_activation_kind)s->activation;
    if (!w->call) return gemm_hopper_queue(c, s, &t->o) == cudaSuccess;
    if (gemm_queue(c, w->call, s, w->algo, &t->o, t->workspace) != CUBLAS_STATUS_SUCCESS) return false;
    if (!w->activates) return true;
    cudaError_t err = s->gradient
        ? activation_grad_launch(c, kind, (vt_dtype)s->out, s->m * s->n, t->o.d, t->o.pre, t->o.d)
        : activation_launch(c, kind, (vt_dtype)s->out, s->m * s->n, t->o.d, t->o.pre);
    return err == cudaSuccess;
}

/* The best of a few runs, in ms; negative where it fails or its bits vary. */
static float measure(const vt_cuda *c, const way *w, trial *t)
{
    float best = -1;
    uint32_t differ = 0;
    cudaMemsetAsync(t->differ, 0, sizeof differ, c->stream);
    for (int i = 0; i < REPEATS; i++) {
        float ms = 0;
        cudaMemsetAsync(t->o.d, 0, (size_t)t->words * sizeof(uint32_t), c->stream);
        cudaEventRecord(t->begin, c->stream);
        if (!queue(c, w, t)) return -1;
        cudaEventRecord(t->end, c->stream);
        vt_launch(digest_kernel, dim3(grid_of(t->words)), dim3(THREADS), 0, c->stream, t->words, i == 0,
                  (const uint32_t *)t->o.d, t->digest, t->differ);
        if (cudaEventSynchronize(t->end) != cudaSuccess) return -1;
        cudaEventElapsedTime(&ms, t->begin, t->end);
        if (best < 0 || ms < best) best = ms;
    }
    cudaMemcpyAsync(&differ, t->differ, sizeof differ, cudaMemcpyDeviceToHost, c->stream);
    if (cudaStreamSynchronize(c->stream) != cudaSuccess) return -1;
    return differ ? -1 : best;
}

static int candidates(const vt_cuda *c, const gemm_shape *s, const gemm_call *call,
                      cublasLtMatmulHeuristicResult_t *results)
{
    static const cublasLtMatmulPreferenceAttributes_t alignments[] = {
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES};
    cublasLtMatmulPreference_t limits;
    size_t workspace = GEMM_WORKSPACE;
    uint32_t alignment = s->batch ? 16 : VT_ALIGN; /* bytes; a head's operands begin within a tensor */
    int n = 0;
    cublasLtMatmulPreferenceCreate(&limits);
    cublasLtMatmulPreferenceSetAttribute(limits, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace,
                                         sizeof workspace);
    for (int i = 0; i < 4; i++)
        cublasLtMatmulPreferenceSetAttribute(limits, alignments[i], &alignment, sizeof alignment);
    cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(c->blas, call->desc, call->a, call->b, call->d, call->d,
                                                           limits, CANDIDATES, results, &n);
    cublasLtMatmulPreferenceDestroy(limits);
    return status == CUBLAS_STATUS_SUCCESS ? n : 0;
}

void gemm_search(vt_cuda *c, const gemm_shape *s, const vt_room *room, gemm_choice *choice)
{
    trial t;
    gemm_call call;
    cublasLtMatmulHeuristicResult_t results[CANDIDATES];
    float best = -1;
    choice->found = choice->fused = false;
    open_trial(c, s, room, &t);
    gemm_call_open(&call, c, s, t.o.bias);
    int n = candidates(c, s, &call, results);
    for (int i = 0; i < n; i++) {
        way plain = {s, &call, &results[i].algo, false};
        float ms = measure(c, &plain, &t);
        if (ms < 0 || (best >= 0 && ms >= best)) continue;
        best = ms;
        choice->algo = results[i].algo;
        choice->found = true;
    }
    if (choice->found && s->activation && gemm_hopper_fits(c, s)) {
        way apart = {s, &call, &choice->algo, true}, whole = {s, NULL, NULL, false};
        float two = measure(c, &apart, &t), one = measure(c, &whole, &t);
        choice->fused = one >= 0 && (two < 0 || one < two);
    }
    gemm_call_close(&call);
    close_trial(&t);
}

bool gemm_accepts(vt_cuda *c, const gemm_choice *choice, const vt_room *room)
{
    trial t;
    gemm_call call;
    cublasLtMatmulHeuristicResult_t result = {};
    open_trial(c, &choice->shape, room, &t);
    gemm_call_open(&call, c, &choice->shape, t.o.bias);
    way plain = {&choice->shape, &call, &choice->algo, false};
    bool good = cublasLtMatmulAlgoCheck(c->blas, call.desc, call.a, call.b, call.d, call.d, &choice->algo, &result) ==
                    CUBLAS_STATUS_SUCCESS &&
                result.workspaceSize <= GEMM_WORKSPACE && queue(c, &plain, &t);
    gemm_call_close(&call);
    close_trial(&t);
    return good;
}
