/* Fine-tuning from weights of another grid and class count; loading what does not fit. */
#include "models/weights.h"

#include "models/model.h"
#include "test.h"

static vt_model *open_model(int height, int width, int classes)
{
    vt_model_config c;
    vt_model *m = NULL;
    CHECK_OK(vt_model_find(&c, "deit_tiny_patch16_224"));
    c.img_height = height;
    c.img_width = width;
    c.patch_size = 4;
    c.in_chans = c.heads = c.depth = c.embed_dim = 1;
    c.classes = classes;
    vt_model_normalisation(&c);
    CHECK_OK(vt_model_create(&m, &c, NULL));
    return m;
}

static float *entry(vt_model *m, const char *name)
{
    return (float *)m->params.data + m->params.entries[vt_store_find(&m->params, name)].offset;
}

static char file[] = "weights-test.safetensors";

static void save_source(void)
{
    static const float grid[] = {1, 2, 3, 4, 5, 7, 7, 9, 2};
    vt_model *m = open_model(12, 12, 10);
    entry(m, "pos_embed")[0] = -5; /* the class token's */
    memcpy(entry(m, "pos_embed") + 1, grid, sizeof grid);
    *entry(m, "norm.weight") = 2.5f;
    CHECK_OK(vt_model_save(m, file));
    vt_model_destroy(m);
}

/* want: torch.nn.functional.interpolate(grid, mode="bicubic", align_corners=False) */
static void check_resized(int h, int w, const float *want)
{
    vt_model *m = open_model(4 * h, 4 * w, 7);
    vt_safetensors f;
    vt_text report = {0};
    float head = *entry(m, "head.weight");
    CHECK_OK(vt_safetensors_open(&f, file));
    CHECK_OK(vt_weights_finetune(&m->params, m->device, &f, 1, h, w, &report));
    for (int i = 0; i < h * w; i++) CHECK_NEAR(entry(m, "pos_embed")[1 + i], want[i], 1e-5);
    CHECK(entry(m, "pos_embed")[0] == -5 && *entry(m, "norm.weight") == 2.5f);
    CHECK_MSG(*entry(m, "head.weight") == head, "a head of another size was not left as initialised");
    CHECK(strstr(vt_text_str(&report), "pos_embed resized from 3x3") && strstr(vt_text_str(&report), "head.weight"));
    vt_text_free(&report);
    vt_safetensors_close(&f);
    vt_model_destroy(m);
}

TEST(finetune)
{
    static const float wide[] = {1.504965f, 2.021864f, 3.201075f, 4.192781f, 6.298489f, 8.10132f, 6.619041f, 2.919878f};
    static const float large[] = {0.616f,    1.034913f, 1.712001f, 2.337249f, 2.702785f, 1.858914f, 2.161474f,
                                  2.876002f, 4.188849f, 5.107456f, 3.904001f, 4.244001f, 5.000001f, 6.296001f,
                                  7.192f,    5.897249f, 6.924848f, 7.664001f, 5.677233f, 3.898145f, 7.086786f,
                                  8.667457f, 9.384001f, 4.722146f, 0.765057f};
    check_resized(2, 4, wide);
    check_resized(5, 5, large);
}

TEST(loading_what_does_not_fit)
{
    vt_model *m = open_model(20, 20, 10);
    float before = *entry(m, "norm.weight");
    CHECK_FAILS(vt_model_load(m, file), VT_INVALID, "pos_embed is [1, 10, 1], the model wants [1, 26, 1]");
    CHECK(*entry(m, "norm.weight") == before);
    vt_model_destroy(m);
}

int main(void)
{
    save_source();
    RUN(finetune);
    RUN(loading_what_does_not_fit);
    remove(file);
    TEST_END();
}
