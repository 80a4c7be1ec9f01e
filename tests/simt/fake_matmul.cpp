/* fake_matmul.cpp - the products of the fake cuBLASLt: fp32 sums in the algorithm's order, then epilogues. */
#include "fake.h"
#include "fake_blas.h"

#include <algorithm>
#include <cmath>
#include <cstring>

enum { MR = 16, NR = 4 }; /* a register tile */

static float round_bits(float v, int drop) /* to nearest even, `drop` bits of the mantissa less */
{
    uint32_t u;
    memcpy(&u, &v, 4);
    if (std::isnan(v)) return v;
    u += (1u << (drop - 1)) - 1 + (u >> drop & 1);
    u &= ~((1u << drop) - 1);
    memcpy(&v, &u, 4);
    return v;
}

static float get(const blas_matrix &m, int64_t at)
{
    if (m.type != CUDA_R_16BF) return ((const float *)m.p)[at];
    uint32_t u = (uint32_t)((const uint16_t *)m.p)[at] << 16;
    float v;
    memcpy(&v, &u, 4);
    return v;
}

static float put(const blas_matrix &m, int64_t at, float v) /* what was stored */
{
    if (m.type != CUDA_R_16BF) return ((float *)m.p)[at] = v;
    v = round_bits(v, 16);
    uint32_t u;
    memcpy(&u, &v, 4);
    ((uint16_t *)m.p)[at] = std::isnan(v) ? 0x7FFF : (uint16_t)(u >> 16);
    return v;
}

/* Panels of `width` rows, [panel][k][width], zeros behind the last; as the tensor cores read fp32. */
static std::vector<float> pack(const blas_matrix &x, int64_t rows, int64_t k, int64_t rs, int64_t cs, int width,
                               int32_t compute)
{
    int drop = x.type != CUDA_R_32F                       ? 0
               : compute == CUBLAS_COMPUTE_32F_FAST_TF32  ? 13
               : compute == CUBLAS_COMPUTE_32F_FAST_16BF ? 16
                                                          : 0;
    std::vector<float> out((size_t)((rows + width - 1) / width * width * k), 0.0f);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t l = 0; l < k; l++) {
            float v = get(x, i * rs + l * cs);
            out[(size_t)((i / width * k + l) * width + i % width)] = drop ? round_bits(v, drop) : v;
        }
    return out;
}

/* sums[NR][MR] += the products l0 .. l1 of a panel of A and one of B, added up on their own first. */
static void tile(const float *a, const float *b, int64_t l0, int64_t l1, float (&sums)[NR][MR])
{
    float own[NR][MR] = {};
    for (int64_t l = l0; l < l1; l++)
        for (int j = 0; j < NR; j++)
            for (int i = 0; i < MR; i++) own[j][i] += a[l * MR + i] * b[l * NR + j];
    for (int j = 0; j < NR; j++)
        for (int i = 0; i < MR; i++) sums[j][i] += own[j][i];
}

typedef std::vector<std::pair<int64_t, int64_t>> segments;

/* Which stretches of K are summed on their own, in the order in which they join. Splits that reduce in place join as
 * they come: no two runs need agree. */
static segments order_of(const blas_problem &p)
{
    int64_t split = (p.k + p.algo.splits - 1) / p.algo.splits, block = p.algo.block ? p.algo.block : p.k;
    segments all;
    for (int64_t s = 0; s < p.k; s += split)
        for (int64_t l = s; l < std::min(s + split, p.k); l += block)
            all.push_back({l, std::min({l + block, s + split, p.k})});
    if (p.algo.scheme == CUBLASLT_REDUCTION_SCHEME_INPLACE) std::shuffle(all.begin(), all.end(), fake().random);
    return all;
}

static std::vector<float> product(const blas_problem &p) /* [n, m] */
{
    std::vector<float> a = pack(p.a, p.m, p.k, p.a.rs, p.a.cs, MR, p.compute);
    std::vector<float> b = pack(p.b, p.n, p.k, p.b.cs, p.b.rs, NR, p.compute);
    std::vector<float> out((size_t)(p.m * p.n));
    segments order = order_of(p);
    for (int64_t j0 = 0; j0 < p.n; j0 += NR)
        for (int64_t i0 = 0; i0 < p.m; i0 += MR) {
            float sums[NR][MR] = {};
            for (auto &s : order) tile(&a[(size_t)(i0 * p.k)], &b[(size_t)(j0 * p.k)], s.first, s.second, sums);
            for (int64_t j = j0; j < std::min(j0 + NR, p.n); j++)
                for (int64_t i = i0; i < std::min(i0 + MR, p.m); i++) out[(size_t)(j * p.m + i)] = sums[j - j0][i - i0];
        }
    return out;
}

static float gelu(float x) /* the tanh form */
{
    return 0.5f * x * (1 + tanhf(0.7978845608f * (x + 0.044715f * x * x * x)));
}

static float gelu_slope(float x)
{
    float t = tanhf(0.7978845608f * (x + 0.044715f * x * x * x));
    return 0.5f * (1 + t) + 0.5f * x * (1 - t * t) * 0.7978845608f * (1 + 3 * 0.044715f * x * x);
}

static void epilogue(const blas_problem &p, const std::vector<float> &sums)
{
    bool dgelu = (p.epilogue & CUBLASLT_EPILOGUE_DGELU) == CUBLASLT_EPILOGUE_DGELU;
    bool keep = (p.epilogue & CUBLASLT_EPILOGUE_GELU_AUX) == CUBLASLT_EPILOGUE_GELU_AUX;
    std::vector<float> rows((size_t)p.m, 0.0f);
    for (int64_t j = 0; j < p.n; j++)
        for (int64_t i = 0; i < p.m; i++) {
            float v = p.alpha * sums[(size_t)(j * p.m + i)];
            if (p.beta != 0) v += p.beta * get(p.c, i * p.c.rs + j * p.c.cs); /* else C is not read */
            if (p.epilogue & CUBLASLT_EPILOGUE_BIAS) v += get(p.bias, i);
            if (keep) put(p.aux, i + j * p.aux.cs, v);
            if (p.epilogue & CUBLASLT_EPILOGUE_RELU) v = v > 0 ? v : v == v ? 0 : v;
            if (p.epilogue & CUBLASLT_EPILOGUE_GELU) v = gelu(v);
            if (dgelu) v *= gelu_slope(get(p.aux, i + j * p.aux.cs));
            rows[(size_t)i] += v;
            put(p.d, i * p.d.rs + j * p.d.cs, v);
        }
    if (p.epilogue == CUBLASLT_EPILOGUE_DGELU_BGRAD)
        for (int64_t i = 0; i < p.m; i++) put(p.bias, i, rows[(size_t)i]);
}

/* Sums of op(A)'s rows, or of op(B)'s columns, over k. */
static void bias_gradient(const blas_problem &p)
{
    bool of_a = p.epilogue == CUBLASLT_EPILOGUE_BGRADA;
    for (int64_t i = 0; i < (of_a ? p.m : p.n); i++) {
        float sum = 0;
        for (int64_t l = 0; l < p.k; l++)
            sum += of_a ? get(p.a, i * p.a.rs + l * p.a.cs) : get(p.b, l * p.b.rs + i * p.b.cs);
        put(p.bias, i, sum);
    }
}

static void advance(blas_matrix *x)
{
    if (x->p) x->p = (char *)x->p + x->stride * (int64_t)blas_size(x->type);
}

void blas_multiply(const blas_problem &problem)
{
    blas_problem p = problem;
    for (int32_t i = 0; i < p.batch; i++) {
        if (p.epilogue == CUBLASLT_EPILOGUE_BGRADA || p.epilogue == CUBLASLT_EPILOGUE_BGRADB) bias_gradient(p);
        epilogue(p, product(p));
        for (blas_matrix *x : {&p.a, &p.b, &p.c, &p.d, &p.bias, &p.aux}) advance(x);
    }
}
