#define _XOPEN_SOURCE 700 /* fixture.h */
#include "data/batches.h"

/* --- bad images --- */

TEST(bad_image_stops)
{
    fixture f = folders(1ull << 21 | 1ull << 20 | 1ull << 22 | 1ull << 30); /* the first of them is named */
    vt_dataset *ds = open_set(&f, VT_SPLIT_TRAIN);
    for (int workers = 0; workers < 8; workers += 7) {
        vt_loader_options o = options_for(0, 5, 1);
        o.workers = workers;
        vt_loader *l;
        const vt_batch *b;
        CHECK_OK(vt_loader_create(&l, ds, &o));
        for (int i = 0; i < 4; i++) { /* the four before are whole */
            CHECK_OK(vt_loader_next(l, &b));
            CHECK(b && b->valid == 5);
            if (b) vt_loader_release(l, b);
        }
        for (int again = 0; again < 2; again++) {
            CHECK_FAILS(vt_loader_next(l, &b), VT_INVALID, "/train/c1/20.png: ");
            CHECK(!b && strstr(vt_error(), "--bad-images skip"));
        }
        vt_loader_destroy(l);
    }
    vt_dataset_close(ds);
    fixture_remove(&f);
}

TEST(bad_image_skipped)
{
    fixture f = folders(1ull << 20 | 1ull << 21 | 1ull << 38);
    vt_dataset *ds = open_set(&f, VT_SPLIT_TRAIN);
    for (int workers = 0; workers < 8; workers += 7) {
        for (int train = 0; train < 2; train++) {
            vt_loader_options o = options_for(train, 39, 1);
            o.workers = workers;
            o.skip_bad = 1;
            o.epochs = 1;
            vt_loader *l;
            const vt_batch *b;
            int times[39] = {0};
            CHECK_OK(vt_loader_create(&l, ds, &o));
            CHECK_OK(vt_loader_next(l, &b));
            if (!b) exit(1);
            CHECK_EQ(b->valid, train ? 39 : 36);
            for (int i = 0; i < 39; i++) {
                times[b->samples[i]] += b->labels[i] >= 0;
                CHECK(b->labels[i] < 0 || b->labels[i] == (int)(b->samples[i] / 13));
            }
            for (int i = 0; i < 39; i++) {
                int bad = i == 20 || i == 21 || i == 38;
                CHECK_EQ(vt_loader_is_bad(l, (uint32_t)i), bad);
                CHECK_EQ(times[i], bad       ? 0
                                   : !train  ? 1
                                   : i == 22 ? 3
                                   : i == 0  ? 2
                                             : 1); /* the next good one stands in */
            }
            CHECK_EQ(vt_loader_bad_count(l), 3u);
            vt_loader_destroy(l);
        }
    }
    vt_dataset_close(ds);
    fixture_remove(&f);
}

TEST(all_bad)
{
    fixture f = folders(~0ull);
    vt_dataset *ds = open_set(&f, VT_SPLIT_TRAIN);
    vt_loader_options o = options_for(1, 4, 1);
    vt_loader *l;
    const vt_batch *b;
    o.skip_bad = 1;
    o.workers = 2;
    CHECK_OK(vt_loader_create(&l, ds, &o));
    CHECK_FAILS(vt_loader_next(l, &b), VT_INVALID, "not one of the 39 images can be read");
    vt_loader_destroy(l);
    vt_dataset_close(ds);
    fixture_remove(&f);
}

int main(void)
{
    RUN(bad_image_stops);
    RUN(bad_image_skipped);
    RUN(all_bad);
    TEST_END();
}
