/* formulas.cpp - what the primitives of ptx.cuh and ptx_mma.cuh must give, from the PTX ISA alone; products:
 * formulas_product.cpp. */
#include <float.h>
#include <math.h>

#include "primitives.h"

/* ---- barriers and exchange --------------------------------------------------------------------------------------- */

void expect_barriers(const uint32_t *in, expected *e) /* the order within the block, then 64s, then 32s turned round */
{
    for (int t = 0; t < 256; t++) {
        const int in_group = t / 64 * 64 + 63 - t % 64, in_warp = t / 32 * 32 + 31 - t % 32;
        e->bits[t] = in[255 - t];
        e->bits[256 + t] = in[255 - in_group];
        e->bits[512 + t] = in[255 - (in_warp / 64 * 64 + 63 - in_warp % 64)];
    }
}

void expect_exchange(const uint32_t *in, expected *e)
{
    for (int t = 0; t < 64; t++) {
        const int lane = t % 32, warp = t - lane, from = (int)(in[64 + t] % 64);
        e->bits[t] = in[warp + from % 32];
        for (int i = 0; i < 5; i++) e->bits[(1 + i) * 64 + t] = in[warp + (lane ^ 1 << i)];
        e->bits[6 * 64 + t] = lane < 16 ? in[warp + from % 16] : in[t];
        e->bits[7 * 64 + t] = (uint32_t)lane;
    }
}

void expect_warp_reductions(const uint32_t *in, expected *e) /* halves on halves: 16 apart first, neighbours last */
{
    for (int warp = 0; warp < 4; warp++) {
        float sum[32], greatest = -FLT_MAX;
        for (int lane = 0; lane < 32; lane++) {
            sum[lane] = float_of(in[warp * 32 + lane]);
            greatest = fmaxf(greatest, sum[lane]);
        }
        for (int n = 16; n > 0; n /= 2)
            for (int lane = 0; lane < n; lane++) sum[lane] += sum[lane + n];
        for (int lane = 0; lane < 32; lane++) {
            e->bits[warp * 32 + lane] = bits_of(sum[0]);
            e->bits[128 + warp * 32 + lane] = bits_of(greatest);
        }
    }
}

/* ---- arithmetic -------------------------------------------------------------------------------------------------- */

static double flushed(double x) /* .ftz: denormal operands and results are zeros of their sign */
{
    return fabs(x) < FLT_MIN ? copysign(0, x) : x;
}

void expect_fast_exp2(const uint32_t *in, expected *e)
{
    for (int i = 0; i < 512; i++) e->value[i] = flushed(exp2(flushed(float_of(in[i]))));
}

void expect_fast_rcp(const uint32_t *in, expected *e)
{
    for (int i = 0; i < 512; i++) e->value[i] = flushed(1 / flushed(float_of(in[i])));
}

void expect_fast_rsqrt(const uint32_t *in, expected *e) /* of -0: -infinity */
{
    for (int i = 0; i < 512; i++) e->value[i] = flushed(1 / sqrt(flushed(float_of(in[i]))));
}

static uint32_t nearest_bf16(float f)
{
    const uint32_t down = bits_of(f) & 0xFFFF0000u, up = down + 0x10000u;
    if (isnan(f)) return 0x7FFF;
    if (isinf(f)) return down >> 16;
    /* Beyond the greatest, an infinity stands for 2^128. */
    const double below = fabs((double)float_of(down));
    const double above = isinf(float_of(up)) ? ldexp(1, 128) : fabs((double)float_of(up)), x = fabs((double)f);
    if (x - below < above - x) return down >> 16;
    if (x - below > above - x) return up >> 16;
    return (down >> 16 & 1) ? up >> 16 : down >> 16;
}

void expect_pack_bf16(const uint32_t *in, expected *e)
{
    for (int i = 0; i < 512; i++)
        e->bits[i] = nearest_bf16(float_of(in[2 * i])) | nearest_bf16(float_of(in[2 * i + 1])) << 16;
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

void expect_words(const uint32_t *in, expected *e)
{
    for (int t = 0; t < 64; t++)
        for (int w = 0; w < 4; w++) {
            e->bits[t * 4 + w] = in[(t * 5 + 3) % 64 * 4 + w];
            e->bits[(64 + (t * 7 + 1) % 64) * 4 + w] = in[(64 + t) * 4 + w];
        }
}

void expect_smem_address(const uint32_t *in, expected *e)
{
    for (int t = 0; t < 32; t++) e->bits[t] = in[t] % 256 * 4;
}

void expect_copies(const uint32_t *in, expected *e)
{
    for (int g = 0; g < GROUPS; g++)
        for (int t = 0; t < 64; t++) {
            const int by = g == 2 ? 63 - t : t; /* who copied it */
            for (int w = 0; w < 4; w++)
                e->bits[(g * 64 + t) * 4 + w] = (by + g) % 3 ? in[(g * 64 + (by * 11 + g) % 64) * 4 + w] : 0;
        }
}

/* ---- fragments of 8x8 matrices, as for ldmatrix and stmatrix ----------------------------------------------------- */

static void expect_matrices(const uint32_t *in, expected *e, bool transposed) // in [4][8][8] of 16 bits
{
    for (int lane = 0; lane < 32; lane++)
        for (int m = 0; m < 4; m++) {
            uint32_t half[2];
            for (int i = 0; i < 2; i++) {
                const int row = lane / 4, col = lane % 4 * 2 + i;
                half[i] = half_at(in, m * 64 + (transposed ? col * 8 + row : row * 8 + col));
            }
            e->bits[lane * 4 + m] = half[0] | half[1] << 16;
        }
}

void expect_load_matrix4(const uint32_t *in, expected *e) { expect_matrices(in, e, false); }
void expect_load_matrix4_transposed(const uint32_t *in, expected *e) { expect_matrices(in, e, true); }

void expect_store_matrix4(const uint32_t *in, expected *e)
{
    for (int m = 0; m < 4; m++)
        for (int row = 0; row < 8; row++)
            for (int pair = 0; pair < 4; pair++) e->bits[(m * 8 + row) * 4 + pair] = in[(row * 4 + pair) * 4 + m];
}
