/* piece_test.cpp - every element of [samples, each] is one thread's, whichever way the grid is laid out. */
#include "cuda.cuh"
#include "piece.cuh"

#include <string>
#include <vector>

#include "test.h"

static const int samples = 3, each = 2 * PIECE_BLOCK + 5;

/* How many elements are not taken exactly once, by a piece of their own sample. */
static int wrong_of(dim3 grid)
{
    std::vector<int> taken(samples * each);
    std::string report;
    bool ran = simt_run_grid(grid, dim3(PIECE_THREADS), 0, [&] {
        piece p = piece_of(each);
        for (int i = 0; i < p.n; i++) taken[(size_t)(p.sample * each + p.in_sample + i)]++;
        if (p.n > 0 && (p.at != p.sample * each + p.in_sample || (p.whole && p.at % PIECE))) taken[0] = -1;
    }, &report);
    int wrong = !ran;
    for (int t : taken) wrong += t != 1;
    return wrong;
}

TEST(each_element_once)
{
    CHECK_EQ(wrong_of(piece_grid(samples, each)), 0);
    CHECK_EQ(wrong_of(dim3(samples * 3)), 0); /* as of more samples than a grid has rows */
}

TEST(grids)
{
    dim3 few = piece_grid(PIECE_ROWS, each), many = piece_grid(PIECE_ROWS + 1, each);
    CHECK(few.x == 3 && few.y == PIECE_ROWS);
    CHECK(many.x == 3 * (PIECE_ROWS + 1) && many.y == 1);
}

int main()
{
    RUN(each_element_once);
    RUN(grids);
    TEST_END();
}
