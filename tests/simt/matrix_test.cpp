/* Fragments lie as the PTX ISA draws them, and a matrix product made of them is right with every seed. */
#include <simt.h>

#include "seeds.h"

/* ---- fragments, element by element as the PTX ISA writes them ---------------------------------------------------- */

TEST(mma_fragments)
{
    float a[16][16], b[16][8], d[16][8], want[16][8];
    for (int r = 0; r < 16; r++)
        for (int c = 0; c < 16; c++) a[r][c] = (float)((r * 7 + c * 3) % 17 - 8);
    for (int r = 0; r < 16; r++)
        for (int c = 0; c < 8; c++) b[r][c] = (float)((r * 5 + c * 11) % 19 - 9);
    for (int r = 0; r < 16; r++)
        for (int c = 0; c < 8; c++) {
            want[r][c] = (float)(r - c);
            for (int k = 0; k < 16; k++) want[r][c] += a[r][k] * b[k][c];
        }
    run_all(1, 32, 0,
            [&] {
                int group = (int)threadIdx.x >> 2, in_group = (int)threadIdx.x % 4;
                uint32_t fa[4] = {}, fb[2] = {};
                float fd[4];
                for (int i = 0; i < 8; i++) {
                    int row = (i < 2 || (i >= 4 && i < 6)) ? group : group + 8;
                    int col = in_group * 2 + (i & 1) + (i >= 4 ? 8 : 0);
                    fa[i / 2] |= simt_bf16_bits(a[row][col]) << 16 * (i & 1);
                }
                for (int i = 0; i < 4; i++) {
                    int row = in_group * 2 + (i & 1) + (i >= 2 ? 8 : 0);
                    fb[i / 2] |= simt_bf16_bits(b[row][group]) << 16 * (i & 1);
                    fd[i] = (float)((i < 2 ? group : group + 8) - (in_group * 2 + (i & 1)));
                }
                simt_mma_bf16(fd, fa, fb);
                for (int i = 0; i < 4; i++) d[i < 2 ? group : group + 8][in_group * 2 + (i & 1)] = fd[i];
            },
            [&] { return memcmp(d, want, sizeof d) == 0; });
}

TEST(matrix_loads)
{
    for (int count = 1; count <= 4; count *= 2) {
        for (int transposed = 0; transposed < 2; transposed++) {
            int wrong = 0;
            run_all(1, 64, 4 * 8 * 8 * 2,
                    [&] {
                        simt_cursor at = simt_smem_open();
                        uint16_t *m = take<uint16_t>(at, 4 * 8 * 8);
                        int t = (int)threadIdx.x, lane = t % LANES;
                        for (int i = t; i < 256; i += 64) m[i] = (uint16_t)i; /* matrix, row, column */
                        simt_barrier(0, 0);
                        uint32_t r[4];
                        const void *row = lane < 8 * count ? m + lane * 8 : NULL;
                        simt_load_matrix(r, count, row, transposed);
                        for (int i = 0; i < count; i++)
                            for (int half = 0; half < 2; half++) {
                                int major = lane / 4, minor = 2 * (lane % 4) + half;
                                int at_row = transposed ? minor : major, at_col = transposed ? major : minor;
                                wrong += (r[i] >> 16 * half & 0xFFFF) != (uint32_t)(i * 64 + at_row * 8 + at_col);
                            }
                    },
                    [&] { return wrong == 0; });
        }
    }
}

/* ---- a matrix product: asynchronous copies in two stages, ldmatrix, its transposing form, mma -------------------- */

enum { GM = 64, GN = 32, GK = 96, STEP = 32 };

/* Copies rows x 8 * chunks bf16 from `from`, `stride` elements a row, to rows of 16 * chunks bytes, swizzled not. */
static void copy_tile(uint16_t *to, const uint16_t *from, int rows, int chunks, int stride)
{
    for (int i = (int)threadIdx.x; i < rows * chunks; i += (int)blockDim.x) {
        int r = i / chunks, c = i % chunks * 8;
        simt_copy_async(to + r * chunks * 8 + c, from + r * stride + c, true);
    }
}

static void product_kernel(const uint16_t *a, // [GM, GK]
                           const uint16_t *b, // [GK, GN]
                           float *d)          // [GM, GN]
{
    simt_cursor at = simt_smem_open();
    uint16_t *as = take<uint16_t>(at, 2 * GM * STEP), *bs = take<uint16_t>(at, 2 * STEP * GN, 1024);
    int lane = (int)threadIdx.x % LANES, row = (int)threadIdx.x / LANES * 16;
    float acc[GN / 8][4] = {};
    copy_tile(as, a, GM, STEP / 8, GK);
    copy_tile(bs, b, STEP, GN / 8, GN);
    simt_copy_commit();
    for (int k = 0; k < GK; k += STEP) {
        int now = k / STEP % 2, next = 1 - now;
        if (k + STEP < GK) {
            copy_tile(as + next * GM * STEP, a + k + STEP, GM, STEP / 8, GK);
            copy_tile(bs + next * STEP * GN, b + (k + STEP) * GN, STEP, GN / 8, GN);
        }
        simt_copy_commit();
        simt_copy_wait(1);
        simt_barrier(0, 0);
        for (int kk = 0; kk < STEP; kk += 16) {
            uint32_t fa[4], fb[4];
            simt_load_matrix(fa, 4, as + now * GM * STEP + (row + lane % 16) * STEP + kk + lane / 16 * 8, false);
            for (int n = 0; n < GN; n += 16) {
                simt_load_matrix(fb, 4, bs + now * STEP * GN + (kk + lane % 16) * GN + n + lane / 16 * 8, true);
                uint32_t first[2] = {fb[0], fb[1]}, second[2] = {fb[2], fb[3]};
                simt_mma_bf16(acc[n / 8], fa, first);
                simt_mma_bf16(acc[n / 8 + 1], fa, second);
            }
        }
        simt_barrier(0, 0);
    }
    for (int n = 0; n < GN / 8; n++)
        for (int i = 0; i < 4; i++)
            d[(row + lane / 4 + i / 2 * 8) * GN + n * 8 + lane % 4 * 2 + i % 2] = acc[n][i];
}

TEST(product)
{
    alignas(16) static uint16_t a[GM * GK], b[GK * GN];
    static float d[GM * GN], want[GM * GN];
    for (int i = 0; i < GM; i++)
        for (int k = 0; k < GK; k++)
            for (int j = 0; j < GN; j++) {
                float va = (float)((i * 5 + k * 7) % 15 - 7), vb = (float)((k * 3 + j * 13) % 11 - 5);
                a[i * GK + k] = (uint16_t)simt_bf16_bits(va);
                b[k * GN + j] = (uint16_t)simt_bf16_bits(vb);
                want[i * GN + j] += va * vb;
            }
    run_all(1, GM / 16 * LANES, 2 * (GM * STEP + STEP * GN) * 2, [&] { product_kernel(a, b, d); },
            [&] {
                bool same = memcmp(d, want, sizeof d) == 0;
                memset(d, 0, sizeof d);
                return same;
            });
}

int main()
{
    RUN(mma_fragments);
    RUN(matrix_loads);
    RUN(product);
    TEST_END();
}
