#include "data/augment_table.h"

#include <math.h>

static const double LEVEL_MAX = VT_AUGMENT_LEVEL;

/* --- what a level means; whole numbers are cut, as Python's int does --- */

static double no_argument(double level, double sign)
{
    return 0;
}

static double rotate(double level, double sign)
{
    return sign * level / LEVEL_MAX * 30;
}

static double shear(double level, double sign)
{
    return sign * level / LEVEL_MAX * 0.3;
}

static double translate(double level, double sign)
{
    return sign * level / LEVEL_MAX * 0.45;
}

static double enhance(double level, double sign)
{
    return level / LEVEL_MAX * 1.8 + 0.1;
}

static double enhance_increasing(double level, double sign)
{
    return fmax(0.1, 1 + sign * (level / LEVEL_MAX * 0.9));
}

static double posterize(double level, double sign)
{
    return fmin(8, (int)(level / LEVEL_MAX * 4));
}

static double posterize_increasing(double level, double sign)
{
    return fmax(0, 4 - posterize(level, sign));
}

/* The paper's: 4 to 8 bits. */
static double posterize_original(double level, double sign)
{
    return fmin(8, posterize(level, sign) + 4);
}

static double solarize(double level, double sign)
{
    return fmin(256, (int)(level / LEVEL_MAX * 256));
}

static double solarize_increasing(double level, double sign)
{
    return 256 - solarize(level, sign);
}

static double solarize_add(double level, double sign)
{
    return fmin(128, (int)(level / LEVEL_MAX * 110));
}

/* AugMix's shifts are shorter. */
static double translate_less(double level, double sign)
{
    return sign * level / LEVEL_MAX * 0.3;
}

/* The share of colour that is left. */
static double desaturate(double level, double sign)
{
    return 0.5 - 0.5 * fmin(1, level / LEVEL_MAX);
}

static double blur(double level, double sign)
{
    return 0.1 + 1.9 * fmin(1, level / LEVEL_MAX);
}

const vt_augment_op vt_augment_ops[] = {
    [AUTOCONTRAST] = {"AutoContrast", vt_op_autocontrast, no_argument, no_argument},
    [EQUALIZE] = {"Equalize", vt_op_equalize, no_argument, no_argument},
    [INVERT] = {"Invert", vt_op_invert, no_argument, no_argument},
    [ROTATE] = {"Rotate", vt_op_rotate, rotate, rotate},
    [POSTERIZE] = {"Posterize", vt_op_posterize, posterize, posterize_increasing},
    [SOLARIZE] = {"Solarize", vt_op_solarize, solarize, solarize_increasing},
    [SOLARIZE_ADD] = {"SolarizeAdd", vt_op_solarize_add, solarize_add, solarize_add},
    [COLOR] = {"Color", vt_op_color, enhance, enhance_increasing},
    [CONTRAST] = {"Contrast", vt_op_contrast, enhance, enhance_increasing},
    [BRIGHTNESS] = {"Brightness", vt_op_brightness, enhance, enhance_increasing},
    [SHARPNESS] = {"Sharpness", vt_op_sharpness, enhance, enhance_increasing},
    [SHEAR_X] = {"ShearX", vt_op_shear_x, shear, shear},
    [SHEAR_Y] = {"ShearY", vt_op_shear_y, shear, shear},
    [TRANSLATE_X] = {"TranslateXRel", vt_op_translate_x, translate, translate},
    [TRANSLATE_Y] = {"TranslateYRel", vt_op_translate_y, translate, translate},
    [POSTERIZE_ORIGINAL] = {"PosterizeOriginal", vt_op_posterize, posterize_original, posterize_original},
    [POSTERIZE_INCREASING] = {"PosterizeIncreasing", vt_op_posterize, posterize_increasing, posterize_increasing},
    [MIX_TRANSLATE_X] = {"TranslateXRel", vt_op_translate_x, translate_less, translate_less},
    [MIX_TRANSLATE_Y] = {"TranslateYRel", vt_op_translate_y, translate_less, translate_less},
    [DESATURATE] = {"Desaturate", vt_op_color, desaturate, desaturate},
    [GAUSSIAN_BLUR] = {"GaussianBlur", vt_op_blur, blur, blur},
    [GREY] = {"Grey", vt_op_grey, no_argument, no_argument},
    [BLUR] = {"Blur", vt_op_blur, no_argument, no_argument},
};

/* The paper's for ImageNet (arXiv:1805.09501), five pairs of which stand there twice. */
vt_augment_subpolicies vt_augment_original = {
    {{POSTERIZE_ORIGINAL, 0.4, 8}, {ROTATE, 0.6, 9}},
    {{SOLARIZE, 0.6, 5}, {AUTOCONTRAST, 0.6, 5}},
    {{EQUALIZE, 0.8, 8}, {EQUALIZE, 0.6, 3}},
    {{POSTERIZE_ORIGINAL, 0.6, 7}, {POSTERIZE_ORIGINAL, 0.6, 6}},
    {{EQUALIZE, 0.4, 7}, {SOLARIZE, 0.2, 4}},
    {{EQUALIZE, 0.4, 4}, {ROTATE, 0.8, 8}},
    {{SOLARIZE, 0.6, 3}, {EQUALIZE, 0.6, 7}},
    {{POSTERIZE_ORIGINAL, 0.8, 5}, {EQUALIZE, 1.0, 2}},
    {{ROTATE, 0.2, 3}, {SOLARIZE, 0.6, 8}},
    {{EQUALIZE, 0.6, 8}, {POSTERIZE_ORIGINAL, 0.4, 6}},
    {{ROTATE, 0.8, 8}, {COLOR, 0.4, 0}},
    {{ROTATE, 0.4, 9}, {EQUALIZE, 0.6, 2}},
    {{EQUALIZE, 0.0, 7}, {EQUALIZE, 0.8, 8}},
    {{INVERT, 0.6, 4}, {EQUALIZE, 1.0, 8}},
    {{COLOR, 0.6, 4}, {CONTRAST, 1.0, 8}},
    {{ROTATE, 0.8, 8}, {COLOR, 1.0, 2}},
    {{COLOR, 0.8, 8}, {SOLARIZE, 0.8, 7}},
    {{SHARPNESS, 0.4, 7}, {INVERT, 0.6, 8}},
    {{SHEAR_X, 0.6, 5}, {EQUALIZE, 1.0, 9}},
    {{COLOR, 0.4, 0}, {EQUALIZE, 0.6, 3}},
    {{EQUALIZE, 0.4, 7}, {SOLARIZE, 0.2, 4}},
    {{SOLARIZE, 0.6, 5}, {AUTOCONTRAST, 0.6, 5}},
    {{INVERT, 0.6, 4}, {EQUALIZE, 1.0, 8}},
    {{COLOR, 0.6, 4}, {CONTRAST, 1.0, 8}},
    {{EQUALIZE, 0.8, 8}, {EQUALIZE, 0.6, 3}},
};

/* EfficientNet's for TPUs. */
vt_augment_subpolicies vt_augment_v0 = {
    {{EQUALIZE, 0.8, 1}, {SHEAR_Y, 0.8, 4}},
    {{COLOR, 0.4, 9}, {EQUALIZE, 0.6, 3}},
    {{COLOR, 0.4, 1}, {ROTATE, 0.6, 8}},
    {{SOLARIZE, 0.8, 3}, {EQUALIZE, 0.4, 7}},
    {{SOLARIZE, 0.4, 2}, {SOLARIZE, 0.6, 2}},
    {{COLOR, 0.2, 0}, {EQUALIZE, 0.8, 8}},
    {{EQUALIZE, 0.4, 8}, {SOLARIZE_ADD, 0.8, 3}},
    {{SHEAR_X, 0.2, 9}, {ROTATE, 0.6, 8}},
    {{COLOR, 0.6, 1}, {EQUALIZE, 1.0, 2}},
    {{INVERT, 0.4, 9}, {ROTATE, 0.6, 0}},
    {{EQUALIZE, 1.0, 9}, {SHEAR_Y, 0.6, 3}},
    {{COLOR, 0.4, 7}, {EQUALIZE, 0.6, 0}},
    {{POSTERIZE, 0.4, 6}, {AUTOCONTRAST, 0.4, 7}},
    {{SOLARIZE, 0.6, 8}, {COLOR, 0.6, 9}},
    {{SOLARIZE, 0.2, 4}, {ROTATE, 0.8, 9}},
    {{ROTATE, 1.0, 7}, {TRANSLATE_Y, 0.8, 9}},
    {{SHEAR_X, 0.0, 0}, {SOLARIZE, 0.8, 4}},
    {{SHEAR_Y, 0.8, 0}, {COLOR, 0.6, 4}},
    {{COLOR, 1.0, 0}, {ROTATE, 0.6, 2}},
    {{EQUALIZE, 0.8, 4}, {EQUALIZE, 0.0, 8}},
    {{EQUALIZE, 1.0, 4}, {AUTOCONTRAST, 0.6, 2}},
    {{SHEAR_Y, 0.4, 7}, {SOLARIZE_ADD, 0.6, 7}},
    {{POSTERIZE, 0.8, 2}, {SOLARIZE, 0.6, 10}},
    {{SOLARIZE, 0.6, 8}, {EQUALIZE, 0.6, 1}},
    {{COLOR, 0.8, 6}, {ROTATE, 0.4, 5}},
};

const vt_augment_set vt_augment_rand_set = {
    .name = "rand", .count = 15,
    .op = {AUTOCONTRAST, EQUALIZE, INVERT, ROTATE, POSTERIZE, SOLARIZE, SOLARIZE_ADD, COLOR, CONTRAST, BRIGHTNESS,
           SHARPNESS, SHEAR_X, SHEAR_Y, TRANSLATE_X, TRANSLATE_Y}};

const vt_augment_set vt_augment_mix_set = {
    .name = "augmix", .count = 13,
    .op = {AUTOCONTRAST, COLOR, CONTRAST, BRIGHTNESS, SHARPNESS, EQUALIZE, ROTATE, POSTERIZE, SOLARIZE, SHEAR_X,
           SHEAR_Y, MIX_TRANSLATE_X, MIX_TRANSLATE_Y}};

const vt_augment_set vt_augment_named_sets[VT_AUGMENT_NAMED_SETS] = {
    {.name = "weights", .count = 15, .weighted = true,
     .op = {ROTATE, SHEAR_X, SHEAR_Y, TRANSLATE_X, TRANSLATE_Y, COLOR, SHARPNESS, AUTOCONTRAST, SOLARIZE, SOLARIZE_ADD,
            CONTRAST, BRIGHTNESS, EQUALIZE, POSTERIZE, INVERT},
     .weight = {3, 2, 2, 1, 1, 0.25, 0.25, 0.25, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05}},
    {.name = "3a", .count = 3, .op = {SOLARIZE, DESATURATE, GAUSSIAN_BLUR}},
    {.name = "3aw", .count = 14, .weighted = true,
     .op = {SOLARIZE, DESATURATE, GAUSSIAN_BLUR, ROTATE, SHEAR_X, SHEAR_Y, POSTERIZE, AUTOCONTRAST, COLOR, SHARPNESS,
            CONTRAST, BRIGHTNESS, EQUALIZE, INVERT},
     .weight = {6, 6, 6, 3, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1}},
};
