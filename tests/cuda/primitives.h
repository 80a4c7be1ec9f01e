/* primitives.h - what runs the primitives of kernels/ptx*.cuh one by one, on a GPU or in the simulator.
 *
 *   primitives.def              the list: one line a primitive and data set
 *   primitives.cu, _hopper.cu   kernels: words in, words out
 *   inputs.cpp                  words in, from the counter-based generator: never stored
 *   formulas.cpp, _matrix.cpp   words out, in plain C++, as the PTX ISA's text and figures have them
 *   golden.cpp                  comparison; the files of golden/, what hardware answered
 *   main.cpp                    the program */
#ifndef VT_CUDA_PRIMITIVES_H
#define VT_CUDA_PRIMITIVES_H

#include <cuda_runtime.h>
#include <stdint.h>
#include <stdio.h>

enum { MAX_WORDS = 64 * 208 }; /* in or out, of any primitive */

/* How an output word must agree, with the formula and with what hardware answered. */
typedef enum rule {
    BITS,     /* in every bit */
    BF16S,    /* a pair of bf16, each in every bit; a NaN is a NaN */
    EXACT,    /* a float that no order of sums changes: its value, zeros alike */
    ULPS_1,   /* a float, denormals flushed: that far from the correctly rounded result; a NaN is a NaN */
    ULPS_2,
    SUMS      /* a float: the formula's `may`, which suits every order and truncation of fp32 sums */
} rule;

/* What a formula gives; of `value` and `may` a rule uses what it needs. */
typedef struct expected {
    uint32_t bits[MAX_WORDS]; /* BITS, BF16S */
    double value[MAX_WORDS];  /* the others; exact, or as close as fp64 gets */
    double may[MAX_WORDS];    /* SUMS: by how much a result may differ */
} expected;

typedef struct primitive {
    const char *name;
    rule agrees;
    bool hopper;       /* wgmma or stmatrix: sm_90a alone */
    int n_in, n_out;   /* words */
    int digest;        /* words in one of the golden file's, while the formula holds; 0: stored as they are */
    void (*fill)(uint32_t *in, int n);                                   /* random already */
    cudaError_t (*run)(const uint32_t *in, uint32_t *out, cudaStream_t); /* starts it; pointers on the device */
    void (*expect)(const uint32_t *in, expected *e);
} primitive;

#define PRIMITIVE(name, agrees, hopper, n_in, n_out, digest, fill)                 \
    void fill(uint32_t *in, int n);                                                \
    cudaError_t run_##name(const uint32_t *in, uint32_t *out, cudaStream_t stream); \
    void expect_##name(const uint32_t *in, expected *e);
#include "primitives.def"
#undef PRIMITIVE

extern const primitive primitives[];
extern const int n_primitives;

enum { GROUPS = 3 }; /* of `copies`: of 16-byte chunks, one a thread */

/* ---- inputs.cpp -------------------------------------------------------------------------------------------------- */

void primitive_inputs(const primitive *p, uint32_t *in); // [n_in]

/* ---- golden.cpp -------------------------------------------------------------------------------------------------- */

/* What a golden file has of a primitive. */
typedef struct record {
    int digest; /* words in each of `words`; 0: as they are */
    int n;
    uint32_t words[MAX_WORDS];
} record;

typedef struct comparison {
    int words, wrong, first, other_bits; /* compared; beyond the rule; the first of those; not bit for bit */
    double worst;                        /* ULPS: ulps; SUMS: share of what may be */
    char text[160];                      /* of the first wrong one */
} comparison;

comparison compare_formula(const primitive *p, const uint32_t *got, const expected *e);
comparison compare_golden(const primitive *p, const uint32_t *got, const expected *e, const record *golden);

void record_of(const primitive *p, const uint32_t *got, bool as_expected, record *r);
void record_write(FILE *file, const char *name, const record *r);
/* The record of `name` in the file; false: it has none, or not one that belongs to p. */
bool record_find(FILE *file, const primitive *p, record *r);

/* ---- words, bf16, floats ----------------------------------------------------------------------------------------- */

static inline float float_of(uint32_t bits)
{
    union { uint32_t u; float f; } both = {bits};
    return both.f;
}

static inline uint32_t bits_of(float f)
{
    union { float f; uint32_t u; } both = {f};
    return both.u;
}

/* Element i of an array of bf16 that lies in words. */
static inline float bf16_at(const uint32_t *words, int i)
{
    return float_of(i % 2 ? words[i / 2] & 0xFFFF0000u : words[i / 2] << 16);
}

static inline uint32_t half_at(const uint32_t *words, int i)
{
    return words[i / 2] >> 16 * (i % 2) & 0xFFFFu;
}

#endif
