#include "models/finetune.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"

typedef enum fate { KEPT, RESIZED, INITIALISED } fate;

/* --- positions --- */

static double cubic(double x, double a) /* Keys, 1981 */
{
    x = fabs(x);
    if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

/* weights [to, from]: of each source in each target */
static void weigh(double *weights, int from, int to, bool antialias)
{
    double scale = (double)from / to, stretch = antialias && scale > 1 ? scale : 1, a = antialias ? -0.5 : -0.75;
    for (int i = 0; i < to; i++) {
        double *row = weights + (ptrdiff_t)i * from, centre = (i + 0.5) * scale - 0.5, sum = 0;
        for (int j = 0; j < from; j++) row[j] = 0;
        for (int j = (int)floor(centre - 2 * stretch); j <= (int)ceil(centre + 2 * stretch); j++) {
            if (antialias && (j < 0 || j >= from)) continue;
            double w = cubic((j - centre) / stretch, a);
            row[j < 0 ? 0 : j >= from ? from - 1 : j] += w;
            sum += w;
        }
        for (int j = 0; j < from; j++) row[j] /= sum;
    }
}

/* in [n, n, d] -> out [h, w, d] */
static vt_status resize_grid(const float *in, int n, float *out, const vt_finetune *how, int64_t d)
{
    int h = how->grid_h, w = how->grid_w;
    double *down = vt_alloc(((size_t)h + (size_t)w) * (size_t)n * sizeof *down), *across = down + (ptrdiff_t)h * n;
    if (!down) return vt_fail_memory("position embeddings");
    weigh(down, n, h, how->antialias);
    weigh(across, n, w, how->antialias);
    for (int at = 0; at < h * w; at++) {
        float *o = out + at * d;
        memset(o, 0, (size_t)d * sizeof *o);
        for (int source = 0; source < n * n; source++) {
            float weight = (float)(down[at / w * n + source / n] * across[at % w * n + source % n]);
            for (int64_t k = 0; weight != 0 && k < d; k++) o[k] += weight * in[source * d + k];
        }
    }
    vt_free(down);
    return VT_OK;
}

/* The side of the file's square grid; 0: it has none. */
static int grid_of(const vt_entry *e, const vt_safetensor *t, int extra)
{
    if (t->ndim != 3 || t->shape[0] != 1 || t->shape[2] != e->shape[2] || t->shape[1] <= extra) return 0;
    int side = (int)lround(sqrt((double)(t->shape[1] - extra)));
    return (int64_t)side * side + extra == t->shape[1] ? side : 0;
}

static vt_status load_positions(const vt_store *s, vt_device *d, const vt_safetensor *t, int entry,
                                const vt_finetune *how)
{
    const vt_entry *e = &s->entries[entry];
    int64_t width = e->shape[2], head = how->extra_tokens * width;
    float *in = vt_alloc_raw((size_t)t->count * sizeof *in);
    float *out = vt_alloc_raw(2 * (size_t)e->count * sizeof *out);
    vt_status st = in && out ? VT_OK : vt_fail_memory("position embeddings");
    if (st == VT_OK) {
        vt_safetensor_to_float(t, in);
        memcpy(out, in, (size_t)head * sizeof *out);
        st = resize_grid(in + head, grid_of(e, t, how->extra_tokens), out + head, how, width);
    }
    if (st == VT_OK) vt_weights_put_entry(s, d, entry, out, out + e->count);
    vt_free(in);
    vt_free(out);
    return st;
}

/* --- all tensors --- */

/* Task-specific: a new task starts them afresh. */
static bool is_head(const char *name)
{
    return strncmp(name, "head.", 5) == 0 || strncmp(name, "head_dist.", 10) == 0 || strcmp(name, "dist_token") == 0;
}

/* Of an entry, whose tensor in the file is `t` or NULL. */
static vt_status fate_of(fate *to, const vt_entry *e, const vt_safetensors *f, const vt_safetensor *t,
                         const vt_finetune *how)
{
    *to = KEPT;
    if (t && vt_weights_same_shape(e, t)) return VT_OK;
    *to = INITIALISED;
    if (is_head(e->name)) return VT_OK;
    *to = RESIZED;
    if (!t) return vt_fail(VT_INVALID, "--finetune %s: tensor %s is missing: is --model right?", f->path, e->name);
    if (strcmp(e->name, "pos_embed") != 0)
        return vt_weights_mismatch(f, e, t, "--finetune resizes positions and drops heads alone");
    return grid_of(e, t, how->extra_tokens)
               ? VT_OK
               : vt_weights_mismatch(f, e, t, "only a square grid of the same width can be resized");
}

/* What the model does not have, but for what else a training checkpoint holds. */
static void tell_dropped(const vt_store *s, const vt_safetensors *f, vt_text *table)
{
    enum { NAMED = 4 };
    int dropped = 0;
    for (int i = 0; i < f->count; i++) {
        const char *name = f->tensors[i].name;
        if (vt_store_find(s, name) >= 0 || strncmp(name, "ema.", 4) == 0 || strncmp(name, "opt.", 4) == 0) continue;
        if (dropped++ < NAMED) vt_text_printf(table, "  dropped      %s: the model has no such tensor\n", name);
    }
    if (dropped > NAMED)
        vt_text_printf(table, "  dropped      %d more that the model does not have\n", dropped - NAMED);
}

vt_status vt_finetune_table(const vt_store *s, const vt_safetensors *f, const vt_finetune *how, vt_text *table)
{
    vt_text changed = {0};
    vt_status st = VT_OK;
    int64_t elements = 0;
    int kept = 0;
    for (int i = 0; i < s->count && st == VT_OK; i++) {
        const vt_entry *e = &s->entries[i];
        const vt_safetensor *t = vt_safetensors_find(f, e->name);
        char text[96];
        fate to;
        st = fate_of(&to, e, f, t, how);
        if (st == VT_OK && to == KEPT) {
            kept++;
            elements += e->count;
        } else if (st == VT_OK && to == RESIZED) {
            int side = grid_of(e, t, how->extra_tokens);
            vt_text_printf(&changed, "  resized      %s: from %dx%d to %dx%d, bicubic%s\n", e->name, side, side,
                           how->grid_h, how->grid_w, how->antialias ? " with antialiasing" : "");
        } else if (st == VT_OK) {
            vt_text_printf(&changed, "  initialised  %s: %s%s\n", e->name, t ? "the file's is " : "not in the file",
                           t ? vt_weights_shape(t->shape, t->ndim, text, sizeof text) : "");
        }
    }
    vt_text_printf(table, "finetune: %s\n  kept         %d tensors, %lld elements\n%s", f->path, kept,
                   (long long)elements, vt_text_str(&changed));
    table->failed |= changed.failed;
    vt_text_free(&changed);
    tell_dropped(s, f, table);
    return st ? st : vt_text_status(table);
}

vt_status vt_finetune_load(const vt_store *s, vt_device *d, const vt_safetensors *f, const vt_finetune *how)
{
    vt_status st = VT_OK;
    int64_t most = vt_weights_largest(s);
    float *values = vt_alloc_raw(2 * (size_t)most * sizeof *values);
    if (!values) return vt_fail_memory("weights");
    for (int i = 0; i < s->count && st == VT_OK; i++) {
        const vt_safetensor *t = vt_safetensors_find(f, s->entries[i].name);
        fate to;
        st = fate_of(&to, &s->entries[i], f, t, how);
        if (st == VT_OK && to == RESIZED) st = load_positions(s, d, t, i, how);
        if (st || to != KEPT) continue;
        vt_safetensor_to_float(t, values);
        vt_weights_put_entry(s, d, i, values, values + most);
    }
    vt_free(values);
    return st;
}
