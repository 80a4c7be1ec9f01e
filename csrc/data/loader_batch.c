#include "data/loader_batch.h"

static size_t place(size_t *end, size_t count) /* of 4-byte elements */
{
    size_t at = *end;
    *end += (count * 4 + VT_ALIGN - 1) / VT_ALIGN * VT_ALIGN;
    return at;
}

vt_batch_layout vt_batch_layout_of(const vt_loader_options *o)
{
    size_t b = (size_t)o->sampler.micro_batch, end = vt_loader_slot_bytes(o);
    bool train = o->sampler.train, mixes = train && vt_mixing_on(&o->mixing);
    vt_batch_layout a = {0};
    a.labels = place(&end, b);
    a.samples = place(&end, b);
    a.repeats = place(&end, b);
    a.slots = place(&end, b);
    if (train && o->erase.probability > 0) a.boxes = place(&end, 4 * b * (size_t)o->erase.most);
    if (mixes) a.where = place(&end, 5 * b);
    if (mixes) a.weights = place(&end, 3 * b);
    a.bytes = end;
    return a;
}

vt_batch vt_batch_at(char *p, const vt_batch_layout *a)
{
    vt_batch batch = {.images = (uint8_t *)p, .labels = (int32_t *)(p + a->labels),
                      .samples = (uint32_t *)(p + a->samples), .repeats = (int32_t *)(p + a->repeats),
                      .slots = (int32_t *)(p + a->slots)};
    if (a->boxes) batch.boxes = (int32_t *)(p + a->boxes);
    if (a->where) batch.mixed = (vt_mixed){(int32_t *)(p + a->where), (float *)(p + a->weights)};
    return batch;
}
