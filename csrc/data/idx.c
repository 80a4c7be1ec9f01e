#define _XOPEN_SOURCE 700 /* realpath */
#include "data/idx.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "data/gzip.h"
#include "data/kind.h"

/* --- the format --- */

enum { MAX_HEADER = 4 + 4 * VT_IDX_MAX_DIMS };

static vt_status parse_header(const uint8_t *h, int dims, vt_idx *idx)
{
    if (h[0] || h[1]) return vt_fail(VT_INVALID, "not an IDX file: it begins with %02x %02x, not 00 00", h[0], h[1]);
    if (h[2] != 8) return vt_fail(VT_INVALID, "IDX type 0x%02x: only unsigned bytes (0x08) are supported", h[2]);
    if (h[3] != dims) return vt_fail(VT_INVALID, "IDX with %d dimensions where %d are needed", h[3], dims);
    uint64_t size = 1;
    for (int i = 0; i < VT_IDX_MAX_DIMS; i++) {
        const uint8_t *p = h + 4 + 4 * i;
        idx->dim[i] = i < dims ? (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3] : 1;
        if (idx->dim[i] && size > INT64_MAX / idx->dim[i]) size = INT64_MAX; /* no file bears it out */
        else size *= idx->dim[i];
    }
    idx->size = size;
    return VT_OK;
}

static vt_status inflate_elements(vt_gzip *f, size_t packed, vt_idx *idx)
{
    vt_status st;
    size_t have = 0, got, capacity = packed < SIZE_MAX / 8 ? 8 * packed : packed;
    if (idx->size / VT_GZIP_MAX_RATIO > packed)
        return vt_fail(VT_INVALID, "the header promises %zu bytes of elements: more than %zu bytes of gzip can hold",
                       idx->size, packed);
    if (capacity > idx->size) capacity = idx->size;
    idx->inflated = vt_alloc_raw(capacity);
    if (!idx->inflated) return vt_fail_memory("IDX elements");
    for (;;) {
        VT_TRY(vt_gzip_read(f, idx->inflated + have, capacity - have, &got));
        have += got;
        if (have < capacity || capacity == idx->size) break;
        size_t grown = capacity < idx->size / 2 ? 2 * capacity : idx->size;
        uint8_t *p = vt_realloc(idx->inflated, capacity, grown);
        if (!p) VT_TRY(vt_fail_memory("IDX elements"));
        idx->inflated = p;
        capacity = grown;
    }
    uint8_t extra;
    got = 0;
    if (have == idx->size) VT_TRY(vt_gzip_read(f, &extra, 1, &got)); /* reads the checksum, too */
    if (have < idx->size || got)
        VT_TRY(vt_fail(VT_INVALID, "%s: the header promises %zu bytes of elements, the file has %s%zu",
                       got ? "too long" : "truncated", idx->size, got ? "over " : "", have));
    idx->data = idx->inflated;
    return VT_OK;
fail:
    vt_free(idx->inflated);
    idx->inflated = NULL;
    return st;
}

static vt_status parse_gzip(const uint8_t *bytes, size_t size, int dims, vt_idx *idx)
{
    uint8_t header[MAX_HEADER];
    size_t need = 4 + 4 * (size_t)dims, got = 0;
    vt_gzip *f;
    vt_status st = vt_gzip_open(&f, bytes, size);
    if (st == VT_OK) st = vt_gzip_read(f, header, need, &got);
    if (st == VT_OK && got < need) st = vt_fail(VT_INVALID, "truncated: %zu bytes of an IDX header of %zu", got, need);
    if (st == VT_OK) st = parse_header(header, dims, idx);
    if (st == VT_OK) st = inflate_elements(f, size, idx);
    vt_gzip_close(f);
    return st;
}

vt_status vt_idx_parse(const uint8_t *bytes, size_t size, int dims, vt_idx *idx)
{
    *idx = (vt_idx){0};
    if (size >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b) return parse_gzip(bytes, size, dims, idx);
    size_t header = 4 + 4 * (size_t)dims;
    if (size < header) return vt_fail(VT_INVALID, "truncated: %zu bytes of an IDX header of %zu", size, header);
    vt_status st = parse_header(bytes, dims, idx);
    if (st != VT_OK) return st;
    if (size - header != idx->size)
        return vt_fail(VT_INVALID, "%s: the header promises %zu bytes of elements, the file has %zu",
                       size - header < idx->size ? "truncated" : "too long", idx->size, size - header);
    idx->data = bytes + header;
    return VT_OK;
}

/* --- the data set: *-images-idx3-ubyte[.gz] with *-labels-idx1-ubyte[.gz] --- */

/* Where torchvision puts them, too. */
static const char *const subfolders[] = {"", "raw", "MNIST/raw", "FashionMNIST/raw", "KMNIST/raw", "EMNIST/raw"};

typedef struct idx_files {
    const char *images[VT_PARTS], *labels[VT_PARTS]; /* paths */
    uint32_t label_count[VT_PARTS];
} idx_files;

static int is_images(const char *name)
{
    return vt_ends_with(name, "idx3-ubyte") || vt_ends_with(name, "idx3-ubyte.gz");
}

static enum vt_part_id part_of(const char *name)
{
    return strstr(name, "t10k") || strstr(name, "test") || strstr(name, "val") ? VT_PART_VAL : VT_PART_TRAIN;
}

/* "train-images-idx3-ubyte.gz" -> "train-labels-idx1-ubyte", .gz where only that is there. */
static const char *labels_beside(vt_arena *arena, const vt_listing *list, const char *images)
{
    char *name = vt_arena_strndup(arena, images, strlen(images));
    if (!name) return NULL;
    if (vt_ends_with(name, ".gz")) name[strlen(name) - 3] = 0;
    char *noun = strstr(name, "images");
    if (noun) memcpy(noun, "labels", 6);
    name[strlen(name) - strlen("3-ubyte")] = '1';
    const char *packed = vt_arena_printf(arena, "%s.gz", name), *found = name;
    for (uint32_t i = 0; packed && i < list->count; i++) {
        if (!strcmp(list->names[i], name)) return name;
        if (!strcmp(list->names[i], packed)) found = packed;
    }
    return packed ? found : NULL;
}

static vt_status find_files(vt_dataset *ds, const char *folder, idx_files *files)
{
    vt_listing list;
    vt_status st = vt_list_folder(&ds->arena, folder, &list);
    if (st != VT_OK) return st;
    for (uint32_t i = 0; i < list.count; i++) {
        const char *name = list.names[i];
        if (!is_images(name)) continue;
        enum vt_part_id p = part_of(name);
        const char *before = files->images[p], *path = vt_join(&ds->arena, folder, name);
        const char *labels = labels_beside(&ds->arena, &list, name);
        const char *labels_path = labels ? vt_join(&ds->arena, folder, labels) : NULL;
        if (!path || !labels_path) VT_TRY(vt_fail_memory("names of files"));
        if (before && !strncmp(before, path, strlen(before)) && !strcmp(path + strlen(before), ".gz"))
            continue; /* a twin */
        if (before)
            VT_TRY(vt_fail(VT_INVALID, "%s and %s are both %s images: keep each data set in a folder of its own",
                           before, name, p == VT_PART_VAL ? "validation" : "training"));
        files->images[p] = path;
        files->labels[p] = labels_path;
        ds->parts[p].source = path + strlen(ds->root) + (ds->root[strlen(ds->root) - 1] != '/');
    }
    vt_free(list.names);
    return VT_OK;
fail:
    vt_free(list.names);
    return st;
}

static vt_status idx_probe(vt_dataset *ds, int *fits)
{
    idx_files *files = vt_arena_alloc(&ds->arena, sizeof *files);
    if (!files) return vt_fail_memory("names of files");
    ds->impl = files;
    for (size_t i = 0; i < sizeof subfolders / sizeof *subfolders && !*fits; i++) {
        const char *folder = *subfolders[i] ? vt_join(&ds->arena, ds->root, subfolders[i]) : ds->root;
        if (!folder) return vt_fail_memory("names of files");
        if (!vt_is_folder(folder)) continue;
        vt_status st = find_files(ds, folder, files);
        if (st != VT_OK) return st;
        *fits = files->images[VT_PART_TRAIN] || files->images[VT_PART_VAL];
    }
    return VT_OK;
}

/* Labels are read at once: they tell the classes. */
static vt_status read_labels(vt_dataset *ds, enum vt_part_id p, int seen[256])
{
    idx_files *files = ds->impl;
    const char *path = files->labels[p];
    vt_part *part = &ds->parts[p];
    vt_bytes file = {0};
    vt_idx idx = {0};
    vt_status st;
    st = vt_read_file(path, &file);
    if (st != VT_OK) VT_TRY(vt_fail_in(st, "the labels of %s", files->images[p]));
    st = vt_idx_parse(file.data, file.size, 1, &idx);
    if (st != VT_OK) VT_TRY(vt_fail_in(st, "%s", path));
    files->label_count[p] = idx.dim[0];
    part->labels = vt_alloc_raw(idx.size * sizeof *part->labels);
    if (!part->labels) VT_TRY(vt_fail_memory("labels"));
    for (uint32_t i = 0; i < idx.dim[0]; i++) {
        part->labels[i] = idx.data[i];
        seen[idx.data[i]] = 1;
    }
fail:
    vt_free(idx.inflated);
    vt_free(file.data);
    return st;
}

static const char *const fashion[] = {"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
                                      "Sandal",      "Shirt",   "Sneaker",  "Bag",   "Ankle boot"};

/* Fashion-MNIST's files are named as MNIST's are: a folder's name tells. */
static int says_fashion(const char *path)
{
    for (; *path; path++)
        if (strncasecmp(path, "fashion", 7) == 0) return 1;
    return 0;
}

static vt_status idx_scan(vt_dataset *ds)
{
    const idx_files *files = ds->impl;
    int seen[VT_PARTS][256] = {{0}}, classes = 0;
    for (enum vt_part_id p = 0; p < VT_PARTS; p++) {
        if (!files->images[p]) continue;
        ds->parts[p].present = 1;
        vt_status st = read_labels(ds, p, seen[p]);
        if (st != VT_OK) return st;
    }
    for (int c = 0; c < 256; c++) {
        if (seen[VT_PART_TRAIN][c] || seen[VT_PART_VAL][c]) classes = c + 1;
        if (ds->parts[VT_PART_TRAIN].present && seen[VT_PART_VAL][c] && !seen[VT_PART_TRAIN][c])
            return vt_fail(VT_INVALID, "%s: label %d never occurs among the training labels in %s",
                           files->labels[VT_PART_VAL], c, files->labels[VT_PART_TRAIN]);
    }
    char full[PATH_MAX];
    int known = classes == 10 &&
                says_fashion(realpath(files->images[0] ? files->images[0] : files->images[1], full) ? full : "");
    return vt_name_classes(ds, classes, fashion, known ? 10 : 0);
}

static vt_status idx_load(vt_dataset *ds, enum vt_part_id p)
{
    const idx_files *files = ds->impl;
    const char *path = files->images[p];
    vt_part *part = &ds->parts[p];
    vt_bytes file = {0};
    vt_idx idx = {0};
    vt_status st;
    VT_TRY(vt_read_file(path, &file));
    st = vt_idx_parse(file.data, file.size, 3, &idx);
    if (st != VT_OK) VT_TRY(vt_fail_in(st, "%s", path));
    if (idx.dim[0] != files->label_count[p])
        VT_TRY(vt_fail(VT_INVALID, "%s has %u images, but %s has %u labels: are they of the same data set?", path,
                       (unsigned)idx.dim[0], files->labels[p], (unsigned)files->label_count[p]));
    part->count = idx.dim[0];
    if (part->count && (idx.dim[1] == 0 || idx.dim[2] == 0 || idx.dim[1] > INT16_MAX || idx.dim[2] > INT16_MAX))
        VT_TRY(vt_fail(VT_INVALID, "%s: images of %u x %u pixels: want 1 to 32767", path, (unsigned)idx.dim[1],
                       (unsigned)idx.dim[2]));
    part->h = (int)idx.dim[1];
    part->w = (int)idx.dim[2];
    part->c = 1;
    part->pixels = idx.data;
    part->block = idx.inflated ? idx.inflated : file.data;
    if (idx.inflated) vt_free(file.data);
    return VT_OK;
fail:
    vt_free(idx.inflated);
    vt_free(file.data);
    return st;
}

const vt_dataset_kind vt_dataset_idx = {
    .name = "IDX",
    .wants = "*-images-idx3-ubyte[.gz] with *-labels-idx1-ubyte[.gz]",
    .probe = idx_probe,
    .scan = idx_scan,
    .load = idx_load,
    .read = vt_pixels_read,
    .sample_name = vt_pixels_name,
};
