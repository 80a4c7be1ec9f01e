#include "data/augment_ops.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "data/image.h"
#include "data/luma.h"

enum { LEVELS = 256 };

static size_t row_bytes(const vt_canvas *c)
{
    return (size_t)c->width * (size_t)c->channels;
}

static size_t pixel_count(const vt_canvas *c)
{
    return (size_t)c->width * (size_t)c->height;
}

static uint8_t clip(int v)
{
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

/* --- level by level: tables, one for each channel or one for all --- */

static void look_up(const vt_canvas *c, uint8_t tables[3][LEVELS])
{
    size_t n = pixel_count(c);
    uint8_t *p = c->pixels;
    if (c->channels == 1)
        for (size_t i = 0; i < n; i++) p[i] = tables[0][p[i]];
    else
        for (size_t i = 0; i < n; i++, p += 3) {
            p[0] = tables[0][p[0]];
            p[1] = tables[1][p[1]];
            p[2] = tables[2][p[2]];
        }
}

static void look_up_all(const vt_canvas *c, const uint8_t table[LEVELS])
{
    size_t n = pixel_count(c) * (size_t)c->channels;
    uint8_t *p = c->pixels;
    for (size_t i = 0; i < n; i++) p[i] = table[p[i]];
}

static void count_levels(const vt_canvas *c, uint32_t counts[3][LEVELS])
{
    size_t n = pixel_count(c);
    const uint8_t *p = c->pixels;
    memset(counts, 0, 3 * LEVELS * sizeof counts[0][0]);
    if (c->channels == 1)
        for (size_t i = 0; i < n; i++) counts[0][p[i]]++;
    else
        for (size_t i = 0; i < n; i++, p += 3) {
            counts[0][p[0]]++;
            counts[1][p[1]]++;
            counts[2][p[2]]++;
        }
}

/* In doubles, operation by operation as Pillow computes them. */
static void stretch(const uint32_t counts[LEVELS], uint8_t table[LEVELS])
{
    int low = 0, high = LEVELS - 1;
    while (low < LEVELS - 1 && !counts[low]) low++;
    while (high > 0 && !counts[high]) high--;
    double scale = high > low ? 255.0 / (high - low) : 1, offset = high > low ? -low * scale : 0;
    for (int i = 0; i < LEVELS; i++) {
        double scaled = i * scale, v = scaled + offset;
        table[i] = clip((int)v);
    }
}

void vt_op_autocontrast(const vt_canvas *c, double ignored)
{
    uint32_t counts[3][LEVELS];
    uint8_t tables[3][LEVELS];
    count_levels(c, counts);
    for (int k = 0; k < c->channels; k++) stretch(counts[k], tables[k]);
    look_up(c, tables);
}

/* Pillow's: a step is a 255th of all pixels but those of the highest level. */
static void flatten(const uint32_t counts[LEVELS], uint64_t pixels, uint8_t table[LEVELS])
{
    int last = LEVELS - 1;
    while (last > 0 && !counts[last]) last--;
    uint64_t step = (pixels - counts[last]) / 255, n = step / 2;
    for (int i = 0; i < LEVELS; i++) {
        uint64_t v = step ? n / step : (uint64_t)i;
        table[i] = (uint8_t)(v > 255 ? 255 : v);
        n += counts[i];
    }
}

void vt_op_equalize(const vt_canvas *c, double ignored)
{
    uint32_t counts[3][LEVELS];
    uint8_t tables[3][LEVELS];
    count_levels(c, counts);
    for (int k = 0; k < c->channels; k++) flatten(counts[k], pixel_count(c), tables[k]);
    look_up(c, tables);
}

void vt_op_invert(const vt_canvas *c, double ignored)
{
    size_t n = pixel_count(c) * (size_t)c->channels;
    uint8_t *p = c->pixels;
    for (size_t i = 0; i < n; i++) p[i] = (uint8_t)~p[i];
}

void vt_op_solarize(const vt_canvas *c, double threshold)
{
    size_t n = pixel_count(c) * (size_t)c->channels;
    uint8_t *p = c->pixels, highest = (uint8_t)((int)ceil(threshold) - 1);
    if (threshold <= 0) vt_op_invert(c, 0);
    else
        for (size_t i = 0; i < n; i++) p[i] = p[i] <= highest ? p[i] : (uint8_t)~p[i];
}

void vt_op_solarize_add(const vt_canvas *c, double add)
{
    size_t n = pixel_count(c) * (size_t)c->channels;
    uint8_t *p = c->pixels, more = (uint8_t)add, room = (uint8_t)~more;
    for (size_t i = 0; i < n; i++) p[i] = p[i] >= 128 ? p[i] : p[i] <= room ? (uint8_t)(p[i] + more) : 255;
}

void vt_op_posterize(const vt_canvas *c, double bits)
{
    size_t n = pixel_count(c) * (size_t)c->channels;
    uint8_t *p = c->pixels, keep = (uint8_t)(0xFF00u >> (int)bits);
    for (size_t i = 0; i < n; i++) p[i] &= keep;
}

/* --- blends: from + factor * (pixel - from), cut to a whole number --- */

static inline int blend(float from, float level, float factor)
{
    float change = factor * (level - from);
    int v = (int)(from + change);
    v &= ~(v >> 31); /* clipped without branches, of which a compiler would make worse vectors */
    return (v | (255 - v) >> 31) & 255;
}

void vt_blend_levels(uint8_t *restrict pixels, const uint8_t *restrict from, size_t n, float factor)
{
    for (size_t i = 0; i < n; i++) pixels[i] = (uint8_t)blend(from[i], pixels[i], factor);
}

static void blend_all(const vt_canvas *c, int from, float factor)
{
    uint8_t table[LEVELS];
    for (int i = 0; i < LEVELS; i++) table[i] = (uint8_t)blend((float)from, (float)i, factor);
    look_up_all(c, table);
}

void vt_op_brightness(const vt_canvas *c, double factor)
{
    blend_all(c, 0, (float)factor);
}

/* Mixes a pixel with its luma. */
static inline uint32_t blend_pixel(uint32_t pixel, float factor)
{
    float red = vt_block_level(pixel, 0), green = vt_block_level(pixel, 8), blue = vt_block_level(pixel, 16);
    float grey = (float)vt_luma(red, green, blue);
    return (uint32_t)(blend(grey, red, factor) | blend(grey, green, factor) << 8 | blend(grey, blue, factor) << 16);
}

static inline uint32_t grey_pixel(uint32_t pixel)
{
    int grey = vt_luma(vt_block_level(pixel, 0), vt_block_level(pixel, 8), vt_block_level(pixel, 16));
    return (uint32_t)(grey | grey << 8 | grey << 16);
}

static inline void change_colour(const vt_canvas *c, bool to_grey, float factor)
{
    uint32_t block[VT_BLOCK];
    uint8_t *p = c->pixels;
    if (c->channels == 1) return;
    for (size_t n = pixel_count(c), size; n; n -= size, p += 3 * size) {
        size = n < VT_BLOCK ? n : VT_BLOCK;
        vt_block_read(block, p, size);
        for (size_t i = 0; i < size; i++) block[i] = to_grey ? grey_pixel(block[i]) : blend_pixel(block[i], factor);
        vt_block_write(p, block, size);
    }
}

void vt_op_color(const vt_canvas *c, double factor)
{
    change_colour(c, false, (float)factor);
}

void vt_op_grey(const vt_canvas *c, double ignored)
{
    change_colour(c, true, 0);
}

/* To the mean luma, a whole number. */
void vt_op_contrast(const vt_canvas *c, double factor)
{
    size_t row = row_bytes(c), width = (size_t)c->width;
    const uint8_t *p = c->pixels;
    uint64_t sum = 0;
    for (int y = 0; y < c->height; y++, p += row) {
        const uint8_t *grey = p;
        uint32_t in_row = 0;
        if (c->channels == 3) {
            vt_pixels_to_luma(c->work, p, width);
            grey = c->work;
        }
        for (size_t x = 0; x < width; x++) in_row += grey[x];
        sum += in_row;
    }
    blend_all(c, (int)((double)sum / (double)pixel_count(c) + 0.5), (float)factor);
}

/* A 13th of the pixel four times more and its neighbourhood of 3 x 3, rounded, for [begin, end) of a row's bytes;
 * neighbours are `step` bytes apart. */
static void smooth_row(uint8_t *restrict out, const uint8_t *above, const uint8_t *row, const uint8_t *below,
                       size_t begin, size_t end, size_t step)
{
    for (size_t i = begin; i < end; i++) {
        uint16_t sum = (uint16_t)(above[i - step] + above[i] + above[i + step] + row[i - step] + 5 * row[i] +
                                  row[i + step] + below[i - step] + below[i] + below[i + step] + 6);
        out[i] = (uint8_t)((uint32_t)sum * (uint16_t)5042 >> 16); /* / 13, exact up to 6553; in vectors of 16 bits */
    }
}

/* The smoothed image has the border of the image itself, which so stays as it is. */
void vt_op_sharpness(const vt_canvas *c, double factor)
{
    size_t row = row_bytes(c), step = (size_t)c->channels;
    uint8_t *above = c->work, *here = above + row, *smooth = here + row, *p = c->pixels + row;
    if (c->width < 3 || c->height < 3) return;
    memcpy(above, c->pixels, row);
    for (int y = 1; y < c->height - 1; y++, p += row) { /* the rows above have changed: copies of them are kept */
        uint8_t *spare = above;
        memcpy(here, p, row);
        smooth_row(smooth, above, here, p + row, step, row - step, step);
        vt_blend_levels(p + step, smooth + step, row - 2 * step, (float)factor);
        above = here;
        here = spare;
    }
}

/* --- blur: boxes of width 2 radius + 1, whose ends have a weight of their own --- */

typedef struct box {
    bool wide;            /* three pixels inside; else one */
    uint32_t inside, end; /* weights of each of these and of the two beside them: 24 bits of fraction */
} box;

/* Of each of three passes: Gwosdek et al., "Theoretical foundations of Gaussian convolution by extended box
 * filtering" (2011), in floats where Pillow has floats. */
static box box_of(double deviation)
{
    float radius = (float)deviation, variance = radius * radius / 3;
    float length = (float)sqrt(12.0 * variance + 1.0), whole = (float)floor((length - 1.0) / 2.0);
    float part = (2 * whole + 1) * (whole * (whole + 1) - 3 * variance);
    part /= 6 * (variance - (whole + 1) * (whole + 1));
    float size = (whole + part) * 2 + 1;
    int radius_inside = (int)(whole + part);
    assert(radius_inside <= 1);
    uint32_t inside = (uint32_t)((float)(1 << 24) / size);
    return (box){radius_inside, inside, ((1u << 24) - (uint32_t)(2 * radius_inside + 1) * inside) / 2};
}

/* The sum without its fraction, rounded. Products of 16 bits by 16, which vectors have; the upper halves of the weights
 * make up the upper 16 bits of the sum, and what of them exceeds these cancels. */
static inline uint8_t weigh(unsigned inside, unsigned ends, box w)
{
    uint16_t in = (uint16_t)inside, out = (uint16_t)ends, in_low = (uint16_t)w.inside, out_low = (uint16_t)w.end;
    uint16_t high = (uint16_t)(in * (uint16_t)(w.inside >> 16) + out * (uint16_t)(w.end >> 16));
    return (uint8_t)(((uint32_t)in * in_low + (uint32_t)out * out_low + ((uint32_t)high << 16) + (1u << 23)) >> 24);
}

/* at: the row two pixels before, one before, itself, one and two behind. */
static void box_row(uint8_t *restrict out, const uint8_t *const at[5], size_t n, box w)
{
    const uint8_t *a = at[0], *b = at[1], *c = at[2], *d = at[3], *e = at[4];
    if (w.wide)
        for (size_t i = 0; i < n; i++) out[i] = weigh((unsigned)b[i] + c[i] + d[i], (unsigned)a[i] + e[i], w);
    else
        for (size_t i = 0; i < n; i++) out[i] = weigh(c[i], (unsigned)b[i] + d[i], w);
}

/* Puts two copies of the first pixel before a row and two of the last behind it. */
static void pad_row(const vt_canvas *c, uint8_t *row)
{
    size_t step = (size_t)c->channels, end = row_bytes(c);
    for (size_t i = 0; i < step; i++) {
        row[i - step] = row[i - 2 * step] = row[i];
        row[end + i] = row[end + step + i] = row[end - step + i];
    }
}

/* The three passes along a row. line: two rows with room for two pixels around each. */
static void blur_row(const vt_canvas *c, uint8_t *out, const uint8_t *in, uint8_t *line, box w)
{
    size_t step = (size_t)c->channels, row = row_bytes(c);
    uint8_t *a = line + 2 * step, *b = a + row + 4 * step;
    memcpy(a, in, row);
    for (int pass = 0; pass < 3; pass++) {
        uint8_t *to = pass == 2 ? out : b;
        pad_row(c, a);
        box_row(to, (const uint8_t *const[]){a - 2 * step, a - step, a, a + step, a + 2 * step}, row, w);
        b = a;
        a = to;
    }
}

/* One pass across the rows. */
static void blur_columns(const vt_canvas *c, uint8_t *out, const uint8_t *in, box w)
{
    size_t row = row_bytes(c);
    for (int y = 0; y < c->height; y++) {
        const uint8_t *at[5];
        for (int k = 0; k < 5; k++) {
            int from = y + k - 2;
            at[k] = in + (size_t)(from < 0 ? 0 : from < c->height ? from : c->height - 1) * row;
        }
        box_row(out + (size_t)y * row, at, row, w);
    }
}

void vt_op_blur(const vt_canvas *c, double deviation)
{
    size_t row = row_bytes(c);
    uint8_t *image = c->work, *line = image + row * (size_t)c->height;
    box w = box_of(deviation);
    for (int y = 0; y < c->height; y++) blur_row(c, image + (size_t)y * row, c->pixels + (size_t)y * row, line, w);
    blur_columns(c, c->pixels, image, w);
    blur_columns(c, image, c->pixels, w);
    blur_columns(c, c->pixels, image, w);
}
