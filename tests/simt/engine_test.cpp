/* Correct kernels run right with every seed: barriers, collectives, asynchronous copies. */
#include <simt.h>

#include <vector>

#include "seeds.h"

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

/* Of eight warps that never wait for each other: with some seeds they stay in step, with others one runs far ahead. */
TEST(warps_drift_apart_by_seed)
{
    enum { WARPS = 8, ROUNDS = 6 };
    int in_step = 0, ahead = 0;
    for (int seed = 1; seed <= 40; seed++) {
        int done[WARPS] = {}, most = 0;
        set_seed(seed);
        bool ran = simt_run_grid(1, WARPS * LANES, 0, [&] {
            for (int round = 0; round < ROUNDS; round++) {
                simt_exchange(FULL, NULL, 0, NULL);
                if (threadIdx.x % LANES) continue;
                int mine = ++done[threadIdx.x / LANES];
                for (int other : done) most = mine - other > most ? mine - other : most;
            }
        }, NULL);
        CHECK(ran);
        in_step += most <= 2;
        ahead += most == ROUNDS;
    }
    CHECK_MSG(in_step > 4 && ahead > 4, "of 40 seeds %d in step, %d far ahead", in_step, ahead);
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

/* ---- asynchronous copies ----------------------------------------------------------------------------------------- */

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
    RUN(warps_drift_apart_by_seed);
    RUN(yield_lets_others_run);
    RUN(copies_of_zeros);
    RUN(addresses_are_the_devices);
    RUN(bf16_bits);
    TEST_END();
}
