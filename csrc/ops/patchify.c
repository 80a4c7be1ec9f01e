/* patchify: images to rows of pixels, one row a patch; u8 is normalised, and all are erased and mixed, on the way. */
#include "base/normal.h"
#include "ops/draw.h"

typedef struct pixel_table {
    vt_real value[VT_MAX_CHANNELS][256];
} pixel_table;

static void fill_table(pixel_table *t, const vt_patchify_attrs *a, int64_t channels)
{
    for (int64_t c = 0; c < channels; c++)
        for (int v = 0; v < 256; v++) t->value[c][v] = (vt_real)((v / 255.0 - a->mean[c]) * a->inv_std[c]);
}

typedef struct source {
    const vt_run *r;
    int64_t height, width, channels, most; /* most: boxes of a sample */
    const int32_t *boxes, *where;          /* NULL: nothing is erased, mixed */
    pixel_table table;
} source;

static bool is_within(const int32_t box[4], int64_t y, int64_t x) /* top, left, height, width */
{
    return y >= box[0] && y < box[0] + box[2] && x >= box[1] && x < box[1] + box[3];
}

static vt_real noise(const source *s, int64_t b, int64_t box, int64_t y, int64_t x, int64_t c)
{
    const vt_patchify_attrs *a = s->r->node->attrs;
    const int32_t *step = s->r->in[2], *slots = s->r->in[3];
    if (a->erase == VT_ERASE_CONST) return 0;
    int64_t e = (a->erase == VT_ERASE_RAND ? box : y * s->width + x) * s->channels + c;
    return (vt_real)vt_graph_normal(a->key, (uint32_t)*step, (uint32_t)slots[b], (uint32_t)e);
}

/* Normalised and erased. */
static vt_real pixel(const source *s, int64_t b, int64_t y, int64_t x, int64_t c)
{
    int64_t at = ((b * s->height + y) * s->width + x) * s->channels + c;
    for (int64_t k = s->boxes ? s->most - 1 : -1; k >= 0; k--)
        if (is_within(s->boxes + (b * s->most + k) * 4, y, x)) return noise(s, b, k, y, x, c);
    if (s->r->node->in[0]->dtype == VT_U8) return s->table.value[c][((const uint8_t *)s->r->in[0])[at]];
    return ((const vt_real *)s->r->in[0])[at];
}

static vt_real mixed(const source *s, int64_t b, int64_t y, int64_t x, int64_t c)
{
    vt_real own = pixel(s, b, y, x, c);
    if (!s->where) return own;
    const int32_t *where = s->where + 5 * b;
    const vt_real *weights = (const vt_real *)s->r->in[5] + 3 * b;
    vt_real w = is_within(where + 1, y, x) ? weights[0] : weights[1];
    return w == 1 ? own : w * own + (1 - w) * pixel(s, where[0], y, x, c);
}

/* in: images u8 or real [B, H, W, C], boxes? [B, R, 4], step?, slots? [B], where? [B, 5], weights? [B, 3];
 * out: patches [B, P, ph*pw*C] */
VT_BODY(patchify)
{
    const vt_patchify_attrs *a = r->node->attrs;
    const vt_tensor *images = r->node->in[0], *boxes = r->node->in[1];
    source s = {.r = r, .height = images->shape[1], .width = images->shape[2], .channels = images->shape[3],
                .most = boxes ? boxes->shape[1] : 0, .boxes = r->in[1], .where = r->in[4]};
    int64_t down = (s.height - a->patch_h) / a->stride_h + 1, across = (s.width - a->patch_w) / a->stride_w + 1;
    int64_t patches = images->shape[0] * down * across;
    vt_real *out = r->out[0];
    if (images->dtype == VT_U8) fill_table(&s.table, a, s.channels);
    for (int64_t p = 0; p < patches; p++) {
        int64_t b = p / (down * across), top = p / across % down * a->stride_h, left = p % across * a->stride_w;
        for (int64_t y = top; y < top + a->patch_h; y++)
            for (int64_t x = left; x < left + a->patch_w; x++)
                for (int64_t c = 0; c < s.channels; c++) *out++ = mixed(&s, b, y, x, c);
    }
}

#if VT_REAL == 32
VT_DECLARE_REFERENCE(patchify);

static vt_status expect_boxes(vt_graph *g, const vt_node *n, int64_t batch, int64_t elements)
{
    const vt_tensor *boxes = n->in[1];
    if (!boxes) return VT_OK;
    VT_EXPECT(boxes->dtype == VT_I32 && boxes->ndim == 3 && boxes->shape[0] == batch && boxes->shape[2] == 4,
              "the boxes are %s, not I32 [%lld, R, 4]", VT_SHAPE(boxes), (long long)batch);
    VT_EXPECT(n->in[2] && n->in[3], "erasing wants the step's number and the samples' slots");
    return vt_expect_random(g, n, n->in[2], n->in[3], batch, elements);
}

static vt_status patchify_infer(vt_graph *g, vt_node *n)
{
    const vt_tensor *images = n->in[0];
    const vt_patchify_attrs *a = n->attrs;
    VT_EXPECT(images && images->ndim == 4, "wants images [B, H, W, C]");
    VT_EXPECT(images->dtype == VT_U8 || images->dtype == g->real, "wants images of U8 or %s", vt_dtype_name(g->real));
    VT_EXPECT(a->patch_h > 0 && a->patch_w > 0 && a->stride_h > 0 && a->stride_w > 0,
              "patch %dx%d, stride %dx%d: all must be at least 1", a->patch_h, a->patch_w, a->stride_h, a->stride_w);
    int64_t batch = images->shape[0], height = images->shape[1], width = images->shape[2], channels = images->shape[3];
    VT_EXPECT(height >= a->patch_h && width >= a->patch_w, "images %s are smaller than one %dx%d patch",
              VT_SHAPE(images), a->patch_h, a->patch_w);
    VT_EXPECT(images->dtype != VT_U8 || channels <= VT_MAX_CHANNELS, "images %s have more than %d channels",
              VT_SHAPE(images), VT_MAX_CHANNELS);
    vt_status st = expect_boxes(g, n, batch, height * width * channels);
    if (st == VT_OK) st = vt_expect_mixing(g, n, n->in[4], n->in[5], batch);
    if (st) return st;
    int64_t down = (height - a->patch_h) / a->stride_h + 1, across = (width - a->patch_w) / a->stride_w + 1;
    int64_t shape[] = {batch, down * across, (int64_t)a->patch_h * a->patch_w * channels};
    return vt_node_output(g, n, 0, g->precision.act, 3, shape);
}

vt_tensor *vt_patchify_with(vt_graph *g, const char *name, vt_tensor *images, const vt_patchify_attrs *attrs,
                            const vt_effects *effects)
{
    vt_patchify_attrs a = *attrs;
    vt_tensor *in[6] = {images};
    if (effects && effects->boxes) {
        a.erase = effects->erase;
        a.key = vt_draw_key(&effects->random, "erase");
        in[1] = effects->boxes;
        in[2] = effects->random.step;
        in[3] = effects->random.slots;
    }
    if (effects) {
        in[4] = effects->where;
        in[5] = effects->weights;
    }
    return vt_out(vt_node_add(g, &vt_op_patchify, name, &a, in, 6), 0);
}

vt_tensor *vt_patchify(vt_graph *g, const char *name, vt_tensor *images, const vt_patchify_attrs *attrs)
{
    return vt_patchify_with(g, name, images, attrs, NULL);
}

const vt_op vt_op_patchify = {.name = "patchify", .attr_bytes = sizeof(vt_patchify_attrs), .n_out = 1,
                              .infer = patchify_infer, .reference = VT_REFERENCE(patchify)};
#endif
