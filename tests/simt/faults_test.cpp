/* Planted mistakes: each is caught, with a report that names it, as a wrong or NaN result, or by AddressSanitizer. */
#include <simt.h>

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sanitizers.h"
#include "seeds.h"

enum { OUT = 1024 };
#ifdef SIMT_ASAN
static const bool asan = true;
extern "C" const char *__asan_default_options() { return "symbolize=0"; } /* children die fast */
#else
static const bool asan = false;
#endif

/* What a grid left, in this process or in a child: AddressSanitizer ends the process. */
static struct outcome {
    bool ran;               /* to its end, or to a report; else the child died */
    bool ok;
    char report[1024];
    float out[OUT];
} *result;

static void run_here(int seed, dim3 grid, dim3 block, size_t smem, const std::function<void()> &kernel)
{
    std::string report;
    set_seed(seed);
    memset(result, 0, sizeof *result);
    result->ok = simt_run_grid(grid, block, smem, kernel, &report);
    snprintf(result->report, sizeof result->report, "%s", report.c_str());
    result->ran = true;
}

static void run_apart(int seed, dim3 grid, dim3 block, size_t smem, const std::function<void()> &kernel)
{
    memset(result, 0, sizeof *result);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        if (asan && !freopen("/dev/null", "w", stderr)) _exit(2);
        run_here(seed, grid, block, smem, kernel);
        _exit(0);
    }
    int status;
    if (child < 0 || waitpid(child, &status, 0) != child) abort();
}

/* Each seed ends with a report that contains `part`. */
static void reported(const char *part, dim3 grid, dim3 block, size_t smem, const std::function<void()> &kernel)
{
    for (int seed = 0; seed < SEEDS; seed++) {
        run_here(seed, grid, block, smem, kernel);
        CHECK_MSG(result->ran && !result->ok && strstr(result->report, part), "seed %d: expected \"%s\", got \"%s\"",
                  seed, part, result->report);
    }
}

/* Without AddressSanitizer the grid ends with out[0 .. n) NaN, or a report of `part`; under it the process dies. */
static void poisoned(int n, const char *part, dim3 grid, dim3 block, size_t smem, const std::function<void()> &kernel)
{
    for (int seed = 0; seed < SEEDS; seed++) {
        run_apart(seed, grid, block, smem, kernel);
        if (asan) {
            CHECK_MSG(!result->ran, "seed %d: not seen by AddressSanitizer", seed);
        } else if (part) {
            CHECK_MSG(result->ran && strstr(result->report, part), "seed %d: expected \"%s\", got \"%s\"", seed, part,
                      result->report);
        } else {
            CHECK_MSG(result->ran && result->ok, "seed %d: %s", seed, result->report);
            for (int i = 0; i < n; i++)
                CHECK_MSG(isnan(result->out[i]), "seed %d: out[%d] is %g", seed, i, result->out[i]);
        }
    }
}

/* out[i] = want(i) holds in thread order (seed 0) and breaks with all other seeds. */
static void varies(int n, float (*want)(int i), size_t smem, const std::function<void()> &kernel)
{
    for (int seed = 0; seed < SEEDS; seed++) {
        run_here(seed, 1, (unsigned)n, smem, kernel);
        CHECK_MSG(result->ok, "seed %d: %s", seed, result->report);
        int wrong = 0;
        for (int i = 0; i < n; i++) wrong += !(result->out[i] == want(i));
        CHECK_MSG((wrong > 0) == (seed > 0), "seed %d: %d wrong", seed, wrong);
    }
}

static float *take_one(size_t n)
{
    simt_cursor at = simt_smem_open();
    return take<float>(at, n);
}

static int me()
{
    return (int)threadIdx.x;
}

/* ---- order ------------------------------------------------------------------------------------------------------- */

TEST(missing_barrier_after_a_write)
{
    varies(256, [](int i) { return i ? i - 1.0f : 0.0f; }, 1024, [] {
        float *all = take_one(256);
        all[me()] = (float)me();
        result->out[me()] = all[me() ? me() - 1 : 0];
    });
}

TEST(missing_barrier_before_the_next_write)
{
    varies(128, [](int) { return 0.0f; }, 512, [] {
        float *all = take_one(128);
        for (int round = 0; round < 2; round++) {
            all[me()] = (float)(me() + round * 128);
            simt_barrier(0, 0); /* thread 127 comes last in thread order, and goes on at once: its own is not read */
            int from = me() < 126 ? me() + 1 : 126;
            result->out[me()] += all[from] != (float)(from + round * 128);
        }
    });
}

TEST(missing_warp_sync)
{
    varies(32, [](int i) { return i == 0 || i == 31 ? (float)i : i - 1.0f; }, 128, [] {
        float *all = take_one(32);
        simt_exchange(FULL, NULL, 0, NULL); /* lane 31 comes last in thread order, and goes on at once */
        all[me()] = (float)me();
        result->out[me()] = all[me() == 0 || me() == 31 ? me() : me() - 1];
    });
}

/* ---- shared memory ----------------------------------------------------------------------------------------------- */

TEST(write_past_the_end)
{
    poisoned(0, "written 0 bytes past take 0", 2, 64, 1024, [] {
        simt_cursor at = simt_smem_open();
        float *first = take<float>(at, 64), *second = take<float>(at, 64);
        first[me() + 1] = second[me()] = 0;
    });
}

TEST(write_before_the_start)
{
    poisoned(0, "written 4 bytes before take 0", 2, 64, 256, [] {
        float *all = take_one(64);
        (all - 1)[me()] = 0;
    });
}

TEST(write_past_the_last)
{
    poisoned(0, "written 4 bytes past take 1", 2, 64, 512, [] {
        simt_cursor at = simt_smem_open();
        take<float>(at, 64);
        take<float>(at, 64)[me() + 2 * (me() == 63)] = 0;
    });
}

TEST(never_written)
{
    for (int seed = 0; seed < SEEDS; seed++) { /* the second block finds nothing of the first */
        run_here(seed, 2, 64, 256, [] {
            float *all = take_one(64);
            result->out[blockIdx.x * 64 + threadIdx.x] = all[me()];
            simt_barrier(0, 0);
            all[me()] = 1;
        });
        CHECK(result->ok);
        for (int i = 0; i < 128; i++) CHECK_MSG(isnan(result->out[i]), "out[%d] is %g", i, result->out[i]);
    }
}

TEST(more_than_the_launch_gives)
{
    reported("the launch gave 256", 1, 64, 256, [] {
        simt_cursor at = simt_smem_open();
        take<float>(at, 61); /* 244 bytes, rounded to 256 */
        take<float>(at, 1);
    });
    reported("shared memory", 1, 64, 228 * 1024, [] {});
}

TEST(takes_that_differ)
{
    reported("others took", 1, 64, 1024, [] { take_one(me() < 32 ? 64 : 60); });
    reported("not aligned to 1024", 1, 64, 4096, [] {
        simt_cursor at = simt_smem_open();
        take<float>(at, 64);
        simt_smem_take(at, 1024, 1024);
    });
}

TEST(addresses_outside)
{
    static float global[4];
    reported("not in shared memory", 1, 32, 64, [] { simt_smem_address(global); });
    reported("in nothing taken", 1, 32, 64, [] {
        take_one(4);
        simt_smem_pointer(16);
    });
}

/* ---- alignment --------------------------------------------------------------------------------------------------- */

TEST(misaligned_vector)
{
    alignas(16) static float global[64];
    reported("thread 3: ", 1, 4, 0, [] { simt_aligned(global + me() * 4 + (me() == 3), 16); });
    reported("not aligned to 16", 1, 32, 1024, [] {
        uint32_t r[4];
        simt_load_matrix(r, 4, take_one(256) + 4 * me() + 2, false);
    });
    reported("not aligned to 16", 1, 32, 1024, [] { simt_copy_async(take_one(256), global + 1, true); });
    reported("not aligned to 16", 1, 32, 1024, [] { simt_copy_async(take_one(256) + 1, global, true); });
}

/* ---- asynchronous copies ----------------------------------------------------------------------------------------- */

alignas(16) static float source[256];

TEST(copy_never_waited_for)
{
    reported("asynchronous copies in flight", 1, 32, 512, [] {
        simt_copy_async(take_one(128) + 4 * me(), source, true);
        simt_copy_commit();
    });
    reported("asynchronous copies in flight", 1, 32, 512, [] { /* in no group */
        simt_copy_async(take_one(128) + 4 * me(), source, true);
        simt_copy_wait(0);
    });
}

TEST(copy_read_too_early)
{
    poisoned(32, NULL, 1, 32, 1024, [] {
        float *first = take_one(256) + 4 * me(), *second = first + 128;
        simt_copy_async(first, source, true);
        simt_copy_commit();
        simt_copy_async(second, source, true);
        simt_copy_commit();
        simt_copy_wait(1);
        result->out[me()] = first[0] + second[3]; /* the first has landed */
        simt_copy_wait(0);
    });
}

TEST(copy_over_what_others_read)
{
    poisoned(1, NULL, 1, 64, 1024, [] {
        float *all = take_one(256);
        if (me() == 0) all[0] = 1;
        simt_barrier(0, 0);
        if (me() == 1) simt_copy_async(all, source, true);
        simt_copy_commit();
        simt_barrier(0, 0);
        if (me() == 0) result->out[0] = all[0];
        simt_barrier(0, 0);
        simt_copy_wait(0);
    });
}

TEST(ldmatrix_from_global_memory)
{
    reported("ldmatrix from", 1, 32, 512, [] {
        uint32_t r[4];
        simt_load_matrix(r, 4, me() == 9 ? source : take_one(128), false);
    });
}

TEST(copy_into_global_memory)
{
    reported("not in shared memory", 1, 32, 512, [] { simt_copy_async(source, source + 4, true); });
}

TEST(source_is_read_at_issue_or_at_landing)
{
    int early = 0;
    for (int seed = 1; seed <= 32; seed++) {
        run_here(seed, 1, 1, 16, [] {
            alignas(16) static float from[4];
            float *to = take_one(4);
            from[2] = 1;
            simt_copy_async(to, from, true);
            simt_copy_commit();
            from[2] = 2;
            simt_copy_wait(0);
            result->out[0] = to[2];
        });
        CHECK(result->out[0] == 1 || result->out[0] == 2);
        early += result->out[0] == 1;
    }
    CHECK_MSG(early > 4 && early < 28, "%d of 32", early);
}

TEST(written_after_it_was_read_once)
{
    alignas(16) static float global[4];
    reported("what the grid writes", 4, 1, 0, [] { simt_read_once(global), global[3] += 1; });
}

/* ---- waiting for those who do not come --------------------------------------------------------------------------- */

TEST(divergent_barrier)
{
    reported("deadlock: threads 0-15 at barrier 0 of 64; threads 16-63 returned", 2, 64, 0, [] {
        if (me() < 16) simt_barrier(0, 0);
    });
    reported("deadlock: threads 0-31 at barrier 0x1 of 64; threads 32-63 at barrier 0x2 of 64", 2, 64, 0,
             [] { simt_barrier(me() < 32 ? 1 : 2, 64); });
    reported("threads, where others wait for", 1, 96, 0, [] { simt_barrier(1, me() < 32 ? 64 : 96); });
    reported("not whole warps", 1, 64, 0, [] { simt_barrier(1, 48); });
}

TEST(partial_warp_exchange)
{
    reported("threads 0-15 at warp exchange 0xffffffff of 32; threads 16-31 returned", 1, 32, 0, [] {
        float v = 0, all[LANES];
        if (me() < 16) simt_exchange(FULL, &v, sizeof v, all);
    });
    reported("threads 16-31 at barrier 0 of 32", 1, 32, 0, [] {
        float v = 0, all[LANES];
        if (me() < 16) simt_exchange(FULL, &v, sizeof v, all);
        else simt_barrier(0, 0);
    });
    reported("of which it is none", 1, 32, 0, [] { simt_exchange(0xFFFF, NULL, 0, NULL); });
    reported("where others wait in", 1, 32, 0, [] { simt_exchange(me() < 16 ? FULL : ~0xFFu, NULL, 0, NULL); });
    reported("where others wait in", 1, 32, 0, [] {
        float v[2] = {}, all[2 * LANES];
        simt_exchange(FULL, v, me() == 7 ? 8 : 4, all);
    });
    reported("where others wait in", 1, 32, 0, [] {
        uint32_t a[4] = {}, b[2] = {};
        float d[4] = {};
        if (me() == 7) simt_exchange(FULL, NULL, 0, NULL);
        else simt_mma_bf16(d, a, b);
    });
    reported("in a warp of 16 lanes", 1, 48, 0, [] { simt_exchange(FULL, NULL, 0, NULL); });
}

TEST(partial_group_exchange)
{
    reported("threads 0-99 at group exchange 0xffffffff of 128; threads 100-127 returned", 1, 128, 0, [] {
        if (me() < 100) simt_group_exchange(0, 128, NULL, 0, NULL);
    });
    reported("of which it is none", 1, 256, 0, [] { simt_group_exchange(0, 128, NULL, 0, NULL); });
    reported("in a block of 64", 1, 64, 0, [] { simt_group_exchange(0, 128, NULL, 0, NULL); });
}

TEST(spinning_for_ever)
{
    reported("thread 5 at barrier 0 of 64; threads 6-63 in mbarrier", 1, 64, 0, [] {
        if (me() == 5) simt_barrier(0, 0);
        while (me() != 5) simt_yield("mbarrier");
    });
}

TEST(launches_that_no_device_takes)
{
    reported("more than 1024 threads", 1, dim3(32, 33), 0, [] {});
    reported("empty", dim3(1, 0), 32, 0, [] {});
    reported("a grid too large", dim3(1, 65536), 32, 0, [] {});
}

int main()
{
    result = (outcome *)mmap(NULL, sizeof *result, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (result == MAP_FAILED) abort();
    RUN(missing_barrier_after_a_write);
    RUN(missing_barrier_before_the_next_write);
    RUN(missing_warp_sync);
    RUN(write_past_the_end);
    RUN(write_before_the_start);
    RUN(write_past_the_last);
    RUN(never_written);
    RUN(more_than_the_launch_gives);
    RUN(takes_that_differ);
    RUN(addresses_outside);
    RUN(misaligned_vector);
    RUN(copy_never_waited_for);
    RUN(copy_read_too_early);
    RUN(copy_over_what_others_read);
    RUN(ldmatrix_from_global_memory);
    RUN(copy_into_global_memory);
    RUN(source_is_read_at_issue_or_at_landing);
    RUN(written_after_it_was_read_once);
    RUN(divergent_barrier);
    RUN(partial_warp_exchange);
    RUN(partial_group_exchange);
    RUN(spinning_for_ever);
    RUN(launches_that_no_device_takes);
    TEST_END();
}
