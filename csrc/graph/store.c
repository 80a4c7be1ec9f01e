#include "graph/store.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/philox.h"

void vt_store_init(vt_store *store, const char *role, vt_dtype dtype)
{
    *store = (vt_store){.role = role, .dtype = dtype};
}

void vt_store_like(vt_store *store, const char *role, const vt_store *of)
{
    *store = (vt_store){.role = role, .dtype = of->dtype, .entries = of->entries, .count = of->count,
                        .elements = of->elements, .like = of, .derived = true};
}

vt_status vt_store_trained(vt_store *store, const char *role, const vt_store *of)
{
    vt_status st = VT_OK;
    int index;
    vt_store_init(store, role, of->dtype);
    store->derived = true;
    for (int i = 0; i < of->count && st == VT_OK; i++)
        if (!of->entries[i].frozen) st = vt_store_add(store, &of->entries[i], &index);
    if (st) vt_store_free(store);
    return st;
}

vt_status vt_store_lower(vt_store *store, vt_dtype dtype)
{
    vt_status st = VT_OK;
    int index;
    vt_store *low = store->low = vt_alloc(sizeof *low);
    if (!low) return vt_fail_memory("parameter table");
    vt_store_init(low, "low", dtype);
    low->derived = true;
    for (int i = 0; i < store->count && st == VT_OK; i++) {
        vt_entry e = store->entries[i];
        if (!e.gemm) e = (vt_entry){.name = e.name, .ndim = 1};
        st = vt_store_add(low, &e, &index);
    }
    return st;
}

void vt_store_free(vt_store *store)
{
    if (store->low) vt_store_free(store->low);
    vt_free(store->low);
    if (!store->like) vt_free(store->entries);
    vt_arena_free(&store->arena);
    *store = (vt_store){0};
}

static bool is_identity(const vt_entry *e)
{
    for (int i = 0; i < e->ndim; i++)
        if (e->file_axis[i] != i) return false;
    return true;
}

vt_status vt_store_add(vt_store *store, const vt_entry *entry, int *index)
{
    if (store->count == store->capacity) {
        int capacity = store->capacity ? 2 * store->capacity : 64;
        vt_entry *grown = vt_realloc(store->entries, (size_t)store->capacity * sizeof *grown,
                                     (size_t)capacity * sizeof *grown);
        if (!grown) return vt_fail_memory("parameter table");
        store->entries = grown;
        store->capacity = capacity;
    }
    vt_entry *e = &store->entries[store->count];
    *e = *entry;
    e->name = vt_arena_printf(&store->arena, "%s", entry->name);
    if (!e->name) return vt_fail_memory("parameter name");
    bool given = false;
    e->count = 1;
    for (int i = 0; i < e->ndim; i++) {
        given |= e->file_axis[i] != 0;
        e->count *= e->shape[i];
    }
    for (int i = 0; i < e->ndim && !given; i++) e->file_axis[i] = i;
    e->offset = store->elements;
    int64_t unit = VT_ALIGN / 2; /* a line of the narrowest dtype that a store of the same entries may have */
    store->elements += (e->count + unit - 1) / unit * unit;
    *index = store->count++;
    return VT_OK;
}

int vt_store_find(const vt_store *store, const char *name)
{
    for (int i = 0; i < store->count; i++)
        if (strcmp(store->entries[i].name, name) == 0) return i;
    return -1;
}

static float normal(uint64_t key, uint32_t element)
{
    vt_philox r = vt_philox_4x32(key, element, 0, 0, VT_PURPOSE_INIT);
    double u = (r.v[0] + 1.0) / 4294967296.0, angle = 6.283185307179586 * r.v[1] / 4294967296.0;
    return (float)(sqrt(-2.0 * log(u)) * cos(angle)); /* Box and Muller, 1958 */
}

void vt_entry_initialise(const vt_entry *e, uint64_t seed, float *values)
{
    uint64_t key = vt_mix_key(seed, vt_hash_name(e->name));
    for (int64_t i = 0; i < e->count; i++) {
        float v = e->init_value;
        if (e->init == VT_INIT_NORMAL) v = fmaxf(-2, fminf(2, v * normal(key, (uint32_t)i)));
        if (e->init == VT_INIT_UNIFORM)
            v *= 2 * vt_uniform(vt_philox_4x32(key, (uint32_t)i, 0, 0, VT_PURPOSE_INIT).v[0]) - 1;
        values[i] = v;
    }
}

size_t vt_store_bytes(const vt_store *store)
{
    return (size_t)store->elements * vt_dtype_bytes(store->dtype);
}

size_t vt_store_low_bytes(const vt_store *store, vt_dtype activations)
{
    return store->low && store->low->dtype == activations ? vt_store_bytes(store->low) : 0;
}

int64_t vt_store_parameters(const vt_store *store)
{
    int64_t n = 0;
    for (int i = 0; i < store->count; i++) n += store->entries[i].count;
    return n;
}

void vt_entry_file_shape(const vt_entry *e, int64_t shape[VT_MAX_DIMS])
{
    for (int i = 0; i < e->ndim; i++) shape[e->file_axis[i]] = e->shape[i];
}

/* Walks the memory layout in order; `step[i]` is the file's stride along memory axis i. */
static void permute(const vt_entry *e, char *memory, char *file, size_t bytes, bool to_file)
{
    int64_t file_shape[VT_MAX_DIMS], file_stride[VT_MAX_DIMS], at[VT_MAX_DIMS] = {0}, f = 0;
    vt_entry_file_shape(e, file_shape);
    for (int i = e->ndim - 1, s = 1; i >= 0; s *= (int)file_shape[i--]) file_stride[i] = s;
    for (int64_t m = 0; m < e->count; m++) {
        char *pm = memory + m * (int64_t)bytes, *pf = file + f * (int64_t)bytes;
        if (to_file) memcpy(pf, pm, bytes);
        else memcpy(pm, pf, bytes);
        for (int i = e->ndim - 1; i >= 0; i--) {
            f += file_stride[e->file_axis[i]];
            if (++at[i] < e->shape[i]) break;
            f -= at[i] * file_stride[e->file_axis[i]];
            at[i] = 0;
        }
    }
}

void vt_entry_to_file(const vt_entry *e, const void *memory, void *file, size_t bytes)
{
    if (is_identity(e)) memcpy(file, memory, (size_t)e->count * bytes);
    else permute(e, (char *)memory, file, bytes, true);
}

void vt_entry_from_file(const vt_entry *e, const void *file, void *memory, size_t bytes)
{
    if (is_identity(e)) memcpy(memory, file, (size_t)e->count * bytes);
    else permute(e, memory, (char *)file, bytes, false);
}
