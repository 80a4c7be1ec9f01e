/* JPEG through libjpeg-turbo. Its memory comes from malloc: the library has no hook for it. */
#include <setjmp.h>
#include <stdio.h> /* before jpeglib.h, which needs it */
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>

#include "data/codec.h"

enum {
    MAX_SCANS = 500, /* of a progressive file: a few hundred bytes may else keep the decoder busy for hours */
    ROWS = 16,       /* handed over at a time */
    MARGIN = 2,      /* pixels around the region: smooth upsampling of colour looks at its neighbours */
};

typedef struct reader {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf escape;
    vt_status status;
    vt_image_source *source; /* to open, else NULL */
    vt_image *out;           /* to decode into, else NULL */
    vt_region region;        /* to decode */
} reader;

static void on_error(j_common_ptr jpeg)
{
    reader *r = jpeg->client_data;
    char text[JMSG_LENGTH_MAX];
    int code = jpeg->err->msg_code;
    jpeg->err->format_message(jpeg, text);
    if (code == JERR_OUT_OF_MEMORY)
        r->status = vt_fail_memory("reading a JPEG file");
    else if (code == JWRN_JPEG_EOF || code == JERR_INPUT_EMPTY)
        r->status = vt_fail(VT_INVALID, "damaged JPEG file: the file ends early");
    else
        r->status = vt_fail(VT_INVALID, "damaged or unsupported JPEG file: %s", text);
    longjmp(r->escape, 1);
}

/* Warnings after which pixels are made up are errors. The others tell of odd headers or bytes between segments. */
static void on_message(j_common_ptr jpeg, int level)
{
    switch (level < 0 ? jpeg->err->msg_code : 0) {
    case JWRN_JPEG_EOF:
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_ARITH_BAD_CODE:
    case JWRN_MUST_RESYNC:
        on_error(jpeg);
    }
}

static void on_progress(j_common_ptr jpeg)
{
    reader *r = jpeg->client_data;
    if (r->jpeg.input_scan_number <= MAX_SCANS) return;
    r->status = vt_fail(VT_INVALID, "damaged JPEG file: more than %d scans", MAX_SCANS);
    longjmp(r->escape, 1);
}

static void read_header(reader *r)
{
    static const char exif[6] = "Exif\0";
    struct jpeg_decompress_struct *jpeg = &r->jpeg;
    if (r->source) jpeg_save_markers(jpeg, JPEG_APP0 + 1, 0xFFFF);
    jpeg_read_header(jpeg, TRUE);
    if (!r->source) return;
    r->source->width = (int)jpeg->image_width;
    r->source->height = (int)jpeg->image_height;
    for (jpeg_saved_marker_ptr m = jpeg->marker_list; m; m = m->next) {
        if (m->data_length < sizeof exif || memcmp(m->data, exif, sizeof exif) != 0) continue;
        r->source->orientation = vt_exif_orientation(m->data + sizeof exif, m->data_length - sizeof exif);
        return;
    }
}

/* Adobe stores inks inverted, and so does whoever else writes CMYK. */
static void cmyk_to_rgb(uint8_t *pixels, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned white = pixels[4 * i + 3];
        for (int c = 0; c < 3; c++) {
            unsigned t = (255u - pixels[4 * i + (size_t)c]) * white + 128;
            pixels[3 * i + (size_t)c] = (uint8_t)(white - ((t + (t >> 8)) >> 8));
        }
    }
}

/* The smallest scale of 8/8, 4/8, 2/8, 1/8 that keeps the region at its least size; eighths between have no SIMD. */
static unsigned choose_scale(const vt_region *r)
{
    unsigned scale = 8;
    if (r->min_width < 1 || r->min_height < 1) return scale;
    while (scale > 1 && (int64_t)r->width * scale >= (int64_t)r->min_width * 16 &&
           (int64_t)r->height * scale >= (int64_t)r->min_height * 16)
        scale /= 2;
    return scale;
}

/* The next `rows` rows, packed, to `to`. */
static void read_rows(reader *r, uint8_t *to, unsigned rows)
{
    size_t stride = (size_t)r->jpeg.output_width * (size_t)r->jpeg.output_components;
    JSAMPROW pointers[ROWS];
    while (rows > 0) {
        unsigned n = rows < ROWS ? rows : ROWS;
        for (unsigned i = 0; i < n; i++) pointers[i] = to + i * stride;
        n = jpeg_read_scanlines(&r->jpeg, pointers, n);
        to += n * stride;
        rows -= n;
    }
}

/* Reads what is left of the file, up to its end marker. */
static void finish(reader *r, uint8_t *row, unsigned height)
{
    if (r->jpeg.output_scanline < height) {
        jpeg_skip_scanlines(&r->jpeg, height - 1 - r->jpeg.output_scanline);
        read_rows(r, row, 1);
    }
    jpeg_finish_decompress(&r->jpeg);
}

/* Decodes the region and no more, but for the entropy coding, which is read to the end: so that a damaged file is found
 * to be so whatever the region. */
static vt_status read_region(reader *r)
{
    struct jpeg_decompress_struct *jpeg = &r->jpeg;
    bool grey = jpeg->jpeg_color_space == JCS_GRAYSCALE;
    bool inks = jpeg->jpeg_color_space == JCS_CMYK || jpeg->jpeg_color_space == JCS_YCCK;
    jpeg->out_color_space = grey ? JCS_GRAYSCALE : inks ? JCS_CMYK : JCS_RGB;
    jpeg->scale_num = choose_scale(&r->region);
    jpeg->scale_denom = 8;
    jpeg_start_decompress(jpeg);

    /* The region, scaled: [x0, x1) x [y0, y1). */
    unsigned s = jpeg->scale_num, full_width = jpeg->output_width, full_height = jpeg->output_height;
    unsigned x = (unsigned)r->region.x * s, y = (unsigned)r->region.y * s;
    unsigned x_end = x + (unsigned)r->region.width * s, y_end = y + (unsigned)r->region.height * s;
    unsigned x0 = x / 8, x1 = (x_end + 7) / 8, y0 = y / 8, y1 = (y_end + 7) / 8;
    JDIMENSION left = x0 > MARGIN ? x0 - MARGIN : 0, right = x1 + MARGIN < full_width ? x1 + MARGIN : full_width;
    JDIMENSION width = right - left;
    if (width < full_width) jpeg_crop_scanline(jpeg, &left, &width);

    vt_status st = vt_image_reserve(r->out, (int)width, (int)(y1 - y0) + 1, jpeg->output_components);
    if (st != VT_OK) return st;
    r->out->height--; /* the row more is for finish() */
    jpeg_skip_scanlines(jpeg, y0);
    read_rows(r, r->out->data, y1 - y0);
    finish(r, r->out->data + (size_t)width * (y1 - y0) * (size_t)jpeg->output_components, full_height);
    if (inks) {
        cmyk_to_rgb(r->out->data, (size_t)width * (y1 - y0));
        r->out->channels = 3;
    }
    r->out->x0 = (float)x / 8 - (float)left;
    r->out->x1 = (float)x_end / 8 - (float)left;
    r->out->y0 = (float)y / 8 - (float)y0;
    r->out->y1 = (float)y_end / 8 - (float)y0;
    return VT_OK;
}

static vt_status read_jpeg(reader *r, const vt_image_source *source)
{
    r->jpeg.err = jpeg_std_error(&r->errors);
    r->errors.error_exit = on_error;
    r->errors.emit_message = on_message;
    r->jpeg.client_data = r;
    r->progress.progress_monitor = on_progress;
    if (setjmp(r->escape) == 0) {
        jpeg_create_decompress(&r->jpeg);
        r->jpeg.progress = &r->progress;
        jpeg_mem_src(&r->jpeg, source->bytes, source->size);
        read_header(r);
        if (r->out) r->status = read_region(r);
    }
    jpeg_destroy_decompress(&r->jpeg);
    return r->status;
}

static bool is_jpeg(const uint8_t *bytes, size_t size)
{
    return size >= 3 && bytes[0] == 0xFF && bytes[1] == 0xD8 && bytes[2] == 0xFF;
}

static vt_status open_jpeg(vt_image_source *source)
{
    reader r = {.source = source};
    return read_jpeg(&r, source);
}

static vt_status decode_jpeg(vt_image *out, const vt_image_source *source, const vt_region *region)
{
    reader r = {.out = out, .region = *region};
    return read_jpeg(&r, source);
}

const vt_codec vt_codec_jpeg = {"JPEG", is_jpeg, open_jpeg, decode_jpeg};
