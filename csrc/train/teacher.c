#include "train/teacher.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "models/config.h"
#include "train/checkpoint.h"

struct vt_teacher {
    vt_checkpoint checkpoint; /* open as long as the teacher is */
    vt_model_config config;
    vt_store params;
    vt_device *device;        /* that it is loaded on; NULL: none */
};

/* --- opening --- */

static vt_status check_named(const vt_teacher *t, const char *model)
{
    const char *path = t->checkpoint.file.path;
    if (model && strcmp(model, t->config.name) != 0)
        return vt_fail(VT_INVALID, "--teacher-model %s: %s holds a %s; leave the flag out", model, path,
                       t->config.name);
    return VT_OK;
}

/* A bare file: sizes are read off its tensors; heads and normalisation, which those do not tell, are the named
 * model's. */
static vt_status name_bare(vt_teacher *t, const char *model)
{
    const char *path = t->checkpoint.file.path;
    vt_model_config named, *c = &t->config;
    if (!model)
        return vt_fail(VT_INVALID, "--teacher-path %s: not a checkpoint of vitc, so --teacher-model must say which "
                       "model it is", path);
    if (vt_model_find(&named, model))
        return vt_fail(VT_INVALID, "--teacher-model %s: no such model; `vitc models` lists them", model);
    if (named.embed_dim != c->embed_dim || named.depth != c->depth || named.patch_size != c->patch_size ||
        named.distilled != c->distilled || named.no_embed_class != c->no_embed_class ||
        (named.init_values > 0) != (c->init_values > 0))
        return vt_fail(VT_INVALID, "--teacher-model %s: %s holds another model, of width %d, depth %d and patches of "
                       "%d, %s distillation token", model, path, c->embed_dim, c->depth, c->patch_size,
                       c->distilled ? "with a" : "without");
    snprintf(c->name, sizeof c->name, "%s", named.name);
    c->heads = named.heads;
    vt_model_normalisation(c);
    return vt_model_check(c);
}

vt_status vt_teacher_open(vt_teacher **teacher, const char *path, const char *model)
{
    vt_status st;
    vt_teacher *t = vt_alloc(sizeof *t);
    *teacher = NULL;
    if (!t) return vt_fail_memory("teacher");
    vt_store_init(&t->params, "teacher", VT_F32);
    st = vt_checkpoint_open(&t->checkpoint, path, NULL);
    if (st) VT_TRY(vt_fail_in(st, "--teacher-path"));
    t->config = t->checkpoint.model;
    VT_TRY(t->checkpoint.ours ? check_named(t, model) : name_bare(t, model));
    VT_TRY(vt_model_declare(&t->params, &t->config));
    *teacher = t;
    return VT_OK;
fail:
    vt_teacher_close(t);
    return st;
}

void vt_teacher_close(vt_teacher *t)
{
    if (!t) return;
    vt_teacher_unload(t);
    vt_store_free(&t->params);
    vt_checkpoint_close(&t->checkpoint);
    vt_free(t);
}

static vt_status check_names(const vt_checkpoint *c, const vt_dataset *data)
{
    for (int i = 0; i < c->class_count; i++)
        if (strcmp(c->classes[i], vt_dataset_class(data, i)) != 0)
            return vt_fail(VT_INVALID, "--teacher-path %s: class %d is \"%s\" to the teacher and \"%s\" in the data: "
                           "take a teacher of the same classes", c->file.path, i, c->classes[i],
                           vt_dataset_class(data, i));
    return VT_OK;
}

vt_status vt_teacher_check(const vt_teacher *t, const vt_model_config *student, const vt_dataset *data)
{
    const vt_model_config *c = &t->config;
    const char *path = t->checkpoint.file.path;
    if (c->img_height != student->img_height || c->img_width != student->img_width)
        return vt_fail(VT_INVALID, "--teacher-path %s: the teacher, a %s, takes images of %dx%d, the student of %dx%d: "
                       "train with --img-size %dx%d, or take another teacher", path, c->name, c->img_height,
                       c->img_width, student->img_height, student->img_width, c->img_height, c->img_width);
    if (c->in_chans != student->in_chans)
        return vt_fail(VT_INVALID, "--teacher-path %s: the teacher, a %s, takes %d channels, the student %d: train "
                       "with --in-chans %d, or take another teacher", path, c->name, c->in_chans, student->in_chans,
                       c->in_chans);
    if (c->classes != student->classes)
        return vt_fail(VT_INVALID, "--teacher-path %s: the teacher, a %s, has %d classes, the student %d: take a "
                       "teacher of the same classes", path, c->name, c->classes, student->classes);
    return data && t->checkpoint.class_count <= vt_dataset_classes(data) ? check_names(&t->checkpoint, data) : VT_OK;
}

/* --- on a device --- */

vt_status vt_teacher_load(vt_teacher *t, vt_device *device)
{
    vt_status st;
    if (t->device)
        return vt_fail(VT_INVALID, "teacher %s is another trainer's: open it once for each", t->checkpoint.file.path);
    t->device = device;
    VT_TRY(vt_store_bind(&t->params, device));
    VT_TRY(vt_checkpoint_load_weights(&t->checkpoint, &t->params, device, false));
    return VT_OK;
fail:
    vt_teacher_unload(t);
    return st;
}

void vt_teacher_unload(vt_teacher *t)
{
    if (!t->device) return;
    vt_store_unbind(&t->params, t->device);
    t->device = NULL;
}

size_t vt_teacher_bytes(const vt_teacher *t, vt_precision precision)
{
    return vt_store_bytes(&t->params) + vt_store_low_bytes(&t->params, precision.act);
}

/* --- in a graph --- */

vt_tensor *vt_teacher_build(const vt_teacher *t, vt_graph *g, vt_tensor *images, const vt_effects *effects)
{
    if (g->status || !images) return NULL;
    int first = g->n_nodes, marks = g->n_marks;
    /* The builder adds nothing to a store that has the model's entries. */
    vt_builder b = {.g = g, .params = (vt_store *)&t->params, .suffix = "", .batch = images->shape[0],
                    .effects = effects};
    vt_nn_low_weights(&b);
    vt_tensor *logits = vt_model_eval_logits(&b, vt_model_build(&b, &t->config, images));
    g->n_marks = marks; /* --all shows the student's activations */
    for (int i = first; i < g->n_nodes; i++) {
        vt_node *n = g->nodes[i];
        n->segment = 0; /* never recomputed: nothing is differentiated */
        n->name = vt_graph_name(g, "teacher.%s", n->name);
        for (int k = 0; k < n->n_out; k++)
            if (n->out[k]) n->out[k]->name = vt_graph_name(g, "teacher.%s", n->out[k]->name);
    }
    return logits;
}
