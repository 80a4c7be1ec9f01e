#include "base/cache.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

bool vt_cache_path(char path[VT_CACHE_PATH], const char *name)
{
    static const struct { const char *variable, *below; } places[] = {
        {"VT_CACHE_DIR", ""}, {"XDG_CACHE_HOME", "/vitc"}, {"HOME", "/.cache/vitc"}};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const char *root = getenv(places[i].variable);
        if (i == 0 && root && !*root) return false;
        if (!root || !*root) continue;
        int n = snprintf(path, VT_CACHE_PATH, "%s%s/%s", root, places[i].below, name);
        return n > 0 && n < VT_CACHE_PATH;
    }
    return false;
}

vt_status vt_cache_write(const char *path, const void *data, size_t bytes)
{
    char folder[VT_CACHE_PATH];
    snprintf(folder, sizeof folder, "%s", path);
    for (char *at = folder + 1; *at; at++) {
        if (*at != '/') continue;
        *at = 0;
        if (mkdir(folder, 0777) && errno != EEXIST)
            return vt_fail(VT_FAILED, "%s: cannot make the folder: %s", folder, strerror(errno));
        *at = '/';
    }
    return vt_file_write(path, data, bytes);
}
