#include "cpu/fast/cut.h"
#include "cpu/fast/draws.h"

/* A row of a patch is contiguous in the image: pw * C values. */
typedef struct job {
    const vt_run *r;
    int64_t height, width, channels, most; /* most: boxes of a sample */
    int64_t down, across, row, patches;    /* values of a row; patches of a task */
    float *scale, *shift;                  /* of a row's bytes; NULL: images are real */
    float *others;                         /* [threads, row]: a partner's */
} job;

typedef struct spot { /* where a row begins */
    int64_t b, y, x;
} spot;

static void normalise(float *restrict out, const uint8_t *restrict bytes, const job *j)
{
    const float *restrict scale = j->scale, *restrict shift = j->shift;
    for (int64_t i = 0; i < j->row; i++) out[i] = bytes[i] * scale[i] + shift[i];
}

/* The values of a row that are within a box; false: none are. */
static bool overlap(const job *j, const int32_t *box, spot at, int64_t *from, int64_t *to)
{
    int64_t end = at.x + j->row / j->channels, left = box[1], right = left + box[3];
    *from = ((left > at.x ? left : at.x) - at.x) * j->channels;
    *to = ((right < end ? right : end) - at.x) * j->channels;
    return at.y >= box[0] && at.y < box[0] + box[2] && *from < *to;
}

static void erase(const job *j, spot at, float *out)
{
    const vt_patchify_attrs *a = j->r->node->attrs;
    const int32_t *boxes = (const int32_t *)j->r->in[1] + at.b * j->most * 4;
    uint32_t step = (uint32_t)*(const int32_t *)j->r->in[2], slot = (uint32_t)((const int32_t *)j->r->in[3])[at.b];
    for (int64_t k = 0, from, to; k < j->most; k++) {
        if (!overlap(j, boxes + 4 * k, at, &from, &to)) continue;
        int64_t first = (at.y * j->width + at.x) * j->channels + from;
        if (a->erase == VT_ERASE_PIXEL) {
            vt_draw_normals(a->key, step, slot, (uint32_t)first, to - from, out + from);
            continue;
        }
        for (int64_t c = 0; c < j->channels; c++) {
            float v = a->erase == VT_ERASE_CONST ? 0
                                                 : vt_graph_normal(a->key, step, slot, (uint32_t)(k * j->channels + c));
            for (int64_t i = from + c; i < to; i += j->channels) out[i] = v;
        }
    }
}

static bool is_erased(const job *j, spot at)
{
    const int32_t *boxes = (const int32_t *)j->r->in[1] + at.b * j->most * 4;
    int64_t from, to;
    for (int64_t k = 0; k < j->most; k++)
        if (overlap(j, boxes + 4 * k, at, &from, &to)) return true;
    return false;
}

static int64_t first_of(const job *j, spot at)
{
    return ((at.b * j->height + at.y) * j->width + at.x) * j->channels;
}

/* Normalised and erased. */
static void read_row(const job *j, spot at, float *out)
{
    if (j->scale) normalise(out, (const uint8_t *)j->r->in[0] + first_of(j, at), j);
    else memcpy(out, (const float *)j->r->in[0] + first_of(j, at), (size_t)j->row * sizeof *out);
    if (j->most) erase(j, at, out);
}

static void blend(float *restrict own, const float *restrict other, int64_t from, int64_t to, float w)
{
    if (w == 1) return;
    for (int64_t i = from; i < to; i++) own[i] = w * own[i] + (1 - w) * other[i];
}

/* Bytes that nobody erases are mixed before they are normalised: one pass. */
static void blend_bytes(const job *j, float *restrict out, const uint8_t *restrict own, const uint8_t *restrict other,
                        int64_t from, int64_t to, float w)
{
    const float *restrict scale = j->scale, *restrict shift = j->shift;
    for (int64_t i = from; i < to; i++) out[i] = (w * own[i] + (1 - w) * other[i]) * scale[i] + shift[i];
}

static void mixed_row(const job *j, spot at, float *out, float *other)
{
    const int32_t *where = (const int32_t *)j->r->in[4] + 5 * at.b;
    const float *weights = (const float *)j->r->in[5] + 3 * at.b;
    int64_t from = 0, to = 0;
    if (!overlap(j, where + 1, at, &from, &to)) from = to = 0;
    bool all_own = (from == to || weights[0] == 1) && (to - from == j->row || weights[1] == 1);
    spot partner = {where[0], at.y, at.x};
    if (!all_own && j->scale && !is_erased(j, at) && !is_erased(j, partner)) {
        const uint8_t *bytes = j->r->in[0], *a = bytes + first_of(j, at), *b = bytes + first_of(j, partner);
        blend_bytes(j, out, a, b, 0, from, weights[1]);
        blend_bytes(j, out, a, b, from, to, weights[0]);
        blend_bytes(j, out, a, b, to, j->row, weights[1]);
        return;
    }
    read_row(j, at, out);
    if (all_own) return;
    read_row(j, partner, other);
    blend(out, other, 0, from, weights[1]);
    blend(out, other, from, to, weights[0]);
    blend(out, other, to, j->row, weights[1]);
}

static void copy_patches(void *arg, int task, int worker)
{
    const job *j = arg;
    const vt_patchify_attrs *a = j->r->node->attrs;
    int64_t all = j->r->node->in[0]->shape[0] * j->down * j->across, first = task * j->patches;
    int64_t end = first + j->patches < all ? first + j->patches : all;
    float *out = (float *)j->r->out[0] + first * a->patch_h * j->row;
    for (int64_t p = first; p < end; p++) {
        spot at = {p / (j->down * j->across), p / j->across % j->down * a->stride_h, p % j->across * a->stride_w};
        for (int64_t i = 0; i < a->patch_h; i++, at.y++, out += j->row) {
            if (j->others) mixed_row(j, at, out, j->others + worker * j->row);
            else read_row(j, at, out);
        }
    }
}

VT_FAST_BODY(patchify)
{
    const vt_patchify_attrs *a = r->node->attrs;
    const vt_tensor *images = r->node->in[0], *boxes = r->node->in[1];
    int64_t height = images->shape[1], width = images->shape[2], channels = images->shape[3];
    int64_t row = a->patch_w * channels, patches;
    job j = {.r = r, .height = height, .width = width, .channels = channels, .most = boxes ? boxes->shape[1] : 0,
             .down = (height - a->patch_h) / a->stride_h + 1, .across = (width - a->patch_w) / a->stride_w + 1,
             .row = row, .patches = vt_piece_rows(a->patch_h * row)};
    if (r->in[4]) j.others = (float *)r->scratch + 2 * row;
    if (images->dtype == VT_U8) {
        j.scale = r->scratch;
        j.shift = j.scale + row;
        for (int64_t i = 0; i < row; i++) {
            double inv_std = a->inv_std[i % channels];
            j.scale[i] = (float)(inv_std / 255);
            j.shift[i] = (float)(-a->mean[i % channels] * inv_std);
        }
    }
    patches = images->shape[0] * j.down * j.across;
    vt_pool_run(r->pool, (int)((patches + j.patches - 1) / j.patches), copy_patches, &j);
}

VT_FAST_SCRATCH(patchify)
{
    const vt_patchify_attrs *a = n->attrs;
    size_t rows = n->in[4] ? 2 + (size_t)threads : 2;
    return rows * (size_t)a->patch_w * (size_t)n->in[0]->shape[3] * sizeof(float);
}
