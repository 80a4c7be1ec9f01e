/* engine.h - the block that runs, shared by the simulator's own files. */
#ifndef VT_SIMT_ENGINE_H
#define VT_SIMT_ENGINE_H

#include <simt.h>

#include <vector>

#include "fiber.h"

enum { MAX_THREADS = 1024, WARP_LANES = 32, MAX_WARPS = MAX_THREADS / WARP_LANES };

enum thread_state { THREAD_READY, THREAD_WAITS, THREAD_RETURNED };

struct async_copy {
    unsigned char *to;
    const unsigned char *from;  /* NULL: the bytes are in `data` */
    unsigned char data[16];
    int group;                  /* commits of the thread before it */
};

struct thread {
    uint3 index;
    fiber *on;                  /* NULL until it starts */
    thread_state state;
    const char *waits;          /* for what, while it waits or yields; */
    uint32_t number;            /* the barrier's id or the collective's mask, and how many must come */
    int wanted;
    void *mine;                 /* handed to the collective */
    std::vector<async_copy> copies;
    int commits;
    std::vector<uint32_t> unfenced; /* shared memory that it wrote, 16 bytes each, and wgmma does not see yet */
};

struct block {
    int threads;
    int returned;
    thread *now;                /* who runs; NULL between blocks */
    thread all[MAX_THREADS];
};

extern block the_block;

/* ---- engine.cpp: who runs ---------------------------------------------------------------------------------------- */

uint32_t random_below(uint32_t n);
void shuffle(int *list, int n);

void thread_wait();                      /* leaves the running thread, marked as waiting, until it is made ready */
void threads_ready(int *list, int n);    /* these waiting threads may go on; shuffles the list */
void thread_yield();

/* "threads 0-31 wait at barrier 0 of 64; ...": everyone. */
std::string describe_threads();

/* ---- at a block's start and end; failures of `end` go through simt_fail's report --------------------------------- */

void smem_begin(size_t bytes);
const char *smem_end();                  /* NULL, or which red zone was written to */
void smem_written(const void *p);        /* 16 bytes, by the running thread: a copy that landed, stmatrix */
void meetings_begin();
void copies_begin();                     /* of a grid */
void copies_end(thread *t);              /* the thread returns */
const void *readings_end();              /* of a grid: NULL, or what was read once and then written */
int simt_index_of(const thread *t);

#endif
