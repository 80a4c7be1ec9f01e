#include "cpu/fast/cut.h"

/* A row of a patch is contiguous in the image: pw * C values. */
typedef struct job {
    const vt_run *r;
    int64_t down, across, row, patches; /* values of a row; patches of a task */
    float *scale, *shift;               /* of a row's bytes */
} job;

static void normalise(float *restrict out, const uint8_t *restrict bytes, const job *j)
{
    const float *restrict scale = j->scale, *restrict shift = j->shift;
    for (int64_t i = 0; i < j->row; i++) out[i] = bytes[i] * scale[i] + shift[i];
}

static void copy_patches(void *arg, int task, int worker)
{
    const job *j = arg;
    const vt_patchify_attrs *a = j->r->node->attrs;
    const vt_tensor *images = j->r->node->in[0];
    int64_t height = images->shape[1], width = images->shape[2], channels = images->shape[3];
    int64_t all = images->shape[0] * j->down * j->across, first = task * j->patches;
    int64_t end = first + j->patches < all ? first + j->patches : all;
    float *out = (float *)j->r->out[0] + first * a->patch_h * j->row;
    for (int64_t p = first; p < end; p++) {
        int64_t b = p / (j->down * j->across), y = p / j->across % j->down * a->stride_h,
                x = p % j->across * a->stride_w;
        for (int64_t i = 0; i < a->patch_h; i++, out += j->row) {
            int64_t from = ((b * height + y + i) * width + x) * channels;
            if (j->scale) normalise(out, (const uint8_t *)j->r->in[0] + from, j);
            else memcpy(out, (const float *)j->r->in[0] + from, (size_t)j->row * sizeof *out);
        }
    }
}

VT_FAST_BODY(patchify)
{
    const vt_patchify_attrs *a = r->node->attrs;
    const vt_tensor *images = r->node->in[0];
    int64_t channels = images->shape[3], row = a->patch_w * channels;
    job j = {.r = r, .down = (images->shape[1] - a->patch_h) / a->stride_h + 1,
             .across = (images->shape[2] - a->patch_w) / a->stride_w + 1, .row = row,
             .patches = vt_piece_rows(a->patch_h * row)};
    if (images->dtype == VT_U8) {
        j.scale = r->scratch;
        j.shift = j.scale + row;
        for (int64_t i = 0; i < row; i++) {
            double inv_std = a->inv_std[i % channels];
            j.scale[i] = (float)(inv_std / 255);
            j.shift[i] = (float)(-a->mean[i % channels] * inv_std);
        }
    }
    int64_t patches = images->shape[0] * j.down * j.across;
    vt_pool_run(r->pool, (int)((patches + j.patches - 1) / j.patches), copy_patches, &j);
}

VT_FAST_SCRATCH(patchify)
{
    const vt_patchify_attrs *a = n->attrs;
    return 2 * (size_t)a->patch_w * (size_t)n->in[0]->shape[3] * sizeof(float);
}
