/* tests/data/batches.h - data sets of small images, and all that a loader makes of them as hashes. */
#ifndef VT_TEST_BATCHES_H
#define VT_TEST_BATCHES_H

#include <png.h>

#include "data/fixture.h"
#include "data/loader.h"

enum { SIDE = 12, BOXES = 2 };

static inline vt_transform transform_for(int train)
{
    vt_transform t = vt_transform_default(SIDE, SIDE, 3, train);
    t.crop_pct = 1; /* an image of this size comes out as it is */
    if (train) CHECK_OK(vt_augment_parse(&t.augment, "rand-m9-mstd0.5-inc1"));
    return t;
}

static inline vt_loader_options options_for(int train, int micro_batch, int micros)
{
    vt_loader_options o = {
        .sampler = {.seed = 9, .train = train, .repeats = 1, .micro_batch = micro_batch, .micros = micros},
        .transform = transform_for(train),
        .micro_end = micros,
        .epochs = train ? 3 : 1,
        .prefetch = 2,
        .erase = {0.7, BOXES}, /* in evaluation neither must show */
        .mixing = {.mixup = 0.8, .cutmix = 1, .mix_probability = 1, .switch_probability = 0.5, .mode = VT_MIX_PAIR,
                   .off_epoch = 2}};
    return o;
}

static inline void put_png(const fixture *f, const char *name, uint32_t seed, unsigned w, unsigned h)
{
    char path[512];
    uint8_t pixels[64 * 64 * 3];
    png_image image = {.version = PNG_IMAGE_VERSION, .width = w, .height = h, .format = PNG_FORMAT_RGB};
    for (size_t k = 0; k < (size_t)w * h * 3; k++) pixels[k] = test_pixel(seed, k);
    put(f, name, "", 0); /* makes the folders */
    fixture_path(f, path, "%s", name);
    CHECK(png_image_write_to_file(&image, path, 0, pixels, 0, NULL));
}

/* 3 classes of 13 images each; those whose number is in `bad` are no images. */
static inline fixture folders(uint64_t bad)
{
    fixture f = fixture_new("loader");
    for (unsigned i = 0; i < 39; i++) {
        char name[64];
        snprintf(name, sizeof name, "train/c%u/%02u.png", i / 13, i);
        if (bad >> i & 1) put(&f, name, "\x89PNG\r\n\x1a\n", 8);
        else put_png(&f, name, i, 10 + i, 40 - i);
    }
    return f;
}

static inline vt_dataset *open_set(const fixture *f, vt_split split)
{
    vt_dataset *ds = NULL;
    CHECK_OK(vt_dataset_open(&ds, f->dir, split, &(vt_dataset_options){.in_chans = 3}));
    if (!ds) exit(1);
    return ds;
}

static inline uint64_t mix(uint64_t h, const void *bytes, size_t n)
{
    for (const uint8_t *p = bytes; n; n--) h = (h ^ *p++) * 0x100000001B3ull;
    return h;
}

/* Everything the caller can see of a batch. */
static inline uint64_t hash_batch(const vt_batch *b, int size)
{
    uint64_t h = mix(1, b->images, (size_t)size * SIDE * SIDE * 3);
    h = mix(h, b->labels, (size_t)size * 4);
    h = mix(h, b->samples, (size_t)size * 4);
    h = mix(h, b->repeats, (size_t)size * 4);
    h = mix(h, b->slots, (size_t)size * 4);
    if (b->boxes) h = mix(h, b->boxes, (size_t)size * BOXES * 16);
    if (b->mixed.where) h = mix(mix(h, b->mixed.where, (size_t)size * 20), b->mixed.weights, (size_t)size * 12);
    int64_t place[] = {b->valid, b->epoch, b->step, b->micro};
    return mix(h, place, sizeof place);
}

/* Runs a loader to its end; returns the number of batches and their hashes. */
static inline int drain(const vt_dataset *ds, const vt_loader_options *o, uint64_t *hashes)
{
    vt_loader *l;
    const vt_batch *b;
    int n = 0;
    CHECK_OK(vt_loader_create(&l, ds, o));
    if (!l) return 0;
    for (;;) {
        vt_status st = vt_loader_next(l, &b);
        CHECK_OK(st);
        if (st != VT_OK || !b) break;
        CHECK_EQ((uintptr_t)b->images % VT_ALIGN, 0u);
        hashes[n++] = hash_batch(b, o->sampler.micro_batch);
        vt_loader_release(l, b);
    }
    CHECK_OK(vt_loader_next(l, &b));
    CHECK(!b);
    CHECK(vt_loader_waited(l) > 0);
    vt_loader_destroy(l);
    return n;
}

#endif
