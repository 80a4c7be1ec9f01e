#include "base/pool.h"

#include <time.h>

#include "base/alloc.h"
#include "test.h"

enum { TASKS = 100 };

typedef struct job {
    int threads, round;
    int ran[TASKS]; /* plain ints: ThreadSanitizer sees any task that two workers take, or that is not waited for */
    int worker[TASKS];
} job;

static void count_task(void *arg, int task, int worker)
{
    job *j = arg;
    j->ran[task] += j->round;
    j->worker[task] = worker;
}

TEST(every_task_once)
{
    for (int threads = 1; threads <= 8; threads++) {
        vt_pool *pool;
        CHECK_OK(vt_pool_create(&pool, threads));
        CHECK_EQ(vt_pool_threads(pool), threads);
        job j = {.threads = threads};
        for (int round = 1; round <= 300; round++) {
            int tasks = round % (TASKS + 1), wrong = 0;
            j.round = round;
            memset(j.ran, 0, sizeof j.ran);
            vt_pool_run(pool, tasks, count_task, &j);
            for (int t = 0; t < TASKS; t++) {
                wrong += j.ran[t] != (t < tasks ? round : 0);
                wrong += t < tasks && (j.worker[t] < 0 || j.worker[t] >= threads);
            }
            CHECK_MSG(wrong == 0, "%d threads, round %d: %d tasks", threads, round, wrong);
        }
        vt_pool_destroy(pool);
    }
}

/* Long enough a pause for the workers to go to sleep. */
TEST(sleeping_workers_wake)
{
    vt_pool *pool;
    job j = {.round = 1};
    CHECK_OK(vt_pool_create(&pool, 4));
    for (int i = 0; i < 5; i++) {
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
        vt_pool_run(pool, TASKS, count_task, &j);
    }
    for (int t = 0; t < TASKS; t++) CHECK_EQ(j.ran[t], 5);
    vt_pool_destroy(pool);
}

TEST(unused_pools_end)
{
    for (int i = 0; i < 50; i++) {
        vt_pool *pool;
        CHECK_OK(vt_pool_create(&pool, 1 + i % 8));
        vt_pool_destroy(pool);
    }
    vt_pool_destroy(NULL);
}

TEST(default_threads)
{
    setenv("OMP_NUM_THREADS", "3", 1);
    CHECK_EQ(vt_pool_default_threads(), 3);
    setenv("OMP_NUM_THREADS", "many", 1);
    CHECK(vt_pool_default_threads() >= 1);
    unsetenv("OMP_NUM_THREADS");
    CHECK(vt_pool_default_threads() >= 1);
}

TEST(memory_running_out)
{
#ifdef VT_TEST_ALLOC
    long live = vt_alloc_live();
    for (int n = 1; n <= 2; n++) {
        vt_pool *pool;
        vt_alloc_fail_at(n, 1);
        CHECK_FAILS(vt_pool_create(&pool, 4), VT_NO_MEMORY, "thread pool");
        vt_alloc_fail_at(0, 0);
        CHECK(pool == NULL);
        CHECK_EQ(vt_alloc_live(), live);
    }
#endif
}

int main(void)
{
    RUN(every_task_once);
    RUN(sleeping_workers_wake);
    RUN(unused_pools_end);
    RUN(default_threads);
    RUN(memory_running_out);
    TEST_END();
}
