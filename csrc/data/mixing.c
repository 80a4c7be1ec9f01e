#include "data/mixing.h"

#include <math.h>

#include "data/beta.h"

/* --- a group's draw --- */

typedef struct drawn {
    int32_t box[4]; /* top, left, height, width */
    float weights[3];
} drawn;

static const drawn unmixed = {{0, 0, 0, 0}, {1, 1, 1}};

/* A box of `cut` pixels around one of `size`; what is within the image. */
static void cut_side(vt_rng *r, int size, double ratio, int32_t *first, int32_t *count)
{
    int half = (int)(size * ratio) / 2, centre = (int)vt_rng_below(r, (uint32_t)size);
    int low = centre - half, high = centre + half;
    *first = low > 0 ? low : 0;
    *count = (high < size ? high : size) - *first;
}

/* timm's draws leave away the upper ends. */
static void cut_minmax(vt_rng *r, int size, const double share[2], int32_t *first, int32_t *count)
{
    int low = (int)(size * share[0]), high = (int)(size * share[1]);
    *count = low + (high > low ? (int)vt_rng_below(r, (uint32_t)(high - low)) : 0);
    *first = *count < size ? (int)vt_rng_below(r, (uint32_t)(size - *count)) : 0;
}

static drawn draw_cutmix(const vt_mixing *m, int height, int width, vt_rng *r)
{
    drawn d = unmixed;
    bool minmax = m->minmax[1] > 0;
    double ratio = sqrt(1 - vt_beta_draw(r, minmax ? 1 : m->cutmix));
    for (int i = 0; i < 2; i++) {
        int size = i ? width : height;
        if (minmax) cut_minmax(r, size, m->minmax, &d.box[i], &d.box[2 + i]);
        else cut_side(r, size, ratio, &d.box[i], &d.box[2 + i]);
    }
    d.weights[0] = 0;
    d.weights[2] = (float)(1 - (double)d.box[2] * d.box[3] / ((double)height * width));
    return d;
}

static drawn draw_group(const vt_mixing *m, int height, int width, vt_rng r)
{
    drawn d = unmixed;
    bool mixup = m->mixup > 0, cutmix = m->cutmix > 0 || m->minmax[1] > 0;
    if (!((double)vt_rng_uniform(&r) < m->mix_probability)) return d;
    if (mixup && cutmix) cutmix = (double)vt_rng_uniform(&r) < m->switch_probability;
    if (cutmix) return draw_cutmix(m, height, width, &r);
    if (mixup) d.weights[0] = d.weights[1] = d.weights[2] = (float)vt_beta_draw(&r, m->mixup);
    return d;
}

/* --- a micro-batch --- */

bool vt_mixing_on(const vt_mixing *m)
{
    return m->mixup > 0 || m->cutmix > 0 || m->minmax[1] > 0;
}

static void put(const vt_mixed *out, int i, int batch, const drawn *d)
{
    out->where[5 * i] = batch - 1 - i;
    for (int k = 0; k < 4; k++) out->where[5 * i + 1 + k] = d->box[k];
    for (int k = 0; k < 3; k++) out->weights[3 * i + k] = d->weights[k];
}

void vt_mixing_none(int batch, const vt_mixed *out)
{
    for (int i = 0; i < batch; i++) put(out, i, batch, &unmixed);
}

void vt_mixing_draw(const vt_mixing *m, int height, int width, uint64_t seed, uint32_t epoch, uint32_t step,
                    const int32_t *slots, int batch, const vt_mixed *out)
{
    if (m->off_epoch && epoch >= m->off_epoch) {
        vt_mixing_none(batch, out);
        return;
    }
    drawn d = unmixed;
    for (int i = 0, drawn_for = -1; i < batch; i++) {
        int other = batch - 1 - i;
        int group = m->mode == VT_MIX_BATCH ? 0 : m->mode == VT_MIX_PAIR && other < i ? other : i;
        if (group != drawn_for) d = draw_group(m, height, width, vt_rng_mix(seed, step, (uint32_t)slots[group]));
        drawn_for = group;
        put(out, i, batch, &d);
    }
}
