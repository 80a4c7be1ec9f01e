/* data/augment_table.h - the ops that policies draw from, with timm's levels, and its lists of them. */
#ifndef VT_DATA_AUGMENT_TABLE_H
#define VT_DATA_AUGMENT_TABLE_H

#include "data/augment_policy.h"

enum { VT_AUGMENT_LEVEL = 10, VT_AUGMENT_NAMED_SETS = 3 }; /* the level that is full strength */

enum {
    AUTOCONTRAST, EQUALIZE, INVERT, ROTATE, POSTERIZE, SOLARIZE, SOLARIZE_ADD, COLOR, CONTRAST, BRIGHTNESS, SHARPNESS,
    SHEAR_X, SHEAR_Y, TRANSLATE_X, TRANSLATE_Y, POSTERIZE_ORIGINAL, POSTERIZE_INCREASING, MIX_TRANSLATE_X,
    MIX_TRANSLATE_Y, DESATURATE, GAUSSIAN_BLUR, GREY, BLUR
};

extern const vt_augment_op vt_augment_ops[];
extern vt_augment_subpolicies vt_augment_original, vt_augment_v0;
extern const vt_augment_set vt_augment_rand_set, vt_augment_mix_set;
extern const vt_augment_set vt_augment_named_sets[VT_AUGMENT_NAMED_SETS]; /* of rand's part t */

#endif
