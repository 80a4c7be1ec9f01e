/* fiber.h - stacks that are switched by hand. */
#ifndef VT_SIMT_FIBER_H
#define VT_SIMT_FIBER_H

#include <stddef.h>

typedef struct fiber fiber;

/* The fiber of the OS thread's own stack, for switches back to it. To be called on that stack, before any switch. */
fiber *fiber_home();

/* A new fiber; the first switch to it calls entry(), which never returns. Never freed and at most 1024:
 * callers keep a pool. */
fiber *fiber_new(void (*entry)());

/* Forgets what the fiber was doing: the next switch to it calls entry() again. */
void fiber_reset(fiber *f);

/* Leaves `from`, which runs, for `to`; returns when somebody switches back. */
void fiber_switch(fiber *from, fiber *to);

#endif
