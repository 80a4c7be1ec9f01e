#include "data/loader.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "data/loader_batch.h"

enum { MAX_CHUNK = 32, MESSAGE_BYTES = 1024 };

enum slot_state { SLOT_FREE, SLOT_FILLING, SLOT_READY, SLOT_HELD };

typedef struct slot {
    vt_batch batch; /* first, so that a vt_batch is its slot */
    vt_pick *picks; /* [B] */
    int picked;     /* of these; the rest is padding */
    enum slot_state state;
    int taken, done; /* samples given to workers, and made by them */
    int failed_at;   /* the first sample that failed, -1: none */
    vt_status status;
    char message[MESSAGE_BYTES];
} slot;

typedef struct worker {
    struct vt_loader *loader;
    pthread_t thread;
    vt_bytes file;
    vt_transform_scratch scratch;
    int valid;       /* labels that are not -1 in the chunk at hand */
} worker;

struct vt_loader {
    const vt_dataset *ds;
    vt_loader_options o;
    int64_t steps;
    size_t image_bytes;
    int ring, chunk, started;
    slot *slots;        /* [ring] */
    void *memory;       /* what the batches point into */
    vt_pick *picks;     /* [ring, B] */
    uint32_t *order;    /* [samples] of the epoch being begun; NULL in evaluation */
    uint32_t order_epoch;
    _Atomic unsigned char *bad; /* [samples] */
    _Atomic uint32_t bad_count;
    worker *workers; /* [max(1, workers)] */
    double waited;

    pthread_mutex_t lock; /* of all below, and of the slots' states and counts */
    pthread_cond_t work;  /* there may be samples to make */
    pthread_cond_t ready; /* a slot is complete */
    uint64_t begun, given; /* slots begun, and given to the caller, since the start */
    slot *current;         /* whose samples are being handed out */
    uint32_t epoch;        /* the next micro-batch to begin */
    int64_t step;
    int micro;
    int stop;
};

/* --- one sample --- */

static vt_status make_pixels(vt_loader *l, worker *w, uint32_t i, const vt_batch *at, int repeat, uint8_t *out)
{
    char name[MESSAGE_BYTES / 2];
    vt_sample sample;
    vt_status st = vt_dataset_read(l->ds, i, &w->file, &sample);
    if (st != VT_OK) return st;
    st = vt_transform_sample(&l->o.transform, &w->scratch, &sample, l->o.sampler.seed, at->epoch, i, (uint32_t)repeat,
                             out);
    return st == VT_OK ? st : vt_fail_in(st, "%s", vt_dataset_path(l->ds, i, name, sizeof name));
}

static void mark_bad(vt_loader *l, uint32_t i)
{
    if (!atomic_exchange(&l->bad[i], 1)) atomic_fetch_add(&l->bad_count, 1);
}

/* Position b of a slot is nothing to count: padding, or in evaluation a bad image. */
static void make_blank(vt_loader *l, slot *s, int b)
{
    memset(s->batch.images + (size_t)b * l->image_bytes, 0, l->image_bytes);
    s->batch.labels[b] = -1;
}

static void erase(vt_loader *l, slot *s, int b)
{
    const vt_transform *t = &l->o.transform;
    if (!s->batch.boxes) return;
    vt_erase_draw(&l->o.erase, t->height, t->width, l->o.sampler.seed, s->batch.epoch, s->batch.samples[b],
                  (uint32_t)s->batch.repeats[b], s->batch.boxes + (ptrdiff_t)b * l->o.erase.most * 4);
}

static vt_status make_sample(vt_loader *l, worker *w, slot *s, int b)
{
    uint8_t *out = s->batch.images + (size_t)b * l->image_bytes;
    uint32_t i = s->picks[b].sample, n = l->o.sampler.samples, tries = l->o.sampler.train ? n : 1;
    s->batch.samples[b] = i;
    s->batch.repeats[b] = s->picks[b].repeat;
    if (b >= s->picked) {
        make_blank(l, s, b);
        return VT_OK;
    }
    for (; tries > 0; tries--, i = i + 1 < n ? i + 1 : 0) {
        if (atomic_load(&l->bad[i])) continue;
        vt_status st = make_pixels(l, w, i, &s->batch, s->picks[b].repeat, out);
        if (st == VT_OK) {
            s->batch.samples[b] = i;
            s->batch.labels[b] = vt_dataset_label(l->ds, i);
            erase(l, s, b);
            w->valid++;
            return VT_OK;
        }
        if (st != VT_INVALID) return st;
        if (!l->o.skip_bad)
            return vt_fail(st, "%.900s: repair or remove the file, or name --bad-images skip", vt_error());
        mark_bad(l, i);
    }
    make_blank(l, s, b);
    return l->o.sampler.train ? vt_fail(VT_INVALID, "not one of the %u images can be read", (unsigned)n) : VT_OK;
}

/* Samples [begin, end) of a slot, without the lock. */
static void make_chunk(vt_loader *l, worker *w, slot *s, int begin, int end)
{
    vt_status st = VT_OK;
    int b = begin;
    w->valid = 0;
    while (b < end && (st = make_sample(l, w, s, b)) == VT_OK) b++;
    pthread_mutex_lock(&l->lock);
    if (st != VT_OK && (s->failed_at < 0 || b < s->failed_at)) {
        s->failed_at = b;
        s->status = st;
        snprintf(s->message, sizeof s->message, "%s", vt_error());
    }
    s->batch.valid += w->valid;
    s->done += end - begin;
    if (s->done == l->o.sampler.micro_batch) {
        s->state = SLOT_READY;
        pthread_cond_signal(&l->ready);
    }
    pthread_mutex_unlock(&l->lock);
}

/* --- the order of the work; all with the lock held --- */

static int at_end(const vt_loader *l)
{
    return l->epoch >= l->o.epochs;
}

static void begin_slot(vt_loader *l)
{
    slot *s = l->current = &l->slots[l->begun++ % (unsigned)l->ring];
    if (l->order && l->order_epoch != l->epoch) {
        vt_sampler_permute(&l->o.sampler, l->epoch, l->order);
        l->order_epoch = l->epoch;
    }
    s->picked = vt_sampler_micro(&l->o.sampler, l->order, l->step, l->micro, s->picks);
    s->batch.epoch = l->epoch;
    s->batch.step = l->step;
    s->batch.micro = l->micro;
    s->batch.valid = 0;
    int batch = l->o.sampler.micro_batch;
    for (int b = 0; b < batch; b++) s->batch.slots[b] = s->picks[b].slot;
    if (s->batch.mixed.where)
        vt_mixing_draw(&l->o.mixing, l->o.transform.height, l->o.transform.width, l->o.sampler.seed, l->epoch,
                       (uint32_t)(l->epoch * l->steps + l->step), s->batch.slots, batch, &s->batch.mixed);
    s->state = SLOT_FILLING;
    s->taken = s->done = 0;
    s->failed_at = -1;
    if (++l->micro < l->o.micro_end) return;
    l->micro = l->o.micro_begin;
    if (++l->step < l->steps) return;
    l->step = 0;
    l->epoch++;
}

/* A chunk to make, beginning the next slot if need be; 0: none at present. */
static int take_chunk(vt_loader *l, slot **s, int *begin, int *end)
{
    int size = l->o.sampler.micro_batch;
    if (!l->current) {
        if (at_end(l) || l->slots[l->begun % (unsigned)l->ring].state != SLOT_FREE) return 0;
        begin_slot(l);
        pthread_cond_broadcast(&l->work);
    }
    *s = l->current;
    *begin = l->current->taken;
    *end = *begin + l->chunk < size ? *begin + l->chunk : size;
    l->current->taken = *end;
    if (*end == size) l->current = NULL;
    return 1;
}

static void *worker_main(void *arg)
{
    worker *w = arg;
    vt_loader *l = w->loader;
    slot *s;
    int begin, end;
    pthread_mutex_lock(&l->lock);
    while (!l->stop) {
        if (!take_chunk(l, &s, &begin, &end)) {
            pthread_cond_wait(&l->work, &l->lock);
            continue;
        }
        pthread_mutex_unlock(&l->lock);
        make_chunk(l, w, s, begin, end);
        pthread_mutex_lock(&l->lock);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

/* --- the caller's side --- */

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Waits, with the lock held, for the slot after the last given one, or makes it here. NULL: the end. */
static slot *await_slot(vt_loader *l)
{
    slot *s = &l->slots[l->given % (unsigned)l->ring], *mine;
    int begin, end;
    while (s->state != SLOT_READY && s->state != SLOT_HELD) {
        if (at_end(l) && l->given == l->begun) return NULL;
        if (l->o.workers) {
            pthread_cond_wait(&l->ready, &l->lock);
        } else if (take_chunk(l, &mine, &begin, &end)) {
            pthread_mutex_unlock(&l->lock);
            make_chunk(l, &l->workers[0], mine, begin, end);
            pthread_mutex_lock(&l->lock);
        }
    }
    return s;
}

vt_status vt_loader_next(vt_loader *l, const vt_batch **batch)
{
    vt_status st = VT_OK;
    double start = seconds();
    *batch = NULL;
    pthread_mutex_lock(&l->lock);
    slot *s = await_slot(l);
    if (s && s->state == SLOT_HELD) {
        st = vt_fail(VT_FAILED, "all %d micro-batches of the loader are held: release one first", l->ring);
    } else if (s && s->failed_at >= 0) {
        st = vt_fail(s->status, "%s", s->message);
    } else if (s) {
        s->state = SLOT_HELD;
        l->given++;
        *batch = &s->batch;
    }
    pthread_mutex_unlock(&l->lock);
    l->waited += seconds() - start;
    return st;
}

void vt_loader_release(vt_loader *l, const vt_batch *batch)
{
    slot *s = &l->slots[((const slot *)(const void *)batch) - l->slots];
    pthread_mutex_lock(&l->lock);
    s->state = SLOT_FREE;
    pthread_cond_signal(&l->work);
    pthread_mutex_unlock(&l->lock);
}

double vt_loader_waited(const vt_loader *l)
{
    return l->waited;
}

uint32_t vt_loader_bad_count(const vt_loader *l)
{
    return atomic_load(&l->bad_count);
}

int vt_loader_is_bad(const vt_loader *l, uint32_t sample)
{
    return atomic_load(&l->bad[sample]);
}

/* --- creation --- */

static vt_status take_memory(vt_loader *l, size_t bytes)
{
    if (l->o.memory.take) return l->o.memory.take(l->o.memory.of, bytes, &l->memory);
    l->memory = vt_alloc_raw(bytes);
    return l->memory ? VT_OK : vt_fail_memory("the loader's micro-batches: lower --batch-size or --prefetch");
}

static vt_status allocate(vt_loader *l)
{
    const vt_transform *t = &l->o.transform;
    size_t b = (size_t)l->o.sampler.micro_batch, n = l->o.sampler.samples, ring = (size_t)l->ring;
    vt_batch_layout a = vt_batch_layout_of(&l->o);
    l->image_bytes = (size_t)t->height * (size_t)t->width * (size_t)t->channels;
    l->slots = vt_alloc(ring * sizeof *l->slots);
    l->picks = vt_alloc(ring * b * sizeof *l->picks);
    l->bad = vt_alloc(n);
    l->order = l->o.sampler.train ? vt_alloc_raw(n * sizeof *l->order) : NULL;
    l->workers = vt_alloc((size_t)(l->o.workers ? l->o.workers : 1) * sizeof *l->workers);
    if (!l->slots || !l->picks || !l->bad || !l->workers || (l->o.sampler.train && !l->order))
        return vt_fail_memory("the loader: lower --batch-size or --prefetch");
    vt_status st = take_memory(l, ring * a.bytes);
    for (size_t k = 0; k < ring && st == VT_OK; k++) {
        l->slots[k].picks = l->picks + k * b;
        l->slots[k].batch = vt_batch_at((char *)l->memory + k * a.bytes, &a);
    }
    return st;
}

vt_status vt_loader_create(vt_loader **out, const vt_dataset *ds, const vt_loader_options *options)
{
    *out = NULL;
    vt_status st;
    vt_loader *l = vt_alloc(sizeof *l);
    if (!l) return vt_fail_memory("the loader");
    l->ds = ds;
    l->o = *options;
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->work, NULL);
    pthread_cond_init(&l->ready, NULL);
    VT_TRY(vt_loader_check(&l->o, ds, &l->steps));
    l->ring = vt_loader_slots(&l->o);
    l->chunk = l->o.sampler.micro_batch / (4 * (l->o.workers ? l->o.workers : 1));
    l->chunk = l->chunk < 1 ? 1 : l->chunk > MAX_CHUNK ? MAX_CHUNK : l->chunk;
    VT_TRY(allocate(l));
    l->epoch = l->o.epoch + (l->o.step == l->steps);
    l->step = l->o.step % l->steps;
    l->micro = l->o.micro_begin;
    l->order_epoch = l->epoch + 1; /* none yet */
    for (int i = 0; i < (l->o.workers ? l->o.workers : 1); i++)
        VT_TRY(vt_transform_reserve(&l->o.transform, &l->workers[i].scratch));
    for (int i = 0; i < l->o.workers; i++) {
        l->workers[i].loader = l;
        if (pthread_create(&l->workers[i].thread, NULL, worker_main, &l->workers[i]))
            VT_TRY(vt_fail(VT_FAILED, "cannot start thread %d of the loader: lower --workers", i + 1));
        l->started++;
    }
    *out = l;
    return VT_OK;
fail:
    vt_loader_destroy(l);
    return st;
}

void vt_loader_destroy(vt_loader *l)
{
    if (!l) return;
    pthread_mutex_lock(&l->lock);
    l->stop = 1;
    pthread_cond_broadcast(&l->work);
    pthread_mutex_unlock(&l->lock);
    for (int i = 0; i < l->started; i++) pthread_join(l->workers[i].thread, NULL);
    for (int i = 0; l->workers && i < (l->o.workers ? l->o.workers : 1); i++) {
        vt_free(l->workers[i].file.data);
        vt_transform_scratch_free(&l->workers[i].scratch);
    }
    vt_free(l->workers);
    vt_free(l->slots);
    if (l->memory && l->o.memory.give) l->o.memory.give(l->o.memory.of, l->memory);
    else vt_free(l->memory);
    vt_free(l->picks);
    vt_free((void *)l->bad);
    vt_free(l->order);
    pthread_cond_destroy(&l->ready);
    pthread_cond_destroy(&l->work);
    pthread_mutex_destroy(&l->lock);
    vt_free(l);
}
