/* tests/data/pixels.h - the images of this folder, and the CRC-32 of pixels. */
#ifndef VT_TEST_PIXELS_H
#define VT_TEST_PIXELS_H

#include <zlib.h>

#include "base/alloc.h"
#include "base/file.h"
#include "data/image.h"
#include "test.h"

static inline const char *image_path(char path[512], const char *name)
{
    CHECK_MSG(snprintf(path, 512, VT_TEST_DATA "/%s", name) < 512, "%s: the path is too long", name);
    return path;
}

static inline vt_file image_file(const char *name)
{
    char path[512];
    vt_file file;
    CHECK_OK(vt_file_read(&file, image_path(path, name)));
    return file;
}

static inline unsigned pixels_crc(const uint8_t *pixels, size_t n)
{
    return (unsigned)crc32(0, pixels, (uInt)n);
}

static inline unsigned image_crc(const vt_image *image)
{
    return pixels_crc(image->data, (size_t)image->width * (size_t)image->height * (size_t)image->channels);
}

/* [height, width, channels] at (x, y) of an image; malloc's. */
static inline uint8_t *image_part(const char *name, int channels, int x, int y, int width, int height)
{
    vt_image image = {0};
    char path[512];
    size_t row = (size_t)(width * channels);
    uint8_t *part = malloc(row * (size_t)height);
    CHECK_OK(vt_image_read(&image, image_path(path, name), channels));
    CHECK(x + width <= image.width && y + height <= image.height);
    for (int v = 0; v < height; v++)
        memcpy(part + (size_t)v * row, image.data + ((y + v) * image.width + x) * channels, row);
    vt_image_free(&image);
    return part;
}

/* A list of this folder, to be read line by line. */
static inline FILE *open_list(const char *name)
{
    char path[512];
    FILE *list = fopen(image_path(path, name), "r");
    if (!list) {
        perror(path);
        exit(1);
    }
    return list;
}

#endif
