/* Fine-tuning from weights of another grid and class count. Whole runs: tests/parity/finetune.py. */
#include "models/finetune.h"

#include "base/alloc.h"
#include "models/tiny.h"

static const char file[] = "finetune-test.safetensors";

/* want: torch.nn.functional.interpolate(grid, mode="bicubic", align_corners=False, antialias=antialias) */
static void check_resized(int h, int w, bool antialias, const float *want)
{
    vt_model *m = open_model(4 * h, 4 * w, 7);
    vt_safetensors f;
    vt_text table = {0};
    vt_finetune how = {.extra_tokens = 1, .grid_h = h, .grid_w = w, .antialias = antialias};
    char line[64];
    float head = *entry(m, "head.weight");
    CHECK_OK(vt_safetensors_open(&f, file));
    CHECK_OK(vt_finetune_table(&m->params, &f, &how, &table));
    CHECK_OK(vt_finetune_load(&m->params, m->device, &f, &how));
    for (int i = 0; i < h * w; i++) CHECK_NEAR(entry(m, "pos_embed")[1 + i], want[i], 1e-5);
    CHECK(entry(m, "pos_embed")[0] == -5 && *entry(m, "norm.weight") == 2.5f);
    CHECK_MSG(*entry(m, "head.weight") == head, "a head of another size was not left as initialised");
    snprintf(line, sizeof line, "pos_embed: from 3x3 to %dx%d, bicubic%s\n", h, w,
             antialias ? " with antialiasing" : "");
    CHECK_MSG(strstr(vt_text_str(&table), line), "%s", vt_text_str(&table));
    CHECK(strstr(vt_text_str(&table), "initialised  head.weight: the file's is [10, 1]"));
    CHECK(strstr(vt_text_str(&table), "kept         17 tensors"));
    vt_text_free(&table);
    vt_safetensors_close(&f);
    vt_model_destroy(m);
}

TEST(plain)
{
    static const float wide[] = {1.504965f, 2.021864f, 3.201075f, 4.192781f, 6.298489f, 8.10132f, 6.619041f, 2.919878f};
    static const float large[] = {0.616f,    1.034913f, 1.712001f, 2.337249f, 2.702785f, 1.858914f, 2.161474f,
                                  2.876002f, 4.188849f, 5.107456f, 3.904001f, 4.244001f, 5.000001f, 6.296001f,
                                  7.192f,    5.897249f, 6.924848f, 7.664001f, 5.677233f, 3.898145f, 7.086786f,
                                  8.667457f, 9.384001f, 4.722146f, 0.765057f};
    static const float thin[] = {4.15625f, 6.582031f};
    check_resized(2, 4, false, wide);
    check_resized(5, 5, false, large);
    check_resized(1, 2, false, thin);
}

TEST(antialiased)
{
    static const float wide[] = {1.879231f, 2.410929f, 3.595241f, 4.689705f,
                                 5.984428f, 7.372168f, 6.414185f, 3.711051f};
    static const float large[] = {0.698113f, 1.082934f, 1.773585f, 2.418615f, 2.767889f, 1.845818f, 2.174426f,
                                  2.873134f, 4.054523f, 4.759223f, 3.924528f, 4.261194f, 5.0f,      6.343284f,
                                  7.150943f, 5.957617f, 6.830642f, 7.731343f, 5.338994f, 3.646155f, 7.069775f,
                                  8.298226f, 9.301887f, 4.409039f, 1.043076f};
    static const float thin[] = {4.49829f, 4.678345f};
    check_resized(2, 4, true, wide);
    check_resized(5, 5, true, large);
    check_resized(1, 2, true, thin);
}

TEST(what_cannot_be)
{
    vt_model *m = open_model(20, 20, 10), *deep = NULL;
    vt_model_config c = m->config;
    vt_safetensors f;
    vt_text table = {0};
    vt_finetune how = {.extra_tokens = 2, .grid_h = 5, .grid_w = 5};
    CHECK_OK(vt_safetensors_open(&f, file));
    CHECK_FAILS(vt_finetune_table(&m->params, &f, &how, &table), VT_INVALID, "only a square grid");
    CHECK_FAILS(vt_finetune_load(&m->params, m->device, &f, &how), VT_INVALID, "only a square grid");
    c.depth = 2;
    how.extra_tokens = 1;
    CHECK_OK(vt_model_create(&deep, &c, NULL));
    CHECK_FAILS(vt_finetune_table(&deep->params, &f, &how, &table), VT_INVALID, "blocks.1.norm1.weight is missing");
    vt_text_free(&table);
    vt_safetensors_close(&f);
    vt_model_destroy(deep);
    vt_model_destroy(m);
}

TEST(every_allocation_failing)
{
#ifdef VT_TEST_ALLOC
    vt_model *m = open_model(20, 20, 7);
    vt_safetensors f;
    vt_finetune how = {.extra_tokens = 1, .grid_h = 5, .grid_w = 5, .antialias = true};
    CHECK_OK(vt_safetensors_open(&f, file));
    long live = vt_alloc_live(), n = 1;
    for (;; n++) {
        vt_text table = {0};
        vt_alloc_fail_at(n, 0);
        vt_status st = vt_finetune_table(&m->params, &f, &how, &table);
        if (st == VT_OK) st = vt_finetune_load(&m->params, m->device, &f, &how);
        bool fired = vt_alloc_fail_at(0, 0) == 0;
        vt_text_free(&table);
        CHECK_MSG(vt_alloc_live() == live, "allocation %ld failing leaks %ld blocks", n, vt_alloc_live() - live);
        if (!fired) break;
        CHECK_MSG(st == VT_NO_MEMORY, "allocation %ld failing: status %d, %s", n, st, vt_error());
    }
    CHECK(n > 5);
    vt_safetensors_close(&f);
    vt_model_destroy(m);
#else
    printf("every_allocation_failing: skipped: built without VITC_TEST_ALLOC\n");
#endif
}

int main(void)
{
    save_source(file);
    RUN(plain);
    RUN(antialiased);
    RUN(what_cannot_be);
    RUN(every_allocation_failing);
    remove(file);
    TEST_END();
}
