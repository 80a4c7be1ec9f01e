/* base/cache.h - where files lie that only save time: $VT_CACHE_DIR, else $XDG_CACHE_HOME/vitc, else ~/.cache/vitc.
 *
 * VT_CACHE_DIR set but empty, or no home at all: there is no such folder, and nothing is kept. */
#ifndef VT_BASE_CACHE_H
#define VT_BASE_CACHE_H

#include <stdbool.h>

#include "base/file.h"

enum { VT_CACHE_PATH = 1024 };

/* The path of a file of this name; false: nothing is kept. */
bool vt_cache_path(char path[VT_CACHE_PATH], const char *name);
/* Makes the folders, then replaces the file as vt_file_write does. */
vt_status vt_cache_write(const char *path, const void *data, size_t bytes);

#endif
