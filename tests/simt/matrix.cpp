/* matrix.cpp - ldmatrix, mma.sync m16n8k16 and stmatrix; fragments as the PTX ISA draws them. The last lane works for
 * all. */
#include "engine.h"

#include <simt_hopper.h>

static int first_of_warp()
{
    return simt_thread() / WARP_LANES * WARP_LANES;
}

struct matrix_load {
    uint32_t *r;                /* [4] */
    const uint16_t *row;        /* [8] */
    int count;
};

static void load_all(void *const *all, bool transposed)
{
    matrix_load *const *lane = (matrix_load *const *)all;
    int count = lane[0]->count;
    for (int m = 0; m < count; m++) {
        for (int i = 0; i < WARP_LANES; i++) {
            int g = i / 4, t = i % 4;
            uint16_t low, high;
            if (transposed) {
                low = lane[m * 8 + 2 * t]->row[g];
                high = lane[m * 8 + 2 * t + 1]->row[g];
            } else {
                low = lane[m * 8 + g]->row[2 * t];
                high = lane[m * 8 + g]->row[2 * t + 1];
            }
            lane[i]->r[m] = low | (uint32_t)high << 16;
        }
    }
}

static void load_plain(void *const *all, int n)
{
    (void)n;
    load_all(all, false);
}

static void load_transposed(void *const *all, int n)
{
    (void)n;
    load_all(all, true);
}

void simt_load_matrix(uint32_t (&r)[4], int count, const void *row, bool transposed)
{
    int first = first_of_warp();
    if (count != 1 && count != 2 && count != 4) simt_fail("ldmatrix of %d matrices", count);
    if (simt_thread() - first < 8 * count) {
        simt_aligned(row, 16);
        if (!simt_smem_holds(row, 16)) simt_fail("ldmatrix from %p, not in shared memory", row);
    }
    matrix_load mine = {r, (const uint16_t *)row, count};
    simt_meet(transposed ? "ldmatrix.trans" : "ldmatrix", first, WARP_LANES, 0xFFFFFFFFu, (size_t)count, &mine,
              transposed ? load_transposed : load_plain);
}

struct product {
    float *d;                   /* [4] */
    const uint32_t *a, *b;      /* [4], [2] */
};

static float low(uint32_t pair)
{
    uint32_t u = pair << 16;
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

static float high(uint32_t pair)
{
    uint32_t u = pair & 0xFFFF0000u;
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

static void multiply(void *const *all, int n)
{
    (void)n;
    static float a[16][16], b[16][8], d[16][8]; /* static: the last lane's own stack is cold */
    for (int i = 0; i < WARP_LANES; i++) {
        const product *p = (const product *)all[i];
        int g = i / 4, t = 2 * (i % 4);
        for (int h = 0; h < 4; h++) { /* halves: rows g or g + 8, columns t or t + 8 */
            int row = g + h % 2 * 8, k = t + h / 2 * 8;
            a[row][k] = low(p->a[h]);
            a[row][k + 1] = high(p->a[h]);
        }
        for (int h = 0; h < 2; h++) {
            b[t + h * 8][g] = low(p->b[h]);
            b[t + h * 8 + 1][g] = high(p->b[h]);
            d[g + h * 8][t] = p->d[2 * h];
            d[g + h * 8][t + 1] = p->d[2 * h + 1];
        }
    }
    for (int row = 0; row < 16; row++)
        for (int k = 0; k < 16; k++)
            for (int col = 0; col < 8; col++) d[row][col] += a[row][k] * b[k][col];
    for (int i = 0; i < WARP_LANES; i++) {
        const product *p = (const product *)all[i];
        int g = i / 4, t = 2 * (i % 4);
        for (int h = 0; h < 4; h++) p->d[h] = d[g + h / 2 * 8][t + h % 2];
    }
}

void simt_mma_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2])
{
    product mine = {d, a, b};
    simt_meet("mma.sync", first_of_warp(), WARP_LANES, 0xFFFFFFFFu, 0, &mine, multiply);
}

/* ---- stmatrix: the inverse of ldmatrix --------------------------------------------------------------------------- */

struct matrix_store {
    uint16_t *row;              /* [8] */
    const uint32_t *r;          /* [4] */
};

static void store_all(void *const *all, int)
{
    for (int lane = 0; lane < WARP_LANES; lane++) {
        const matrix_store *from = (const matrix_store *)all[lane];
        for (int m = 0; m < 4; m++) {
            uint16_t *row = ((const matrix_store *)all[8 * m + lane / 4])->row;
            row[2 * (lane % 4)] = (uint16_t)from->r[m];
            row[2 * (lane % 4) + 1] = (uint16_t)(from->r[m] >> 16);
        }
    }
}

void simt_store_matrix(void *row, const uint32_t (&r)[4])
{
    simt_aligned(row, 16);
    if (!simt_smem_holds(row, 16)) simt_fail("stmatrix to %p, not in shared memory", row);
    matrix_store mine = {(uint16_t *)row, r};
    simt_meet("stmatrix", first_of_warp(), WARP_LANES, 0xFFFFFFFFu, 4, &mine, store_all);
    smem_written(row);
}
