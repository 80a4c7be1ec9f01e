/* tests/data/fixture.h - small data sets in a temporary folder (for mkdtemp and nftw, define _XOPEN_SOURCE 700
 * before anything else). Paths are formatted below `dir`. */
#ifndef VT_TEST_FIXTURE_H
#define VT_TEST_FIXTURE_H

#include <zlib.h>

#include "data/folder.h"

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
