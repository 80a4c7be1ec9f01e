/* Correct kernels run right with every seed: barriers, collectives, asynchronous copies, fragments. */
#include <simt.h>

#include <vector>

#include "test.h"

enum { SEEDS = 12, LANES = 32 };
static const uint32_t FULL = 0xFFFFFFFFu;

static void set_seed(int seed)
{
    char text[16];
    snprintf(text, sizeof text, "%d", seed);
    setenv("SIMT_SEED", text, 1);
}

/* True where the grid ran to its end with each seed and `good` holds after each. */
static void run_all(dim3 grid, dim3 block, size_t smem, const std::function<void()> &kernel,
                    const std::function<bool()> &good)
{
    for (int seed = 0; seed < SEEDS; seed++) {
        std::string report;
        set_seed(seed);
        CHECK_MSG(simt_run_grid(grid, block, smem, kernel, &report), "seed %d: %s", seed, report.c_str());
        CHECK_MSG(good(), "with seed %d", seed);
    }
}

template <typename T> static T *take(simt_cursor &at, size_t n, size_t align = 16)
{
    return (T *)simt_smem_take(at, n * sizeof(T), align);
}

static float exchange(uint32_t mask, float v, int from)
{
    float all[LANES];
    simt_exchange(mask, &v, sizeof v, all);
    return all[from];
}

/* ---- indices ----------------------------------------------------------------------------------------------------- */

TEST(every_thread_runs_once)
{
    dim3 grid(3, 5, 2), block(8, 4, 3);
    std::vector<int> count(30 * 96);
    run_all(grid, block, 0,
            [&] {
                unsigned b = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
                unsigned t = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
                if (blockIdx.x % 2) simt_barrier(0, 0);
                CHECK_EQ(simt_thread(), (int)t);
                count[b * 96 + t]++;
            },
            [&] {
                bool once = true;
                for (int &n : count) once &= n == 1, n = 0;
                return once;
            });
}

/* ---- sums -------------------------------------------------------------------------------------------------------- */

TEST(reduction)
{
    enum { BLOCKS = 7, THREADS = 256, PER = 1000 };
    std::vector<float> in(BLOCKS * PER), out(BLOCKS), want(BLOCKS);
    for (int i = 0; i < BLOCKS * PER; i++) in[i] = (float)(i * 37 % 101), want[i / PER] += in[i];
    run_all(BLOCKS, THREADS, THREADS / LANES * sizeof(float),
            [&] {
                simt_cursor at = simt_smem_open();
                float *sums = take<float>(at, THREADS / LANES), v = 0;
                int t = (int)threadIdx.x, lane = t % LANES;
                for (int i = t; i < PER; i += THREADS) v += in[blockIdx.x * PER + i];
                for (int step = 16; step > 0; step /= 2) v += exchange(FULL, v, lane ^ step);
                if (lane == 0) sums[t / LANES] = v;
                simt_barrier(0, 0);
                if (t >= LANES) return;
                v = t < THREADS / LANES ? sums[t] : 0;
                for (int step = 16; step > 0; step /= 2) v += exchange(FULL, v, lane ^ step);
                if (t == 0) out[blockIdx.x] = v;
            },
            [&] {
                bool same = out == want;
                out.assign(BLOCKS, 0);
                return same;
            });
}

/* ---- a transpose, tile by tile ----------------------------------------------------------------------------------- */

TEST(tiled_transpose)
{
    enum { R = 70, C = 45, TILE = 32, ROWS = 8 };
    std::vector<float> in(R * C), out(R * C);
    for (int i = 0; i < R * C; i++) in[i] = (float)i;
    run_all(dim3(2, 3), dim3(TILE, ROWS), TILE * (TILE + 1) * sizeof(float),
            [&] {
                simt_cursor at = simt_smem_open();
                float *tile = take<float>(at, TILE * (TILE + 1));
                int x = (int)threadIdx.x, c = (int)blockIdx.x * TILE, r = (int)blockIdx.y * TILE;
                for (int y = (int)threadIdx.y; y < TILE; y += ROWS)
                    if (r + y < R && c + x < C) tile[y * (TILE + 1) + x] = in[(r + y) * C + c + x];
                simt_barrier(0, 0);
                for (int y = (int)threadIdx.y; y < TILE; y += ROWS)
                    if (c + y < C && r + x < R) out[(c + y) * R + r + x] = tile[x * (TILE + 1) + y];
            },
            [&] {
                bool same = true;
                for (int r = 0; r < R; r++)
                    for (int c = 0; c < C; c++) same &= out[c * R + r] == in[r * C + c];
                out.assign(R * C, 0);
                return same;
            });
}

/* ---- groups ------------------------------------------------------------------------------------------------------ */

TEST(parts_of_a_warp_exchange_apart)
{
    std::vector<float> out(64);
    run_all(1, 64, 0,
            [&] {
                int t = (int)threadIdx.x, lane = t % LANES, rounds = lane < 12 ? 5 : 3;
                uint32_t mask = lane < 12 ? 0xFFFu : ~0xFFFu;
                float v = (float)t;
                for (int i = 0; i < rounds; i++) v = exchange(mask, v, lane < 12 ? (lane + 1) % 12 : lane);
                float all[LANES];
                simt_exchange(mask, &v, sizeof v, all);
                CHECK(isnan(all[lane < 12 ? 20 : 3])); /* no lane of this part */
                out[t] = v;
            },
            [&] {
                bool good = true;
                for (int t = 0; t < 64; t++) good &= out[t] == (t % 32 < 12 ? t / 32 * 32 + (t % 32 + 5) % 12 : t);
                return good;
            });
}

TEST(named_barriers_and_groups)
{
    std::vector<float> out(384);
    run_all(3, 384, 384 * sizeof(float),
            [&] {
                simt_cursor at = simt_smem_open();
                float *all = take<float>(at, 384), group[128];
                int t = (int)threadIdx.x, first = t / 128 * 128;
                for (int i = 0; i < 4 + first / 128; i++) { /* the groups do not go in step */
                    all[t] = (float)(t + i);
                    simt_barrier(1 + first / 128, 128);
                    float v = all[first + (t + 1) % 128];
                    simt_group_exchange(first, 128, &v, sizeof v, group);
                    out[t] = group[(t + 127) % 128]; /* the neighbour's neighbour: this thread's own */
                    CHECK_EQ(out[t], t + i);
                }
                simt_group_exchange(first, 128, NULL, 0, NULL);
            },
            [&] { return out[5] == 5 + 3 && out[300] == 300 + 5; });
}

TEST(yield_lets_others_run)
{
    std::vector<int> out(256);
    run_all(2, 256, 16,
            [&] {
                simt_cursor at = simt_smem_open();
                volatile int *arrived = take<int>(at, 4);
                int t = (int)threadIdx.x;
                if (t == 0) *arrived = 0;
                simt_barrier(0, 0);
                *arrived = *arrived + 1;
                simt_progress();
                while (*arrived < 256) simt_yield("a count");
                out[t] = *arrived;
            },
            [&] {
                bool all = true;
                for (int &n : out) all &= n == 256, n = 0;
                return all;
            });
}

/* ---- fragments, element by element as the PTX ISA writes them ----------------------------------------------------- */

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

/* ---- a matrix product: asynchronous copies in two stages, ldmatrix, its transposing form, mma ---------------------- */

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

TEST(copies_of_zeros)
{
    alignas(16) static uint32_t from[64 * 4];
    int wrong = 0;
    for (int i = 0; i < 256; i++) from[i] = (uint32_t)i + 1;
    run_all(2, 64, 64 * 16,
            [&] {
                simt_cursor at = simt_smem_open();
                uint32_t *to = take<uint32_t>(at, 256);
                int t = (int)threadIdx.x;
                simt_copy_async(to + 4 * t, from + 4 * t, t % 3 != 0);
                simt_copy_commit();
                simt_copy_wait(0);
                for (int i = 4 * t; i < 4 * t + 4; i++) wrong += to[i] != (t % 3 ? (uint32_t)i + 1 : 0);
            },
            [&] { return wrong == 0; });
}

/* ---- addresses and numbers --------------------------------------------------------------------------------------- */

TEST(addresses_are_the_devices)
{
    run_all(2, 32, 4096,
            [&] {
                simt_cursor at = simt_smem_open();
                char *first = take<char>(at, 1000), *second = take<char>(at, 40), *third = take<char>(at, 1024);
                CHECK_EQ(simt_smem_address(first), 0);
                CHECK_EQ(simt_smem_address(second + 3), 1008 + 3);
                CHECK_EQ(simt_smem_address(third), 1008 + 48);
                CHECK(simt_smem_pointer(1008 + 48 + 7) == third + 7);
                for (const char *p : {first, second, third})
                    CHECK_EQ((uintptr_t)p % 1024, simt_smem_address(p) % 1024);
                CHECK(simt_smem_holds(third + 1000, 24) && !simt_smem_holds(third + 1000, 25));
            },
            [] { return true; });
}

TEST(bf16_bits)
{
    CHECK_EQ(simt_bf16_bits(1.0f), 0x3F80);
    CHECK_EQ(simt_bf16_bits(1.00390625f), 0x3F80);   /* halfway: to the even one below */
    CHECK_EQ(simt_bf16_bits(1.01171875f), 0x3F82);   /* and above */
    CHECK_EQ(simt_bf16_bits(-1.0040f), 0xBF81);
    CHECK_EQ(simt_bf16_bits(3.4e38f), 0x7F80);
    CHECK_EQ(simt_bf16_bits(-INFINITY), 0xFF80);
    uint32_t u = 0x7F800001u; /* a NaN whose upper half is that of infinity */
    float nan;
    memcpy(&nan, &u, sizeof nan);
    CHECK_EQ(simt_bf16_bits(nan), 0x7FC0);
}

int main()
{
    RUN(every_thread_runs_once);
    RUN(reduction);
    RUN(tiled_transpose);
    RUN(parts_of_a_warp_exchange_apart);
    RUN(named_barriers_and_groups);
    RUN(yield_lets_others_run);
    RUN(mma_fragments);
    RUN(matrix_loads);
    RUN(product);
    RUN(copies_of_zeros);
    RUN(addresses_are_the_devices);
    RUN(bf16_bits);
    TEST_END();
}
