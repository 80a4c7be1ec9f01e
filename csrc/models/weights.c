#include "models/weights.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "graph/exec.h"

void vt_weights_put_entry(const vt_store *s, vt_device *d, int entry, const float *values, float *scratch)
{
    const vt_entry *e = &s->entries[entry];
    vt_entry_from_file(e, values, scratch, sizeof *values);
    vt_store_write(s, d, entry, 0, scratch, e->count);
}

vt_status vt_weights_read_entry(const vt_store *s, vt_device *d, int entry, float *out)
{
    const vt_entry *e = &s->entries[entry];
    float *memory = vt_alloc_raw((size_t)e->count * sizeof *memory);
    if (!memory) return vt_fail_memory(e->name);
    d->backend->read(d, (const float *)s->data + e->offset, memory, (size_t)e->count * sizeof *memory);
    vt_entry_to_file(e, memory, out, sizeof *out);
    vt_free(memory);
    return VT_OK;
}

int64_t vt_weights_largest(const vt_store *s)
{
    int64_t most = 1;
    for (int i = 0; i < s->count; i++)
        if (s->entries[i].count > most) most = s->entries[i].count;
    return most;
}

vt_status vt_weights_initialise(const vt_store *s, vt_device *d, uint64_t seed)
{
    float *values = vt_alloc_raw((size_t)vt_weights_largest(s) * sizeof *values);
    if (!values) return vt_fail_memory("initial weights");
    for (int i = 0; i < s->count; i++) {
        vt_entry_initialise(&s->entries[i], seed, values);
        vt_store_write(s, d, i, 0, values, s->entries[i].count);
    }
    vt_free(values);
    return VT_OK;
}

bool vt_weights_same_shape(const vt_entry *e, const vt_safetensor *t)
{
    int64_t shape[VT_MAX_DIMS];
    vt_entry_file_shape(e, shape);
    bool same = e->ndim == t->ndim;
    for (int i = 0; same && i < e->ndim; i++) same = shape[i] == t->shape[i];
    return same;
}

const char *vt_weights_shape(const int64_t *shape, int ndim, char *text, size_t bytes)
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

vt_status vt_weights_mismatch(const vt_safetensors *f, const vt_entry *e, const vt_safetensor *t,
                              const char *what_to_do)
{
    int64_t shape[VT_MAX_DIMS];
    char has[96], wants[96];
    vt_entry_file_shape(e, shape);
    return vt_fail(VT_INVALID, "%s: tensor %s is %s, the model wants %s: %s", f->path, t->name,
                   vt_weights_shape(t->shape, t->ndim, has, sizeof has),
                   vt_weights_shape(shape, e->ndim, wants, sizeof wants), what_to_do);
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
    float *values = vt_alloc_raw(2 * (size_t)vt_weights_largest(s) * sizeof *values);
    float *scratch = values + vt_weights_largest(s);
    if (!values) return vt_fail_memory("weights");
    for (int i = 0; i < s->count; i++) { /* all is looked at before anything is changed */
        const vt_entry *e = &s->entries[i];
        const vt_safetensor *t = find(f, prefix, e->name);
        if (!t) {
            st = vt_fail(VT_INVALID, "%s: tensor %s%s%s is missing: is --model right?", f->path, prefix,
                         *prefix ? "." : "", e->name);
            goto fail;
        }
        if (!vt_weights_same_shape(e, t)) {
            st = vt_weights_mismatch(f, e, t, "use the flags the weights were made with, or train with --finetune");
            goto fail;
        }
    }
    if (!*prefix) VT_TRY(check_extra(s, f, extra_prefixes));
    for (int i = 0; i < s->count; i++) {
        vt_safetensor_to_float(find(f, prefix, s->entries[i].name), values);
        vt_weights_put_entry(s, d, i, values, scratch);
    }
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
