/* formulas_product.cpp - what mma and wgmma must give: sums in fp64, placed as the PTX ISA's figures of fragments have
 * them ("Matrix fragments for mma.m16n8k16", "... for wgmma.mma_async.m64nNk16"). */
#include <math.h>

#include "primitives.h"

/* One element. Sums of fp32 in any order, rounded or truncated to 24 bits at every term, in `steps` instructions:
 * each term loses at most a unit (2^-23) of what there is at most, and so does each result. */
static void sum(expected *e, int at, double start, int terms, int steps, const double *of)
{
    double total = start, size = fabs(start);
    for (int i = 0; i < terms; i++) {
        total += of[i];
        size += fabs(of[i]);
    }
    e->value[at] = total;
    e->may[at] = (terms + steps) * ldexp(size, -23);
}

/* ---- mma.m16n8k16: c0, c1 in row lane / 4, c2, c3 eight rows on; columns 2 * (lane % 4) and the next ------------ */

static void expect_mma(const uint32_t *in, expected *e) // in: 4 blocks of a [16][16], b transposed [8][16], d [16][8]
{
    for (int block = 0; block < 4; block++) {
        const uint32_t *a = in + block * 320, *b = a + 128, *d = b + 64;
        for (int lane = 0; lane < 32; lane++)
            for (int i = 0; i < 4; i++) {
                const int row = lane / 4 + (i < 2 ? 0 : 8), col = lane % 4 * 2 + (i & 1);
                double terms[16];
                for (int k = 0; k < 16; k++) terms[k] = (double)bf16_at(a, row * 16 + k) * bf16_at(b, col * 16 + k);
                sum(e, (block * 32 + lane) * 4 + i, float_of(d[row * 8 + col]), 16, 1, terms);
            }
    }
}

void expect_mma_exact(const uint32_t *in, expected *e) { expect_mma(in, e); }
void expect_mma_random(const uint32_t *in, expected *e) { expect_mma(in, e); }
void expect_mma_order(const uint32_t *in, expected *e) { expect_mma(in, e); }

/* ---- wgmma: a warp has 16 rows, placed as those of mma; eight columns more every four registers ------------------ */

/* Depth 64; operands [rows, 64], where the major is MN transposed, 64 columns after 64; out: [128, registers]. */
static void expect_wgmma(const uint32_t *a, bool a_mn, const uint32_t *b, bool b_mn, int registers, int at, expected *e)
{
    for (int thread = 0; thread < 128; thread++)
        for (int i = 0; i < registers; i++) {
            const int lane = thread % 32, row = thread / 32 * 16 + lane / 4 + (i % 4 < 2 ? 0 : 8);
            const int col = i / 4 * 8 + lane % 4 * 2 + (i & 1);
            double terms[64];
            for (int k = 0; k < 64; k++)
                terms[k] = (double)bf16_at(a, a_mn ? k * 64 + row : row * 64 + k) *
                           bf16_at(b, b_mn ? col / 64 * 4096 + k * 64 + col % 64 : col * 64 + k);
            sum(e, at + thread * registers + i, 0, 64, 4, terms);
        }
}

enum { HALF = 64 * 32 }; /* words of 64 rows */

#define TILES(name, a_mn, b_mn, registers)                                       \
    void expect_##name(const uint32_t *in, expected *e)                          \
    {                                                                            \
        expect_wgmma(in + HALF, a_mn, in + 2 * HALF, b_mn, registers, 0, e);     \
    }
TILES(wgmma_k_k_16, false, false, 8)
TILES(wgmma_k_k_56, false, false, 28)
TILES(wgmma_k_k_72, false, false, 36)
TILES(wgmma_k_k_96, false, false, 48)
TILES(wgmma_k_k_112, false, false, 56)
TILES(wgmma_k_k_128, false, false, 64)
TILES(wgmma_k_k_136, false, false, 68)
TILES(wgmma_k_k_200, false, false, 100)
TILES(wgmma_k_k_208, false, false, 104)
TILES(wgmma_k_mn_56, false, true, 28)
TILES(wgmma_k_mn_128, false, true, 64)
TILES(wgmma_mn_k_56, true, false, 28)
TILES(wgmma_mn_mn_56, true, true, 28)
TILES(wgmma_mn_mn_64, true, true, 32)
TILES(wgmma_random, false, false, 8)
TILES(wgmma_order, false, false, 8)

#define REGISTERS(name, b_mn, registers)                                         \
    void expect_##name(const uint32_t *in, expected *e)                          \
    {                                                                            \
        expect_wgmma(in, false, in + HALF, b_mn, registers, 0, e);               \
    }
REGISTERS(wgmma_registers_k, false, 32)
REGISTERS(wgmma_registers_mn, true, 32)
REGISTERS(wgmma_registers_random, true, 8)

void expect_wgmma_groups(const uint32_t *in, expected *e)
{
    expect_wgmma(in, false, in + 2 * HALF, false, 28, 0, e);
    expect_wgmma(in + HALF, false, in + 2 * HALF, false, 28, 128 * 28, e);
}
