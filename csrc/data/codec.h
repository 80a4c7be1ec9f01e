/* data/codec.h - what an image format implements. For csrc/data alone.
 *
 * A new format is one file that defines a vt_codec and one line in image.c's table. */
#ifndef VT_DATA_CODEC_H
#define VT_DATA_CODEC_H

#include <stdbool.h>

#include "data/image.h"

typedef struct vt_codec {
    const char *name;
    bool (*match)(const uint8_t *bytes, size_t size); /* by the first bytes */
    /* Reads the header: width and height as stored, and the orientation. */
    vt_status (*open)(vt_image_source *source);
    /* Pixels as stored, 1 or 3 channels as the file has them, at least the region; sets the box. */
    vt_status (*decode)(vt_image *out, const vt_image_source *source, const vt_region *region);
} vt_codec;

extern const vt_codec vt_codec_png, vt_codec_jpeg;

/* Sets the size, and a box of all of it; the buffer has room for the pixels at 3 bytes or more each. */
vt_status vt_image_reserve(vt_image *image, int width, int height, int channels);

/* --- exif.c --- */

/* The orientation, 1 .. 8, from an EXIF block's TIFF part; 1 where it has none or makes no sense. */
int vt_exif_orientation(const uint8_t *tiff, size_t size);
/* A region of the upright image in the stored one of that size. */
vt_region vt_exif_stored_region(const vt_region *upright, int orientation, int stored_width, int stored_height);
/* Turns stored pixels, and their box, upright. */
vt_status vt_exif_turn(vt_image *image, int orientation);

#endif
