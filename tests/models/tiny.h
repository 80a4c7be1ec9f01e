/* A model of width 1, and a file of weights for a 3 x 3 grid of patches and 10 classes. */
#ifndef VT_TEST_MODELS_TINY_H
#define VT_TEST_MODELS_TINY_H

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

static void save_source(const char *file)
{
    static const float grid[] = {1, 2, 3, 4, 5, 7, 7, 9, 2};
    vt_model *m = open_model(12, 12, 10);
    entry(m, "pos_embed")[0] = -5; /* the class token's */
    memcpy(entry(m, "pos_embed") + 1, grid, sizeof grid);
    *entry(m, "norm.weight") = 2.5f;
    CHECK_OK(vt_model_save(m, file));
    vt_model_destroy(m);
}

#endif
