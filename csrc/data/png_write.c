/* PNG files of our own, 8 bits grey or RGB. */
#include <png.h>

#include "base/alloc.h"
#include "base/file.h"
#include "data/image.h"

static void *take(png_structp png, png_alloc_size_t bytes)
{
    return vt_alloc_raw(bytes);
}

static void give(png_structp png, void *p)
{
    vt_free(p);
}

/* vt_writer_put has left its message where it failed; else it is libpng's memory that is out. */
static void on_error(png_structp png, const char *text)
{
    vt_status *status = png_get_error_ptr(png);
    if (*status == VT_OK) *status = vt_fail_memory(text);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, const char *text)
{
}

static void write_bytes(png_structp png, uint8_t *bytes, size_t n)
{
    vt_status *status = png_get_error_ptr(png);
    *status = vt_writer_put(png_get_io_ptr(png), bytes, n);
    if (*status != VT_OK) png_error(png, "cannot write");
}

static void flush_bytes(png_structp png)
{
}

static void write_image(png_structp png, png_infop info, const uint8_t *pixels, int width, int height, int channels)
{
    int type = channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB;
    png_set_IHDR(png, info, (uint32_t)width, (uint32_t)height, 8, type, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    size_t stride = (size_t)width * (size_t)channels;
    for (int y = 0; y < height; y++) png_write_row(png, pixels + (size_t)y * stride);
    png_write_end(png, info);
}

vt_status vt_png_write(const char *path, const uint8_t *pixels, int width, int height, int channels)
{
    vt_writer writer;
    vt_status status =
        vt_writer_open(&writer, path); /* libpng's error pointer: written through, so never in a register */
    if (status != VT_OK) return status;
    png_structp png = png_create_write_struct_2(PNG_LIBPNG_VER_STRING, &status, on_error, on_warning, NULL, take, give);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    if (!info) {
        status = vt_fail_memory("writing a PNG file");
    } else if (setjmp(png_jmpbuf(png)) == 0) {
        png_set_write_fn(png, &writer, write_bytes, flush_bytes);
        write_image(png, info, pixels, width, height, channels);
    }
    png_destroy_write_struct(&png, &info);
    if (status == VT_OK) return vt_writer_commit(&writer);
    vt_writer_abort(&writer);
    return status;
}
