#include "data/augment_policy.h"

#include <math.h>
#include <string.h>

#include "base/philox.h"
#include "base/text.h"

static const double LEVEL_MAX = 10;

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
    return 1 + sign * (level / LEVEL_MAX * 0.9);
}

static double posterize(double level, double sign)
{
    return (int)(level / LEVEL_MAX * 4);
}

static double posterize_increasing(double level, double sign)
{
    return 4 - posterize(level, sign);
}

/* The paper's: 4 to 8 bits. */
static double posterize_original(double level, double sign)
{
    return posterize(level, sign) + 4;
}

static double solarize(double level, double sign)
{
    return (int)(level / LEVEL_MAX * 256);
}

static double solarize_increasing(double level, double sign)
{
    return 256 - solarize(level, sign);
}

static double solarize_add(double level, double sign)
{
    return (int)(level / LEVEL_MAX * 110);
}

/* RandAugment draws from the rows before RAND_OPS. */
enum {
    AUTOCONTRAST, EQUALIZE, INVERT, ROTATE, POSTERIZE, SOLARIZE, SOLARIZE_ADD, COLOR, CONTRAST, BRIGHTNESS, SHARPNESS,
    SHEAR_X, SHEAR_Y, TRANSLATE_X, TRANSLATE_Y, RAND_OPS, POSTERIZE_ORIGINAL = RAND_OPS, GREY, BLUR
};

static const vt_augment_op ops[] = {
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
    [GREY] = {"Grey", vt_op_grey, no_argument, no_argument},
    [BLUR] = {"Blur", vt_op_blur, no_argument, no_argument},
};

/* The paper's for ImageNet (arXiv:1805.09501), five pairs of which stand there twice. */
static vt_augment_subpolicies original = {
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
static vt_augment_subpolicies v0 = {
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

/* --- --aa --- */

/* What one part, "mstd0.5", may be. */
typedef struct part {
    const char *key, *wanted;
    double min, max;
    bool whole;
    double value; /* the default, then what was read */
    bool read;
} part;

static const char *skip_name(const char *text)
{
    return text + strcspn(text, "-");
}

/* The parts after the policy's name, "-m9-mstd0.5". */
static vt_status read_parts(const char *text, part *parts, int count, const char *known)
{
    for (const char *p = skip_name(text), *end; *p; p = end) {
        part *found = NULL;
        end = skip_name(++p);
        size_t size = (size_t)(end - p), key = strcspn(p, "-.0123456789");
        for (int i = 0; i < count; i++)
            if (strlen(parts[i].key) == key && strncmp(parts[i].key, p, key) == 0) found = &parts[i];
        if (!found)
            return vt_fail(VT_INVALID, "--aa %s: unknown part \"%.*s\": want %s", text, (int)size, p, known);
        if (found->read) return vt_fail(VT_INVALID, "--aa %s: %s stands there twice", text, found->key);
        found->read = true;
        bool number = vt_parse_double(p + key, size - key, &found->value);
        if (!number || !(found->value >= found->min && found->value <= found->max) ||
            (found->whole && found->value != floor(found->value)))
            return vt_fail(VT_INVALID, "--aa %s: \"%.*s\": want %s and %s number of %g to %g", text, (int)size, p,
                           found->key, found->whole ? "a whole" : "a", found->min, found->max);
    }
    return VT_OK;
}

static vt_status read_rand(vt_augment *a, const char *text)
{
    part parts[] = {{.key = "m", .max = LEVEL_MAX, .value = LEVEL_MAX},
                    {.key = "mstd", .max = 100},
                    {.key = "inc", .max = 1, .whole = true},
                    {.key = "n", .min = 1, .max = VT_AUGMENT_LAYERS, .whole = true, .value = 2},
                    {.key = "p", .max = 1, .value = 0.5}};
    vt_status st = read_parts(text, parts, sizeof parts / sizeof *parts,
                              "m, mstd, inc, n or p and a number, as in rand-m9-mstd0.5-inc1");
    a->policy = VT_AUGMENT_RAND;
    a->level = parts[0].value;
    a->deviation = parts[1].value;
    a->increasing = parts[2].value > 0;
    a->layers = (int)parts[3].value;
    a->probability = parts[4].value;
    return st;
}

static vt_status read_auto(vt_augment *a, const char *text, vt_augment_subpolicies *pairs)
{
    part parts[] = {{.key = "mstd", .max = 100}};
    vt_status st = read_parts(text, parts, 1, "mstd and a number, as in v0-mstd0.5");
    a->policy = VT_AUGMENT_AUTO;
    a->pairs = pairs;
    a->deviation = parts[0].value;
    return st;
}

vt_status vt_augment_parse(vt_augment *a, const char *text)
{
    *a = (vt_augment){.jitter = a->jitter};
    if (!text || !*text || strcmp(text, "none") == 0) return VT_OK;
    size_t size = (size_t)(skip_name(text) - text);
    const struct { const char *name; vt_augment_subpolicies *pairs; } autos[] = {{"original", &original}, {"v0", &v0}};
    if (size == 4 && strncmp(text, "rand", size) == 0) return read_rand(a, text);
    for (size_t i = 0; i < sizeof autos / sizeof *autos; i++)
        if (size == strlen(autos[i].name) && strncmp(text, autos[i].name, size) == 0)
            return read_auto(a, text, autos[i].pairs);
    if (size == 2 && strncmp(text, "3a", size) == 0) {
        a->policy = VT_AUGMENT_THREE;
        return read_parts(text, NULL, 0, "3a alone");
    }
    return vt_fail(VT_INVALID, "--aa %s: unknown policy \"%.*s\": want none, rand-m9-mstd0.5-inc1, original, v0 or 3a",
                   text, (int)size, text);
}

/* --- draws --- */

typedef struct drawing {
    const vt_augment *augment;
    vt_filter filter;
    vt_rng rng;
    vt_augment_step *steps;
    int count;
} drawing;

static void add_step(drawing *d, int op, double argument, vt_filter filter)
{
    d->steps[d->count++] = (vt_augment_step){&ops[op], argument, filter};
}

/* As many draws whether the op is applied or not. */
static void draw_op(drawing *d, int op, double probability, double level)
{
    const vt_augment *a = d->augment;
    double coin = (double)vt_rng_uniform(&d->rng), u = (double)vt_rng_uniform(&d->rng);
    double turn = (double)vt_rng_uniform(&d->rng), sign = vt_rng_below(&d->rng, 2) ? 1 : -1;
    vt_filter drawn = vt_rng_below(&d->rng, 2) ? VT_FILTER_BICUBIC : VT_FILTER_BILINEAR;
    vt_filter filter = d->filter == VT_FILTER_BICUBIC || d->filter == VT_FILTER_RANDOM ? d->filter : VT_FILTER_BILINEAR;
    if (!(coin < probability)) return;
    level += a->deviation * sqrt(-2 * log(1 - u)) * cos(2 * 3.14159265358979323846 * turn); /* Box and Muller */
    level = level < 0 ? 0 : level > LEVEL_MAX ? LEVEL_MAX : level;
    double argument = (a->increasing ? ops[op].increasing : ops[op].level)(level, sign);
    add_step(d, op, argument, filter == VT_FILTER_RANDOM ? drawn : filter);
}

/* One of grey, solarize and blur. */
static void draw_three(drawing *d)
{
    static const int three[] = {GREY, SOLARIZE, BLUR};
    int op = three[vt_rng_below(&d->rng, 3)];
    double deviation = 0.1 + 1.9 * (double)vt_rng_uniform(&d->rng);
    add_step(d, op, op == SOLARIZE ? 128 : deviation, VT_FILTER_BICUBIC);
}

/* Factors from max(0, 1 - jitter) to 1 + jitter, in random order. */
static void draw_jitter(drawing *d)
{
    int order[] = {BRIGHTNESS, CONTRAST, COLOR};
    double jitter = d->augment->jitter, low = jitter < 1 ? 1 - jitter : 0;
    for (uint32_t i = 0; i < 3; i++) {
        uint32_t j = i + vt_rng_below(&d->rng, 3 - i);
        int op = order[j];
        order[j] = order[i];
        add_step(d, op, low + (1 + jitter - low) * (double)vt_rng_uniform(&d->rng), VT_FILTER_BICUBIC);
    }
}

int vt_augment_draw(const vt_augment *a, vt_filter filter, uint64_t seed, uint32_t epoch, uint32_t sample,
                    uint32_t repeat, vt_augment_step steps[VT_AUGMENT_STEPS])
{
    drawing d = {.augment = a, .filter = filter, .steps = steps,
                 .rng = vt_rng_data(seed, VT_PURPOSE_AUGMENT, epoch, sample, repeat)};
    if (a->policy == VT_AUGMENT_RAND)
        for (int i = 0; i < a->layers; i++)
            draw_op(&d, (int)vt_rng_below(&d.rng, RAND_OPS), a->probability, a->level);
    if (a->policy == VT_AUGMENT_AUTO) {
        const vt_augment_choice *pair = (*a->pairs)[vt_rng_below(&d.rng, VT_AUGMENT_SUBPOLICIES)];
        for (int i = 0; i < 2; i++) draw_op(&d, pair[i].op, pair[i].probability, pair[i].level);
    }
    if (a->policy == VT_AUGMENT_THREE) draw_three(&d);
    if (a->jitter > 0 && (a->policy == VT_AUGMENT_THREE || a->policy == VT_AUGMENT_NONE)) draw_jitter(&d);
    return d.count;
}

void vt_augment_apply(const vt_augment_step *steps, int count, vt_canvas canvas)
{
    for (int i = 0; i < count; i++) {
        canvas.filter = steps[i].filter;
        steps[i].op->apply(&canvas, steps[i].argument);
    }
}
