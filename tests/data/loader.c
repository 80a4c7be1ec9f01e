#define _XOPEN_SOURCE 700 /* fixture.h */
#include "data/loader.h"

#include "base/alloc.h"
#include "data/batches.h"

/* --- the same batches for any number of workers, start and share of the micro-batches --- */

static void check_same(const fixture *f, int train, int repeats, int skip_bad)
{
    enum { MAX = 256 };
    uint64_t whole[MAX], other[MAX];
    vt_dataset *ds = open_set(f, VT_SPLIT_TRAIN);
    vt_loader_options o = options_for(train, 3, 4);
    o.sampler.repeats = repeats;
    o.skip_bad = skip_bad;
    int n = drain(ds, &o, whole);
    CHECK_EQ(n, train ? 3 * 3 * 4 : 4 * 4);
    static const int workers[] = {1, 2, 7};
    for (int k = 0; k < 3; k++) {
        o.workers = workers[k];
        o.prefetch = 1 + k;
        CHECK_EQ(drain(ds, &o, other), n);
        CHECK_MSG(!memcmp(whole, other, (size_t)n * sizeof *whole), "%d workers", workers[k]);
    }
    int64_t steps = n / 4;
    for (int64_t start = 0; train && start <= steps;
         start++) { /* every place to resume, an epoch's end by both its names */
        o.epoch = (uint32_t)(start / 3);
        o.step = start % 3;
        CHECK_EQ(drain(ds, &o, other), n - 4 * start);
        CHECK(!memcmp(whole + 4 * start, other, (size_t)(n - 4 * start) * sizeof *whole));
        if (o.step || !o.epoch) continue;
        o.epoch--;
        o.step = 3;
        CHECK_EQ(drain(ds, &o, other), n - 4 * start);
    }
    o.epoch = 0;
    o.step = 0;
    for (int cut = 1; cut < 4; cut++) { /* two processes */
        o.micro_begin = 0;
        o.micro_end = cut;
        CHECK_EQ(drain(ds, &o, other), n / 4 * cut);
        for (int i = 0; i < n / 4 * cut; i++) CHECK(other[i] == whole[i / cut * 4 + i % cut]);
        o.micro_begin = cut;
        o.micro_end = 4;
        CHECK_EQ(drain(ds, &o, other), n / 4 * (4 - cut));
        for (int i = 0; i < n / 4 * (4 - cut); i++) CHECK(other[i] == whole[i / (4 - cut) * 4 + cut + i % (4 - cut)]);
    }
    vt_dataset_close(ds);
}

TEST(same_batches)
{
    fixture f = folders(0);
    check_same(&f, 1, 1, 0);
    check_same(&f, 1, 3, 0);
    check_same(&f, 0, 1, 0);
    fixture_remove(&f);
}

TEST(same_batches_with_bad_images)
{
    fixture f = folders(1ull << 2 | 1ull << 3 | 1ull << 38);
    check_same(&f, 1, 1, 1);
    check_same(&f, 1, 2, 1);
    check_same(&f, 0, 1, 1);
    fixture_remove(&f);
}

/* A sample's pixels hang on (seed, epoch, sample, repeat) alone, not on batch, step or neighbours; and they do on each.
 */
TEST(pixels_by_key)
{
    enum { N = 39, IMAGE = SIDE * SIDE * 3, REPEATS = 2 };
    static uint64_t hash[2][3][N][REPEATS];
    fixture f = folders(0);
    vt_dataset *ds = open_set(&f, VT_SPLIT_TRAIN);
    for (int cut = 0; cut < 2; cut++) {
        vt_loader_options o = options_for(1, cut ? 13 : 3, 1);
        o.sampler.repeats = REPEATS;
        o.workers = cut;
        vt_loader *l;
        const vt_batch *b;
        CHECK_OK(vt_loader_create(&l, ds, &o));
        while (vt_loader_next(l, &b) == VT_OK && b) {
            for (int i = 0; i < o.sampler.micro_batch; i++)
                hash[cut][b->epoch][b->samples[i]][b->repeats[i]] = mix(1, b->images + (size_t)i * IMAGE, IMAGE);
            vt_loader_release(l, b);
        }
        vt_loader_destroy(l);
    }
    CHECK_EQ(memcmp(hash[0], hash[1], sizeof hash[0]), 0);
    int pairs = 0, equal = 0;
    for (int i = 0; i < N; i++)
        for (int e = 0; e < 3; e++) {
            if (!hash[0][e][i][0] || !hash[0][e][i][1]) continue;
            pairs++;
            equal += hash[0][e][i][0] == hash[0][e][i][1];
        }
    CHECK_MSG(pairs > 20 && equal < pairs / 4, "%d of %d repeats look alike", equal, pairs);
    vt_dataset_close(ds);
    fixture_remove(&f);
}

/* Boxes hang on the sample, mixing on the step of the run and the slots. */
TEST(effects_by_key)
{
    enum { B = 5, M = 3 };
    fixture f = folders(0x1249249249); /* every third image is bad */
    vt_dataset *ds = open_set(&f, VT_SPLIT_TRAIN);
    vt_loader_options o = options_for(1, B, M);
    o.sampler.repeats = 2;
    o.skip_bad = 1;
    vt_loader *l;
    const vt_batch *b;
    int batches = 0, erased = 0, mixed = 0;
    CHECK_OK(vt_loader_create(&l, ds, &o));
    while (vt_loader_next(l, &b) == VT_OK && b) {
        int32_t boxes[4 * BOXES], where[5 * B];
        float weights[3 * B];
        uint32_t step = b->epoch * 2 + (uint32_t)b->step;
        vt_mixing_draw(&o.mixing, SIDE, SIDE, 9, b->epoch, step, b->slots, B, &(vt_mixed){where, weights});
        CHECK_EQ(memcmp(where, b->mixed.where, sizeof where), 0);
        CHECK_EQ(memcmp(weights, b->mixed.weights, sizeof weights), 0);
        for (int i = 0; i < B; i++) {
            vt_erase_draw(&o.erase, SIDE, SIDE, 9, b->epoch, b->samples[i], (uint32_t)b->repeats[i], boxes);
            CHECK_EQ(memcmp(boxes, b->boxes + (ptrdiff_t)i * 4 * BOXES, sizeof boxes), 0);
            erased += boxes[2] > 0;
            mixed += weights[3 * i] != 1;
            CHECK(b->epoch < 2 || weights[3 * i] == 1);
        }
        batches++;
        vt_loader_release(l, b);
    }
    CHECK_EQ(batches, 3 * 2 * M);
    CHECK(erased > batches * B / 2 && mixed > batches * B / 3);
    vt_loader_destroy(l);
    vt_dataset_close(ds);
    fixture_remove(&f);
}

/* --- evaluation --- */

TEST(evaluation)
{
    fixture f = fixture_new("loader");
    put_idx(&f, "t10k", 50, SIDE, SIDE, 10, 1);
    vt_dataset *ds = open_set(&f, VT_SPLIT_VAL);
    for (int workers = 0; workers < 3; workers++) {
        vt_loader_options o = options_for(0, 8, 4);
        o.workers = workers;
        vt_loader *l;
        const vt_batch *b;
        int times[50] = {0}, total = 0;
        CHECK_OK(vt_loader_create(&l, ds, &o));
        o.sampler.samples = vt_dataset_count(ds);
        CHECK_EQ(vt_sampler_steps(&o.sampler), 2);
        while (vt_loader_next(l, &b) == VT_OK && b) {
            int valid = 0;
            for (int i = 0; i < 8; i++) {
                const uint8_t *image = b->images + (size_t)i * SIDE * SIDE * 3;
                int counts = b->labels[i] >= 0, differ = 0;
                valid += counts;
                CHECK(!b->boxes && !b->mixed.where && !b->mixed.weights);
                for (size_t k = 0; k < SIDE * SIDE * 3; k++)
                    differ += image[k] != (counts ? test_pixel(b->samples[i], k / 3) : 0);
                CHECK_EQ(differ, 0);
                if (!counts) continue;
                CHECK_EQ(b->labels[i], (int)(b->samples[i] % 10));
                times[b->samples[i]]++;
            }
            CHECK_EQ(b->valid, valid);
            total += valid;
            vt_loader_release(l, b);
        }
        CHECK_EQ(total, 50);
        for (int i = 0; i < 50; i++) CHECK_EQ(times[i], 1);
        vt_loader_destroy(l);
    }
    vt_dataset_close(ds);
    fixture_remove(&f);
}

/* --- the caller's side --- */

TEST(bad_options)
{
    fixture f = folders(0);
    vt_dataset *ds = open_set(&f, VT_SPLIT_TRAIN);
    vt_loader *l;
    vt_loader_options o = options_for(1, 10, 4);
#define CREATE_FAILS(change, part)                                        \
    do {                                                                  \
        o = options_for(1, 3, 4);                                         \
        change;                                                           \
        CHECK_FAILS(vt_loader_create(&l, ds, &o), VT_INVALID, part);      \
        CHECK(!l);                                                        \
    } while (0)
    CREATE_FAILS(o.sampler.micro_batch = 10, "a global batch of 40 is larger than the data, 39 training images");
    CREATE_FAILS(o.sampler.micro_batch = 0, "want at least 1");
    CREATE_FAILS(o.sampler.micro_batch = 1 << 30, "less than 2^31");
    CREATE_FAILS(o.sampler.repeats = 0, "--aug-repeats 0");
    CREATE_FAILS(o.micro_end = 5, "micro-batches 0 to 5 of 4");
    CREATE_FAILS(o.micro_begin = 4, "nothing to load");
    CREATE_FAILS(o.workers = -1, "--workers -1");
    CREATE_FAILS(o.workers = 10000, "--workers 10000");
    CREATE_FAILS(o.prefetch = 0, "--prefetch 0");
    CREATE_FAILS(o.transform.channels = 1, "the model takes 1 channels, the data set was opened for 3");
    CREATE_FAILS(o.transform.crop_pct = 0, "crop");
    CREATE_FAILS(o.step = 4, "step 4 of an epoch of 3");
    vt_dataset_close(ds);
    fixture_remove(&f);
}

/* A whole step may be held, and given back in any order; holding more is an error, not a hang. */
TEST(holding)
{
    fixture f = folders(0);
    vt_dataset *ds = open_set(&f, VT_SPLIT_TRAIN);
    for (int workers = 0; workers < 4; workers += 3) {
        vt_loader_options o = options_for(1, 3, 4);
        o.workers = workers;
        vt_loader *l;
        const vt_batch *b[7];
        uint64_t hash[7];
        CHECK_OK(vt_loader_create(&l, ds, &o));
        for (int i = 0; i < 6; i++) {
            CHECK_OK(vt_loader_next(l, &b[i]));
            hash[i] = hash_batch(b[i], 3);
        }
        CHECK_FAILS(vt_loader_next(l, &b[6]), VT_FAILED, "all 6 micro-batches of the loader are held");
        for (int i = 0; i < 6; i++) CHECK(hash_batch(b[i], 3) == hash[i]);
        for (int i = 5; i >= 0; i--) vt_loader_release(l, b[i]);
        CHECK_OK(vt_loader_next(l, &b[6]));
        CHECK(b[6] && b[6]->step == 1 && b[6]->micro == 2);
        vt_loader_destroy(l);
    }
    vt_dataset_close(ds);
    fixture_remove(&f);
}

TEST(stopping_early)
{
    fixture f = folders(1ull << 5);
    vt_dataset *ds = open_set(&f, VT_SPLIT_TRAIN);
    long live = vt_alloc_live();
    for (int take = 0; take < 40; take++) {
        vt_loader_options o = options_for(1, 3, 2);
        o.workers = take % 5;
        o.epochs = 1000;
        o.skip_bad = take % 2;
        vt_loader *l;
        const vt_batch *b;
        CHECK_OK(vt_loader_create(&l, ds, &o));
        for (int i = 0; i < take && vt_loader_next(l, &b) == VT_OK; i++)
            if (i + 1 < take) vt_loader_release(l, b);
        vt_loader_destroy(l);
        CHECK_EQ(vt_alloc_live(), live);
    }
    vt_dataset_close(ds);
    fixture_remove(&f);
}

TEST(allocations_fail)
{
    fixture f = folders(1ull << 5);
    for (int workers = 0; workers < 3; workers += 2) {
        long at = 1, live = vt_alloc_live();
        for (vt_status st = VT_NO_MEMORY; st != VT_OK; at++) {
            vt_dataset *ds = NULL;
            vt_loader *l = NULL;
            const vt_batch *b;
            vt_loader_options o = options_for(1, 3, 2);
            o.workers = workers;
            o.epochs = 1;
            o.skip_bad = 1;
            vt_alloc_fail_at(at, 0);
            st = vt_dataset_open(&ds, f.dir, VT_SPLIT_TRAIN, &(vt_dataset_options){.in_chans = 3});
            if (st == VT_OK) st = vt_loader_create(&l, ds, &o);
            while (st == VT_OK && (st = vt_loader_next(l, &b)) == VT_OK && b) vt_loader_release(l, b);
            vt_loader_destroy(l);
            vt_alloc_fail_at(0, 0);
            CHECK_MSG(st == VT_OK || st == VT_NO_MEMORY, "allocation %ld: %s", at, vt_error());
            vt_dataset_close(ds);
            CHECK_EQ(vt_alloc_live(), live);
        }
        CHECK(at > 20);
    }
    fixture_remove(&f);
}

int main(void)
{
    RUN(same_batches);
    RUN(same_batches_with_bad_images);
    RUN(pixels_by_key);
    RUN(effects_by_key);
    RUN(evaluation);
    RUN(bad_options);
    RUN(holding);
    RUN(stopping_early);
    RUN(allocations_fail);
    TEST_END();
}
