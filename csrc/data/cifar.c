/* CIFAR-10 and CIFAR-100, binary version: records of one or two label bytes (the last is the fine one) and 3 planes of
 * 32x32 bytes, nothing else. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "data/kind.h"

enum { SIDE = 32, AREA = SIDE * SIDE, MAX_FILES = 64 };

typedef struct cifar_layout {
    int classes, label_bytes;
    const char *subfolder; /* the name that the archive unpacks to */
    const char *names;     /* the file with a class name a line */
    const char *train, *val; /* files: this prefix, then ".bin" at the end of the name */
} cifar_layout;

static const cifar_layout cifar10 = {10, 1, "cifar-10-batches-bin", "batches.meta.txt", "data_batch", "test_batch"};
static const cifar_layout cifar100 = {100, 2, "cifar-100-binary", "fine_label_names.txt", "train", "test"};

typedef struct cifar_files {
    const cifar_layout *layout;
    const char *folder;
    const char *files[VT_PARTS][MAX_FILES]; /* paths, sorted */
    int count[VT_PARTS];
} cifar_files;

static int matches(const char *name, const char *prefix)
{
    return strncmp(name, prefix, strlen(prefix)) == 0 && vt_ends_with(name, ".bin");
}

static vt_status find_files(vt_dataset *ds, cifar_files *f)
{
    vt_listing list;
    vt_status st = vt_list_folder(&ds->arena, f->folder, &list);
    if (st != VT_OK) return st;
    for (uint32_t i = 0; i < list.count; i++) {
        for (enum vt_part_id p = 0; p < VT_PARTS; p++) {
            if (!matches(list.names[i], p == VT_PART_TRAIN ? f->layout->train : f->layout->val)) continue;
            if (f->count[p] == MAX_FILES)
                VT_TRY(vt_fail(VT_INVALID, "%s: more than %d files %s*.bin", f->folder, MAX_FILES, f->layout->train));
            const char *path = vt_join(&ds->arena, f->folder, list.names[i]);
            if (!path) VT_TRY(vt_fail_memory("names of files"));
            f->files[p][f->count[p]++] = path;
        }
    }
fail:
    vt_free(list.names);
    return st;
}

static vt_status probe(vt_dataset *ds, int *fits, const cifar_layout *layout)
{
    cifar_files *f = vt_arena_alloc(&ds->arena, sizeof *f);
    const char *sub = vt_join(&ds->arena, ds->root, layout->subfolder);
    if (!f || !sub) return vt_fail_memory("names of files");
    f->layout = layout;
    f->folder = ds->root;
    ds->impl = f;
    vt_status st = find_files(ds, f);
    if (st == VT_OK && !f->count[0] && !f->count[1] && vt_is_folder(sub)) {
        f->folder = sub;
        st = find_files(ds, f);
    }
    *fits = f->count[0] || f->count[1];
    return st;
}

static vt_status probe10(vt_dataset *ds, int *fits)
{
    return probe(ds, fits, &cifar10);
}

static vt_status probe100(vt_dataset *ds, int *fits)
{
    return probe(ds, fits, &cifar100);
}

/* Class names, a line each; numbers where the file is not there or too short. */
static vt_status cifar_scan(vt_dataset *ds)
{
    const cifar_files *f = ds->impl;
    const char *names[100], *path = vt_join(&ds->arena, f->folder, f->layout->names);
    vt_bytes text = {0};
    int n = 0;
    if (!path) return vt_fail_memory("names of files");
    for (enum vt_part_id p = 0; p < VT_PARTS; p++) {
        ds->parts[p].present = f->count[p] > 0;
        ds->parts[p].source = p == VT_PART_TRAIN ? f->layout->train : f->layout->val;
    }
    vt_status st = vt_read_file(path, &text);
    if (st == VT_NO_MEMORY) return st;
    for (size_t at = 0; st == VT_OK && at < text.size && n < f->layout->classes;) {
        const char *line = (const char *)text.data + at, *end = memchr(line, '\n', text.size - at);
        size_t length = end ? (size_t)(end - line) : text.size - at;
        at += length + 1;
        while (length && (line[length - 1] == '\r' || line[length - 1] == ' ')) length--;
        if (!length) continue;
        names[n] = vt_arena_strndup(&ds->arena, line, length);
        if (!names[n++]) st = vt_fail_memory("class names");
    }
    vt_free(text.data);
    if (st == VT_NO_MEMORY) return st;
    return vt_name_classes(ds, f->layout->classes, names, n);
}

/* Appends a file's records: planes become [h, w, c]. */
static vt_status append(vt_dataset *ds, vt_part *part, const char *path, vt_bytes *file)
{
    const cifar_layout *l = ((const cifar_files *)ds->impl)->layout;
    size_t record = (size_t)l->label_bytes + 3 * AREA;
    vt_status st = vt_read_file(path, file);
    if (st != VT_OK) return st;
    if (file->size % record)
        return vt_fail(VT_INVALID, "%s: truncated or not CIFAR-%d: %zu bytes are not a whole number of records of %zu",
                       path, l->classes, file->size, record);
    size_t n = file->size / record, old = part->count;
    if (old + n > INT32_MAX) return vt_fail(VT_INVALID, "%s: too many records", path);
    int32_t *labels = vt_realloc(part->labels, old * sizeof *labels, (old + n) * sizeof *labels);
    if (labels) part->labels = labels;
    uint8_t *block = labels ? vt_realloc(part->block, old * 3 * AREA, (old + n) * 3 * AREA) : NULL;
    if (!block) return vt_fail_memory("CIFAR images");
    part->pixels = part->block = block;
    part->count = (uint32_t)(old + n);
    for (size_t i = 0; i < n; i++) {
        const uint8_t *in = file->data + i * record + l->label_bytes;
        uint8_t *out = block + (old + i) * 3 * AREA;
        if (in[-1] >= l->classes)
            return vt_fail(VT_INVALID, "%s: record %zu has label %d: CIFAR-%d has classes 0 to %d", path, i, in[-1],
                           l->classes, l->classes - 1);
        part->labels[old + i] = in[-1];
        for (int k = 0; k < AREA; k++)
            for (int c = 0; c < 3; c++) out[3 * k + c] = in[c * AREA + k];
    }
    return VT_OK;
}

static vt_status cifar_load(vt_dataset *ds, enum vt_part_id p)
{
    const cifar_files *f = ds->impl;
    vt_part *part = &ds->parts[p];
    vt_bytes file = {0};
    vt_status st = VT_OK;
    part->h = part->w = SIDE;
    part->c = 3;
    for (int i = 0; i < f->count[p] && st == VT_OK; i++) st = append(ds, part, f->files[p][i], &file);
    vt_free(file.data);
    return st;
}

const vt_dataset_kind vt_dataset_cifar10 = {
    .name = "CIFAR-10",
    .wants = "CIFAR-10's data_batch_*.bin and test_batch.bin",
    .probe = probe10,
    .scan = cifar_scan,
    .load = cifar_load,
    .read = vt_pixels_read,
    .sample_name = vt_pixels_name,
};

const vt_dataset_kind vt_dataset_cifar100 = {
    .name = "CIFAR-100",
    .wants = "CIFAR-100's train.bin and test.bin",
    .probe = probe100,
    .scan = cifar_scan,
    .load = cifar_load,
    .read = vt_pixels_read,
    .sample_name = vt_pixels_name,
};
