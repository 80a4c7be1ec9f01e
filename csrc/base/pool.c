#define _GNU_SOURCE
#include "base/pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/alloc.h"

enum {
    MAX_THREADS = 256,
    SPINS = 4000, /* about 20 us: the gap between two ops of a step; then a worker sleeps */
};

typedef struct worker {
    struct vt_pool *pool;
    pthread_t thread;
    int index;
} worker;

struct vt_pool {
    int threads, started;
    worker *workers; /* [threads], 0 is the caller */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    _Atomic unsigned round;  /* a new value announces a run */
    _Atomic int sleepers, running, quit;
    _Atomic int next;        /* the next task to take */
    int tasks;
    vt_task fn;
    void *arg;
};

static inline void pause_cpu(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

static void take_tasks(vt_pool *p, int index)
{
    for (int t; (t = atomic_fetch_add(&p->next, 1)) < p->tasks;) p->fn(p->arg, t, index);
}

static unsigned wait_for_round(vt_pool *p, unsigned seen)
{
    for (int i = 0; i < SPINS; i++) {
        unsigned now = atomic_load(&p->round);
        if (now != seen) return now;
        pause_cpu();
    }
    pthread_mutex_lock(&p->lock);
    p->sleepers++;
    while (atomic_load(&p->round) == seen) pthread_cond_wait(&p->wake, &p->lock);
    p->sleepers--;
    pthread_mutex_unlock(&p->lock);
    return atomic_load(&p->round);
}

static void *worker_main(void *arg)
{
    worker *w = arg;
    vt_pool *p = w->pool;
    for (unsigned seen = 0;;) {
        seen = wait_for_round(p, seen);
        if (p->quit) return NULL;
        take_tasks(p, w->index);
        atomic_fetch_sub(&p->running, 1);
    }
}

static void announce(vt_pool *p)
{
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add(&p->round, 1);
    if (p->sleepers) pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
}

void vt_pool_run(vt_pool *p, int tasks, vt_task fn, void *arg)
{
    if (tasks <= 1 || p->started <= 1) {
        for (int t = 0; t < tasks; t++) fn(arg, t, 0);
        return;
    }
    p->fn = fn;
    p->arg = arg;
    p->tasks = tasks;
    p->next = 0;
    p->running = p->started - 1;
    announce(p);
    take_tasks(p, 0);
    /* A worker that has not left take_tasks may still read p->fn. On an overfull machine it may be off the processor.
     * */
    for (int i = 0; atomic_load(&p->running) > 0; i++) {
        if (i < SPINS) pause_cpu();
        else sched_yield();
    }
}

int vt_pool_default_threads(void)
{
    const char *env = getenv("OMP_NUM_THREADS");
    int n = env ? atoi(env) : 0;
#ifdef __linux__
    cpu_set_t set;
    if (n <= 0 && sched_getaffinity(0, sizeof set, &set) == 0) n = CPU_COUNT(&set);
#endif
    return n <= 0 ? 1 : n > MAX_THREADS ? MAX_THREADS : n;
}

int vt_pool_threads(const vt_pool *p)
{
    return p->threads;
}

vt_status vt_pool_create(vt_pool **pool, int threads)
{
    *pool = NULL;
    if (threads <= 0) threads = vt_pool_default_threads();
    if (threads > MAX_THREADS) threads = MAX_THREADS;
    vt_pool *p = vt_alloc(sizeof *p);
    worker *workers = vt_alloc((size_t)threads * sizeof *workers);
    if (!p || !workers) {
        vt_free(p);
        vt_free(workers);
        return vt_fail_memory("thread pool");
    }
    p->workers = workers;
    p->threads = threads;
    p->started = 1;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    for (int i = 1; i < threads; i++) {
        p->workers[i] = (worker){.pool = p, .index = i};
        if (pthread_create(&p->workers[i].thread, NULL, worker_main, &p->workers[i])) {
            vt_pool_destroy(p);
            return vt_fail(VT_FAILED, "cannot start thread %d of %d: lower the number of threads", i + 1, threads);
        }
        p->started++;
    }
    *pool = p;
    return VT_OK;
}

void vt_pool_destroy(vt_pool *p)
{
    if (!p) return;
    p->quit = 1;
    announce(p);
    for (int i = 1; i < p->started; i++) pthread_join(p->workers[i].thread, NULL);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    vt_free(p->workers);
    vt_free(p);
}
