#include "base/safetensors.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"

enum {
    LENGTH_BYTES = 8,
    HEADER_MAX = 100000000, /* bytes: as the format's own library has it */
};

/* --- reading --- */

static bool find_dtype(const char *name, vt_dtype *dtype)
{
    for (int i = VT_F32; i <= VT_BOOL; i++) {
        *dtype = (vt_dtype)i;
        if (strcmp(name, vt_dtype_name(*dtype)) == 0) return true;
    }
    return false;
}

static bool is_size(const vt_json *v)
{
    return v->kind == VT_JSON_NUMBER && v->integral && v->integer >= 0;
}

/* Fills shape, count and bytes; false when it is no shape, or counts more bytes than there can be. */
static bool read_shape(vt_safetensor *t, const vt_json *shape)
{
    if (!shape || shape->kind != VT_JSON_ARRAY || shape->count > VT_SAFETENSORS_DIMS) return false;
    t->ndim = shape->count;
    t->count = 1;
    bool empty = false;
    int i = 0;
    for (const vt_json *d = shape->first; d; d = d->next, i++) {
        if (!is_size(d)) return false;
        t->shape[i] = d->integer;
        if (d->integer == 0)
            empty = true;
        else if (t->count > INT64_MAX / 8 / d->integer)
            return false;
        else
            t->count *= d->integer;
    }
    if (empty) t->count = 0;
    t->bytes = (size_t)t->count * vt_dtype_bytes(t->dtype);
    return t->bytes / vt_dtype_bytes(t->dtype) == (uint64_t)t->count;
}

/* `data` and `size`: the part of the file after the header. */
static vt_status read_tensor(vt_safetensor *t, const vt_json *v, const unsigned char *data, size_t size)
{
    t->name = v->key;
    const vt_json *dtype = vt_json_get(v, "dtype"), *offsets = vt_json_get(v, "data_offsets");
    if (!dtype || dtype->kind != VT_JSON_STRING) return vt_fail(VT_INVALID, "tensor %s has no dtype", t->name);
    if (!find_dtype(dtype->string, &t->dtype))
        return vt_fail(VT_INVALID, "tensor %s is %s, which vitc does not read: save it as F32", t->name, dtype->string);
    if (!read_shape(t, vt_json_get(v, "shape")))
        return vt_fail(VT_INVALID, "tensor %s has no valid shape of at most %d dimensions", t->name,
                       VT_SAFETENSORS_DIMS);
    if (!offsets || offsets->kind != VT_JSON_ARRAY || offsets->count != 2 || !is_size(offsets->first) ||
        !is_size(offsets->first->next) || offsets->first->integer > offsets->first->next->integer)
        return vt_fail(VT_INVALID, "tensor %s has no valid data_offsets", t->name);
    uint64_t begin = (uint64_t)offsets->first->integer, end = (uint64_t)offsets->first->next->integer;
    if (end - begin != t->bytes)
        return vt_fail(VT_INVALID, "tensor %s: its data_offsets hold %llu bytes, its shape %zu", t->name,
                       (unsigned long long)(end - begin), t->bytes);
    if (end > size)
        return vt_fail(VT_INVALID, "truncated? tensor %s ends at byte %llu of the data, and there are %zu", t->name,
                       (unsigned long long)end, size);
    t->data = data + begin;
    return VT_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const vt_safetensor *)a)->name, ((const vt_safetensor *)b)->name);
}

static int by_place(const void *a, const void *b)
{
    const vt_safetensor *x = a, *y = b;
    if (x->data != y->data) return (const char *)x->data < (const char *)y->data ? -1 : 1;
    return (x->bytes > y->bytes) - (x->bytes < y->bytes); /* an empty tensor may lie where another begins */
}

/* No gap, no overlap, nothing left over; sorts by place on its way. */
static vt_status check_places(vt_safetensor *tensors, int n, const unsigned char *data, size_t size)
{
    const unsigned char *end = data;
    qsort(tensors, (size_t)n, sizeof *tensors, by_place);
    for (int i = 0; i < n; i++) {
        if (tensors[i].data != end)
            return vt_fail(VT_INVALID, "tensor %s does not begin where the one before it ends", tensors[i].name);
        end += tensors[i].bytes;
    }
    if (end != data + size) return vt_fail(VT_INVALID, "%zu bytes after the last tensor", (size_t)(data + size - end));
    return VT_OK;
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const vt_metadata *)a)->key, ((const vt_metadata *)b)->key);
}

static vt_status read_metadata(vt_safetensors *f, const vt_json *v)
{
    if (v->kind != VT_JSON_OBJECT) return vt_fail(VT_INVALID, "__metadata__ is not an object");
    vt_metadata *list = vt_arena_alloc(&f->arena, (size_t)v->count * sizeof *list);
    if (!list) return vt_fail_memory("metadata");
    for (const vt_json *m = v->first; m; m = m->next) {
        if (m->kind != VT_JSON_STRING) return vt_fail(VT_INVALID, "__metadata__ %s is not a string", m->key);
        list[f->metadata_count++] = (vt_metadata){m->key, m->string};
    }
    qsort(list, (size_t)f->metadata_count, sizeof *list, by_key);
    for (int i = 1; i < f->metadata_count; i++) {
        if (by_key(&list[i - 1], &list[i]) == 0) return vt_fail(VT_INVALID, "__metadata__ has %s twice", list[i].key);
    }
    f->metadata = list;
    return VT_OK;
}

static vt_status read_header(vt_safetensors *f, const char *header, size_t length)
{
    vt_status st;
    vt_json *root;
    if (length == 0 || header[0] != '{') return vt_fail(VT_INVALID, "not a safetensors file: its header is not JSON");
    VT_TRY(vt_json_parse(&f->arena, header, length, &root));
    const unsigned char *data = f->file.data + LENGTH_BYTES + length;
    size_t size = f->file.size - LENGTH_BYTES - length;
    vt_safetensor *tensors = vt_arena_alloc(&f->arena, (size_t)root->count * sizeof *tensors);
    if (!tensors) VT_TRY(vt_fail_memory("safetensors header"));
    for (const vt_json *v = root->first; v; v = v->next) {
        if (strcmp(v->key, "__metadata__"))
            VT_TRY(read_tensor(&tensors[f->count++], v, data, size));
        else if (f->metadata)
            VT_TRY(vt_fail(VT_INVALID, "__metadata__ stands there twice"));
        else
            VT_TRY(read_metadata(f, v));
    }
    VT_TRY(check_places(tensors, f->count, data, size));
    qsort(tensors, (size_t)f->count, sizeof *tensors, by_name);
    for (int i = 1; i < f->count; i++) {
        if (by_name(&tensors[i - 1], &tensors[i]) == 0)
            VT_TRY(vt_fail(VT_INVALID, "tensor %s stands there twice", tensors[i].name));
    }
    f->tensors = tensors;
    return VT_OK;
fail:
    return st;
}

static vt_status read_file(vt_safetensors *f)
{
    size_t size = f->file.size;
    if (size < LENGTH_BYTES) return vt_fail(VT_INVALID, "truncated? %zu bytes are no safetensors file", size);
    uint64_t length = 0;
    for (int i = 0; i < LENGTH_BYTES; i++) length |= (uint64_t)f->file.data[i] << (8 * i);
    if (length > HEADER_MAX)
        return vt_fail(VT_INVALID, "not a safetensors file: a header of %llu bytes", (unsigned long long)length);
    if (length > size - LENGTH_BYTES)
        return vt_fail(VT_INVALID, "truncated? its header has %llu bytes, the file %zu", (unsigned long long)length,
                       size);
    return read_header(f, (const char *)f->file.data + LENGTH_BYTES, (size_t)length);
}

vt_status vt_safetensors_open(vt_safetensors *f, const char *path)
{
    vt_status st;
    *f = (vt_safetensors){0};
    VT_TRY(vt_file_map(&f->file, path));
    f->path = vt_arena_strndup(&f->arena, path, strlen(path));
    if (!f->path) VT_TRY(vt_fail_memory(path));
    st = read_file(f);
    if (st != VT_OK) VT_TRY(vt_fail_in(st, "%s", path));
    return VT_OK;
fail:
    vt_safetensors_close(f);
    return st;
}

void vt_safetensors_close(vt_safetensors *f)
{
    vt_file_close(&f->file);
    vt_arena_free(&f->arena);
    *f = (vt_safetensors){0};
}

const vt_safetensor *vt_safetensors_find(const vt_safetensors *f, const char *name)
{
    vt_safetensor key = {.name = name};
    return f->count ? bsearch(&key, f->tensors, (size_t)f->count, sizeof key, by_name) : NULL;
}

const char *vt_safetensors_metadata(const vt_safetensors *f, const char *key)
{
    vt_metadata wanted = {.key = key};
    const vt_metadata *m =
        f->metadata ? bsearch(&wanted, f->metadata, (size_t)f->metadata_count, sizeof wanted, by_key) : NULL;
    return m ? m->value : NULL;
}

static float from_bits(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static float from_half(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31, fraction = h & 0x3FF;
    if (exponent == 31) return from_bits(sign | 0x7F800000 | fraction << 13);
    if (exponent) return from_bits(sign | (exponent + 112) << 23 | fraction << 13);
    float f = (float)fraction * 0x1p-24f;
    return sign ? -f : f;
}

void vt_safetensor_to_float(const vt_safetensor *t, float *out)
{
    const unsigned char *p = t->data;
    size_t width = vt_dtype_bytes(t->dtype);
    for (int64_t i = 0; i < t->count; i++, p += width) {
        union {
            float f32;
            double f64;
            uint16_t half;
            int32_t i32;
            int64_t i64;
            uint8_t u8;
        } v;
        memcpy(&v, p, width);
        switch (t->dtype) {
        case VT_F32: out[i] = v.f32; break;
        case VT_F64: out[i] = (float)v.f64; break;
        case VT_BF16: out[i] = from_bits((uint32_t)v.half << 16); break;
        case VT_F16: out[i] = from_half(v.half); break;
        case VT_U8: out[i] = v.u8; break;
        case VT_I32: out[i] = (float)v.i32; break;
        case VT_I64: out[i] = (float)v.i64; break;
        case VT_BOOL: out[i] = v.u8 != 0; break;
        }
    }
}

/* --- writing --- */

typedef struct planned {
    const vt_save_tensor *tensor;
    size_t bytes, begin; /* begin: from the start of the data */
} planned;

static int by_saved_name(const void *a, const void *b)
{
    return strcmp(((const planned *)a)->tensor->name, ((const planned *)b)->tensor->name);
}

static int by_begin(const void *a, const void *b)
{
    size_t x = ((const planned *)a)->begin, y = ((const planned *)b)->begin;
    return x != y ? (x > y) - (x < y) : by_saved_name(a, b);
}

/* Sizes and places; the plan is sorted by name, the places by width, then name. */
static vt_status plan_tensors(planned *plan, const vt_save_tensor *tensors, int n)
{
    for (int i = 0; i < n; i++) {
        const vt_save_tensor *t = &tensors[i];
        uint64_t bytes = vt_dtype_bytes(t->dtype);
        for (int d = 0; d < t->ndim; d++) {
            if (t->ndim > VT_SAFETENSORS_DIMS || t->shape[d] < 0 ||
                (t->shape[d] && bytes > SIZE_MAX / 2 / (uint64_t)t->shape[d]))
                return vt_fail(VT_INVALID, "tensor %s has no valid shape of at most %d dimensions", t->name,
                               VT_SAFETENSORS_DIMS);
            bytes *= (uint64_t)t->shape[d];
        }
        plan[i] = (planned){t, (size_t)bytes, 0};
    }
    if (n) qsort(plan, (size_t)n, sizeof *plan, by_saved_name);
    size_t at = 0;
    for (size_t width = 8; width; width /= 2) {
        for (int i = 0; i < n; i++) {
            if (vt_dtype_bytes(plan[i].tensor->dtype) != width) continue;
            plan[i].begin = at;
            at += plan[i].bytes;
        }
    }
    for (int i = 0; i < n; i++) {
        if (strcmp(plan[i].tensor->name, "__metadata__") == 0 || (i && by_saved_name(&plan[i - 1], &plan[i]) == 0))
            return vt_fail(VT_INVALID, "two tensors would have the name %s", plan[i].tensor->name);
    }
    return VT_OK;
}

static void write_metadata(vt_text *t, const vt_metadata *metadata, int n)
{
    vt_json_key(t, "__metadata__");
    vt_json_open(t, '{');
    vt_json_key(t, "format");
    vt_json_string(t, "pt");
    for (int i = 0; i < n; i++) {
        vt_json_key(t, metadata[i].key);
        vt_json_string(t, metadata[i].value);
    }
    vt_json_close(t, '}');
}

static vt_status write_header(vt_writer *out, const planned *plan, int n, const vt_metadata *metadata,
                              int metadata_count)
{
    vt_status st;
    vt_text t = {0};
    vt_json_open(&t, '{');
    write_metadata(&t, metadata, metadata_count);
    for (int i = 0; i < n; i++) {
        const vt_save_tensor *tensor = plan[i].tensor;
        vt_json_key(&t, tensor->name);
        vt_json_open(&t, '{');
        vt_json_key(&t, "dtype");
        vt_json_string(&t, vt_dtype_name(tensor->dtype));
        vt_json_key(&t, "shape");
        vt_json_open(&t, '[');
        for (int d = 0; d < tensor->ndim; d++) vt_json_int(&t, tensor->shape[d]);
        vt_json_close(&t, ']');
        vt_json_key(&t, "data_offsets");
        vt_json_open(&t, '[');
        vt_json_int(&t, (int64_t)plan[i].begin);
        vt_json_int(&t, (int64_t)(plan[i].begin + plan[i].bytes));
        vt_json_close(&t, ']');
        vt_json_close(&t, '}');
    }
    vt_json_close(&t, '}');
    vt_text_pad(&t, (t.size + 7) / 8 * 8);
    unsigned char length[LENGTH_BYTES];
    for (int i = 0; i < LENGTH_BYTES; i++) length[i] = (unsigned char)((uint64_t)t.size >> (8 * i));
    VT_TRY(vt_text_status(&t));
    if (t.size > HEADER_MAX) VT_TRY(vt_fail(VT_INVALID, "%s: a header of %zu bytes is too long", out->path, t.size));
    VT_TRY(vt_writer_put(out, length, sizeof length));
    VT_TRY(vt_writer_put(out, t.data, t.size));
fail:
    vt_text_free(&t);
    return st;
}

static vt_status write_tensor(vt_writer *out, const planned *p)
{
    const vt_save_tensor *t = p->tensor;
    if (t->data || p->bytes == 0) return vt_writer_put(out, t->data, p->bytes);
    uint64_t before = out->written;
    vt_status st = t->produce(t->arg, out);
    if (st == VT_OK && out->written - before != p->bytes)
        return vt_fail(VT_FAILED, "%s: tensor %s: %llu bytes were produced for %zu", out->path, t->name,
                       (unsigned long long)(out->written - before), p->bytes);
    return st;
}

vt_status vt_safetensors_write(const char *path, const vt_save_tensor *tensors, int count, const vt_metadata *metadata,
                               int metadata_count)
{
    vt_status st;
    vt_writer out = {.fd = -1};
    planned *plan = vt_alloc((size_t)count * sizeof *plan);
    if (!plan) VT_TRY(vt_fail_memory("a list of tensors to write"));
    VT_TRY(plan_tensors(plan, tensors, count));
    VT_TRY(vt_writer_open(&out, path));
    VT_TRY(write_header(&out, plan, count, metadata, metadata_count));
    if (count) qsort(plan, (size_t)count, sizeof *plan, by_begin);
    for (int i = 0; i < count; i++) VT_TRY(write_tensor(&out, &plan[i]));
    st = vt_writer_commit(&out);
fail:
    vt_writer_abort(&out);
    vt_free(plan);
    return st;
}
