/* base/arena.h - memory that is freed all at once: graphs, nodes, names, parsed files. */
#ifndef VT_BASE_ARENA_H
#define VT_BASE_ARENA_H

#include <stddef.h>
#include "base/status.h"

typedef struct vt_arena {
    struct vt_arena_chunk *chunks; /* newest first */
} vt_arena; /* all zeros is an empty arena */

void *vt_arena_alloc(vt_arena *arena, size_t bytes); /* zeroed, 16-byte aligned; NULL when memory is out */
char *vt_arena_printf(vt_arena *arena, const char *fmt, ...) VT_PRINTF(2, 3);
char *vt_arena_strndup(vt_arena *arena, const char *s, size_t n);
void vt_arena_free(vt_arena *arena);

#endif
