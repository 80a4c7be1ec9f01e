/* data/dataset.h - a data set: labelled images that lie in a folder, recognised by what is in it.
 *
 * datasets.def lists the kinds that are known. A data set brings up to two parts, training and validation images; where
 * it brings training images alone, a share of each class is held out (data/split.c). Opening reads names, labels and,
 * of the kinds that hold pixels, the pixels; everything about the whole set that can be wrong is said then. */
#ifndef VT_DATA_DATASET_H
#define VT_DATA_DATASET_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct vt_dataset vt_dataset;

typedef enum vt_split { VT_SPLIT_TRAIN, VT_SPLIT_VAL, VT_SPLIT_ALL } vt_split; /* all: both, training first */

typedef struct vt_dataset_options {
    double val_split; /* share of each class held out, 0 .. below 1; without effect where validation images are given */
    uint64_t seed;    /* of that choice */
    int num_classes;  /* 0: as many as the data has; else at least that */
    int in_chans;     /* 1 or 3: the channels of pixels that vt_dataset_read gives */
    /* From a checkpoint, borrowed for the call; NULL: none. The held-out samples by vt_dataset_name, in place of a
     * choice by val_split; and the model's classes, by whose names class folders get their labels. */
    const char *const *val_names; /* [val_count] */
    size_t val_count;
    const char *const *class_names; /* [class_count] */
    int class_count;
} vt_dataset_options;

/* A reusable buffer, one a thread; zeros to begin with, vt_free(data) at the end. */
typedef struct vt_bytes {
    uint8_t *data;
    size_t size, capacity;
} vt_bytes;

/* One sample: an encoded file or pixels. Valid until its buffer is used again and while the data set is open. */
typedef struct vt_sample {
    const uint8_t *bytes; /* [size] a PNG or JPEG file; NULL: pixels */
    size_t size;
    const uint8_t *pixels; /* [h, w, c], c the in_chans of the options */
    int h, w, c;
} vt_sample;

/* Opens the data set in folder `path`. VT_INVALID and one line on whatever is wrong with it. */
vt_status vt_dataset_open(vt_dataset **ds, const char *path, vt_split split, const vt_dataset_options *options);
void vt_dataset_close(vt_dataset *ds); /* NULL is allowed */

const char *vt_dataset_kind_name(const vt_dataset *ds);       /* "class folders", "IDX", ... */
uint32_t vt_dataset_count(const vt_dataset *ds);              /* samples, at least 1 */
int vt_dataset_classes(const vt_dataset *ds);                 /* at least 1 */
int vt_dataset_channels(const vt_dataset *ds);                /* of pixels: in_chans */
const char *vt_dataset_class(const vt_dataset *ds, int c);    /* its name */
int32_t vt_dataset_label(const vt_dataset *ds, uint32_t i);   /* 0 .. classes - 1 */
int vt_dataset_held_out(const vt_dataset *ds); /* 1: validation images are a share of the training ones */

/* The name of sample i below the data set's folder, "cat/7.png" or "train-images-idx3-ubyte.gz#7": stable, so that a
 * checkpoint can keep which samples were held out. Returns `buffer`. */
const char *vt_dataset_name(const vt_dataset *ds, uint32_t i, char *buffer, size_t size);
/* The same with the data set's folder before it, for messages. */
const char *vt_dataset_path(const vt_dataset *ds, uint32_t i, char *buffer, size_t size);

/* Files in class folders that are neither PNG nor JPEG by name, and the first of them (NULL: none). */
long vt_dataset_ignored(const vt_dataset *ds, const char **first);

/* Reads sample i; any number of threads at once, each with a buffer of its own. VT_INVALID: the file cannot be read. */
vt_status vt_dataset_read(const vt_dataset *ds, uint32_t i, vt_bytes *buffer, vt_sample *sample);

#endif
