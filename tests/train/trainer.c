/* The public trainer: steps that are not finite, micro-batches and lanes, two models in two threads. */
#include "test.h"

#include <pthread.h>

#include "train/trainer.h"

enum { SIDE = 16, CLASSES = 3, SAMPLES = 16 };

static vt_model_config config(void)
{
    vt_model_config c;
    CHECK_OK(vt_model_find(&c, "deit_micro"));
    c.img_height = c.img_width = SIDE;
    c.patch_size = 8;
    c.in_chans = 1;
    c.embed_dim = 16;
    c.depth = 2;
    c.heads = 2;
    c.classes = CLASSES;
    vt_model_normalisation(&c);
    return c;
}

static void make_batch(uint8_t *images, int32_t *labels)
{
    for (int i = 0; i < SAMPLES; i++) {
        labels[i] = i % CLASSES;
        for (int p = 0; p < SIDE * SIDE; p++)
            images[i * SIDE * SIDE + p] = (uint8_t)((i * 131 + p * 17) % 97 + 50 * labels[i]);
    }
}

typedef struct fixture {
    vt_model *model;
    vt_trainer *trainer;
    uint8_t images[SAMPLES * SIDE * SIDE];
    int32_t labels[SAMPLES];
} fixture;

static void open_fixture(fixture *f, int micros, int lanes, int threads, float drop)
{
    vt_model_config c = config();
    vt_train_options o = vt_train_defaults();
    c.drop = c.attn_drop = c.drop_path = drop;
    CHECK_OK(vt_model_create(&f->model, &c, &(vt_model_options){.threads = threads}));
    o.batch_size = SAMPLES / micros;
    o.micro_batches = micros;
    o.lanes = lanes;
    o.ema = true;
    o.ema_decay = 0.9f;
    CHECK_OK(vt_trainer_create(&f->trainer, f->model, &o));
    make_batch(f->images, f->labels);
}

static void close_fixture(fixture *f)
{
    vt_trainer_destroy(f->trainer);
    vt_model_destroy(f->model);
}

static float steps(fixture *f, int n, float lr)
{
    float loss = 0;
    for (int i = 0; i < n; i++) CHECK_OK(vt_trainer_step(f->trainer, f->images, f->labels, lr, &loss));
    return loss;
}

TEST(a_step_that_is_not_finite_changes_nothing)
{
    fixture f;
    float loss;
    open_fixture(&f, 2, 8, 2, 0);
    steps(&f, 3, 1e-3f);
    const vt_store *stores[] = {&f.model->params, &f.trainer->stores.moment[0], &f.trainer->stores.moment[1],
                                &f.trainer->stores.ema};
    /* 3e38 alone would not do: LayerNorm brings it back to 0. */
    int entry = vt_store_find(&f.model->params, "blocks.1.mlp.fc2.weight");
    float *weight = (float *)f.model->params.data + f.model->params.entries[entry].offset, kept = *weight;
    *weight = INFINITY;
    size_t bytes = vt_store_bytes(stores[0]);
    char *before = malloc(4 * bytes);
    for (int i = 0; i < 4; i++) memcpy(before + (size_t)i * bytes, stores[i]->data, bytes);
    int32_t number = f.trainer->number;
    CHECK_FAILS(vt_trainer_step(f.trainer, f.images, f.labels, 1e-3f, &loss), VT_FAILED, "step 3 is not finite");
    CHECK_MSG(strstr(vt_error(), "blocks.1") || strstr(vt_error(), "norm"),
              "the message names no op behind the fault: %s",
              vt_error());
    for (int i = 0; i < 4; i++)
        CHECK_MSG(memcmp(before + (size_t)i * bytes, stores[i]->data, bytes) == 0, "store %s changed", stores[i]->role);
    CHECK_EQ(f.trainer->number, number);
    *weight = kept;
    steps(&f, 1, 1e-3f); /* and the run can go on */
    free(before);
    close_fixture(&f);
}

TEST(micro_batches_sum_to_the_whole)
{
    static const int cases[][2] = {{1, 8}, {2, 8}, {4, 8}, {8, 8}, {8, 1}, {16, 4}};
    float first = 0, last = 0;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fixture f;
        float loss;
        open_fixture(&f, cases[i][0], cases[i][1], 2, 0);
        CHECK_OK(vt_trainer_step(f.trainer, f.images, f.labels, 1e-3f, &loss));
        float later = steps(&f, 5, 1e-3f);
        if (i == 0) first = loss, last = later;
        CHECK_NEAR(loss, first, 2e-6);
        CHECK_NEAR(later, last, 2e-3); /* Adam's normalised steps magnify rounding */
        close_fixture(&f);
    }
}

TEST(lanes)
{
    CHECK_EQ(vt_step_lanes(1, 8), 1);
    CHECK_EQ(vt_step_lanes(6, 8), 2);
    CHECK_EQ(vt_step_lanes(8, 8), 8);
    CHECK_EQ(vt_step_lanes(32, 8), 8);
    CHECK_EQ(vt_step_lanes(12, 8), 4);
    CHECK_EQ(vt_step_lanes(8, 1), 1);
}

/* A run of its own, with all that is random on. */
static void *train_alone(void *arg)
{
    fixture f;
    open_fixture(&f, 2, 8, *(int *)arg, 0.2f);
    float *loss = malloc(sizeof *loss);
    *loss = steps(&f, 20, 3e-3f);
    close_fixture(&f);
    return loss;
}

TEST(two_models_in_two_threads)
{
    int threads[] = {1, 2};
    pthread_t running[2];
    float *expected = train_alone(&threads[0]), *got;
    for (int i = 0; i < 2; i++) CHECK(pthread_create(&running[i], NULL, train_alone, &threads[i]) == 0);
    for (int i = 0; i < 2; i++) {
        pthread_join(running[i], (void **)&got);
        CHECK_MSG(*got == *expected, "%.9g and %.9g", *got, *expected);
        free(got);
    }
    free(expected);
}

/* A trainer with room for erasing and mixing, which are not given, takes the steps of one without; and of one that is
 * given nothing to do. */
TEST(no_effects_are_none)
{
    enum { B = SAMPLES / 2 };
    float *kept[3];
    size_t bytes = 0;
    static const int32_t no_boxes[B * 8];
    int32_t where[5 * B];
    float weights[3 * B], loss, norm;
    vt_mixing_none(B, &(vt_mixed){where, weights});
    for (int way = 0; way < 3; way++) {
        fixture f;
        vt_model_config c = config();
        vt_train_options o = vt_train_defaults();
        o.batch_size = B;
        o.micro_batches = 2;
        o.erase_boxes = way ? 2 : 0;
        o.erase_mode = 2;
        o.mixing = way > 0;
        CHECK_OK(vt_model_create(&f.model, &c, NULL));
        CHECK_OK(vt_trainer_create(&f.trainer, f.model, &o));
        make_batch(f.images, f.labels);
        vt_micro micros[2];
        for (int k = 0; k < 2; k++)
            micros[k] = (vt_micro){f.images + k * B * SIDE * SIDE, f.labels + k * B, f.trainer->slots + k * B, no_boxes,
                                   where, weights};
        for (int i = 0; i < 3; i++) {
            if (way < 2) {
                CHECK_OK(vt_trainer_step(f.trainer, f.images, f.labels, 1e-3f, &loss));
            } else {
                CHECK_OK(vt_trainer_queue(f.trainer, micros, 1e-3f));
                CHECK_OK(vt_trainer_read(f.trainer, &loss, &norm));
            }
        }
        bytes = vt_store_bytes(&f.model->params);
        kept[way] = malloc(bytes);
        memcpy(kept[way], f.model->params.data, bytes);
        close_fixture(&f);
    }
    for (int way = 0; way < 3; way++) CHECK_MSG(memcmp(kept[way], kept[0], bytes) == 0, "way %d", way);
    for (int way = 0; way < 3; way++) free(kept[way]);
}

TEST(bad_arguments)
{
    fixture f;
    float loss;
    open_fixture(&f, 1, 8, 1, 0);
    f.labels[2] = CLASSES;
    CHECK_FAILS(vt_trainer_step(f.trainer, f.images, f.labels, 0, &loss), VT_INVALID, "label 3 of sample 2");
    vt_train_options o = vt_train_defaults();
    vt_trainer *t;
    o.erase_boxes = -1;
    CHECK_FAILS(vt_trainer_create(&t, f.model, &o), VT_INVALID, "-1 boxes to erase");
    o.erase_boxes = 1;
    o.erase_mode = 3;
    CHECK_FAILS(vt_trainer_create(&t, f.model, &o), VT_INVALID, "mode 3");
    close_fixture(&f);
    vt_model_config c;
    CHECK_FAILS(vt_model_find(&c, "deit_mikro"), VT_INVALID, "deit_mikro");
    c = config();
    c.heads = 3;
    vt_model *m;
    CHECK_FAILS(vt_model_create(&m, &c, NULL), VT_INVALID, "--num-heads 3");
    CHECK(m == NULL);
    c = config();
    CHECK_FAILS(vt_model_create(&m, &c, &(vt_model_options){.device = "tpu"}), VT_INVALID, "tpu");
}

int main(void)
{
    RUN(a_step_that_is_not_finite_changes_nothing);
    RUN(micro_batches_sum_to_the_whole);
    RUN(lanes);
    RUN(two_models_in_two_threads);
    RUN(no_effects_are_none);
    RUN(bad_arguments);
    TEST_END();
}
