/* hopper_test.cpp - the twins of kernels/ptx_hopper.cuh against plain loops, and mistakes that they must report.
 *
 * The layouts that these tests build by hand are the PTX ISA's (as is what the twins read): whether hardware agrees, a
 * GPU alone can say. */
#include <math.h>
#include <stdlib.h>

#include <string>
#include <vector>

#include "ptx_hopper.cuh"
#include "ptx_mma.cuh"
#include "types.cuh"

#include "test.h"

static float drawn() /* few bits: sums of products are exact in fp32, in any order */
{
    return (float)(rand() % 17 - 8) / 8;
}

struct matrix {
    int rows, cols;
    std::vector<float> v;
    matrix(int r, int c) : rows(r), cols(c), v((size_t)r * c)
    {
        for (float &f : v) f = drawn();
    }
    float at(int r, int c) const { return v[(size_t)r * cols + c]; }
};

static bool grid_of(int threads, size_t smem, const std::function<void()> &kernel, std::string *report)
{
    report->clear();
    return simt_run_grid(dim3(1), dim3((unsigned)threads), smem, kernel, report);
}

/* All threads: m [rows, 64 * slabs] as tiles of `rows` rows, one behind the other. */
static void fill_tiles(bf16 *tile, const matrix &m, bool swizzled = true)
{
    for (int i = (int)threadIdx.x; i < m.rows * m.cols; i += (int)blockDim.x) {
        int row = i / m.cols, col = i % m.cols, chunk = col % TILE_WIDTH / 8;
        int at = swizzled ? tile_at(row, chunk) : row * TILE_WIDTH + chunk * 8;
        tile[col / TILE_WIDTH * m.rows * TILE_WIDTH + at + col % 8] = from_float<bf16>(m.at(row, col));
    }
}

/* Row and column of register i of an accumulator. */
static int d_row(int i)
{
    return (int)threadIdx.x % WARPGROUP / WARP * 16 + lane_id() / 4 + i / 2 % 2 * 8;
}

static int d_col(int i)
{
    return i / 4 * 8 + lane_id() % 4 * 2 + i % 2;
}

template <int R> static void take_result(const float (&d)[R], std::vector<float> *out)
{
    for (int i = 0; i < R; i++) (*out)[(size_t)d_row(i) * 2 * R + d_col(i)] = d[i];
}

static void check_product(const char *what, int n, int depth, const std::vector<float> &got,
                          const std::function<float(int, int)> &a, const std::function<float(int, int)> &b)
{
    int wrong = 0;
    for (int row = 0; row < 64; row++)
        for (int col = 0; col < n; col++) {
            float want = 0;
            for (int k = 0; k < depth; k++) want += a(row, k) * b(k, col);
            wrong += !(got[(size_t)row * n + col] == want);
        }
    CHECK_MSG(wrong == 0, "%s, n %d: %d of %d elements", what, n, wrong, 64 * n);
}

/* ---- products ---------------------------------------------------------------------------------------------------- */

template <int N> static void tiles_k_major()
{
    matrix a(64, 64), b(N, 64);
    std::vector<float> got(64 * N);
    std::string report;
    CHECK_MSG(grid_of(WARPGROUP, smem_bytes<bf16>((64 + N) * 64), [&] {
        smem_cursor at = smem_open();
        bf16 *ta = smem_take<bf16>(at, 64 * 64, TILE_ALIGN), *tb = smem_take<bf16>(at, N * 64, TILE_ALIGN);
        fill_tiles(ta, a);
        fill_tiles(tb, b);
        fence_proxy_async();
        block_sync();
        uint64_t ma = tile_matrix(ta), mb = tile_matrix(tb);
        float d[N / 2];
        wgmma_fence(d);
        wgmma<false, K_MAJOR, K_MAJOR>(d, ma, mb);
        for (int k = 1; k < 4; k++)
            wgmma<true, K_MAJOR, K_MAJOR>(d, tile_matrix_at(ma, 32 * k), tile_matrix_at(mb, 32 * k));
        wgmma_commit();
        wgmma_wait<0>(d);
        take_result(d, &got);
    }, &report), "%s", report.c_str());
    check_product("K-major", N, 64, got, [&](int m, int k) { return a.at(m, k); },
                  [&](int k, int n) { return b.at(n, k); });
}

TEST(both_k_major)
{
    tiles_k_major<8>();
    tiles_k_major<56>();
    tiles_k_major<72>();
    tiles_k_major<136>();
    tiles_k_major<200>();
    tiles_k_major<256>();
}

TEST(both_mn_major) /* rows of the tiles are k; N = 128 is two tiles side by side: the leading offset */
{
    enum { N = 128, DEPTH = 48 };
    matrix a(DEPTH, 64), b(DEPTH, N);
    std::vector<float> got(64 * N);
    std::string report;
    CHECK_MSG(grid_of(WARPGROUP, smem_bytes<bf16>(DEPTH * (64 + N)), [&] {
        smem_cursor at = smem_open();
        bf16 *ta = smem_take<bf16>(at, DEPTH * 64, TILE_ALIGN), *tb = smem_take<bf16>(at, DEPTH * N, TILE_ALIGN);
        fill_tiles(ta, a);
        fill_tiles(tb, b);
        block_sync();
        uint64_t ma = tile_matrix(ta), mb = tile_matrix(tb);
        mb = (mb & ~((uint64_t)0x3FFF << 16)) | (uint64_t)(DEPTH * 128 / 16) << 16;
        float d[N / 2];
        wgmma_fence(d);
        wgmma<false, MN_MAJOR, MN_MAJOR>(d, ma, mb);
        for (int k = 1; k < DEPTH / 16; k++)
            wgmma<true, MN_MAJOR, MN_MAJOR>(d, tile_matrix_at(ma, 2048 * k), tile_matrix_at(mb, 2048 * k));
        wgmma_commit();
        wgmma_wait<0>(d);
        take_result(d, &got);
    }, &report), "%s", report.c_str());
    check_product("MN-major", N, DEPTH, got, [&](int m, int k) { return a.at(k, m); },
                  [&](int k, int n) { return b.at(k, n); });
}

/* Operand A of step k from matrix a, as the PTX ISA lays it out. */
static void a_registers(uint32_t (&r)[4], const matrix &a, int k)
{
    for (int i = 0; i < 4; i++) {
        int row = d_row(0) + i % 2 * 8, col = 16 * k + lane_id() % 4 * 2 + i / 2 * 8;
        r[i] = pack_bf16(a.at(row, col), a.at(row, col + 1));
    }
}

typedef std::function<void(float (&)[32], uint32_t (&)[4])> mistake_in;

/* Two products on one accumulator, A from registers; what is done to it and the second A in flight, or behind the
 * fence. */
static bool from_registers(const char *what, const mistake_in &in_flight, std::string *report,
                           const mistake_in &fenced = [](float (&)[32], uint32_t (&)[4]) {}, bool named = true)
{
    matrix a(64, 32), b(32, 64);
    std::vector<float> got(64 * 64);
    bool ran = grid_of(WARPGROUP, smem_bytes<bf16>(32 * 64), [&] {
        smem_cursor at = smem_open();
        bf16 *tb = smem_take<bf16>(at, 32 * 64, TILE_ALIGN);
        fill_tiles(tb, b);
        block_sync();
        uint32_t first[4], second[4];
        a_registers(first, a, 0);
        a_registers(second, a, 1);
        float d[32];
        if (named) wgmma_fence(first, second);
        else wgmma_fence(first, d);
        fenced(d, second);
        wgmma<false, MN_MAJOR>(d, first, tile_matrix(tb));
        wgmma<true, MN_MAJOR>(d, second, tile_matrix_at(tile_matrix(tb), 2048));
        wgmma_commit();
        in_flight(d, second);
        wgmma_wait<0>(d);
        take_result(d, &got);
    }, report);
    if (ran)
        check_product(what, 64, 32, got, [&](int m, int k) { return a.at(m, k); },
                      [&](int k, int n) { return b.at(k, n); });
    return ran;
}

TEST(a_from_registers)
{
    std::string report;
    CHECK_MSG(from_registers("A from registers", [](float (&)[32], uint32_t (&)[4]) {}, &report), "%s", report.c_str());
}

TEST(accumulators_are_packed_in_place) /* two neighbouring column groups of d are one step of operand A */
{
    for (int i = 0; i < 8; i++) {
        int pair = i / 2, row = pair % 2 * 8, col = pair / 2 * 8 + i % 2; /* of A's pair, thread 0 */
        std::string report;
        CHECK(grid_of(WARPGROUP, 0, [&] {
            if (threadIdx.x == 0 && (d_row(i) != row || d_col(i) != col)) simt_fail("register %d", i);
        }, &report));
    }
}

/* ---- matrices to shared memory ----------------------------------------------------------------------------------- */

TEST(store_matrix_is_the_inverse_of_load_matrix)
{
    std::string report;
    CHECK_MSG(grid_of(32, smem_bytes<bf16>(16 * 64), [&] {
        smem_cursor at = smem_open();
        bf16 *tile = smem_take<bf16>(at, 16 * 64, TILE_ALIGN);
        uint32_t r[4], back[4];
        for (uint32_t m = 0; m < 4; m++) r[m] = threadIdx.x * 4 + m + (threadIdx.x * 4 + m + 1000) * 65536;
        bf16 *row = tile + tile_at(lane_id() % 16, lane_id() / 16);
        store_matrix4(row, r);
        warp_sync();
        load_matrix4(back, row);
        for (int m = 0; m < 4; m++)
            if (back[m] != r[m]) simt_fail("register %d is %x, not %x", m, back[m], r[m]);
        /* matrix 2, row 3: the second chunk of tile row 3, from lanes 12 to 15 */
        uint16_t bits = tile[tile_at(3, 1) + 5].bits;
        if (threadIdx.x == 0 && bits != 14 * 4 + 2 + 1000) simt_fail("element 5 of matrix 2, row 3");
    }, &report), "%s", report.c_str());
}

/* ---- mistakes ---------------------------------------------------------------------------------------------------- */

enum mistake { NONE, NO_FENCE, NO_FENCE_AGAIN, NO_COMMIT, NO_WAIT, EARLY, WARPS_DIFFER, LANES_DIFFER, FEWER, NOT_SHARED,
               NO_SWIZZLE, NO_BARRIER, OTHER_SWIZZLE, WITHIN_PATTERN, NOT_NAMED, TOUCHED };

/* d = a b^T, 64 x 64 x 16, twice, with this mistake; false: reported. *wrong: elements that differ. */
static bool product_with(mistake m, std::string *report, int *wrong)
{
    matrix a(64, 64), b(64, 64);
    std::vector<float> got(64 * 64);
    bool ran = grid_of(WARPGROUP, smem_bytes<bf16>(128 * 64), [&] {
        smem_cursor at = smem_open();
        bf16 *ta = smem_take<bf16>(at, 128 * 64, TILE_ALIGN), *tb = ta + 64 * 64;
        fill_tiles(ta, a);
        fill_tiles(tb, b, m != NO_SWIZZLE);
        block_sync();
        uint64_t ma = tile_matrix(ta), mb = tile_matrix(tb);
        if (m == WARPS_DIFFER && threadIdx.x >= 96) mb += 2;
        if (m == LANES_DIFFER && threadIdx.x == 17) mb += 2;
        if (m == NOT_SHARED) mb += 64 * 128 / 16;
        if (m == OTHER_SWIZZLE) mb ^= (uint64_t)3 << 62;
        if (m == WITHIN_PATTERN) mb = tile_matrix_at(mb, 128);
        float d[32], other[1];
        for (int turn = 0; turn < 2; turn++) {
            if (m == NOT_NAMED) wgmma_fence(other);
            else if (m != NO_FENCE && !(m == NO_FENCE_AGAIN && turn)) wgmma_fence(d);
            if (m == TOUCHED) d[5] = 1;
            if (turn && (m == NOT_NAMED || m == TOUCHED)) wgmma<true, K_MAJOR, K_MAJOR>(d, ma, mb);
            else if (m != FEWER || threadIdx.x < 96 || turn == 0) wgmma<false, K_MAJOR, K_MAJOR>(d, ma, mb);
            if (m != NO_COMMIT) wgmma_commit();
            if (m == EARLY) take_result(d, &got);
            if (m != NO_WAIT) wgmma_wait<0>(d);
        }
        if (m != EARLY) take_result(d, &got);
        if (m == NO_BARRIER) /* the other warps may not be so far */
            for (int i = (int)threadIdx.x % WARP; i < 64 * 64; i += WARP) tb[i] = from_float<bf16>(9);
    }, report);
    *wrong = 0;
    for (int row = 0; ran && row < 64; row++)
        for (int col = 0; col < 64; col++) {
            float want = 0;
            for (int k = 0; k < 16; k++) want += a.at(row, k) * b.at(col, k);
            *wrong += !(got[(size_t)row * 64 + col] == want);
        }
    return ran;
}

static void reported(mistake m, const char *part)
{
    std::string report;
    int wrong;
    CHECK_MSG(!product_with(m, &report, &wrong), "mistake %d is not reported", m);
    CHECK_MSG(report.find(part) != std::string::npos, "mistake %d: expected \"%s\", got \"%s\"", m, part,
              report.c_str());
}

TEST(mistakes_are_reported)
{
    std::string report;
    int wrong;
    CHECK_MSG(product_with(NONE, &report, &wrong) && !wrong, "%s, %d wrong", report.c_str(), wrong);
    reported(NO_FENCE, "without a wgmma_fence");
    reported(NO_FENCE_AGAIN, "without a wgmma_fence");
    reported(NO_COMMIT, "that no wgmma_wait covers");
    reported(NO_WAIT, "that no wgmma_wait covers");
    reported(WARPS_DIFFER, "another product");
    reported(LANES_DIFFER, "lanes 0 and 17");
    reported(FEWER, "after 1 products");
    reported(NOT_SHARED, "in nothing taken");
    reported(OTHER_SWIZZLE, "swizzle code 2");
    reported(WITHIN_PATTERN, "in row 1 of a pattern");
    reported(NOT_NAMED, "accumulators were touched");
    reported(TOUCHED, "accumulators were touched");
    const mistake_in none = [](float (&)[32], uint32_t (&)[4]) {};
    CHECK(!from_registers("", none, &report, [](float (&)[32], uint32_t (&a)[4]) { a[1]++; }));
    CHECK_MSG(report.find("operand a's registers were touched") != std::string::npos, "%s", report.c_str());
    CHECK(!from_registers("", none, &report, none, false));
    CHECK_MSG(report.find("operand a's registers were touched") != std::string::npos, "%s", report.c_str());
    CHECK(!from_registers("", [](float (&d)[32], uint32_t (&)[4]) { d[3] = 0; }, &report));
    CHECK_MSG(report.find("accumulators were written") != std::string::npos, "%s", report.c_str());
    CHECK(!from_registers("", [](float (&)[32], uint32_t (&a)[4]) { a[3]++; }, &report));
    CHECK_MSG(report.find("registers of operand a") != std::string::npos, "%s", report.c_str());
}

TEST(mistakes_show_in_results)
{
    std::string report;
    int wrong;
    CHECK_MSG(product_with(NO_SWIZZLE, &report, &wrong) && wrong, "%s, %d wrong", report.c_str(), wrong);
    CHECK_MSG(product_with(EARLY, &report, &wrong) && wrong == 64 * 64, "%s, %d wrong", report.c_str(), wrong);
}

/* How many elements of d are NaN, its operand b by copies or stmatrix, with and without the fence between writer and
 * barrier. */
static int unseen(bool copied, bool fences, std::string *report)
{
    alignas(16) static bf16 from[64 * 64];
    std::vector<float> got(64 * 64);
    bool ran = grid_of(WARPGROUP, smem_bytes<bf16>(128 * 64), [&] {
        smem_cursor at = smem_open();
        bf16 *ta = smem_take<bf16>(at, 128 * 64, TILE_ALIGN), *tb = ta + 64 * 64;
        for (int i = (int)threadIdx.x; i < 64 * 64; i += WARPGROUP) ta[i] = from_float<bf16>(1);
        for (int i = (int)threadIdx.x; copied && i < 64 * 8; i += WARPGROUP) copy_async(tb + i * 8, from + i * 8);
        const uint32_t zeros[4] = {0, 0, 0, 0};
        for (int i = 0; !copied && i < 4; i++) store_matrix4(tb + (threadIdx.x + 128 * i) * 8, zeros);
        copy_commit();
        copy_wait<0>();
        if (fences) fence_proxy_async();
        block_sync();
        float d[32];
        wgmma_fence(d);
        wgmma<false, K_MAJOR, K_MAJOR>(d, tile_matrix(ta), tile_matrix(tb));
        wgmma_commit();
        wgmma_wait<0>(d);
        take_result(d, &got);
    }, report);
    int n = 0;
    for (float f : got) n += isnan(f);
    return ran ? n : -1;
}

TEST(missing_proxy_fence_shows)
{
    std::string report;
    for (bool copied : {true, false}) {
        CHECK_MSG(unseen(copied, true, &report) == 0, "%d: %s", copied, report.c_str());
        CHECK_MSG(unseen(copied, false, &report) == 64 * 64, "%d: %s", copied, report.c_str());
    }
}

TEST(operand_a_cannot_be_read_in_flight)
{
    std::string report;
    int not_numbers = 0;
    bool ran = from_registers("", [&](float (&)[32], uint32_t (&a)[4]) {
        for (uint32_t pair : a) not_numbers += (pair & 0x7FFF) > 0x7F80 && (pair >> 16 & 0x7FFF) > 0x7F80;
    }, &report);
    CHECK_MSG(ran && not_numbers == 4 * WARPGROUP, "%s, %d are NaN", report.c_str(), not_numbers);
}

TEST(missing_barrier_depends_on_the_seed)
{
    const char *was = getenv("SIMT_SEED");
    std::string kept = was ? was : "", report;
    int seeds = 0, wrong;
    for (int seed = 1; seed <= 20; seed++) {
        setenv("SIMT_SEED", std::to_string(seed).c_str(), 1);
        CHECK_MSG(product_with(NO_BARRIER, &report, &wrong), "%s", report.c_str());
        seeds += wrong > 0;
    }
    if (was) setenv("SIMT_SEED", kept.c_str(), 1);
    else unsetenv("SIMT_SEED");
    CHECK_MSG(seeds > 5, "%d of 20 seeds show it", seeds);
}

int main()
{
    srand(1);
    RUN(both_k_major);
    RUN(both_mn_major);
    RUN(a_from_registers);
    RUN(accumulators_are_packed_in_place);
    RUN(store_matrix_is_the_inverse_of_load_matrix);
    RUN(mistakes_are_reported);
    RUN(mistakes_show_in_results);
    RUN(missing_proxy_fence_shows);
    RUN(operand_a_cannot_be_read_in_flight);
    RUN(missing_barrier_depends_on_the_seed);
    TEST_END();
}
