/* data/font.h - a bitmap font for captions in pictures: 5x7 pixels, ASCII. */
#ifndef VT_DATA_FONT_H
#define VT_DATA_FONT_H

#include <stddef.h>
#include <stdint.h>

enum { VT_FONT_WIDTH = 6, VT_FONT_HEIGHT = 9 }; /* a character with the space to its right and below */

typedef struct vt_canvas {
    uint8_t *rgb; /* [height, width, 3] */
    int width, height;
} vt_canvas;

/* Columns of a line of UTF-8: one a code point. */
int vt_font_columns(const char *text);

/* Draws at most `columns` characters, each pixel `scale` wide and high; a longer text ends in "..". colour is 0xRRGGBB.
 * What lies outside the canvas is not drawn; a character beyond ASCII is drawn as a box. */
void vt_font_draw(const vt_canvas *canvas, int x, int y, int scale, const char *text, int columns, uint32_t colour);

#endif
