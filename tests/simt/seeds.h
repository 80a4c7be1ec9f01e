/* seeds.h - tests of the simulator: a kernel run with every seed. */
#ifndef VT_SIMT_SEEDS_H
#define VT_SIMT_SEEDS_H

#include <simt.h>

#include "test.h"

enum { SEEDS = 12, LANES = 32 };
static const uint32_t FULL = 0xFFFFFFFFu;

static inline void set_seed(int seed)
{
    char text[16];
    snprintf(text, sizeof text, "%d", seed);
    setenv("SIMT_SEED", text, 1);
}

/* True where the grid ran to its end with each seed and `good` holds after each. */
static inline void run_all(dim3 grid, dim3 block, size_t smem, const std::function<void()> &kernel,
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

#endif
