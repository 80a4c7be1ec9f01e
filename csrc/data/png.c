/* PNG through libpng, its memory through base/alloc.h. */
#include <png.h>
#include <string.h>
#include <zlib.h>

#include "base/alloc.h"
#include "data/codec.h"

typedef struct reader {
    const uint8_t *next;
    size_t left;
    png_structp png;
    png_infop info;
    vt_image_source *source; /* to open, else NULL */
    vt_image *out;           /* to decode into, else NULL */
    vt_status status;
    bool no_memory; /* an allocation has failed; libpng goes on without some of them */
} reader;

static void *take(png_structp png, png_alloc_size_t bytes)
{
    reader *r = png_get_mem_ptr(png);
    void *p = vt_alloc_raw(bytes);
    if (!p) r->no_memory = true;
    return p;
}

static void give(png_structp png, void *p)
{
    vt_free(p);
}

static void on_error(png_structp png, const char *text)
{
    vt_fail(VT_INVALID, "damaged PNG file: %s", text);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, const char *text)
{
}

static void read_bytes(png_structp png, uint8_t *to, size_t n)
{
    reader *r = png_get_io_ptr(png);
    if (n > r->left) png_error(png, "the file ends early");
    memcpy(to, r->next, n);
    r->next += n;
    r->left -= n;
}

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* The EXIF chunk may stand behind the pixels, so chunks are walked here; a broken one says nothing. */
static int find_orientation(const uint8_t *bytes, size_t size)
{
    enum { SIGNATURE = 8, AROUND = 12 }; /* a chunk: length, type, data, CRC of type and data */
    for (size_t at = SIGNATURE; size - at >= AROUND;) {
        const uint8_t *chunk = bytes + at;
        uint32_t length = get32(chunk);
        if (length > size - at - AROUND) return 1;
        if (memcmp(chunk + 4, "eXIf", 4) == 0 && crc32(0, chunk + 4, length + 4) == get32(chunk + 8 + length))
            return vt_exif_orientation(chunk + 8, length);
        at += AROUND + (size_t)length;
    }
    return 1;
}

/* Chunks that do not bear on pixels are left out: less work, and nothing in them can fail. */
static void read_header(reader *r)
{
    png_set_keep_unknown_chunks(r->png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    png_read_info(r->png, r->info);
    if (!r->source) return;
    r->source->width = (int)png_get_image_width(r->png, r->info);
    r->source->height = (int)png_get_image_height(r->png, r->info);
    r->source->orientation = find_orientation(r->source->bytes, r->source->size);
}

/* To 8 bits, grey or RGB. */
static void read_pixels(reader *r)
{
    png_set_strip_16(r->png);
    if (png_get_color_type(r->png, r->info) == PNG_COLOR_TYPE_PALETTE)
        png_set_palette_to_rgb(r->png);
    else
        png_set_expand_gray_1_2_4_to_8(r->png);
    png_set_strip_alpha(r->png);
    int passes = png_set_interlace_handling(r->png);
    png_read_update_info(r->png, r->info);
    r->status = vt_image_reserve(r->out, (int)png_get_image_width(r->png, r->info),
                                 (int)png_get_image_height(r->png, r->info), png_get_channels(r->png, r->info));
    if (r->status != VT_OK) return;
    size_t stride = png_get_rowbytes(r->png, r->info);
    for (int pass = 0; pass < passes; pass++)
        for (int y = 0; y < r->out->height; y++) png_read_row(r->png, r->out->data + (size_t)y * stride, NULL);
    png_read_end(r->png, NULL);
}

static vt_status read_png(reader *r)
{
    r->png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, NULL, on_error, on_warning, r, take, give);
    r->info = r->png ? png_create_info_struct(r->png) : NULL;
    if (!r->info) {
        png_destroy_read_struct(&r->png, NULL, NULL);
        return vt_fail_memory("reading a PNG file");
    }
    if (setjmp(png_jmpbuf(r->png)) == 0) {
        png_set_read_fn(r->png, r, read_bytes);
        png_set_user_limits(r->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX); /* image.c limits the product */
        read_header(r);
        if (r->out) read_pixels(r);
    } else {
        r->status = VT_INVALID;
    }
    png_destroy_read_struct(&r->png, &r->info, NULL);
    return r->no_memory ? vt_fail_memory("reading a PNG file") : r->status;
}

static bool is_png(const uint8_t *bytes, size_t size)
{
    return size >= 8 && png_sig_cmp(bytes, 0, 8) == 0;
}

static vt_status open_png(vt_image_source *source)
{
    reader r = {.next = source->bytes, .left = source->size, .source = source};
    return read_png(&r);
}

/* The region is of no use: rows are packed one after the other, and each needs the one above. */
static vt_status decode_png(vt_image *out, const vt_image_source *source, const vt_region *region)
{
    reader r = {.next = source->bytes, .left = source->size, .out = out};
    vt_status st = read_png(&r);
    out->x0 = (float)region->x;
    out->y0 = (float)region->y;
    out->x1 = (float)(region->x + region->width);
    out->y1 = (float)(region->y + region->height);
    return st;
}

const vt_codec vt_codec_png = {"PNG", is_png, open_png, decode_png};
