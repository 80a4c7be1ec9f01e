/* Class folders of PNG and JPEG files: ROOT/{train,val}/CLASS/FILE, or ROOT/CLASS/FILE, one flat set. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "data/kind.h"

/* The first of these that is there is the part. */
static const char *const part_names[VT_PARTS][7] = {
    {"train", "training"},
    {"val", "valid", "validation", "eval", "evaluation", "test"},
};
static const char *const extensions[] = {".jpg", ".jpeg", ".png"};

typedef struct folders {
    const char *base[VT_PARTS];  /* the folder that holds a part's class folders; NULL: not there */
    const char **dirs[VT_PARTS]; /* [classes] by label: NULL where the part has no folder of that class */
    int classes;                /* entries of dirs: --num-classes may ask for more than there are folders */
} folders;

static int is_image(const char *name)
{
    for (size_t i = 0; i < sizeof extensions / sizeof *extensions; i++)
        if (vt_ends_with(name, extensions[i])) return 1;
    return 0;
}

static enum vt_part_id part_of(const char *name)
{
    for (enum vt_part_id p = 0; p < VT_PARTS; p++)
        for (int i = 0; part_names[p][i]; i++)
            if (strcasecmp(name, part_names[p][i]) == 0) return p;
    return VT_PARTS;
}

/* The folders in `path`, sorted. Files are left out; `images` counts those among them that look like images. */
static vt_status list_folders(vt_dataset *ds, const char *path, vt_listing *list, uint32_t *images)
{
    uint32_t kept = 0;
    *images = 0;
    vt_status st = vt_list_folder(&ds->arena, path, list);
    if (st != VT_OK) return st;
    for (uint32_t i = 0; i < list->count; i++) {
        const char *full = is_image(list->names[i]) ? "" : vt_join(&ds->arena, path, list->names[i]);
        if (!full) {
            vt_free(list->names);
            return vt_fail_memory("names of files");
        }
        if (!*full) ++*images;
        else if (vt_is_folder(full)) list->names[kept++] = list->names[i];
    }
    list->count = kept;
    return VT_OK;
}

static vt_status folders_probe(vt_dataset *ds, int *fits)
{
    vt_listing list;
    uint32_t images;
    vt_status st = list_folders(ds, ds->root, &list, &images);
    if (st != VT_OK) return st;
    *fits = list.count > 0;
    if (!*fits && images)
        st = vt_fail(VT_INVALID, "%s: images lie directly in this folder: sort them into class folders, %s/CLASS/",
                     ds->root, ds->root);
    vt_free(list.names);
    return st;
}

/* Which folders hold class folders. A flat set may have a class "train": a part's folder must itself hold folders,
 * unless all that is here is named like parts. */
static vt_status find_parts(vt_dataset *ds, folders *f)
{
    vt_listing list, inner;
    uint32_t images, named = 0;
    const char *candidate[VT_PARTS] = {NULL, NULL};
    vt_status st = list_folders(ds, ds->root, &list, &images);
    if (st != VT_OK) return st;
    for (uint32_t i = 0; i < list.count; i++) named += part_of(list.names[i]) != VT_PARTS;
    for (enum vt_part_id p = 0; p < VT_PARTS; p++) {
        for (int k = 0; part_names[p][k] && !candidate[p]; k++)
            for (uint32_t i = 0; i < list.count; i++)
                if (strcasecmp(list.names[i], part_names[p][k]) == 0) candidate[p] = list.names[i];
        if (!candidate[p]) continue;
        const char *path = vt_join(&ds->arena, ds->root, candidate[p]);
        if (!path) VT_TRY(vt_fail_memory("names of files"));
        VT_TRY(list_folders(ds, path, &inner, &images));
        vt_free(inner.names);
        if (!inner.count && named < list.count) continue; /* a class of that name */
        f->base[p] = path;
        ds->parts[p].source = candidate[p];
    }
    if (!f->base[VT_PART_TRAIN] && !f->base[VT_PART_VAL]) {
        f->base[VT_PART_TRAIN] = ds->root;
        ds->parts[VT_PART_TRAIN].source = "";
    }
fail:
    vt_free(list.names);
    return st;
}

/* The class of this name, or -1; looked for from `hint` on, since two lists mostly run alike. */
static int find_class(const vt_dataset *ds, const char *name, uint32_t hint)
{
    uint32_t n = (uint32_t)ds->classes;
    for (uint32_t k = 0; k < n; k++)
        if (!strcmp(ds->class_names[(hint + k) % n], name)) return (int)((hint + k) % n);
    return -1;
}

/* Class folders get the labels of ds->class_names, which training (or a checkpoint) has set. */
static vt_status assign_classes(vt_dataset *ds, folders *f, enum vt_part_id p, const vt_listing *list)
{
    f->dirs[p] = vt_arena_alloc(&ds->arena, (size_t)ds->classes * sizeof *f->dirs[p]);
    if (!f->dirs[p]) return vt_fail_memory("names of files");
    f->classes = ds->classes;
    for (uint32_t i = 0; i < list->count; i++) {
        int c = find_class(ds, list->names[i], i);
        if (c < 0 && ds->options.class_count)
            return vt_fail(VT_INVALID, "%s/%s: the model has no class of this name", f->base[p], list->names[i]);
        if (c < 0)
            return vt_fail(VT_INVALID,
                           "%s/%s: a validation class without training images: add %s/%s or remove this folder",
                           f->base[p], list->names[i], f->base[VT_PART_TRAIN], list->names[i]);
        f->dirs[p][c] = vt_join(&ds->arena, f->base[p], list->names[i]);
        if (!f->dirs[p][c]) return vt_fail_memory("names of files");
    }
    return VT_OK;
}

static vt_status folders_scan(vt_dataset *ds)
{
    folders *f = vt_arena_alloc(&ds->arena, sizeof *f);
    vt_listing list;
    uint32_t images;
    if (!f) return vt_fail_memory("names of files");
    ds->impl = f;
    vt_status st = find_parts(ds, f);
    if (st == VT_OK && ds->options.class_count)
        st = vt_name_classes(ds, ds->options.class_count, ds->options.class_names, ds->options.class_count);
    for (enum vt_part_id p = 0; p < VT_PARTS && st == VT_OK; p++) {
        if (!f->base[p]) continue;
        ds->parts[p].present = 1;
        st = list_folders(ds, f->base[p], &list, &images);
        if (st != VT_OK) return st;
        if (images && list.count == 0)
            st = vt_fail(VT_INVALID, "%s: images lie directly in this folder: sort them into class folders, %s/CLASS/",
                         f->base[p], f->base[p]);
        else if (list.count == 0) st = vt_fail(VT_INVALID, "%s: holds no class folders", f->base[p]);
        if (st == VT_OK && !ds->classes) st = vt_name_classes(ds, (int)list.count, list.names, (int)list.count);
        if (st == VT_OK) st = assign_classes(ds, f, p, &list);
        vt_free(list.names);
    }
    return st;
}

static vt_status note_other(vt_dataset *ds, const char *dir, const char *name)
{
    const char *path = vt_join(&ds->arena, dir, name);
    if (!path) return vt_fail_memory("names of files");
    if (vt_is_folder(path))
        return vt_fail(VT_INVALID, "%s: a folder inside a class folder: put images into %s itself, or name the data's "
                       "folder one level further down", path, dir);
    if (!ds->ignored++) ds->first_ignored = path;
    return VT_OK;
}

/* Appends a class folder's images to the part. */
static vt_status append_class(vt_dataset *ds, vt_part *part, const char *dir, int label, uint32_t *capacity)
{
    vt_listing list;
    uint32_t before = part->count;
    vt_status st = vt_list_folder(&ds->arena, dir, &list);
    if (st != VT_OK) return st;
    if (part->count + (uint64_t)list.count > *capacity) {
        uint32_t grown = 2 * *capacity + list.count;
        const char **files = vt_realloc(part->files, *capacity * sizeof *files, grown * sizeof *files);
        if (files) part->files = files;
        int32_t *labels = files ? vt_realloc(part->labels, *capacity * sizeof *labels, grown * sizeof *labels) : NULL;
        if (!labels) VT_TRY(vt_fail_memory("the list of images"));
        part->labels = labels;
        *capacity = grown;
    }
    for (uint32_t i = 0; i < list.count; i++) {
        if (!is_image(list.names[i])) {
            VT_TRY(note_other(ds, dir, list.names[i]));
            continue;
        }
        part->files[part->count] = list.names[i];
        part->labels[part->count++] = label;
    }
    if (part->count == before)
        VT_TRY(vt_fail(VT_INVALID, "%s: a class folder without PNG or JPEG images%s%s: add some or remove the folder",
                       dir, list.count ? ", though with files such as " : "", list.count ? list.names[0] : ""));
fail:
    vt_free(list.names);
    return st;
}

static vt_status folders_load(vt_dataset *ds, enum vt_part_id p)
{
    const folders *f = ds->impl;
    uint32_t capacity = 0;
    vt_status st = VT_OK;
    for (int c = 0; c < f->classes && st == VT_OK; c++)
        if (f->dirs[p][c]) st = append_class(ds, &ds->parts[p], f->dirs[p][c], c, &capacity);
    return st;
}

static vt_status folders_read(const vt_dataset *ds, const vt_part *part, uint32_t i, vt_bytes *buffer,
                              vt_sample *sample)
{
    char path[4096];
    const folders *f = ds->impl;
    const char *dir = f->dirs[part - ds->parts][part->labels[i]];
    if ((size_t)snprintf(path, sizeof path, "%s/%s", dir, part->files[i]) >= sizeof path)
        return vt_fail(VT_INVALID, "%s/%s: the path is too long", dir, part->files[i]);
    vt_status st = vt_read_file(path, buffer);
    *sample = (vt_sample){.bytes = buffer->data, .size = buffer->size};
    return st;
}

static int folders_name(const vt_dataset *ds, const vt_part *part, uint32_t i, char *buffer, size_t size)
{
    const folders *f = ds->impl;
    const char *dir = f->dirs[part - ds->parts][part->labels[i]] + strlen(ds->root);
    return snprintf(buffer, size, "%s/%s", dir + (*dir == '/'), part->files[i]);
}

const vt_dataset_kind vt_dataset_folders = {
    .name = "class folders",
    .wants = "train/ and val/ folders, or one flat set, of class folders with PNG or JPEG files",
    .probe = folders_probe,
    .scan = folders_scan,
    .load = folders_load,
    .read = folders_read,
    .sample_name = folders_name,
};
