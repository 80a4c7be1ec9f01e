/* base/alloc.h - the only door to the heap, so that tests can make every allocation fail in turn. */
#ifndef VT_BASE_ALLOC_H
#define VT_BASE_ALLOC_H

#include <stddef.h>

#define VT_ALIGN 64 /* bytes: a cache line, and the widest vector */

void *vt_alloc(size_t bytes);     /* zeroed, VT_ALIGN-aligned; NULL on failure; 0 bytes is 1 */
void *vt_alloc_raw(size_t bytes); /* the same, not zeroed: for slabs and pixels */
/* Grows or shrinks; the new part is zeroed; on failure p stays. */
void *vt_realloc(void *p, size_t old_bytes, size_t bytes);
void vt_free(void *p);
char *vt_strdup(const char *s);

/* In the test build (VT_TEST_ALLOC) the n-th allocation from now fails, counted from 1, and all after it when `sticky`;
 * 0 turns it off. Returns what was left of the count before: 0 where it had come to its end. vt_alloc_live counts
 * blocks not yet freed. */
long vt_alloc_fail_at(long n, int sticky);
long vt_alloc_live(void);

#endif
