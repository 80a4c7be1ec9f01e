#include "train/freeze.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "test.h"
#include "train/trainer.h"

static vt_model_config tiny(void)
{
    vt_model_config c;
    CHECK_OK(vt_model_find(&c, "deit_micro"));
    c.depth = 3;
    c.embed_dim = 32;
    c.heads = 2;
    c.classes = 5;
    c.distilled = false;
    c.drop_path = 0;
    return c;
}

static void declare(vt_store *params)
{
    vt_model_config c = tiny();
    vt_store_init(params, "param", VT_F32);
    CHECK_OK(vt_model_declare(params, &c));
}

static bool frozen(const vt_store *params, const char *name)
{
    int i = vt_store_find(params, name);
    CHECK(i >= 0);
    return i >= 0 && params->entries[i].frozen;
}

TEST(globs)
{
    vt_store p;
    declare(&p);
    CHECK_OK(vt_freeze(&p, "patch_embed.*,blocks.[01].*.bias,pos_embed", false));
    CHECK(frozen(&p, "patch_embed.proj.bias") && frozen(&p, "blocks.1.attn.qkv.bias") && frozen(&p, "pos_embed"));
    CHECK(!frozen(&p, "blocks.1.attn.qkv.weight") && !frozen(&p, "blocks.2.norm1.bias") && !frozen(&p, "cls_token"));
    CHECK_OK(vt_freeze(&p, NULL, true));
    CHECK(frozen(&p, "patch_embed.proj.bias") && frozen(&p, "blocks.0.norm1.weight") && frozen(&p, "cls_token"));
    CHECK_EQ(vt_trained_parameters(&p), 3 * (4 * 32 * 32 + 4 * 32) + 33 * 5 + 17 * 32);
    CHECK(!frozen(&p, "blocks.2.attn.proj.bias") && !frozen(&p, "head.bias") && !frozen(&p, "pos_embed"));
    CHECK_OK(vt_freeze(&p, "head.*", true));
    CHECK(frozen(&p, "head.weight") && frozen(&p, "norm.weight") && !frozen(&p, "pos_embed"));
    CHECK_OK(vt_freeze(&p, NULL, false));
    for (int i = 0; i < p.count; i++) CHECK(!p.entries[i].frozen);
    CHECK_FAILS(vt_freeze(&p, "cls_token,blocks.3.*", false), VT_INVALID, "--freeze blocks.3.*: matches no parameter");
    CHECK_FAILS(vt_freeze(&p, "head.weigh", false), VT_INVALID, "did you mean head.weight");
    CHECK_FAILS(vt_freeze(&p, "*", false), VT_INVALID, "no parameter is left to train");
    vt_store_free(&p);
}

TEST(decay)
{
    vt_store p;
    declare(&p);
    int qkv = vt_store_find(&p, "blocks.1.attn.qkv.weight"), head = vt_store_find(&p, "head.weight");
    CHECK_OK(vt_undecay(&p, "head.weight,*.1.*.qkv.weight"));
    CHECK(p.entries[head].undecayed && p.entries[qkv].undecayed && !p.entries[qkv + 2].undecayed);
    CHECK(p.entries[head].decay);
    CHECK_OK(vt_undecay(&p, "none"));
    CHECK(!p.entries[head].undecayed);
    CHECK_FAILS(vt_undecay(&p, "heads.*"), VT_INVALID, "--no-decay heads.*: matches no parameter");
    vt_store_free(&p);
}

TEST(layers)
{
    static const struct { const char *name; int layer; } of[] = {
        {"patch_embed.proj.weight", 0}, {"cls_token", 0}, {"pos_embed", 0}, {"blocks.0.norm1.bias", 1},
        {"blocks.2.mlp.fc2.weight", 3}, {"norm.weight", 3}, {"head.bias", 4}};
    vt_store p;
    declare(&p);
    for (size_t k = 0; k < sizeof of / sizeof *of; k++) {
        int i = vt_store_find(&p, of[k].name);
        CHECK(i >= 0);
        if (i >= 0) CHECK_EQ(p.entries[i].layer, of[k].layer);
    }
    vt_store_free(&p);
}

/* How many nodes a step has that the forward pass does not, and of which parameters it makes gradients. */
static int backward_nodes(const char *globs, vt_precision precision, bool recompute, int *moments)
{
    vt_model_config c = tiny();
    vt_train_options o = vt_train_defaults();
    vt_store params;
    vt_stores stores;
    vt_step_config config;
    vt_step step;
    declare(&params);
    o.batch_size = 2;
    o.freeze = globs;
    o.recompute = recompute;
    CHECK_OK(vt_trainer_config(&config, &c, &o));
    config.precision = precision;
    CHECK_OK(vt_stores_create(&stores, &params, &config));
    CHECK_OK(vt_step_build(&step, &config, &stores, 0));
    int forward = 0;
    while (forward < step.graph->n_nodes && strcmp(step.graph->nodes[forward]->op->name, "fill") != 0) forward++;
    CHECK(forward < step.graph->n_nodes);
    int n = step.graph->n_nodes - forward;
    for (int i = 0; i < params.count; i++) CHECK((step.grads[i] == NULL) == params.entries[i].frozen);
    *moments = stores.moments ? stores.moment[0].count : 0;
    vt_step_free(&step);
    vt_stores_free(&stores, NULL);
    vt_store_free(&params);
    return n;
}

/* Where the head alone is trained the backward pass is the loss's gradient and one product, whatever the depth. */
TEST(what_is_frozen_costs_nothing)
{
    static const vt_precision precisions[] = {{VT_F32, VT_F32}, {VT_BF16, VT_F32}};
    for (int k = 0; k < 4; k++) {
        bool recompute = k & 2;
        int moments, all = backward_nodes(NULL, precisions[k & 1], recompute, &moments);
        CHECK(all > 40);
        CHECK_EQ(moments, 4 + 3 * 12 + 4);
        int head = backward_nodes("[!h]*", precisions[k & 1], recompute, &moments);
        CHECK_EQ(head, 6); /* fill, the loss's gradient, dw, norm, guard, adamw */
        CHECK_EQ(moments, 2);
        int upper = backward_nodes("*_*,blocks.0.*,blocks.1.*", precisions[k & 1], recompute, &moments);
        CHECK(upper < all * 2 / 3 && upper > head + 5);
    }
}

/* A store's values on the host. */
static float *values(const vt_trainer *t, const vt_store *s)
{
    float *v = vt_alloc(vt_store_bytes(s));
    vt_device *d = t->model->device;
    CHECK(v != NULL);
    if (v) d->backend->read(d, s->data, v, vt_store_bytes(s));
    return v;
}

enum { N = 4 };
static const int32_t labels[N] = {0, 3, 1, 4};

typedef struct fixture {
    vt_model *model;
    vt_trainer *trainer;
    uint8_t *images;
} fixture;

static void open_fixture(fixture *f, vt_train_options o)
{
    vt_model_config c = tiny();
    size_t pixels = (size_t)(N * c.img_height * c.img_width * c.in_chans);
    f->images = vt_alloc(pixels);
    for (size_t i = 0; i < pixels; i++) f->images[i] = (uint8_t)(i * 37 % 251);
    o.batch_size = N;
    o.ema = true;
    CHECK_OK(vt_model_create(&f->model, &c, NULL));
    CHECK_OK(vt_trainer_create(&f->trainer, f->model, &o));
}

static void take_step(fixture *f)
{
    float loss;
    CHECK_OK(vt_trainer_step(f->trainer, f->images, labels, 1e-2f, &loss));
}

static void close_fixture(fixture *f)
{
    vt_free(f->images);
    vt_trainer_destroy(f->trainer);
    vt_model_destroy(f->model);
}

TEST(a_step_leaves_it_alone)
{
    static const char *const optimizers[] = {"adamw", "lamb", "sgd", "lion"};
    for (int k = 0; k < 4; k++) {
        fixture f;
        vt_train_options o = vt_train_defaults();
        o.optimizer = optimizers[k];
        o.freeze = "blocks.1.*,pos_embed";
        o.ema_decay = 0.5f;
        open_fixture(&f, o);
        const vt_store *params = &f.model->params;
        float *before = values(f.trainer, params);
        for (int i = 0; i < 3; i++) take_step(&f);
        float *after = values(f.trainer, params), *ema = values(f.trainer, &f.trainer->stores.ema);
        for (int i = 0; i < params->count; i++) {
            const vt_entry *e = &params->entries[i];
            size_t bytes = (size_t)e->count * sizeof(float);
            CHECK_MSG((memcmp(before + e->offset, after + e->offset, bytes) == 0) == e->frozen, "%s", e->name);
            CHECK_MSG((memcmp(before + e->offset, ema + e->offset, bytes) == 0) == e->frozen, "ema of %s", e->name);
        }
        vt_free(before);
        vt_free(after);
        vt_free(ema);
        close_fixture(&f);
    }
}

/* The first step makes the average the weights, the second one does not. */
TEST(the_average_warms_up)
{
    fixture f;
    vt_train_options o = vt_train_defaults();
    o.ema_warmup = true;
    open_fixture(&f, o);
    for (int step = 0; step < 2; step++) {
        take_step(&f);
        float *p = values(f.trainer, &f.model->params), *ema = values(f.trainer, &f.trainer->stores.ema);
        CHECK((memcmp(p, ema, vt_store_bytes(&f.model->params)) == 0) == (step == 0));
        vt_free(p);
        vt_free(ema);
    }
    close_fixture(&f);
}

TEST(optimizers_keep_what_they_need)
{
    static const struct { const char *name; int moments; const char *role; } of[] = {
        {"adamw", 2, "opt.exp_avg"}, {"lamb", 2, "opt.exp_avg"}, {"sgd", 1, "opt.momentum_buffer"},
        {"momentum", 1, "opt.momentum_buffer"}, {"lion", 1, "opt.exp_avg"}};
    vt_model_config c = tiny();
    for (size_t k = 0; k < sizeof of / sizeof *of; k++) {
        vt_train_options o = vt_train_defaults();
        vt_step_config config;
        vt_stores s;
        vt_store params;
        declare(&params);
        o.optimizer = of[k].name;
        CHECK_OK(vt_trainer_config(&config, &c, &o));
        CHECK_OK(vt_stores_create(&s, &params, &config));
        CHECK_EQ(s.moments, of[k].moments);
        CHECK_STR(s.moment[0].role, of[k].role);
        CHECK_EQ(vt_store_bytes(&s.moment[0]), vt_store_bytes(&params));
        vt_stores_free(&s, NULL);
        vt_store_free(&params);
    }
    vt_train_options o = vt_train_defaults();
    vt_step_config config;
    o.optimizer = "lamp";
    CHECK_FAILS(vt_trainer_config(&config, &c, &o), VT_INVALID, "did you mean lamb");
    o = vt_train_defaults();
    o.layer_decay = 0;
    CHECK_FAILS(vt_trainer_config(&config, &c, &o), VT_INVALID, "layer decay 0");
}

int main(void)
{
    RUN(globs);
    RUN(decay);
    RUN(layers);
    RUN(what_is_frozen_costs_nothing);
    RUN(a_step_leaves_it_alone);
    RUN(the_average_warms_up);
    RUN(optimizers_keep_what_they_need);
    TEST_END();
}
