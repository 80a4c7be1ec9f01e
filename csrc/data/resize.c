#include "data/resize.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "data/resize_row.h"

/* --- weights, in doubles as PIL's Resample.c has them --- */

static double bilinear(double x)
{
    x = fabs(x);
    return x < 1.0 ? 1.0 - x : 0.0;
}

static double bicubic(double x)
{
    const double a = -0.5;
    x = fabs(x);
    if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
    if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
    return 0.0;
}

static const struct {
    double (*weight)(double x);
    double support;
} filters[] = {
    [VT_FILTER_BILINEAR] = {bilinear, 1.0},
    [VT_FILTER_BICUBIC] = {bicubic, 2.0},
};

/* One axis of a job. */
typedef struct axis {
    int size;       /* of the source */
    float from, to; /* the box */
    int out;        /* of the whole result */
    int begin, end; /* the window */
    bool flip;
} axis;

static int even(int taps)
{
    return taps + taps % 2;
}

/* No output has more taps, whatever its ends are rounded to. */
static int taps_room(const axis *a, vt_filter filter)
{
    double scale = (double)(a->to - a->from) / a->out;
    if (filter == VT_FILTER_NEAREST) return 2;
    return even((int)ceil(2 * filters[filter].support * (scale < 1.0 ? 1.0 : scale)) + 2);
}

/* Sets output k's pixels, and its weights from numbers that add up to `sum`. */
static void set_taps(vt_taps *t, int k, int first, int count, const double *w, double sum)
{
    int16_t *to = t->weights + (size_t)k * 2 * (size_t)t->room;
    memset(to, 0, 2 * (size_t)t->room * sizeof *to);
    t->first[k] = first;
    t->count[k] = count;
    if (count > t->most) t->most = even(count);
    for (int i = 0; i < count; i++) {
        double v = (sum != 0.0 ? w[i] / sum : w[i]) * (1 << VT_WEIGHT_BITS);
        int fixed = (int)(v < 0 ? v - 0.5 : v + 0.5), low = fixed & ((1 << VT_WEIGHT_LOW) - 1);
        to[i / 2 * 4 + i % 2] = (int16_t)((fixed - low) / (1 << VT_WEIGHT_LOW));
        to[i / 2 * 4 + 2 + i % 2] = (int16_t)low;
    }
}

/* Nearest is a filter of one tap. PIL's positions accumulate, and so do their roundings. */
static void nearest_taps(const axis *a, vt_taps *t)
{
    const double one = 1.0;
    double step = (double)(a->to - a->from) / a->out, at = a->from + step * 0.5;
    for (int i = 0; i < a->end; i++, at += step) {
        int x = (int)at, k = a->flip ? a->end - 1 - i : i - a->begin;
        if (i >= a->begin) set_taps(t, k, x < a->size ? x : a->size - 1, 1, &one, one);
    }
}

static void filter_taps(const axis *a, vt_filter filter, double *w, vt_taps *t)
{
    double scale = (double)(a->to - a->from) / a->out, stretch = scale < 1.0 ? 1.0 : scale;
    double support = filters[filter].support * stretch, ss = 1.0 / stretch;
    for (int i = a->begin; i < a->end; i++) {
        double center = a->from + (i + 0.5) * scale, sum = 0.0;
        int first = (int)(center - support + 0.5), last = (int)(center + support + 0.5);
        if (first < 0) first = 0;
        if (last > a->size) last = a->size;
        for (int x = first; x < last; x++) {
            w[x - first] = filters[filter].weight((x - center + 0.5) * ss);
            sum += w[x - first];
        }
        set_taps(t, a->flip ? a->end - 1 - i : i - a->begin, first, last - first, w, sum);
    }
}

/* --- the two passes --- */

/* The next `bytes` of the block, on a line of their own. */
static void *carve(char **at, size_t bytes)
{
    void *p = *at;
    *at += (bytes + VT_ALIGN - 1) / VT_ALIGN * VT_ALIGN;
    return p;
}

static size_t taps_bytes(const vt_taps *t)
{
    size_t outs = (size_t)t->outs;
    return 2 * (outs * sizeof(int) + VT_ALIGN) + outs * 2 * (size_t)t->room * sizeof(int16_t) + VT_ALIGN;
}

static void make_taps(const axis *a, vt_filter filter, double *w, vt_taps *t, char **at)
{
    size_t outs = (size_t)t->outs;
    t->first = carve(at, outs * sizeof *t->first);
    t->count = carve(at, outs * sizeof *t->count);
    t->weights = carve(at, outs * 2 * (size_t)t->room * sizeof *t->weights);
    if (filter == VT_FILTER_NEAREST)
        nearest_taps(a, t);
    else
        filter_taps(a, filter, w, t);
}

static vt_status grow(vt_resizer *r, size_t bytes)
{
    if (bytes <= r->capacity) return VT_OK;
    vt_free(r->block);
    r->capacity = 0;
    r->block = vt_alloc_raw(bytes + bytes / 4); /* jobs differ a little: not a new block for each */
    if (!r->block) return vt_fail_memory("resizing an image");
    r->capacity = bytes + bytes / 4;
    return VT_OK;
}

void vt_resizer_free(vt_resizer *r)
{
    vt_free(r->block);
    *r = (vt_resizer){0};
}

/* The rows [*begin, *end) of the source that the outputs want. */
static void rows_wanted(const vt_taps *t, int *begin, int *end)
{
    *begin = t->first[0];
    *end = 0;
    for (int k = 0; k < t->outs; k++) {
        if (t->first[k] < *begin) *begin = t->first[k];
        if (t->first[k] + t->count[k] > *end) *end = t->first[k] + t->count[k];
    }
}

/* A row with `slack` bytes to read behind it: where there are none, a copy in `padded`. */
static const uint8_t *source_row(const vt_resize *job, int y, size_t slack, uint8_t *padded)
{
    const uint8_t *row = job->src + (size_t)y * job->src_stride;
    size_t bytes = (size_t)job->src_width * (size_t)job->channels;
    if ((size_t)(job->src_height - 1 - y) * job->src_stride >= slack) return row;
    memcpy(padded, row, bytes);
    memset(padded + bytes, 0, slack);
    return padded;
}

vt_status vt_resizer_run(vt_resizer *r, const vt_resize *job, uint8_t *out)
{
    const axis ax = {job->src_width, job->x0, job->x1, job->width, job->win_x, job->win_x + job->win_width, job->hflip};
    const axis ay = {job->src_height, job->y0, job->y1, job->height, job->win_y, job->win_y + job->win_height,
                     job->vflip};
    vt_taps tx = {.outs = job->win_width, .room = taps_room(&ax, job->filter)};
    vt_taps ty = {.outs = job->win_height, .room = taps_room(&ay, job->filter)};
    size_t line = (size_t)job->win_width * (size_t)job->channels,
           src_line = (size_t)job->src_width * (size_t)job->channels;
    size_t weights = (size_t)(tx.room > ty.room ? tx.room : ty.room) * sizeof(double), slack = vt_taps_slack(&tx);
    size_t rows_bytes = line * ((size_t)job->src_height + 1); /* one more: see vt_resize_body.column */
    vt_status st =
        grow(r, taps_bytes(&tx) + taps_bytes(&ty) + weights + rows_bytes + 2 * (src_line + slack) + 4 * VT_ALIGN);
    if (st != VT_OK) return st;
    char *at = r->block;
    double *w = carve(&at, weights);
    make_taps(&ax, job->filter, w, &tx, &at);
    make_taps(&ay, job->filter, w, &ty, &at);
    uint8_t *padded[2] = {carve(&at, src_line + slack), carve(&at, src_line + slack)}, *rows = carve(&at, rows_bytes);

    const vt_resize_body *body = r->plain ? &vt_resize_plain : vt_resize_fastest();
    int begin, end;
    rows_wanted(&ty, &begin, &end);
    for (int y = begin; y < end; y += 2) {
        const uint8_t *pair[2];
        int next = y + 1 < end ? y + 1 : y;
        pair[0] = source_row(job, y, slack, padded[0]);
        pair[1] = source_row(job, next, slack, padded[1]);
        body->rows(rows + (size_t)y * line, rows + (size_t)next * line, pair[0], pair[1], job->channels, &tx);
    }
    memset(rows + (size_t)end * line, 0, line);
    for (int k = 0; k < ty.outs; k++) body->column(out + (size_t)k * line, rows, line, &ty, k, line);
    return VT_OK;
}
