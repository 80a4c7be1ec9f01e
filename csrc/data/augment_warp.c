/* Warps: what a pixel of the result shows lies at an affine function of its place. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "data/augment_ops.h"

enum {
    WEIGHT_BITS = 14, /* of a weight: four of them and a pixel fit in an int, products in vectors of 16 bits */
    SPARE_BITS = 6,   /* dropped between the two directions */
    PHASE_BITS = 10,
    PHASES = 1 << PHASE_BITS, /* places between two pixels that rotation tells apart */
    POSITION_BITS = 32,
    PAD = 2, /* pixels around the image, copies of its border, that the filters see */
    SLACK = 16
};

/* Of the four pixels around a place, two on each side. */
typedef struct weights {
    int16_t w[4];
} weights;

/* x = ax u + bx v + cx, y = ay u + by v + cy for the centres (u, v) of the result's pixels. */
typedef struct affine {
    double ax, bx, cx, ay, by, cy;
} affine;

typedef struct warp {
    const vt_canvas *canvas;
    affine at;
    const uint8_t *source; /* of the image's own first pixel in the padded copy */
    size_t stride;         /* of that copy */
    weights *table;        /* [max(PHASES, width)] */
    ptrdiff_t *offsets;    /* [width] */
} warp;

static size_t up(size_t bytes)
{
    return (bytes + VT_ALIGN - 1) / VT_ALIGN * VT_ALIGN;
}

static size_t table_bytes(int width)
{
    return up((size_t)(width > PHASES ? width : PHASES) * sizeof(weights));
}

/* Room for a padded image, which is more than blur's image with two padded lines or sharpness's three lines. */
size_t vt_canvas_work(int height, int width, int channels)
{
    size_t row = ((size_t)width + 2 * PAD) * (size_t)channels;
    return table_bytes(width) + up((size_t)width * sizeof(ptrdiff_t)) + row * ((size_t)height + 2 * PAD) + SLACK;
}

/* Whole numbers that add up to 1, so that what is flat stays as it is. */
static weights weights_at(vt_filter filter, double d)
{
    double one = 1 << WEIGHT_BITS, side = 0, right = d, end = 0;
    if (filter == VT_FILTER_BICUBIC) { /* a = -1 */
        side = ((2 - d) * d - 1) * d;
        right = ((1 - d) * d + 1) * d;
        end = (d - 1) * d * d;
    }
    weights w = {{(int16_t)rint(side * one), 0, (int16_t)rint(right * one), (int16_t)rint(end * one)}};
    w.w[1] = (int16_t)((1 << WEIGHT_BITS) - w.w[0] - w.w[2] - w.w[3]);
    return w;
}

/* The padded copy, after the tables. */
static warp warp_open(const vt_canvas *c, affine at)
{
    size_t step = (size_t)c->channels, row = (size_t)c->width * step;
    warp w = {.canvas = c, .at = at, .stride = row + 2 * PAD * step, .table = (void *)c->work,
              .offsets = (void *)(c->work + table_bytes(c->width))};
    uint8_t *padded = c->work + table_bytes(c->width) + up((size_t)c->width * sizeof *w.offsets);
    for (int y = 0; y < c->height + 2 * PAD; y++) {
        int from = y < PAD ? 0 : y - PAD < c->height ? y - PAD : c->height - 1;
        uint8_t *to = padded + (size_t)y * w.stride + PAD * step;
        memcpy(to, c->pixels + (size_t)from * row, row);
        for (size_t i = 0; i < step; i++) {
            to[i - step] = to[i - 2 * step] = to[i];
            to[row + i] = to[row + step + i] = to[row - step + i];
        }
    }
    w.source = padded + PAD * w.stride + PAD * step;
    return w;
}

/* Pillow's test, in Pillow's doubles: beyond the image there is the fill's colour. */
static bool inside(const vt_canvas *c, const affine *a, int x, int y)
{
    double u = x + 0.5, v = y + 0.5;
    double ax = a->ax * u, bx = a->bx * v, ay = a->ay * u, by = a->by * v;
    double px = ax + bx + a->cx, py = ay + by + a->cy;
    return px >= 0.0 && px < c->width && py >= 0.0 && py < c->height;
}

/* Fills the row outside [*begin, *end), which shows the image: places move one way along a row. */
static void fill_row(const warp *w, int y, int *begin, int *end)
{
    const vt_canvas *c = w->canvas;
    uint8_t *row = c->pixels + (size_t)y * (size_t)c->width * (size_t)c->channels;
    *begin = 0;
    *end = c->width;
    while (*begin < *end && !inside(c, &w->at, *begin, y)) ++*begin;
    while (*end > *begin && !inside(c, &w->at, *end - 1, y)) --*end;
    for (int x = 0; x < c->width; x++) {
        if (x == *begin && *begin < *end) x = *end;
        if (x == c->width) break;
        for (int k = 0; k < c->channels; k++) row[x * c->channels + k] = c->fill[k];
    }
}

static uint8_t clip(int v)
{
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

/* --- along one axis with the same weights all along a row --- */

static void filter_row(uint8_t *restrict out, const uint8_t *restrict p, size_t step, weights w, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int a = (int16_t)p[i] * w.w[0], b = (int16_t)p[i + step] * w.w[1];
        int c = (int16_t)p[i + 2 * step] * w.w[2], d = (int16_t)p[i + 3 * step] * w.w[3];
        out[i] = clip((a + b + c + d) >> WEIGHT_BITS);
    }
}

/* Of a shift by dx(y) and dy pixels, one of which is 0. */
static void shift_rows(const vt_canvas *c, affine at)
{
    warp w = warp_open(c, at);
    ptrdiff_t step = c->channels, stride = (ptrdiff_t)w.stride;
    for (int y = 0; y < c->height; y++) {
        int begin, end;
        fill_row(&w, y, &begin, &end);
        if (begin == end) continue;
        double along = at.bx * (y + 0.5) + at.cx, across = at.cy, whole = floor(along + across);
        const uint8_t *p = w.source + y * stride + begin * step;
        uint8_t *out = c->pixels + ((size_t)y * (size_t)c->width + (size_t)begin) * (size_t)step;
        bool turned = across != 0;
        ptrdiff_t tap = turned ? stride : step;
        p += ((ptrdiff_t)whole - 1) * tap;
        filter_row(out, p, (size_t)tap, weights_at(c->filter, along + across - whole), (size_t)((end - begin) * step));
    }
}

void vt_op_shear_x(const vt_canvas *c, double factor)
{
    shift_rows(c, (affine){.ax = 1, .bx = factor, .by = 1});
}

void vt_op_translate_x(const vt_canvas *c, double share)
{
    shift_rows(c, (affine){.ax = 1, .cx = share * c->width, .by = 1});
}

void vt_op_translate_y(const vt_canvas *c, double share)
{
    shift_rows(c, (affine){.ax = 1, .by = 1, .cy = share * c->height});
}

/* --- each column has its own shift and weights --- */

static inline uint8_t weigh_column(const uint8_t *p, ptrdiff_t stride, const int16_t *w)
{
    return clip((p[0] * w[0] + p[stride] * w[1] + p[2 * stride] * w[2] + p[3 * stride] * w[3]) >> WEIGHT_BITS);
}

void vt_op_shear_y(const vt_canvas *c, double factor)
{
    warp w = warp_open(c, (affine){.ax = 1, .ay = factor, .by = 1});
    ptrdiff_t step = c->channels, stride = (ptrdiff_t)w.stride;
    for (int x = 0; x < c->width; x++) {
        double shift = factor * (x + 0.5), whole = floor(shift);
        w.offsets[x] = ((ptrdiff_t)whole - 1) * stride + x * step;
        w.table[x] = weights_at(c->filter, shift - whole);
    }
    for (int y = 0; y < c->height; y++) {
        int begin, end;
        fill_row(&w, y, &begin, &end);
        uint8_t *out = c->pixels + (size_t)y * (size_t)c->width * (size_t)step;
        for (int x = begin; x < end; x++) {
            const uint8_t *p = w.source + y * stride + w.offsets[x];
            const int16_t *t = w.table[x].w;
            uint8_t *to = out + x * step;
            to[0] = weigh_column(p, stride, t);
            if (step == 1) continue;
            to[1] = weigh_column(p + 1, stride, t);
            to[2] = weigh_column(p + 2, stride, t);
        }
    }
}

/* --- any affine function --- */

/* 4 x 4 pixels from p on: across the rows first, where the pixels of a row lie side by side. Vectors are whole: a few
 * sums too many, of bytes that are there (SLACK), are cheaper. */
static inline void weigh(uint8_t *out, const uint8_t *p, size_t stride, const int16_t *across, const int16_t *along,
                         int channels)
{
    enum { SUMS = 16 };
    int sums[SUMS], used = channels == 3 ? SUMS : 4;
    for (int i = 0; i < used; i++) {
        int a = (int16_t)p[i] * across[0], b = (int16_t)p[stride + i] * across[1];
        int c = (int16_t)p[2 * stride + i] * across[2], d = (int16_t)p[3 * stride + i] * across[3];
        sums[i] = (a + b + c + d) >> SPARE_BITS;
    }
    for (int k = 0; k < channels; k++) {
        const int *s = sums + k;
        int sum = s[0] * along[0] + s[channels] * along[1] + s[2 * channels] * along[2] + s[3 * channels] * along[3];
        out[k] = clip(sum >> (2 * WEIGHT_BITS - SPARE_BITS));
    }
}

static int64_t fixed(double v)
{
    return (int64_t)floor(v * (double)((int64_t)1 << POSITION_BITS));
}

static inline void warp_row(const warp *w, int y, int channels)
{
    const vt_canvas *c = w->canvas;
    const affine *a = &w->at;
    int begin, end;
    fill_row(w, y, &begin, &end);
    double u = begin + 0.5, v = y + 0.5, half_phase = 0.5 / PHASES;
    int64_t px = fixed(a->ax * u + a->bx * v + a->cx - 0.5 + half_phase), dx = fixed(a->ax);
    int64_t py = fixed(a->ay * u + a->by * v + a->cy - 0.5 + half_phase), dy = fixed(a->ay);
    uint8_t *out = c->pixels + ((size_t)y * (size_t)c->width + (size_t)begin) * (size_t)channels;
    for (int x = begin; x < end; x++, px += dx, py += dy, out += channels) {
        ptrdiff_t sx = (ptrdiff_t)(px >> POSITION_BITS) - 1, sy = (ptrdiff_t)(py >> POSITION_BITS) - 1;
        const int16_t *along = w->table[px >> (POSITION_BITS - PHASE_BITS) & (PHASES - 1)].w;
        const int16_t *across = w->table[py >> (POSITION_BITS - PHASE_BITS) & (PHASES - 1)].w;
        weigh(out, w->source + sy * (ptrdiff_t)w->stride + sx * channels, w->stride, across, along, channels);
    }
}

/* As Python's round(x, 15). */
static double round_15(double x)
{
    return rint(x * 1e15) / 1e15;
}

void vt_op_rotate(const vt_canvas *c, double degrees)
{
    double angle = -degrees * (3.14159265358979323846 / 180), cx = c->width / 2.0, cy = c->height / 2.0;
    double cosine = round_15(cos(angle)), sine = round_15(sin(angle));
    affine at = {.ax = cosine, .bx = sine, .ay = -sine, .by = cosine};
    at.cx = at.ax * -cx + at.bx * -cy + cx;
    at.cy = at.ay * -cx + at.by * -cy + cy;
    if (degrees == 0) return;
    warp w = warp_open(c, at);
    for (int i = 0; i < PHASES; i++) w.table[i] = weights_at(c->filter, (double)i / PHASES);
    if (c->channels == 3)
        for (int y = 0; y < c->height; y++) warp_row(&w, y, 3);
    else
        for (int y = 0; y < c->height; y++) warp_row(&w, y, 1);
}
