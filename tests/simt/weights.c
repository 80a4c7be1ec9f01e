/* The bf16 copies that GEMMs read of a model's weights are those weights rounded, to the bit, whoever wrote them last:
 * the host or a trainer's steps. On the fake device. */
#include "test.h"

#include <unistd.h>

#include "models/finetune.h"
#include "models/model.h"
#include "train/trainer.h"

enum { SIDE = 8, CLASSES = 3, BATCH = 4 };

static char path[] = "/tmp/vitc-weights-XXXXXX";
static uint8_t images[BATCH * SIDE * SIDE];
static const int32_t labels[BATCH] = {0, 1, 2, 1};

static vt_model *open_model(const char *precision, float init_values, uint64_t seed)
{
    vt_model_config c;
    vt_model *m;
    CHECK_OK(vt_model_find(&c, "deit_micro"));
    c.img_height = c.img_width = SIDE;
    c.patch_size = 4;
    c.in_chans = 1;
    c.embed_dim = 16;
    c.depth = c.heads = 2;
    c.classes = CLASSES;
    c.init_values = init_values;
    vt_model_normalisation(&c);
    CHECK_OK(vt_model_create(&m, &c, &(vt_model_options){.device = "cuda", .precision = precision, .seed = seed}));
    return m;
}

static vt_trainer *open_trainer(vt_model *m, const char *optimizer, const char *freeze)
{
    vt_train_options o = vt_train_defaults();
    vt_trainer *t;
    o.batch_size = BATCH;
    o.optimizer = optimizer;
    o.freeze = freeze;
    CHECK_OK(vt_trainer_create(&t, m, &o));
    return t;
}

/* The parameters, from the device. */
static float *values_of(const vt_model *m)
{
    float *values = malloc(vt_store_bytes(&m->params));
    m->device->backend->read(m->device, m->params.data, values, vt_store_bytes(&m->params));
    return values;
}

/* How many of the copies differ from `values`. */
static int64_t stale_against(const vt_model *m, const float *values)
{
    const vt_store *low = m->params.low;
    int64_t stale = 0, compared = 0;
    uint16_t *copies = malloc(vt_store_bytes(low));
    m->device->backend->read(m->device, low->data, copies, vt_store_bytes(low));
    for (int i = 0; i < low->count; i++)
        for (int64_t k = 0; k < low->entries[i].count; k++, compared++)
            stale += copies[low->entries[i].offset + k] != vt_bf16(values[m->params.entries[i].offset + k]);
    CHECK(compared > 3000);
    free(copies);
    return stale;
}

static int64_t stale(const vt_model *m)
{
    float *values = values_of(m);
    int64_t n = stale_against(m, values);
    free(values);
    return n;
}

static void step(vt_trainer *t, float lr)
{
    float loss;
    CHECK_OK(vt_trainer_step(t, images, labels, lr, &loss));
}

TEST(what_the_host_writes)
{
    vt_model *m = open_model("bf16", 0, 1), *other = open_model("bf16", 0, 2);
    float *first = values_of(m);
    vt_safetensors f;
    vt_store zeros;
    CHECK_EQ(stale(m), 0);
    CHECK_OK(vt_model_save(other, path));
    CHECK_OK(vt_model_load(m, path));
    CHECK_EQ(stale(m), 0);
    CHECK(stale_against(m, first) > 3000); /* all are others by now */
    free(first);
    CHECK_OK(vt_model_load(m, path));
    CHECK_OK(vt_safetensors_open(&f, path));
    vt_trainer *t = open_trainer(m, "lion", NULL);
    step(t, 1e-2f);
    vt_trainer_destroy(t);
    CHECK_OK(vt_finetune_load(&m->params, m->device, &f, &(vt_finetune){.extra_tokens = 2, .grid_h = 2, .grid_w = 2}));
    CHECK_EQ(stale(m), 0);
    vt_safetensors_close(&f);
    vt_store_like(&zeros, "zeros", &m->params);
    CHECK_OK(vt_store_bind(&zeros, m->device));
    vt_store_copy(&m->params, &zeros, m->device);
    CHECK_EQ(stale(m), 0);
    vt_store_unbind(&zeros, m->device);
    vt_store_free(&zeros);
    vt_model_destroy(other);
    vt_model_destroy(m);
}

/* By two trainers in turn, of which one leaves the first block alone. */
TEST(what_steps_write)
{
    static const char *const optimizers[] = {"adamw", "lamb", "sgd", "momentum", "lion"};
    for (size_t i = 0; i < sizeof optimizers / sizeof *optimizers; i++)
        for (int scaled = 0; scaled < 2; scaled++) {
            vt_model *m = open_model("bf16", scaled ? 0.5f : 0, 1);
            vt_trainer *all = open_trainer(m, optimizers[i], NULL);
            vt_trainer *some = open_trainer(m, optimizers[i], "blocks.0.*");
            for (int k = 0; k < 4; k++) {
                float *before = values_of(m);
                step(k % 2 ? some : all, 1e-1f);
                CHECK_EQ(stale(m), 0);
                CHECK(stale_against(m, before) > 500);
                free(before);
            }
            vt_trainer_destroy(some);
            vt_trainer_destroy(all);
            vt_model_destroy(m);
        }
}

TEST(a_step_that_is_not_finite_changes_nothing)
{
    float loss;
    vt_model *m = open_model("bf16", 0, 1);
    vt_trainer *t = open_trainer(m, "sgd", NULL);
    step(t, 1e30f);
    float *before = values_of(m);
    CHECK_FAILS(vt_trainer_step(t, images, labels, 1e-3f, &loss), VT_FAILED, "is not finite");
    float *after = values_of(m);
    CHECK(memcmp(before, after, vt_store_bytes(&m->params)) == 0);
    CHECK_EQ(stale(m), 0);
    free(before);
    free(after);
    vt_trainer_destroy(t);
    vt_model_destroy(m);
}

/* None in fp32; none of what an op of its own makes of the parameter, LayerScale. */
TEST(there_are_no_more_than_GEMMs_read)
{
    static const char *const precisions[] = {"fp32", "tf32"};
    for (int i = 0; i < 2; i++) {
        vt_model *m = open_model(precisions[i], 0, 1);
        vt_trainer *t = open_trainer(m, "adamw", NULL);
        step(t, 1e-3f);
        CHECK(!m->params.low->data);
        vt_trainer_destroy(t);
        vt_model_destroy(m);
    }
    vt_model *m = open_model("bf16", 0.5f, 1);
    const vt_store *low = m->params.low;
    CHECK(low->entries[vt_store_find(low, "blocks.1.attn.qkv.weight")].count == 3 * 16 * 16);
    CHECK(low->entries[vt_store_find(low, "blocks.1.attn.proj.weight")].count == 0);
    CHECK(low->entries[vt_store_find(low, "pos_embed")].count == 0);
    CHECK_EQ(low->count, m->params.count);
    vt_model_destroy(m);
}

int main(void)
{
    for (int i = 0; i < BATCH * SIDE * SIDE; i++) images[i] = (uint8_t)(i * 131 % 251);
    close(mkstemp(path));
    RUN(what_the_host_writes);
    RUN(what_steps_write);
    RUN(a_step_that_is_not_finite_changes_nothing);
    RUN(there_are_no_more_than_GEMMs_read);
    unlink(path);
    TEST_END();
}
