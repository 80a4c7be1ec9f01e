#include "data/augment_policy.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "data/augment_table.h"
#include "data/beta.h"

bool vt_augment_jitters(const vt_augment *a)
{
    bool three = a->policy == VT_AUGMENT_THREE || (a->set && strncmp(a->set->name, "3a", 2) == 0); /* timm looks so */
    return a->jitter > 0 && (three || a->policy == VT_AUGMENT_NONE);
}

bool vt_augment_on(const vt_augment *a)
{
    return a->policy != VT_AUGMENT_NONE || a->jitter > 0;
}

/* --- draws --- */

typedef struct drawing {
    const vt_augment *augment;
    vt_filter filter;
    vt_rng rng;
    vt_augment_drawn *out;
} drawing;

static void add_step(drawing *d, int op, double argument, vt_filter filter)
{
    d->out->steps[d->out->count++] = (vt_augment_step){&vt_augment_ops[op], argument, filter};
}

/* u and turn: uniform. */
static double level_of(const vt_augment *a, double level, double u, double turn)
{
    if (isinf(a->deviation)) level *= u;
    else level += a->deviation * sqrt(-2 * log(1 - u)) * cos(2 * 3.14159265358979323846 * turn); /* Box and Muller */
    return level < 0 ? 0 : level > a->most ? a->most : level;
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
    const vt_augment_op *table = &vt_augment_ops[op];
    double argument = (a->increasing ? table->increasing : table->level)(level_of(a, level, u, turn), sign);
    add_step(d, op, argument, filter == VT_FILTER_RANDOM ? drawn : filter);
}

static int draw_evenly(drawing *d)
{
    const vt_augment_set *s = d->augment->set;
    return s->op[vt_rng_below(&d->rng, (uint32_t)s->count)];
}

/* By weight, of those whose bit is not in *taken. */
static int draw_weighted(drawing *d, uint32_t *taken)
{
    const vt_augment_set *s = d->augment->set;
    double left = 0, u = (double)vt_rng_uniform(&d->rng);
    int chosen = -1;
    for (int i = 0; i < s->count; i++)
        if (!(*taken >> i & 1)) left += s->weight[i];
    u *= left;
    for (int i = 0; i < s->count && u >= 0; i++) {
        if (*taken >> i & 1) continue;
        u -= s->weight[i];
        chosen = i;
    }
    *taken |= 1u << chosen;
    return s->op[chosen];
}

static void draw_rand(drawing *d)
{
    const vt_augment *a = d->augment;
    uint32_t taken = 0;
    for (int i = 0; i < a->layers; i++)
        draw_op(d, a->set->weighted ? draw_weighted(d, &taken) : draw_evenly(d), a->probability, a->level);
}

static void draw_pair(drawing *d)
{
    const vt_augment *a = d->augment;
    const vt_augment_choice *pair = (*a->pairs)[vt_rng_below(&d->rng, VT_AUGMENT_SUBPOLICIES)];
    for (int i = 0; i < 2; i++) {
        int op = pair[i].op;
        if (a->posterize_increasing && (op == POSTERIZE || op == POSTERIZE_ORIGINAL)) op = POSTERIZE_INCREASING;
        draw_op(d, op, pair[i].probability, pair[i].level);
    }
}

/* One of grey, solarize and blur. */
static void draw_three(drawing *d)
{
    static const int three[] = {GREY, SOLARIZE, BLUR};
    int op = three[vt_rng_below(&d->rng, 3)];
    double deviation = 0.1 + 1.9 * (double)vt_rng_uniform(&d->rng);
    add_step(d, op, op == SOLARIZE ? 128 : deviation, VT_FILTER_BICUBIC);
}

static void draw_mix(drawing *d)
{
    const vt_augment *a = d->augment;
    vt_augment_drawn *out = d->out;
    double weight[VT_AUGMENT_CHAINS];
    vt_dirichlet_draw(&d->rng, a->alpha, weight, a->width);
    out->share = (float)vt_beta_draw(&d->rng, a->alpha);
    out->chains = a->width;
    out->blended = a->blended;
    for (int k = 0; k < a->width; k++) {
        int depth = a->depth ? a->depth : 1 + (int)vt_rng_below(&d->rng, 3);
        for (int i = 0; i < depth; i++) draw_op(d, draw_evenly(d), 1, a->level);
        out->weight[k] = (float)weight[k];
        out->ends[k] = out->count;
    }
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

void vt_augment_draw(const vt_augment *a, vt_filter filter, uint64_t seed, uint32_t epoch, uint32_t sample,
                     uint32_t repeat, vt_augment_drawn *drawn)
{
    drawing d = {.augment = a, .filter = filter, .out = drawn,
                 .rng = vt_rng_data(seed, VT_PURPOSE_AUGMENT, epoch, sample, repeat)};
    drawn->count = drawn->chains = 0;
    if (a->policy == VT_AUGMENT_RAND) draw_rand(&d);
    if (a->policy == VT_AUGMENT_AUTO) draw_pair(&d);
    if (a->policy == VT_AUGMENT_THREE) draw_three(&d);
    if (a->policy == VT_AUGMENT_MIX) draw_mix(&d);
    if (vt_augment_jitters(a)) draw_jitter(&d);
}

/* --- pixels --- */

static void run(const vt_augment_step *steps, int count, vt_canvas canvas)
{
    for (int i = 0; i < count; i++) {
        canvas.filter = steps[i].filter;
        steps[i].op->apply(&canvas, steps[i].argument);
    }
}

static size_t up(size_t bytes)
{
    return (bytes + VT_ALIGN - 1) / VT_ALIGN * VT_ALIGN;
}

/* AugMix has, behind what the ops need, the image and a sum of floats; blended, an image in the sum's place. */
size_t vt_augment_work(const vt_augment *a, int height, int width, int channels)
{
    size_t levels = (size_t)height * (size_t)width * (size_t)channels, ops = vt_canvas_work(height, width, channels);
    if (!vt_augment_on(a)) return 0;
    return a->policy == VT_AUGMENT_MIX ? up(ops) + up(levels) + levels * sizeof(float) : ops;
}

static void add_levels(float *restrict sum, const uint8_t *restrict pixels, size_t n, float weight)
{
    for (size_t i = 0; i < n; i++) {
        float part = weight * pixels[i];
        sum[i] += part;
    }
}

static void cut_levels(uint8_t *restrict pixels, const float *restrict sum, size_t n)
{
    for (size_t i = 0; i < n; i++) pixels[i] = (uint8_t)(sum[i] < 255 ? sum[i] : 255);
}

/* Of blending one after the other, which gives a chain what the later ones leave it. */
static void coefficients(const vt_augment_drawn *d, float *out)
{
    double left = 1;
    for (int k = d->chains - 1; k >= 0; k--) {
        double part = (double)(d->weight[k] * d->share) / left;
        part = part < 1 ? part : 1; /* also where nothing is left */
        out[k] = (float)part;
        left *= 1 - part;
    }
}

static void mix_chains(const vt_augment_drawn *d, vt_canvas c)
{
    size_t levels = (size_t)c.height * (size_t)c.width * (size_t)c.channels;
    uint8_t *image = c.work + up(vt_canvas_work(c.height, c.width, c.channels)), *mixed = image + up(levels);
    float blend[VT_AUGMENT_CHAINS], *sum = (void *)mixed;
    coefficients(d, blend);
    memcpy(image, c.pixels, levels);
    if (d->blended) memcpy(mixed, image, levels);
    else memset(sum, 0, levels * sizeof *sum);
    for (int k = 0, begin = 0; k < d->chains; begin = d->ends[k++]) {
        if (k) memcpy(c.pixels, image, levels);
        run(d->steps + begin, d->ends[k] - begin, c);
        if (!d->blended) add_levels(sum, c.pixels, levels, d->weight[k]);
        else {
            vt_blend_levels(c.pixels, mixed, levels, blend[k]);
            memcpy(mixed, c.pixels, levels);
        }
    }
    if (d->blended) return;
    cut_levels(c.pixels, sum, levels);
    vt_blend_levels(c.pixels, image, levels, d->share);
}

void vt_augment_apply(const vt_augment_drawn *d, vt_canvas canvas)
{
    if (d->chains) mix_chains(d, canvas);
    else run(d->steps, d->count, canvas);
}
