/* data/grid.h - many small images with captions in one picture. */
#ifndef VT_DATA_GRID_H
#define VT_DATA_GRID_H

#include <stdint.h>

#include "base/status.h"

enum { VT_GRID_LINES = 2 };
enum { VT_INK_BLACK = 0x202020, VT_INK_GREY = 0x707070, VT_INK_GREEN = 0x1A7F37, VT_INK_RED = 0xCF222E };

typedef struct vt_cell {
    const uint8_t *pixels;            /* [height, width, channels] */
    const char *lines[VT_GRID_LINES]; /* under it; NULL: none */
    uint32_t colours[VT_GRID_LINES];  /* 0xRRGGBB */
} vt_cell;

/* Images of one size, channels 1 or 3, are enlarged by a whole factor to 84 px and more. A PNG file of about 3 x 2. */
vt_status vt_grid_write(const char *path, const vt_cell *cells, int count, int width, int height, int channels);

#endif
