#include "data/grid.h"

#include <string.h>

#include "base/alloc.h"
#include "data/font.h"
#include "data/image.h"

enum { LEAST_SIDE = 84, GAP = 12, ROW_GAP = 16, ABOVE_TEXT = 5 };
enum { SCALE = 2, LETTER = SCALE * VT_FONT_WIDTH, LINE = SCALE * VT_FONT_HEIGHT + 2 };

typedef struct layout {
    int columns, rows, enlarge;
    int cell_width, cell_height, image_width, image_height;
} layout;

/* As wide as the image or the longest caption, within reason. */
static layout lay_out(const vt_cell *cells, int count, int width, int height)
{
    layout l = {.enlarge = 1};
    int least = width < height ? width : height, lines = 0, letters = 0;
    while (l.enlarge * least < LEAST_SIDE) l.enlarge++;
    for (int i = 0; i < count; i++)
        for (int k = 0; k < VT_GRID_LINES; k++) {
            const char *text = cells[i].lines[k];
            if (!text) continue;
            if (k + 1 > lines) lines = k + 1;
            if (vt_font_columns(text) > letters) letters = vt_font_columns(text);
        }
    l.image_width = l.enlarge * width;
    l.image_height = l.enlarge * height;
    int text_width = LETTER * letters, most = 2 * l.image_width;
    if (text_width > most) text_width = most;
    l.cell_width = GAP + (text_width > l.image_width ? text_width : l.image_width);
    l.cell_height = ROW_GAP + l.image_height + (lines ? ABOVE_TEXT + lines * LINE : 0);
    l.columns = 1; /* three wide to two high */
    while (l.columns < count &&
           2 * l.columns * l.cell_width < 3 * ((count + l.columns - 1) / l.columns) * l.cell_height)
        l.columns++;
    static const int near[] = {0, -1, 1, -2, 2}; /* a near number that fills the last row is nicer */
    for (size_t k = 0; k < sizeof near / sizeof *near; k++)
        if (l.columns + near[k] > 0 && count % (l.columns + near[k]) == 0) {
            l.columns += near[k];
            break;
        }
    l.rows = (count + l.columns - 1) / l.columns;
    return l;
}

static void draw_image(const vt_canvas *c, const layout *l, int x, int y, const uint8_t *pixels, int width,
                       int channels)
{
    for (int v = 0; v < l->image_height; v++)
        for (int u = 0; u < l->image_width; u++) {
            const uint8_t *from =
                pixels + ((size_t)(v / l->enlarge) * (size_t)width + (size_t)(u / l->enlarge)) * (size_t)channels;
            uint8_t *to = c->rgb + 3 * ((size_t)(y + v) * (size_t)c->width + (size_t)(x + u));
            for (int k = 0; k < 3; k++) to[k] = from[channels == 3 ? k : 0];
        }
}

static void draw_cell(const vt_canvas *c, const layout *l, int i, const vt_cell *cell, int width, int channels)
{
    int left = GAP + i % l->columns * l->cell_width, top = GAP + i / l->columns * l->cell_height;
    int room = l->cell_width - GAP;
    draw_image(c, l, left + (room - l->image_width) / 2, top, cell->pixels, width, channels);
    for (int k = 0; k < VT_GRID_LINES; k++) {
        if (!cell->lines[k]) continue;
        int letters = vt_font_columns(cell->lines[k]), most = room / LETTER;
        if (letters > most) letters = most;
        vt_font_draw(c, left + (room - letters * LETTER) / 2, top + l->image_height + ABOVE_TEXT + k * LINE, SCALE,
                     cell->lines[k], letters, cell->colours[k]);
    }
}

vt_status vt_grid_write(const char *path, const vt_cell *cells, int count, int width, int height, int channels)
{
    if (count < 1) return vt_fail(VT_INVALID, "%s: there are no images to draw", path);
    layout l = lay_out(cells, count, width, height);
    vt_canvas c = {.width = GAP + l.columns * l.cell_width, .height = GAP + l.rows * l.cell_height};
    size_t bytes = (size_t)c.width * (size_t)c.height * 3;
    c.rgb = vt_alloc_raw(bytes);
    if (!c.rgb) return vt_fail_memory("picture");
    memset(c.rgb, 255, bytes);
    for (int i = 0; i < count; i++) draw_cell(&c, &l, i, &cells[i], width, channels);
    vt_status st = vt_png_write(path, c.rgb, c.width, c.height, 3);
    vt_free(c.rgb);
    return st;
}
