#include "data/dataset.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "data/kind.h"

#define DATASET(kind) extern const vt_dataset_kind vt_dataset_##kind;
#include "data/datasets.def"
#undef DATASET

static const vt_dataset_kind *const kinds[] = {
#define DATASET(kind) &vt_dataset_##kind,
#include "data/datasets.def"
#undef DATASET
};
enum { KINDS = sizeof kinds / sizeof *kinds };

/* ds->index[i]: the record in its part, with this bit for the validation part. */
static const uint32_t VAL_BIT = 0x80000000u;

vt_status vt_name_classes(vt_dataset *ds, int n, const char *const *names, int count)
{
    ds->classes = n;
    ds->class_names = vt_arena_alloc(&ds->arena, (size_t)n * sizeof *ds->class_names);
    if (!ds->class_names) return vt_fail_memory("class names");
    for (int c = 0; c < n; c++) {
        ds->class_names[c] = c < count ? vt_arena_strndup(&ds->arena, names[c], strlen(names[c]))
                                       : vt_arena_printf(&ds->arena, "%d", c);
        if (!ds->class_names[c]) return vt_fail_memory("class names");
    }
    return VT_OK;
}

/* "holds a.txt, b, c and 12 more", cut to fit. */
static void describe_folder(const vt_listing *list, char *text, size_t size)
{
    uint32_t shown = list->count < 4 ? list->count : 4;
    size_t at = (size_t)snprintf(text, size, list->count ? "holds" : "is empty");
    for (uint32_t i = 0; i < shown; i++)
        at += (size_t)snprintf(text + at, size - at, "%s %.60s", i ? "," : "", list->names[i]);
    if (list->count > shown) snprintf(text + at, size - at, " and %u more", (unsigned)(list->count - shown));
}

static vt_status fail_unknown(const vt_dataset *ds, const vt_listing *list)
{
    char found[320], wants[512];
    size_t at = 0;
    describe_folder(list, found, sizeof found);
    for (int k = 0; k < KINDS && at < sizeof wants; k++)
        at += (size_t)snprintf(wants + at, sizeof wants - at, "%s%s", k ? "; " : "", kinds[k]->wants);
    return vt_fail(VT_INVALID, "%s: no data set is recognised here: the folder %s; looked for %s", ds->root, found,
                   wants);
}

static vt_status recognise(vt_dataset *ds)
{
    vt_listing list;
    vt_status st = vt_list_folder(&ds->arena, ds->root, &list);
    if (st != VT_OK) return st;
    for (int k = 0, fits = 0; k < KINDS && !fits && st == VT_OK; k++) {
        ds->impl = NULL;
        st = kinds[k]->probe(ds, &fits);
        if (fits) ds->kind = kinds[k];
    }
    if (st == VT_OK && !ds->kind) st = fail_unknown(ds, &list);
    vt_free(list.names);
    return st;
}

static vt_status check_options(const vt_dataset_options *o)
{
    if (!(o->val_split >= 0 && o->val_split < 1))
        return vt_fail(VT_INVALID, "--val-split %g: want a share from 0 to below 1, such as 0.1", o->val_split);
    if (o->in_chans != 1 && o->in_chans != 3)
        return vt_fail(VT_INVALID, "--in-chans %d: images are read with 1 or 3 channels", o->in_chans);
    if (o->num_classes < 0) return vt_fail(VT_INVALID, "--num-classes %d: want at least 1", o->num_classes);
    return VT_OK;
}

/* More classes than the data has are allowed: a head for labels that come later. */
static vt_status settle_classes(vt_dataset *ds)
{
    int counted = ds->classes, wanted = ds->options.num_classes;
    if (ds->options.class_count) wanted = ds->options.class_count;
    if (!wanted || wanted == counted) return VT_OK;
    if (wanted < counted)
        return vt_fail(VT_INVALID,
                       "%s: the data has %d classes, but %d were asked for: leave out --num-classes or raise it",
                       ds->root, counted, wanted);
    return vt_name_classes(ds, wanted, ds->class_names, counted);
}

static vt_status load(vt_dataset *ds, enum vt_part_id id)
{
    vt_part *part = &ds->parts[id];
    vt_status st = ds->kind->load(ds, id);
    if (st != VT_OK) return st;
    if (part->count == 0) return vt_fail(VT_INVALID, "%s/%s: holds no images", ds->root, part->source);
    if (part->count >= VAL_BIT) return vt_fail(VT_INVALID, "%s/%s: more than 2^31 images", ds->root, part->source);
    return VT_OK;
}

static void add(vt_dataset *ds, uint32_t record, enum vt_part_id id)
{
    ds->index[ds->count++] = record | (id == VT_PART_VAL ? VAL_BIT : 0);
}

/* Training images alone: a share of them is validation. */
static vt_status hold_out(vt_dataset *ds, vt_split split)
{
    const vt_part *part = &ds->parts[VT_PART_TRAIN];
    const vt_dataset_options *o = &ds->options;
    uint8_t *held_out = vt_alloc(part->count);
    if (!held_out) return vt_fail_memory("the split into training and validation samples");
    vt_status st = o->val_names
                       ? vt_split_by_name(ds, part, held_out)
                       : vt_split_by_share(part->labels, part->count, ds->classes, o->val_split, o->seed, held_out);
    for (uint32_t i = 0; st == VT_OK && i < part->count; i++)
        if (held_out[i] == (split == VT_SPLIT_VAL)) add(ds, i, VT_PART_TRAIN);
    vt_free(held_out);
    return st;
}

static vt_status select_samples(vt_dataset *ds, vt_split split)
{
    const vt_part *train = &ds->parts[VT_PART_TRAIN], *val = &ds->parts[VT_PART_VAL];
    int chosen = !val->present && split != VT_SPLIT_ALL && (ds->options.val_names || ds->options.val_split > 0);
    if (split == VT_SPLIT_TRAIN && !train->present)
        return vt_fail(VT_INVALID, "%s: there are no training images beside %s: add them, or evaluate with --split val",
                       ds->root, val->source);
    if (split == VT_SPLIT_VAL && !val->present && !chosen)
        return vt_fail(
            VT_INVALID,
            "%s: there are no validation images: hold some out with --val-split 0.1, or name --split train or all",
            ds->root);
    vt_status st = VT_OK;
    if (train->present && (split != VT_SPLIT_VAL || chosen)) VT_TRY(load(ds, VT_PART_TRAIN));
    if (val->present && split != VT_SPLIT_TRAIN) VT_TRY(load(ds, VT_PART_VAL));
    ds->index = vt_alloc_raw(((size_t)train->count + val->count) * sizeof *ds->index);
    if (!ds->index) VT_TRY(vt_fail_memory("the list of samples"));
    ds->held_out = chosen;
    if (chosen) {
        VT_TRY(hold_out(ds, split));
    } else {
        for (uint32_t i = 0; i < train->count; i++) add(ds, i, VT_PART_TRAIN);
        for (uint32_t i = 0; i < val->count; i++) add(ds, i, VT_PART_VAL);
    }
    if (ds->count == 0)
        VT_TRY(vt_fail(VT_INVALID, "%s: too few images to hold some out: each class needs at least two", ds->root));
fail:
    return st;
}

vt_status vt_dataset_open(vt_dataset **out, const char *path, vt_split split, const vt_dataset_options *options)
{
    *out = NULL;
    vt_status st = check_options(options);
    if (st != VT_OK) return st;
    vt_dataset *ds = vt_alloc(sizeof *ds);
    if (!ds) return vt_fail_memory("the data set");
    ds->options = *options;
    ds->root = vt_arena_strndup(&ds->arena, path, strlen(path));
    if (!ds->root) VT_TRY(vt_fail_memory("the data set"));
    VT_TRY(recognise(ds));
    VT_TRY(ds->kind->scan(ds));
    VT_TRY(settle_classes(ds));
    VT_TRY(select_samples(ds, split));
    ds->options.val_names = ds->options.class_names = NULL; /* were borrowed */
    *out = ds;
    return VT_OK;
fail:
    vt_dataset_close(ds);
    return st;
}

void vt_dataset_close(vt_dataset *ds)
{
    if (!ds) return;
    for (int p = 0; p < VT_PARTS; p++) {
        vt_free(ds->parts[p].labels);
        vt_free(ds->parts[p].files);
        vt_free(ds->parts[p].block);
    }
    vt_free(ds->index);
    vt_arena_free(&ds->arena);
    vt_free(ds);
}

static const vt_part *locate(const vt_dataset *ds, uint32_t i, uint32_t *record)
{
    *record = ds->index[i] & ~VAL_BIT;
    return &ds->parts[ds->index[i] & VAL_BIT ? VT_PART_VAL : VT_PART_TRAIN];
}

const char *vt_dataset_kind_name(const vt_dataset *ds)
{
    return ds->kind->name;
}

uint32_t vt_dataset_count(const vt_dataset *ds)
{
    return ds->count;
}

int vt_dataset_classes(const vt_dataset *ds)
{
    return ds->classes;
}

int vt_dataset_channels(const vt_dataset *ds)
{
    return ds->options.in_chans;
}

const char *vt_dataset_class(const vt_dataset *ds, int c)
{
    return ds->class_names[c];
}

int32_t vt_dataset_label(const vt_dataset *ds, uint32_t i)
{
    uint32_t record;
    const vt_part *part = locate(ds, i, &record);
    return part->labels[record];
}

int vt_dataset_held_out(const vt_dataset *ds)
{
    return ds->held_out;
}

const char *vt_dataset_name(const vt_dataset *ds, uint32_t i, char *buffer, size_t size)
{
    uint32_t record;
    const vt_part *part = locate(ds, i, &record);
    ds->kind->sample_name(ds, part, record, buffer, size);
    return buffer;
}

const char *vt_dataset_path(const vt_dataset *ds, uint32_t i, char *buffer, size_t size)
{
    uint32_t record;
    const vt_part *part = locate(ds, i, &record);
    size_t at = strlen(ds->root), slash = ds->root[at - 1] != '/';
    if (at + slash >= size) return vt_dataset_name(ds, i, buffer, size);
    memcpy(buffer, ds->root, at);
    buffer[at] = '/';
    ds->kind->sample_name(ds, part, record, buffer + at + slash, size - at - slash);
    return buffer;
}

long vt_dataset_ignored(const vt_dataset *ds, const char **first)
{
    *first = ds->first_ignored;
    return ds->ignored;
}

vt_status vt_dataset_read(const vt_dataset *ds, uint32_t i, vt_bytes *buffer, vt_sample *sample)
{
    uint32_t record;
    const vt_part *part = locate(ds, i, &record);
    return ds->kind->read(ds, part, record, buffer, sample);
}
