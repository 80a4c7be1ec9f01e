/* data/kind.h - what a kind of data set implements, and what the kinds share. For csrc/data alone.
 *
 * A new kind is one file that defines a vt_dataset_kind and one line in datasets.def. */
#ifndef VT_DATA_KIND_H
#define VT_DATA_KIND_H

#include "base/arena.h"
#include "data/dataset.h"

enum vt_part_id { VT_PART_TRAIN, VT_PART_VAL, VT_PARTS };

typedef struct vt_part {
    int present;        /* set by scan */
    const char *source; /* set by scan: the file or folder, below the root, that stands for it in names and messages */
    uint32_t count;     /* set by load, as all below */
    int32_t *labels;    /* [count] heap */
    const char **files; /* [count] heap: a file's name inside its class folder; names in the arena; NULL for pixels */
    uint8_t *block;     /* heap: what the pixels lie in */
    const uint8_t *pixels; /* [count, h, w, c] */
    int h, w, c;
} vt_part;

typedef struct vt_dataset_kind {
    const char *name;
    const char *wants; /* what a folder of this kind holds, for the message when no kind fits */
    /* Whether the folder ds->root looks like this kind: names of files alone. May leave findings in ds->impl. */
    vt_status (*probe)(vt_dataset *ds, int *fits);
    /* Finds the parts, the classes and their names (ds->classes, ds->class_names); opens what these need and no more.
     */
    vt_status (*scan)(vt_dataset *ds);
    /* Fills a part that is present: count, labels, and files or pixels. Called once at most for each. */
    vt_status (*load)(vt_dataset *ds, enum vt_part_id part);
    vt_status (*read)(const vt_dataset *ds, const vt_part *part, uint32_t i, vt_bytes *buffer, vt_sample *sample);
    int (*sample_name)(const vt_dataset *ds, const vt_part *part, uint32_t i, char *buffer,
                       size_t size); /* as snprintf */
} vt_dataset_kind;

struct vt_dataset {
    const vt_dataset_kind *kind;
    vt_dataset_options options;
    vt_arena arena; /* every string and small table */
    const char *root;
    void *impl; /* the kind's own, in the arena */
    int classes;
    const char **class_names; /* [classes] arena */
    vt_part parts[VT_PARTS];
    uint32_t count;
    uint32_t *index; /* [count] heap: record | VAL_BIT, see dataset.c */
    int held_out;
    long ignored;
    const char *first_ignored;
};

/* --- files.c --- */

typedef struct vt_listing {
    const char **names; /* [count] heap, vt_free; the names in the arena; sorted by bytes, hidden ones left out */
    uint32_t count, capacity;
} vt_listing;

vt_status vt_list_folder(vt_arena *arena, const char *path, vt_listing *list);
int vt_is_folder(const char *path);
int vt_ends_with(const char *name, const char *suffix); /* letters of any case */
const char *vt_join(vt_arena *arena, const char *folder, const char *name); /* NULL: memory is out */
vt_status vt_bytes_reserve(vt_bytes *buffer, size_t size); /* its old content is lost */
vt_status vt_read_file(const char *path, vt_bytes *buffer); /* the whole of a regular file, at least a byte */

/* --- pixels.c: kinds whose samples are pixels in memory --- */

vt_status vt_pixels_read(const vt_dataset *ds, const vt_part *part, uint32_t i, vt_bytes *buffer, vt_sample *sample);
int vt_pixels_name(const vt_dataset *ds, const vt_part *part, uint32_t i, char *buffer, size_t size);

/* --- dataset.c --- */

/* ds->classes = n, named by `names` as far as those reach (count may be 0) and by number beyond. */
vt_status vt_name_classes(vt_dataset *ds, int n, const char *const *names, int count);

/* --- split.c --- */

/* Chooses in each class round(fraction * n) of its n samples, at least one and at most n - 1 where n > 1: a pure
 * function of the seed, the fraction and the labels in order. Sets held_out[i] to 1 for those. */
vt_status vt_split_by_share(const int32_t *labels, uint32_t count, int classes, double fraction, uint64_t seed,
                            uint8_t *held_out);
/* The samples of part `part` that options->val_names lists; a name that is not there is an error. */
vt_status vt_split_by_name(const vt_dataset *ds, const vt_part *part, uint8_t *held_out);

#endif
