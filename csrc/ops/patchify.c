/* patchify: images to rows of pixels, one row a patch; u8 is normalised on the way. */
#include "ops/op.h"

typedef struct pixel_table {
    vt_real value[VT_MAX_CHANNELS][256];
} pixel_table;

static void fill_table(pixel_table *t, const vt_patchify_attrs *a, int64_t channels)
{
    for (int64_t c = 0; c < channels; c++)
        for (int v = 0; v < 256; v++) t->value[c][v] = (vt_real)((v / 255.0 - a->mean[c]) * a->inv_std[c]);
}

static void normalise(vt_real *out, const uint8_t *pixels, int64_t count, int64_t channels, const pixel_table *t)
{
    for (int64_t i = 0; i < count; i++)
        for (int64_t c = 0; c < channels; c++) out[i * channels + c] = t->value[c][pixels[i * channels + c]];
}

/* in: images u8 or real [B, H, W, C]; out: patches [B, P, ph*pw*C] */
VT_BODY(patchify)
{
    const vt_patchify_attrs *a = r->node->attrs;
    const vt_tensor *images = r->node->in[0];
    const uint8_t *bytes = images->dtype == VT_U8 ? r->in[0] : NULL;
    const vt_real *reals = r->in[0];
    int64_t height = images->shape[1], width = images->shape[2], channels = images->shape[3];
    int64_t down = (height - a->patch_h) / a->stride_h + 1, across = (width - a->patch_w) / a->stride_w + 1;
    int64_t row = a->patch_w * channels, patches = images->shape[0] * down * across;
    vt_real *out = r->out[0];
    pixel_table table;
    if (bytes) fill_table(&table, a, channels);
    for (int64_t p = 0; p < patches; p++) {
        int64_t b = p / (down * across), y = p / across % down * a->stride_h, x = p % across * a->stride_w;
        for (int64_t i = 0; i < a->patch_h; i++, out += row) {
            int64_t from = ((b * height + y + i) * width + x) * channels;
            if (bytes) normalise(out, bytes + from, a->patch_w, channels, &table);
            else memcpy(out, reals + from, (size_t)row * sizeof *out);
        }
    }
}

#if VT_REAL == 32
VT_DECLARE_REFERENCE(patchify);

static vt_status patchify_infer(vt_graph *g, vt_node *n)
{
    const vt_tensor *images = n->in[0];
    const vt_patchify_attrs *a = n->attrs;
    VT_EXPECT(images && images->ndim == 4, "wants images [B, H, W, C]");
    VT_EXPECT(images->dtype == VT_U8 || images->dtype == g->real, "wants images of U8 or %s", vt_dtype_name(g->real));
    VT_EXPECT(a->patch_h > 0 && a->patch_w > 0 && a->stride_h > 0 && a->stride_w > 0,
              "patch %dx%d, stride %dx%d: all must be at least 1", a->patch_h, a->patch_w, a->stride_h, a->stride_w);
    int64_t height = images->shape[1], width = images->shape[2], channels = images->shape[3];
    VT_EXPECT(height >= a->patch_h && width >= a->patch_w, "images %s are smaller than one %dx%d patch",
              VT_SHAPE(images), a->patch_h, a->patch_w);
    VT_EXPECT(images->dtype != VT_U8 || channels <= VT_MAX_CHANNELS, "images %s have more than %d channels",
              VT_SHAPE(images), VT_MAX_CHANNELS);
    int64_t down = (height - a->patch_h) / a->stride_h + 1, across = (width - a->patch_w) / a->stride_w + 1;
    int64_t shape[] = {images->shape[0], down * across, (int64_t)a->patch_h * a->patch_w * channels};
    return vt_node_output(g, n, 0, g->precision.act, 3, shape);
}

vt_tensor *vt_patchify(vt_graph *g, const char *name, vt_tensor *images, const vt_patchify_attrs *attrs)
{
    return vt_out(vt_node_add(g, &vt_op_patchify, name, attrs, &images, 1), 0);
}

const vt_op vt_op_patchify = {.name = "patchify", .attr_bytes = sizeof(vt_patchify_attrs), .n_out = 1,
                              .infer = patchify_infer, .reference = VT_REFERENCE(patchify)};
#endif
