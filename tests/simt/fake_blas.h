/* fake_blas.h - what the fake cuBLASLt's descriptors hold, and its arithmetic. */
#ifndef FAKE_BLAS_H
#define FAKE_BLAS_H

#include <cublasLt.h>

struct blas_layout {
    int32_t type, order, batch;
    uint64_t rows, cols;
    int64_t ld, stride;
};

struct blas_desc {
    int32_t compute, scale, pointer_mode, trans_a, trans_b, trans_c, sms;
    int32_t bias_type, aux_type;
    uint32_t epilogue;
    void *bias, *aux;
    int64_t bias_stride, aux_ld, aux_stride;
};

struct blas_pref {
    uint64_t workspace;
    uint32_t search, schemes, align[4]; /* A, B, C, D */
};

struct blas_algo {
    int32_t id, splits, block; /* block: products summed on their own before they join the sum; 0: all of a split */
    uint32_t tile, scheme, align;
    uint64_t workspace;
    uint32_t made_for;         /* of types, transposes and epilogue */
};

/* Descriptors are kept inside the real ones' opaque bytes. */
template <typename T, typename Opaque> static inline T *blas_open(Opaque *opaque)
{
    static_assert(sizeof(T) <= sizeof(Opaque), "fits the real size");
    return reinterpret_cast<T *>(opaque);
}

/* Element (i, j) at p + i * rs + j * cs. */
struct blas_matrix {
    void *p;
    int32_t type;
    int64_t rs, cs, stride; /* stride: from one matrix of a batch to the next; elements all */
};

struct blas_problem {
    int64_t m, n, k;
    int32_t batch;
    blas_matrix a, b, c, d; /* a: op(A) [m, k], b: op(B) [k, n], c and d [m, n] */
    blas_matrix bias, aux;  /* as the epilogue reads or writes them: a column; [m, n] */
    float alpha, beta;
    int32_t compute;
    uint32_t epilogue;
    blas_algo algo;
};

static inline size_t blas_size(int32_t type)
{
    return type == CUDA_R_16BF ? 2 : 4;
}

void blas_multiply(const blas_problem &p);

#endif
