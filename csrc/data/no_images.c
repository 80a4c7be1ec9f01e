/* What stands for png.c, png_write.c, jpeg.c, gzip.c and bench.c in a build with -DVITC_IMAGES=OFF: each says which
 * library is missing; the caller adds the file's name. IDX and CIFAR files, not packed, need none of it. */
#include <string.h>

#include "data/bench.h"
#include "data/codec.h"
#include "data/gzip.h"

static vt_status missing(const char *what, const char *library)
{
    return vt_fail(VT_INVALID, "%s: this vitc is built without %s: install its headers and build with -DVITC_IMAGES=ON",
                   what, library);
}

static bool is_png(const uint8_t *bytes, size_t size)
{
    return size >= 8 && memcmp(bytes, "\x89PNG\r\n\x1a\n", 8) == 0;
}

static vt_status open_png(vt_image_source *source)
{
    return missing("a PNG file", "libpng");
}

static bool is_jpeg(const uint8_t *bytes, size_t size)
{
    return size >= 3 && bytes[0] == 0xFF && bytes[1] == 0xD8 && bytes[2] == 0xFF;
}

static vt_status open_jpeg(vt_image_source *source)
{
    return missing("a JPEG file", "libjpeg");
}

const vt_codec vt_codec_png = {"PNG", is_png, open_png, NULL}; /* what does not open is not decoded */
const vt_codec vt_codec_jpeg = {"JPEG", is_jpeg, open_jpeg, NULL};

vt_status vt_png_write(const char *path, const uint8_t *pixels, int width, int height, int channels)
{
    return missing(path, "libpng");
}

vt_status vt_gzip_open(vt_gzip **gzip, const uint8_t *bytes, size_t size)
{
    *gzip = NULL;
    return missing("gzip (or unpack the file first)", "zlib");
}

vt_status vt_gzip_read(vt_gzip *gzip, uint8_t *out, size_t n, size_t *got)
{
    return missing("gzip", "zlib");
}

void vt_gzip_close(vt_gzip *gzip)
{
}

vt_status vt_data_bench_run(vt_data_bench *result, const char *const *paths, int count, const vt_transform *t,
                            int rounds)
{
    return missing("the loader's benchmark", "libjpeg");
}
