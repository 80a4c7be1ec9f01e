/* tests/data/folder.h - files in a temporary folder (for mkdtemp and nftw, define _XOPEN_SOURCE 700
 * before anything else). Paths are formatted below `dir`. */
#ifndef VT_TEST_FOLDER_H
#define VT_TEST_FOLDER_H

#include <ftw.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test.h"

typedef struct fixture {
    char dir[256];
} fixture;

static inline void fixture_path(const fixture *f, char *path, const char *fmt, ...)
{
    va_list args;
    int n = sprintf(path, "%s/", f->dir);
    va_start(args, fmt);
    vsnprintf(path + n, 512 - (size_t)n, fmt, args);
    va_end(args);
}

static inline fixture fixture_new(const char *name)
{
    fixture f;
    const char *tmp = getenv("TMPDIR");
    snprintf(f.dir, sizeof f.dir, "%s/vitc-%s-XXXXXX", tmp ? tmp : "/tmp", name);
    if (!mkdtemp(f.dir)) {
        perror(f.dir);
        exit(1);
    }
    return f;
}

static inline int fixture_unlink(const char *path, const struct stat *info, int type, struct FTW *place)
{
    return remove(path);
}

static inline void fixture_remove(const fixture *f)
{
    CHECK(nftw(f->dir, fixture_unlink, 16, FTW_DEPTH | FTW_PHYS) == 0);
}

/* Writes a file below the folder, making the folders on its way. */
static inline void put(const fixture *f, const char *name, const void *bytes, size_t size)
{
    char path[512];
    fixture_path(f, path, "%s", name);
    for (char *p = path + strlen(f->dir) + 1; *p; p++) {
        if (*p != '/') continue;
        *p = 0;
        mkdir(path, 0777);
        *p = '/';
    }
    FILE *out = fopen(path, "wb");
    CHECK_MSG(out && fwrite(bytes, 1, size, out) == size, "%s", path);
    if (out) fclose(out);
}

static inline void put_folder(const fixture *f, const char *name)
{
    char path[512];
    fixture_path(f, path, "%s", name);
    CHECK(mkdir(path, 0777) == 0);
}

static inline size_t idx_header(uint8_t *out, int dims, uint32_t n, uint32_t h, uint32_t w)
{
    uint32_t dim[3] = {n, h, w};
    memcpy(out, (uint8_t[]){0, 0, 8, (uint8_t)dims}, 4);
    for (int i = 0; i < dims; i++)
        for (int k = 0; k < 4; k++) out[4 + 4 * i + k] = (uint8_t)(dim[i] >> (24 - 8 * k));
    return 4 + 4 * (size_t)dims;
}

#endif
