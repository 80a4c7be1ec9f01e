#include "base/alloc.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

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

void *vt_alloc_raw(size_t bytes)
{
    if (injected_failure() || bytes > SIZE_MAX - VT_ALIGN) return NULL;
    size_t rounded = (bytes + VT_ALIGN - 1) / VT_ALIGN * VT_ALIGN;
    void *p = aligned_alloc(VT_ALIGN, rounded ? rounded : VT_ALIGN);
    if (p) COUNT(1);
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
