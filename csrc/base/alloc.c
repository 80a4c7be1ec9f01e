#define _DEFAULT_SOURCE /* madvise */
#include "base/alloc.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#ifdef __linux__
#include <sys/mman.h>
#endif

#ifdef VT_TEST_ALLOC
#include <stdatomic.h>

/* The test build's only mutable globals. */
static _Atomic long fail_countdown, live_blocks;
static _Atomic int fail_sticky;

long vt_alloc_fail_at(long n, int sticky)
{
    long left = fail_sticky && fail_countdown == 1 ? 0 : fail_countdown;
    fail_countdown = n;
    fail_sticky = sticky;
    return left;
}

long vt_alloc_live(void)
{
    return live_blocks;
}

static int injected_failure(void)
{
    long left = fail_countdown;
    if (left <= 0) return 0;
    if (left == 1) {
        if (!fail_sticky) fail_countdown = 0;
        return 1;
    }
    fail_countdown--;
    return 0;
}
#define COUNT(d) (live_blocks += (d))
#else
#define injected_failure() 0
#define COUNT(d) ((void)0)
#endif

enum { HUGE_PAGE = 2 << 20 };

void *vt_alloc_raw(size_t bytes)
{
    if (injected_failure() || bytes > SIZE_MAX - HUGE_PAGE) return NULL;
    size_t align = bytes < 2 * HUGE_PAGE ? VT_ALIGN : HUGE_PAGE, rounded = (bytes + align - 1) / align * align;
    void *p = aligned_alloc(align, rounded ? rounded : align);
    if (!p) return NULL;
    COUNT(1);
#ifdef MADV_HUGEPAGE
    if (align == HUGE_PAGE) madvise(p, rounded, MADV_HUGEPAGE); /* a hint: matrices are read across their rows */
#endif
    return p;
}

void *vt_alloc(size_t bytes)
{
    void *p = vt_alloc_raw(bytes);
    if (p) memset(p, 0, bytes);
    return p;
}

void *vt_realloc(void *p, size_t old_bytes, size_t bytes)
{
    void *q = vt_alloc_raw(bytes);
    if (!q) return NULL;
    size_t kept = old_bytes < bytes ? old_bytes : bytes;
    if (p) memcpy(q, p, kept);
    memset((char *)q + kept, 0, bytes - kept);
    vt_free(p);
    return q;
}

void vt_free(void *p)
{
    if (p) COUNT(-1);
    free(p);
}

char *vt_strdup(const char *s)
{
    size_t n = strlen(s) + 1;
    char *copy = vt_alloc_raw(n);
    return copy ? memcpy(copy, s, n) : NULL;
}
