#include "models/weights.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

static void *entry_data(const vt_store *s, int entry)
{
    return (char *)s->data + (size_t)s->entries[entry].offset * vt_dtype_bytes(s->dtype);
}

/* values in the file's layout; scratch of the same size */
static void put_entry(const vt_store *s, vt_device *d, int entry, const float *values, float *scratch)
{
    const vt_entry *e = &s->entries[entry];
    vt_entry_from_file(e, values, scratch, sizeof *values);
    d->backend->write(d, entry_data(s, entry), scratch, (size_t)e->count * sizeof *values);
}

vt_status vt_weights_read_entry(const vt_store *s, vt_device *d, int entry, float *out)
{
    const vt_entry *e = &s->entries[entry];
    float *memory = vt_alloc_raw((size_t)e->count * sizeof *memory);
    if (!memory) return vt_fail_memory(e->name);
    d->backend->read(d, entry_data(s, entry), memory, (size_t)e->count * sizeof *memory);
    vt_entry_to_file(e, memory, out, sizeof *out);
    vt_free(memory);
    return VT_OK;
}

static int64_t largest(const vt_store *s)
{
    int64_t most = 1;
    for (int i = 0; i < s->count; i++)
        if (s->entries[i].count > most) most = s->entries[i].count;
    return most;
}

vt_status vt_weights_initialise(const vt_store *s, vt_device *d, uint64_t seed)
{
    float *values = vt_alloc_raw((size_t)largest(s) * sizeof *values);
    if (!values) return vt_fail_memory("initial weights");
    for (int i = 0; i < s->count; i++) {
        vt_entry_initialise(&s->entries[i], seed, values);
        d->backend->write(d, entry_data(s, i), values, (size_t)s->entries[i].count * sizeof *values);
    }
    vt_free(values);
    return VT_OK;
}

static bool same_shape(const vt_entry *e, const vt_safetensor *t)
{
    int64_t shape[VT_MAX_DIMS];
    vt_entry_file_shape(e, shape);
    bool same = e->ndim == t->ndim;
    for (int i = 0; same && i < e->ndim; i++) same = shape[i] == t->shape[i];
    return same;
}

static const char *shape_text(const int64_t *shape, int ndim, char *text, size_t bytes)
{
    vt_tensor t = {.ndim = ndim < VT_MAX_DIMS ? ndim : VT_MAX_DIMS};
    memcpy(t.shape, shape, (size_t)t.ndim * sizeof *shape);
    return vt_shape_text(&t, text, bytes);
}

static const vt_safetensor *find(const vt_safetensors *f, const char *prefix, const char *name)
{
    char full[512];
    snprintf(full, sizeof full, "%s%s%s", prefix, *prefix ? "." : "", name);
    return vt_safetensors_find(f, full);
}

static vt_status mismatch(const vt_safetensors *f, const vt_entry *e, const vt_safetensor *t, const char *what_to_do)
{
    int64_t shape[VT_MAX_DIMS];
    char has[96], wants[96];
    vt_entry_file_shape(e, shape);
    return vt_fail(VT_INVALID, "%s: tensor %s is %s, the model wants %s: %s", f->path, t->name,
                   shape_text(t->shape, t->ndim, has, sizeof has), shape_text(shape, e->ndim, wants, sizeof wants),
                   what_to_do);
}

static vt_status check_extra(const vt_store *s, const vt_safetensors *f, const char *const *allowed)
{
    for (int i = 0; i < f->count; i++) {
        const char *name = f->tensors[i].name;
        bool known = vt_store_find(s, name) >= 0;
        for (const char *const *p = allowed; !known && p && *p; p++) known = strncmp(name, *p, strlen(*p)) == 0;
        if (!known)
            return vt_fail(VT_INVALID, "%s: tensor %s is not part of this model: is --model right?", f->path, name);
    }
    return VT_OK;
}

vt_status vt_weights_load(const vt_store *s, vt_device *d, const vt_safetensors *f, const char *prefix,
                          const char *const *extra_prefixes)
{
    vt_status st = VT_OK;
    float *values = vt_alloc_raw(2 * (size_t)largest(s) * sizeof *values), *scratch = values + largest(s);
    if (!values) return vt_fail_memory("weights");
    for (int i = 0; i < s->count; i++) { /* all is looked at before anything is changed */
        const vt_entry *e = &s->entries[i];
        const vt_safetensor *t = find(f, prefix, e->name);
        if (!t) {
            st = vt_fail(VT_INVALID, "%s: tensor %s%s%s is missing: is --model right?", f->path, prefix,
                         *prefix ? "." : "", e->name);
            goto fail;
        }
        if (!same_shape(e, t)) {
            st = mismatch(f, e, t, "use the flags the weights were made with, or train with --finetune");
            goto fail;
        }
    }
    if (!*prefix) VT_TRY(check_extra(s, f, extra_prefixes));
    for (int i = 0; i < s->count; i++) {
        vt_safetensor_to_float(find(f, prefix, s->entries[i].name), values);
        put_entry(s, d, i, values, scratch);
    }
fail:
    vt_free(values);
    return st;
}

static float cubic(float x) /* Keys' kernel, a = -0.75, as torch's interpolate */
{
    const float a = -0.75f;
    x = fabsf(x);
    if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

/* in [h, w, d] -> out [oh, ow, d]; align_corners = False, edges repeated */
static void resize_grid(const float *in, int h, int w, float *out, int oh, int ow, int64_t d)
{
    for (int y = 0; y < oh; y++)
        for (int x = 0; x < ow; x++) {
            float fy = (y + 0.5f) * (float)h / (float)oh - 0.5f, fx = (x + 0.5f) * (float)w / (float)ow - 0.5f;
            int iy = (int)floorf(fy), ix = (int)floorf(fx);
            float *o = out + ((int64_t)y * ow + x) * d;
            for (int64_t k = 0; k < d; k++) o[k] = 0;
            for (int dy = -1; dy <= 2; dy++)
                for (int dx = -1; dx <= 2; dx++) {
                    int sy = iy + dy < 0 ? 0 : iy + dy >= h ? h - 1 : iy + dy;
                    int sx = ix + dx < 0 ? 0 : ix + dx >= w ? w - 1 : ix + dx;
                    float weight = cubic(fy - (float)(iy + dy)) * cubic(fx - (float)(ix + dx));
                    const float *p = in + ((int64_t)sy * w + sx) * d;
                    for (int64_t k = 0; k < d; k++) o[k] += weight * p[k];
                }
        }
}

static vt_status finetune_positions(const vt_store *s, vt_device *d, const vt_safetensors *f, const vt_safetensor *t,
                                    int entry, int extra, int grid_h, int grid_w, vt_text *report)
{
    const vt_entry *e = &s->entries[entry];
    int old = t->ndim == 3 ? (int)lround(sqrt((double)(t->shape[1] - extra))) : 0;
    if (t->ndim != 3 || t->shape[2] != e->shape[2] || old < 1 || (int64_t)old * old + extra != t->shape[1])
        return mismatch(f, e, t, "only a square grid of the same width can be resized");
    int64_t width = e->shape[2], head = extra * width;
    float *in = vt_alloc_raw((size_t)t->count * sizeof *in);
    float *out = vt_alloc_raw(2 * (size_t)e->count * sizeof *out);
    if (!in || !out) {
        vt_free(in);
        vt_free(out);
        return vt_fail_memory("position embeddings");
    }
    vt_safetensor_to_float(t, in);
    memcpy(out, in, (size_t)head * sizeof *out);
    resize_grid(in + head, old, old, out + head, grid_h, grid_w, width);
    put_entry(s, d, entry, out, out + e->count);
    vt_text_printf(report, "finetune: pos_embed resized from %dx%d to %dx%d\n", old, old, grid_h, grid_w);
    vt_free(in);
    vt_free(out);
    return VT_OK;
}

/* Task-specific: a new task starts them afresh. */
static bool is_head(const char *name)
{
    return strncmp(name, "head.", 5) == 0 || strncmp(name, "head_dist.", 10) == 0 || strcmp(name, "dist_token") == 0;
}

vt_status vt_weights_finetune(const vt_store *s, vt_device *d, const vt_safetensors *f, int extra, int grid_h,
                              int grid_w, vt_text *report)
{
    vt_status st = VT_OK;
    char text[96];
    float *values = vt_alloc_raw(2 * (size_t)largest(s) * sizeof *values), *scratch = values + largest(s);
    if (!values) return vt_fail_memory("weights");
    for (int i = 0; i < s->count; i++) {
        const vt_entry *e = &s->entries[i];
        const vt_safetensor *t = vt_safetensors_find(f, e->name);
        if (t && same_shape(e, t)) {
            vt_safetensor_to_float(t, values);
            put_entry(s, d, i, values, scratch);
        } else if (is_head(e->name)) {
            vt_text_printf(report, "finetune: %s %s, initialised\n", e->name,
                           t ? shape_text(t->shape, t->ndim, text, sizeof text) : "is not in the file");
        } else if (t && strcmp(e->name, "pos_embed") == 0) {
            VT_TRY(finetune_positions(s, d, f, t, i, extra, grid_h, grid_w, report));
        } else {
            st = t ? mismatch(f, e, t, "--finetune resizes positions and drops heads alone")
                   : vt_fail(VT_INVALID, "--finetune %s: tensor %s is missing: is --model right?", f->path, e->name);
            goto fail;
        }
    }
    for (int i = 0; i < f->count; i++)
        if (vt_store_find(s, f->tensors[i].name) < 0 && !strchr("eo", f->tensors[i].name[0]))
            vt_text_printf(report, "finetune: %s dropped, the model has no such tensor\n", f->tensors[i].name);
fail:
    vt_free(values);
    return st;
}

static vt_status produce(void *arg, vt_writer *out)
{
    const vt_weight_source *w = arg;
    size_t bytes = (size_t)w->store->entries[w->entry].count * sizeof(float);
    float *values = vt_alloc_raw(bytes);
    if (!values) return vt_fail_memory("checkpoint");
    vt_status st = vt_weights_read_entry(w->store, w->device, w->entry, values);
    if (st == VT_OK) st = vt_writer_put(out, values, bytes);
    vt_free(values);
    return st;
}

vt_status vt_weights_save(const vt_store *s, vt_device *d, const char *prefix, vt_arena *names,
                          vt_weight_source *sources, vt_save_tensor *tensors)
{
    for (int i = 0; i < s->count; i++) {
        const vt_entry *e = &s->entries[i];
        sources[i] = (vt_weight_source){s, d, i};
        vt_save_tensor *t = &tensors[i];
        *t = (vt_save_tensor){.dtype = VT_F32, .ndim = e->ndim, .produce = produce, .arg = &sources[i]};
        t->name = vt_arena_printf(names, "%s%s%s", prefix, *prefix ? "." : "", e->name);
        if (!t->name) return vt_fail_memory("checkpoint");
        vt_entry_file_shape(e, t->shape);
    }
    return VT_OK;
}
