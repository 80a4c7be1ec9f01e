/* engine.cpp - grids, blocks, and which thread runs next.
 *
 * A thread gets a fiber when it starts. One that returns without having waited leaves its fiber to the next one that
 * starts, so a block without barriers runs on a single stack, without a switch. */
#include "engine.h"

#include <simt_hopper.h>

#include <cxxabi.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <mutex>

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;
block the_block;

enum { RING = 2 * MAX_THREADS, PATIENCE = 64 };

static struct {
    const std::function<void()> *kernel;
    uint64_t seed;
    bool ordered;               /* seed 0 */
    int ahead;                  /* threads made ready go before the others: never, always, or drawn each time */
    uint64_t draws;
    std::string failure;
    int ready[RING];            /* threads, in the order in which they go on: a ring */
    unsigned first, end;
    int idle_yields;
    std::vector<fiber *> fibers, idle;
    fiber *home, *running;
} engine;

/* ---- draws ------------------------------------------------------------------------------------------------------- */

uint64_t simt_random() /* splitmix64 */
{
    uint64_t z = engine.draws += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

uint32_t random_below(uint32_t n)
{
    return engine.ordered ? 0 : (uint32_t)((simt_random() >> 32) * n >> 32);
}

void shuffle(int *list, int n)
{
    if (engine.ordered) return;
    for (int i = n - 1; i > 0; i--) {
        int j = (int)random_below((uint32_t)i + 1), at_i = list[i];
        list[i] = list[j];
        list[j] = at_i;
    }
}

/* ---- who runs ---------------------------------------------------------------------------------------------------- */

int simt_index_of(const thread *t)
{
    return (int)(t - the_block.all);
}

int simt_thread()
{
    return simt_index_of(the_block.now);
}

static void run(thread *t)
{
    t->waits = NULL;
    the_block.now = t;
    threadIdx = t->index;
}

static void go_to(fiber *f)
{
    fiber *from = engine.running;
    engine.running = f;
    if (f != from) fiber_switch(from, f);
}

static void fiber_body();

static fiber *take_fiber()
{
    if (engine.idle.empty()) {
        engine.fibers.push_back(fiber_new(fiber_body));
        return engine.fibers.back();
    }
    fiber *f = engine.idle.back();
    engine.idle.pop_back();
    return f;
}

static thread *next_ready() /* NULL: none */
{
    if (engine.first == engine.end) return NULL;
    return &the_block.all[engine.ready[engine.first++ % RING]];
}

static void leave_for(thread *t)
{
    if (!t) {
        go_to(engine.home);
        return;
    }
    if (!t->on) t->on = take_fiber();
    run(t);
    go_to(t->on);
}

/* What every fiber does: its thread, then whoever is next; where that one has a fiber already, this one rests. */
static void fiber_body()
{
    for (;;) {
        thread *t = the_block.now;
        engine.idle_yields = 0;
        (*engine.kernel)();
        copies_end(t);
        simt_hopper_end(simt_index_of(t));
        t->state = THREAD_RETURNED;
        the_block.returned++;
        thread *next = next_ready();
        if (next && !next->on) {
            next->on = engine.running;
            run(next);
            continue;
        }
        engine.idle.push_back(engine.running);
        leave_for(next);
    }
}

void thread_wait()
{
    engine.idle_yields = 0;
    leave_for(next_ready());
}

void thread_yield()
{
    if (engine.idle_yields++ > PATIENCE * the_block.threads) {
        static std::string who; /* simt_fail does not return: nothing may be owned by this frame */
        who = describe_threads();
        simt_fail("deadlock: %s", who.c_str());
    }
    engine.ready[engine.end++ % RING] = simt_thread();
    leave_for(next_ready());
}

void simt_progress()
{
    engine.idle_yields = 0;
}

/* Before all others that are ready, so that warps drift apart as far as they can; or behind, in step. */
void threads_ready(int *list, int n)
{
    shuffle(list, n);
    bool before = engine.ahead < 2 ? engine.ahead : random_below(2) != 0;
    for (int i = 0; i < n; i++) {
        the_block.all[list[i]].state = THREAD_READY;
        engine.ready[(before ? --engine.first : engine.end++) % RING] = list[i];
    }
}

/* ---- reports ----------------------------------------------------------------------------------------------------- */

static std::string state_of(const thread *t)
{
    char text[160];
    if (t->state == THREAD_RETURNED) return "returned";
    if (!t->waits) return "running";
    if (t->state == THREAD_READY) return std::string("in ") + t->waits;
    snprintf(text, sizeof text, "at %s %#x of %d", t->waits, t->number, t->wanted);
    return text;
}

std::string describe_threads()
{
    std::string said;
    for (int i = 0, next; i < the_block.threads; i = next) {
        std::string state = state_of(&the_block.all[i]);
        for (next = i + 1; next < the_block.threads && state_of(&the_block.all[next]) == state;) next++;
        char range[64];
        snprintf(range, sizeof range, next > i + 1 ? "%sthreads %d-%d " : "%sthread %d ", i ? "; " : "", i, next - 1);
        said += range + state;
        if (said.size() > 600) return said + "; ...";
    }
    return said;
}

static void keep_failure(const std::string &what, const thread *t)
{
    char where[128];
    int n = snprintf(where, sizeof where, "block (%u, %u, %u)", blockIdx.x, blockIdx.y, blockIdx.z);
    if (t) snprintf(where + n, sizeof where - n, ", thread %d", simt_index_of(t));
    engine.failure = std::string(where) + ": " + what;
}

void simt_fail(const char *format, ...)
{
    char what[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    if (!the_block.now) {
        fprintf(stderr, "simt: outside a kernel: %s\n", what);
        abort();
    }
    keep_failure(what, the_block.now);
    go_to(engine.home);
    abort();
}

/* The launch's lambda has the kernel's parameters in its type; names of functions are not kept at run time. */
static std::string kernel_signature()
{
    int status;
    char *name = abi::__cxa_demangle(engine.kernel->target_type().name(), NULL, NULL, &status);
    std::string text = name ? name : "kernel";
    free(name);
    size_t from = text.find("(void (*)("), to = text.find("), dim3");
    if (from == std::string::npos || to == std::string::npos) return text;
    return "kernel " + text.substr(from + 9, to - from - 8);
}

/* ---- grids ------------------------------------------------------------------------------------------------------- */

static void seed_grid()
{
    static uint64_t grids;
    const char *text = getenv("SIMT_SEED");
    engine.seed = text ? strtoull(text, NULL, 0) : 1;
    engine.ordered = engine.seed == 0;
    engine.draws = engine.seed * 0xD1342543DE82EF95u + grids++;
    engine.ahead = (int)random_below(3);
}

static void begin_block(dim3 shape)
{
    int order[MAX_THREADS], n = the_block.threads;
    the_block.returned = 0;
    for (int i = 0; i < n; i++) {
        thread *t = &the_block.all[i];
        unsigned u = (unsigned)i;
        t->index = {u % shape.x, u / shape.x % shape.y, u / (shape.x * shape.y)};
        t->on = NULL;
        t->waits = NULL;
        t->unfenced.clear();
        order[i] = i;
    }
    meetings_begin();
    simt_hopper_begin();
    engine.first = engine.end = RING;
    engine.idle_yields = 0;
    threads_ready(order, n);
}

static bool run_block(dim3 shape, size_t smem)
{
    smem_begin(smem);
    begin_block(shape);
    leave_for(next_ready());
    the_block.now = NULL;
    if (engine.failure.empty() && the_block.returned < the_block.threads)
        keep_failure("deadlock: " + describe_threads(), NULL);
    if (engine.failure.empty()) {
        const char *overrun = smem_end();
        if (overrun) keep_failure(overrun, NULL);
    }
    if (engine.failure.empty()) return true;
    engine.idle = engine.fibers;
    for (fiber *f : engine.fibers) fiber_reset(f);
    for (int i = 0; i < the_block.threads; i++) the_block.all[i].copies.clear();
    return false;
}

static const char *bad_launch(dim3 grid, dim3 block)
{
    if (!grid.x || !grid.y || !grid.z || !block.x || !block.y || !block.z) return "an empty grid or block";
    if (grid.x > 0x7FFFFFFFu || grid.y > 65535 || grid.z > 65535) return "a grid too large";
    if (block.x > MAX_THREADS || block.y > MAX_THREADS || block.z > 64) return "a block too large";
    if (block.x * block.y * block.z > MAX_THREADS) return "more than 1024 threads in a block";
    return NULL;
}

bool simt_run_grid(dim3 grid, dim3 block, size_t smem, const std::function<void()> &kernel, std::string *report)
{
    static std::mutex one;
    std::lock_guard<std::mutex> lock(one);
    engine.kernel = &kernel;
    engine.failure.clear();
    const char *bad = bad_launch(grid, block);
    if (bad) engine.failure = bad;
    if (!bad && smem > 227 * 1024) engine.failure = "more than 227 KiB of shared memory";
    if (engine.failure.empty()) {
        seed_grid();
        copies_begin();
        engine.home = engine.running = fiber_home();
        gridDim = grid;
        blockDim = block;
        the_block.threads = (int)(block.x * block.y * block.z);
        uint64_t blocks = (uint64_t)grid.x * grid.y * grid.z, start = blocks >> 32 ? 0 : random_below((uint32_t)blocks);
        bool backwards = random_below(2) != 0;
        for (uint64_t i = 0; i < blocks; i++) { /* from one in the middle, around, up or down */
            uint64_t b = (start + (backwards ? blocks - i : i)) % blocks;
            blockIdx = {(unsigned)(b % grid.x), (unsigned)(b / grid.x % grid.y), (unsigned)(b / grid.x / grid.y)};
            if (!run_block(block, smem)) break;
        }
    }
    const void *written = engine.failure.empty() ? readings_end() : NULL;
    if (written) keep_failure("load_words_once of what the grid writes", NULL);
    if (engine.failure.empty()) return true;
    engine.failure = kernel_signature() + ", " + engine.failure + " (SIMT_SEED=" + std::to_string(engine.seed) + ")";
    if (report) *report = engine.failure;
    else fprintf(stderr, "simt: %s\n", engine.failure.c_str());
    return false;
}
