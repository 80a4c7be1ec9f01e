/* fiber.cpp - a switch saves six registers and the stack pointer: some nanoseconds. Other CPUs than x86-64, or
 * -DSIMT_UCONTEXT, use ucontext. AddressSanitizer and ThreadSanitizer are told of every switch. */
#include "fiber.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "sanitizers.h"

#if !defined(__x86_64__) && !defined(SIMT_UCONTEXT)
#define SIMT_UCONTEXT
#endif
#ifdef SIMT_UCONTEXT
#include <ucontext.h>
#endif

enum {
    PAGE = 4096,
    STACK = 64 * PAGE,
    STRIDE = STACK + 3 * PAGE, /* a guard below, and no power of two: stacks must not share the same cache sets */
};

struct fiber {
    void (*entry)();
    char *low;   /* of its stack */
    size_t size;
    char *top;   /* where it starts: up to a page below the end, for the same reason */
    void *asan;  /* AddressSanitizer's own stack of it, while it does not run */
    void *tsan;
#ifdef SIMT_UCONTEXT
    ucontext_t context;
#else
    void *sp;
#endif
};

enum { MAX_FIBERS = 1024 }; /* a block's threads */

static fiber home, all_fibers[MAX_FIBERS];
static fiber *coming_from;

static void arrived(fiber *f)
{
#ifdef SIMT_ASAN
    const void *low;
    size_t size;
    __sanitizer_finish_switch_fiber(f->asan, &low, &size);
    f->asan = NULL;
    if (coming_from == &home) {
        home.low = (char *)low;
        home.size = size;
    }
#endif
    (void)f;
}

static fiber *starting;

extern "C" void simt_fiber_start()
{
    fiber *f = starting;
    arrived(f);
    f->entry();
    abort();
}

#ifdef SIMT_UCONTEXT

static void swap_stacks(fiber *from, fiber *to)
{
    if (swapcontext(&from->context, &to->context)) abort();
}

static void prepare(fiber *f)
{
    if (getcontext(&f->context)) abort();
    f->context.uc_stack.ss_sp = f->low;
    f->context.uc_stack.ss_size = (size_t)(f->top - f->low);
    f->context.uc_link = NULL;
    makecontext(&f->context, simt_fiber_start, 0);
}

#else

extern "C" void simt_fiber_swap(void **save_sp, void *sp);
asm(".text\n"
    ".globl simt_fiber_swap\n"
    ".hidden simt_fiber_swap\n"
    ".type simt_fiber_swap, @function\n"
    "simt_fiber_swap:\n"
    "    pushq %rbp\n"
    "    pushq %rbx\n"
    "    pushq %r12\n"
    "    pushq %r13\n"
    "    pushq %r14\n"
    "    pushq %r15\n"
    "    movq %rsp, (%rdi)\n"
    "    movq %rsi, %rsp\n"
    "    popq %r15\n"
    "    popq %r14\n"
    "    popq %r13\n"
    "    popq %r12\n"
    "    popq %rbx\n"
    "    popq %rbp\n"
    "    ret\n"
    ".size simt_fiber_swap, . - simt_fiber_swap\n");

static void swap_stacks(fiber *from, fiber *to)
{
    simt_fiber_swap(&from->sp, to->sp);
}

/* What simt_fiber_swap pops: six registers, the address it returns to, and a zero that ends the debugger's walk. */
static void prepare(fiber *f)
{
    void **sp = (void **)f->top;
    *--sp = NULL;
    *--sp = (void *)simt_fiber_start;
    for (int i = 0; i < 6; i++) *--sp = NULL;
    f->sp = sp;
}

#endif

fiber *fiber_home()
{
#ifdef SIMT_TSAN
    home.tsan = __tsan_get_current_fiber();
#endif
    return &home;
}

void fiber_reset(fiber *f)
{
    SIMT_UNPOISON(f->low, f->size); /* of the frames that were left standing */
    f->asan = NULL;
    f->top = NULL;
}

fiber *fiber_new(void (*entry)())
{
    char *map = (char *)mmap(NULL, STRIDE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED || mprotect(map, PAGE, PROT_NONE)) {
        perror("simt: no memory for a fiber's stack");
        abort();
    }
    static int fibers;
    if (fibers == MAX_FIBERS) abort();
    fiber *f = &all_fibers[fibers++];
    f->entry = entry;
    f->low = map + PAGE;
    f->size = STRIDE - PAGE;
#ifdef SIMT_TSAN
    f->tsan = __tsan_create_fiber(0);
#endif
    return f;
}

void fiber_switch(fiber *from, fiber *to)
{
    if (to != &home && !to->top) {
        static unsigned colour;
        colour = (colour + 5 * 64) % PAGE;
        to->top = to->low + to->size - colour;
        prepare(to);
    }
    starting = to;
    coming_from = from;
#ifdef SIMT_ASAN
    __sanitizer_start_switch_fiber(&from->asan, to->low, to->size);
#endif
#ifdef SIMT_TSAN
    __tsan_switch_to_fiber(to->tsan, 0);
#endif
    swap_stacks(from, to);
    arrived(from);
}
