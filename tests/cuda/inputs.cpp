/* inputs.cpp - what goes into each primitive: functions of its name alone. */
#include "primitives.h"

#include <math.h>

extern "C" {
#include "base/philox.h"
}

void primitive_inputs(const primitive *p, uint32_t *in)
{
    const uint64_t key = vt_mix_key(1, vt_hash_name(p->name));
    for (int i = 0; i < p->n_in; i++) in[i] = vt_philox_4x32(key, (uint32_t)i / 4, 0, 0, 0).v[i % 4];
    p->fill(in, p->n_in);
}

void fill_nothing(uint32_t *in, int n)
{
    (void)in;
    (void)n;
}

/* ---- floats ------------------------------------------------------------------------------------------------------ */

/* A float with the sign and mantissa of these random bits and an exponent of -e .. e - 1. */
static uint32_t moderate(uint32_t r, int e)
{
    return (r & 0x807FFFFFu) | (127u - (uint32_t)e + (r >> 23 & 0xFFu) % (2u * (uint32_t)e)) << 23;
}

void fill_floats(uint32_t *in, int n)
{
    for (int i = 0; i < n; i++) in[i] = moderate(in[i], 8);
}

/* Zeros, denormals, the least and greatest, infinities, NaNs; then what 2^x turns into such. */
static const uint32_t specials[] = {
    0x00000000, 0x80000000, 0x00000001, 0x80000001, 0x007FFFFF, 0x807FFFFF, 0x00400000, 0x80400000,
    0x00800000, 0x80800000, 0x00800001, 0x80800001, 0x7F7FFFFF, 0xFF7FFFFF, 0x7F800000, 0xFF800000,
    0x7FC00000, 0xFFC00000, 0x7F800001, 0x7FFFFFFF, 0x3F800000, 0xBF800000, 0x3F7FFFFF, 0x3F800001,
    0x7E800000, 0x7E800001, 0x7EFFFFFF, 0x7F000000, 0xFE800001, 0x40000000, 0x40800000, 0x40490FDB,
    0x42FE0000, 0x42FFFFFF, 0x43000000, 0x43000001, 0x7149F2CA, 0xC2FC0000, 0xC2FBFFFF, 0xC2FC0001,
    0xC2FD0000, 0xC2FE0000, 0xC3150000, 0xC3160000, 0xC3170000, 0xF149F2CA, 0x33800000, 0xB3800000};
enum { N_SPECIALS = sizeof specials / sizeof specials[0] };

void fill_any_floats(uint32_t *in, int n) /* the rest: any bits */
{
    for (int i = 0; i < N_SPECIALS && i < n; i++) in[i] = specials[i];
}

void fill_exponents(uint32_t *in, int n) /* the rest: -155 .. 133, every fourth any bits */
{
    fill_any_floats(in, n);
    for (int i = N_SPECIALS; i < n; i++)
        if (i % 4) in[i] = bits_of((float)(in[i] >> 8) * (288.0f / 16777216.0f) - 155.0f);
}

void fill_roundings(uint32_t *in, int n) /* low halves on and beside ties, and any */
{
    static const uint32_t low[] = {0x8000, 0x7FFF, 0x8001, 0x0000, 0xFFFF};
    for (int i = 0; i < n; i++) {
        if (i % 2 == 0 && i / 2 < N_SPECIALS) in[i] = specials[i / 2];
        else if (i % 8 < 5) in[i] = (in[i] & 0xFFFF0000u) | low[i % 8];
    }
}

/* ---- matrices ---------------------------------------------------------------------------------------------------- */

static uint32_t bf16_pair(float low, float high) /* of values that are bf16 */
{
    return bits_of(low) >> 16 | (bits_of(high) & 0xFFFF0000u);
}

static float few_bits(uint32_t r) /* -7, -5 .. 7, in eighths: never 0 */
{
    return (float)(2 * (int)(r % 8) - 7) / 8;
}

void fill_few_bits(uint32_t *in, int n)
{
    for (int i = 0; i < n; i++) in[i] = bf16_pair(few_bits(in[i]), few_bits(in[i] >> 16));
}

void fill_random(uint32_t *in, int n) /* pairs of any sign and mantissa, exponents -8 .. 7 */
{
    for (int i = 0; i < n; i++) {
        const uint32_t high = moderate(in[i], 8), low = moderate(in[i] << 16 | in[i] >> 16, 8);
        in[i] = low >> 16 | (high & 0xFFFF0000u);
    }
}

void fill_mma_exact(uint32_t *in, int n)
{
    for (int block = 0; block < n / 320; block++, in += 320) {
        fill_few_bits(in, 192);
        for (int i = 192; i < 320; i++) in[i] = bits_of((float)((int)(in[i] % 33) - 16) / 4);
    }
}

void fill_mma_random(uint32_t *in, int n)
{
    for (int block = 0; block < n / 320; block++, in += 320) {
        fill_random(in, 192);
        for (int i = 192; i < 320; i++) in[i] = moderate(in[i], 8);
    }
}

/* Sixteen terms: fourteen of 1 * b and two of +-2^(16 + row) * b that cancel, wherever they stand. What is left of the
 * fourteen tells in which order and with how many bits they were added. */
static float ordered_a(int row, int k, int turn)
{
    const float big = ldexpf(1, 16 + row % 16);
    int plus = (row * 7 + turn) % 16, minus = (row * 3 + 5 + 4 * turn) % 16;
    if (minus == plus) minus = (minus + 1) % 16;
    return k == plus ? big : k == minus ? -big : 1;
}

static float ordered_b(int n)
{
    return 1 + (float)(n % 16 * 5) / 128;
}

void fill_mma_order(uint32_t *in, int n)
{
    for (int block = 0; block < n / 320; block++, in += 320) {
        for (int i = 0; i < 128; i++)
            in[i] = bf16_pair(ordered_a(i / 8, i % 8 * 2, block), ordered_a(i / 8, i % 8 * 2 + 1, block));
        for (int i = 0; i < 64; i++) in[128 + i] = bf16_pair(ordered_b(i / 8), ordered_b(i / 8));
        for (int i = 0; i < 128; i++) {
            const float big = ordered_a(i / 8, (i / 8 * 7 + block) % 16, block), some = ordered_b(i % 8);
            in[192 + i] = bits_of(block == 0 ? 0 : block == 1 ? some / 8 : block == 2 ? big / 4 : -big / 4);
        }
    }
}

void fill_product_order(uint32_t *in, int n) // A [128, 64], B [56, 64]; zeros for k from 16 on
{
    for (int i = 0; i < 128 * 32; i++) {
        const int row = i / 32, k = i % 32 * 2;
        in[i] = k < 16 ? bf16_pair(ordered_a(row, k, row / 16 % 4), ordered_a(row, k + 1, row / 16 % 4)) : 0;
    }
    for (int i = 0; i < n - 128 * 32; i++)
        in[128 * 32 + i] = i % 32 < 8 ? bf16_pair(ordered_b(i / 32), ordered_b(i / 32)) : 0;
}
