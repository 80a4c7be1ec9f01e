/* data/photo.h - made-up photographs, for benchmarks where there are no real ones. */
#ifndef VT_DATA_PHOTO_H
#define VT_DATA_PHOTO_H

#include "data/image.h"

/* RGB: light that falls off, shapes with sharp edges, texture at every scale and a little noise, so that JPEG files of
 * it are about as large as a photograph's. A function of size and seed alone. */
vt_status vt_photo_make(vt_image *image, int width, int height, uint64_t seed);

#endif
