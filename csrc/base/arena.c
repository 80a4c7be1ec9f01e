#include "base/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

struct vt_arena_chunk {
    struct vt_arena_chunk *next;
    size_t used, size;
    _Alignas(16) unsigned char data[];
};

enum { CHUNK_BYTES = 64 * 1024 };

void *vt_arena_alloc(vt_arena *arena, size_t bytes)
{
    if (bytes > SIZE_MAX / 2) return NULL;
    size_t need = (bytes + 15) & ~(size_t)15;
    struct vt_arena_chunk *c = arena->chunks;
    if (!c || c->size - c->used < need) {
        size_t size = need > CHUNK_BYTES ? need : CHUNK_BYTES;
        c = vt_alloc(sizeof *c + size);
        if (!c) return NULL;
        c->size = size;
        c->next = arena->chunks;
        arena->chunks = c;
    }
    void *p = c->data + c->used;
    c->used += need;
    return p;
}

char *vt_arena_printf(vt_arena *arena, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    char *text = n < 0 ? NULL : vt_arena_alloc(arena, (size_t)n + 1);
    if (text) vsnprintf(text, (size_t)n + 1, fmt, again);
    va_end(again);
    return text;
}

char *vt_arena_strndup(vt_arena *arena, const char *s, size_t n)
{
    char *text = vt_arena_alloc(arena, n + 1);
    return text ? memcpy(text, s, n) : NULL;
}

void vt_arena_free(vt_arena *arena)
{
    for (struct vt_arena_chunk *c = arena->chunks, *next; c; c = next) {
        next = c->next;
        vt_free(c);
    }
    arena->chunks = NULL;
}
