#include "data/loader.h"

enum { MAX_WORKERS = 256, MAX_PREFETCH = 4096 };

vt_status vt_loader_check(vt_loader_options *o, const vt_dataset *ds, int64_t *steps)
{
    vt_sampler *s = &o->sampler;
    int64_t batch = (int64_t)s->micro_batch * s->micros;
    if (s->micro_batch < 1 || s->micros < 1 || batch > INT32_MAX)
        return vt_fail(VT_INVALID, "a batch of %d x %d images: want at least 1 and less than 2^31", s->micros,
                       s->micro_batch);
    if (s->repeats < 1) return vt_fail(VT_INVALID, "--aug-repeats %d: want at least 1", s->repeats);
    if (o->micro_begin < 0 || o->micro_begin >= o->micro_end || o->micro_end > s->micros)
        return vt_fail(VT_INVALID, "micro-batches %d to %d of %d: nothing to load", o->micro_begin, o->micro_end,
                       s->micros);
    if (o->workers < 0 || o->workers > MAX_WORKERS)
        return vt_fail(VT_INVALID, "--workers %d: want 0 to %d", o->workers, MAX_WORKERS);
    if (o->prefetch < 1 || o->prefetch > MAX_PREFETCH)
        return vt_fail(VT_INVALID, "--prefetch %d: want 1 to %d micro-batches", o->prefetch, MAX_PREFETCH);
    vt_status st = vt_transform_check(&o->transform);
    if (st != VT_OK) return st;
    if (o->transform.channels != vt_dataset_channels(ds))
        return vt_fail(VT_INVALID, "the model takes %d channels, the data set was opened for %d", o->transform.channels,
                       vt_dataset_channels(ds));
    s->samples = vt_dataset_count(ds);
    *steps = vt_sampler_steps(s);
    if (*steps == 0)
        return vt_fail(VT_INVALID,
                       "a global batch of %lld is larger than the data, %u training images: lower --batch-size",
                       (long long)batch, (unsigned)s->samples);
    if (o->step < 0 || o->step > *steps)
        return vt_fail(VT_INVALID, "step %lld of an epoch of %lld: the data or the batch has changed",
                       (long long)o->step, (long long)*steps);
    return VT_OK;
}
