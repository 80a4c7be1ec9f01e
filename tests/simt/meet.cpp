/* meet.cpp - barriers, and collectives of a warp or of several. */
#include "engine.h"

#include <stdlib.h>

/* A collective that has begun and lacks threads. */
struct meeting {
    const char *what;
    int first, n, wanted, came;
    uint32_t mask;
    size_t shape;
};

struct barrier {
    int wanted, came;
    int who[MAX_THREADS];
};

enum { BARRIERS = 16, MEETINGS = WARP_LANES }; /* in one warp: at most one a lane */

static barrier barriers[BARRIERS];
static meeting meetings[MAX_WARPS][MEETINGS]; /* by the first thread's warp */
static int begun[MAX_WARPS];

void meetings_begin()
{
    for (barrier &b : barriers) b.came = 0;
    memset(begun, 0, sizeof begun);
}

static void wait_at(const char *what, uint32_t number, int wanted)
{
    thread *t = the_block.now;
    t->state = THREAD_WAITS;
    t->waits = what;
    t->number = number;
    t->wanted = wanted;
    thread_wait();
}

void simt_barrier(int id, int threads)
{
    if (id == 0 && threads == 0) threads = the_block.threads;
    if (id < 0 || id >= BARRIERS) simt_fail("barrier %d: ids are 0 to 15", id);
    if (threads <= 0 || threads > the_block.threads) simt_fail("barrier %d of %d threads", id, threads);
    if (threads % WARP_LANES && threads != the_block.threads)
        simt_fail("barrier %d of %d threads, not whole warps", id, threads);
    barrier &b = barriers[id];
    if (b.came && b.wanted != threads)
        simt_fail("barrier %d of %d threads, where others wait for %d", id, threads, b.wanted);
    b.wanted = threads;
    if (b.came + 1 < threads) {
        b.who[b.came++] = simt_thread();
        wait_at("barrier", (uint32_t)id, threads);
        return;
    }
    simt_progress();
    int came = b.came;
    b.came = 0;
    threads_ready(b.who, came);
}

static void check_group(const char *what, int first, int n, uint32_t mask)
{
    int me = simt_thread();
    if (n < WARP_LANES || n % WARP_LANES || first < 0 || first % WARP_LANES)
        simt_fail("%s of %d threads from %d, not whole warps", what, n, first);
    if (me < first || me >= first + n)
        simt_fail("%s of threads %d-%d, of which it is none", what, first, first + n - 1);
    if (n == WARP_LANES) {
        if (!(mask >> (me - first) & 1)) simt_fail("%s with mask %#x, of which it is none", what, mask);
        int lanes = the_block.threads - first;
        if (lanes < WARP_LANES && mask >> lanes)
            simt_fail("%s with mask %#x in a warp of %d lanes", what, mask, lanes);
    } else if (first + n > the_block.threads) {
        simt_fail("%s of threads %d-%d in a block of %d", what, first, first + n - 1, the_block.threads);
    }
}

/* The meeting that the running thread joins: begun by others, or new. */
static meeting *find_meeting(const char *what, int first, int n, uint32_t mask, size_t shape)
{
    int warp = first / WARP_LANES;
    for (int i = 0; i < begun[warp]; i++) {
        meeting *m = &meetings[warp][i];
        if (m->n == n && m->mask == mask) {
            if ((m->what != what && strcmp(m->what, what)) || m->shape != shape)
                simt_fail("%s (%zu) where others wait in %s (%zu)", what, shape, m->what, m->shape);
            return m;
        }
        if (m->n != n || (m->mask & mask))
            simt_fail("%s with mask %#x where others wait in %s with mask %#x", what, mask, m->what, m->mask);
    }
    meeting *m = &meetings[warp][begun[warp]++];
    *m = {what, first, n, n == WARP_LANES ? __builtin_popcount(mask) : n, 0, mask, shape};
    return m;
}

void simt_meet(const char *what, int first, int n, uint32_t mask, size_t shape, void *mine, simt_action act)
{
    check_group(what, first, n, mask);
    meeting *m = find_meeting(what, first, n, mask, shape);
    the_block.now->mine = mine;
    if (++m->came < m->wanted) {
        wait_at(what, mask, m->wanted);
        return;
    }
    *m = meetings[first / WARP_LANES][--begun[first / WARP_LANES]];
    simt_progress();
    static void *all[MAX_THREADS]; /* static: the last thread's own stack is cold */
    static int list[MAX_THREADS];
    int others = 0, me = simt_thread();
    for (int i = 0; i < n; i++) {
        bool in = n > WARP_LANES || (mask >> i & 1);
        all[i] = in ? the_block.all[first + i].mine : NULL;
        if (in && first + i != me) list[others++] = first + i;
    }
    if (act) act(all, n);
    threads_ready(list, others);
}

/* ---- exchanges --------------------------------------------------------------------------------------------------- */

struct exchange {
    const void *mine;
    void *all;
    size_t bytes;
};

static void exchange_all(void *const *who, int n)
{
    static std::vector<unsigned char> table;
    size_t bytes = 0;
    for (int i = 0; i < n; i++)
        if (who[i]) bytes = ((const exchange *)who[i])->bytes;
    table.assign((size_t)n * bytes, 0xFF);
    for (int i = 0; i < n; i++)
        if (who[i] && bytes) memcpy(table.data() + i * bytes, ((const exchange *)who[i])->mine, bytes);
    for (int i = 0; i < n; i++) {
        void *all = who[i] ? ((const exchange *)who[i])->all : NULL;
        if (all) memcpy(all, table.data(), table.size());
    }
}

void simt_exchange(uint32_t mask, const void *mine, size_t bytes, void *all)
{
    exchange e = {mine, all, bytes};
    int first = simt_thread() / WARP_LANES * WARP_LANES;
    simt_meet("warp exchange", first, WARP_LANES, mask, bytes, &e, bytes ? exchange_all : NULL);
}

void simt_group_exchange(int first, int n, const void *mine, size_t bytes, void *all)
{
    exchange e = {mine, all, bytes};
    simt_meet("group exchange", first, n, 0xFFFFFFFFu, bytes, &e, bytes ? exchange_all : NULL);
}

void simt_yield(const char *what)
{
    the_block.now->waits = what;
    thread_yield();
}
