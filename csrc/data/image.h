/* data/image.h - PNG and JPEG files to pixels, upright, and pixels to PNG files.
 *
 * Formats are recognised by content, never by name. Pixels equal those of PIL's exif_transpose(open(f)).convert("RGB")
 * or convert("L"): alpha is dropped, palettes are looked up, grey is replicated, colour becomes ITU-R 601-2 luma, CMYK
 * is taken as inverted (as Adobe writes it), no gamma and no colour profile. 16 bits keep their high byte; for grey PIL
 * would clip them to white, which serves nobody. The EXIF orientation of both formats is applied.
 *
 * Damage is an error: truncation, bad checksums of what matters, codes that the entropy decoder cannot read. Only what
 * leaves the pixels alone is tolerated (extra bytes between JPEG segments, broken text chunks, a broken EXIF block).
 * Messages tell what is wrong with the file; the caller, who knows its name, adds it with vt_fail_in. */
#ifndef VT_DATA_IMAGE_H
#define VT_DATA_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* More pixels than this are refused, as PIL does: a small file may unpack to any size. */
#define VT_IMAGE_MAX_PIXELS 178956970

/* All zeros to begin with; decoding again into it uses its memory again, so a thread that keeps one rarely allocates.
 */
typedef struct vt_image {
    uint8_t *data; /* [height, width, channels] heap */
    int width, height, channels;
    size_t capacity;      /* bytes of data */
    float x0, y0, x1, y1; /* where the region asked for lies in it; the whole image: 0, 0, width, height */
} vt_image;

/* An encoded image whose header has been read. The bytes are borrowed. */
typedef struct vt_image_source {
    const uint8_t *bytes;
    size_t size;
    const struct vt_codec *codec;
    int width, height; /* upright */
    int orientation;   /* EXIF: 1 .. 8 */
} vt_image_source;

/* What of an image is wanted. A decoder may give more than that around it: see vt_image.x0. */
typedef struct vt_region {
    int x, y, width, height;   /* pixels of the upright image */
    int min_width, min_height; /* JPEG may be decoded at 1/2, 1/4 or 1/8 while the region keeps this size; 0: never */
} vt_region;

vt_status vt_image_open(vt_image_source *source, const uint8_t *bytes, size_t size);
/* channels 1 (luma) or 3 (RGB). region NULL: all of it. A file is good or bad whatever the region. */
vt_status vt_image_decode(vt_image *out, const vt_image_source *source, int channels, const vt_region *region);
/* Opens and decodes a file; the message names it. */
vt_status vt_image_read(vt_image *out, const char *path, int channels);
void vt_image_free(vt_image *image);

/* The two conversions, n pixels. */
void vt_pixels_to_luma(uint8_t *grey, const uint8_t *rgb, size_t n); /* grey may be rgb itself */
void vt_pixels_to_rgb(uint8_t *rgb, const uint8_t *grey, size_t n);

/* Writes [height, width, channels] u8, channels 1 or 3, whole or not at all (base/file.h). */
vt_status vt_png_write(const char *path, const uint8_t *pixels, int width, int height, int channels);

#endif
