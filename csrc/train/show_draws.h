/* train/show_draws.h - what was drawn for a training sample, in words. */
#ifndef VT_TRAIN_SHOW_DRAWS_H
#define VT_TRAIN_SHOW_DRAWS_H

#include "data/loader.h"
#include "train/save_images.h"

typedef struct vt_drawn_sample {
    const vt_dataset *ds;
    const vt_loader_options *loading;
    uint32_t epoch, sample;
    int32_t repeat;
    const vt_step_effects *effects; /* of the step; `at`: the sample's place in it */
    int at;
} vt_drawn_sample;

/* Adds a line, one JSON object: "at", "file", "class", "repeat"; "crop" [x, y, width, height] of the image, "hflip",
 * "vflip", "interpolation"; "ops" [{"op" by timm's name, "argument"}] in order, or, of AugMix, "share", "blended" and
 * "chains" [{"weight", "ops"}], as data/augment_policy.h mixes them; "erase" [[top, left, height, width]]; and where
 * the step mixes "partner" (a place), "box", and "weights" of own pixels inside and outside it, and of the own
 * target. */
vt_status vt_show_draws(vt_text *text, const vt_drawn_sample *drawn);

#endif
