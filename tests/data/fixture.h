/* tests/data/fixture.h - small data sets in a temporary folder (for mkdtemp and nftw, define _XOPEN_SOURCE 700
 * before anything else). Paths are formatted below `dir`. */
#ifndef VT_TEST_FIXTURE_H
#define VT_TEST_FIXTURE_H

#include <ftw.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

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

/* The bytes of gzip(in). */
static inline size_t gzip_bytes(const uint8_t *in, size_t size, uint8_t *out, size_t room)
{
    z_stream z = {0};
    CHECK(deflateInit2(&z, 9, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    z.next_in = (Bytef *)(uintptr_t)in;
    z.avail_in = (uInt)size;
    z.next_out = out;
    z.avail_out = (uInt)room;
    CHECK(deflate(&z, Z_FINISH) == Z_STREAM_END);
    deflateEnd(&z);
    return z.total_out;
}

/* Pixel k of image i of a test set. */
static inline uint8_t test_pixel(uint32_t i, size_t k)
{
    return (uint8_t)(i * 31 + k * 7 + (k >> 3));
}

/* PREFIX-images-idx3-ubyte and PREFIX-labels-idx1-ubyte: n images of h x w, label i % classes. */
static inline void put_idx(const fixture *f, const char *prefix, uint32_t n, uint32_t h, uint32_t w, uint32_t classes,
                           int gz)
{
    char name[128];
    size_t size = 16 + (size_t)n * h * w, room = size + size / 10 + 64;
    uint8_t *plain = malloc(size), *packed = malloc(room);
    idx_header(plain, 3, n, h, w);
    for (uint32_t i = 0; i < n; i++)
        for (size_t k = 0; k < (size_t)h * w; k++) plain[16 + (size_t)i * h * w + k] = test_pixel(i, k);
    snprintf(name, sizeof name, "%s-images-idx3-ubyte%s", prefix, gz ? ".gz" : "");
    put(f, name, gz ? packed : plain, gz ? gzip_bytes(plain, size, packed, room) : size);
    idx_header(plain, 1, n, 0, 0);
    for (uint32_t i = 0; i < n; i++) plain[8 + i] = (uint8_t)(i % classes);
    snprintf(name, sizeof name, "%s-labels-idx1-ubyte%s", prefix, gz ? ".gz" : "");
    put(f, name, gz ? packed : plain, gz ? gzip_bytes(plain, 8 + n, packed, room) : 8 + n);
    free(plain);
    free(packed);
}

#endif
