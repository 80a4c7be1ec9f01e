#include "train/save_images.h"

#include <string.h>

#include "base/alloc.h"
#include "graph/exec.h"
#include "ops/ops.h"

/* A graph of patchify alone, with the whole image as its patch, and what it reads: an image and, with effects, its
 * partner. */
typedef struct view {
    const vt_save_images *s;
    vt_graph *g;
    vt_exec *exec;
    vt_workspace workspace;
    vt_tensor *made;
    uint8_t *images;  /* [2, H, W, C] */
    int32_t *boxes;   /* [2, R, 4] */
    float *pixels;    /* [2, H, W, C] */
    int32_t slots[2], where[10];
    float weights[6];
} view;

static vt_status build(view *v)
{
    const vt_model_config *m = v->s->model;
    const vt_step_effects *e = v->s->effects;
    int64_t n = e ? 2 : 1, image[] = {n, m->img_height, m->img_width, m->in_chans};
    vt_patchify_attrs a = {m->img_height, m->img_width, m->img_height, m->img_width, .mean = {0}};
    vt_effects effects = {0};
    for (int i = 0; i < m->in_chans; i++) {
        a.mean[i] = m->mean[i];
        a.inv_std[i] = 1 / m->std[i];
    }
    if (e && e->erase_boxes) {
        effects.boxes = vt_graph_input(v->g, "boxes", VT_I32, 3, (int64_t[]){n, e->erase_boxes, 4});
        effects.erase = (vt_erase_mode)e->erase_mode;
        effects.random = (vt_random){vt_graph_input(v->g, "step", VT_I32, 1, (int64_t[]){1}),
                                     vt_graph_input(v->g, "slots", VT_I32, 1, &n), e->seed};
    }
    if (e && e->where) {
        effects.where = vt_graph_input(v->g, "where", VT_I32, 2, (int64_t[]){n, 5});
        effects.weights = vt_graph_input(v->g, "weights", VT_F32, 2, (int64_t[]){n, 3});
    }
    v->made = vt_patchify_with(v->g, "pixels", vt_graph_input(v->g, "images", VT_U8, 4, image), &a, &effects);
    if (v->made) v->made->keep = true;
    return vt_graph_plan(v->g);
}

static vt_status open_view(view *v)
{
    const vt_step_effects *e = v->s->effects;
    size_t boxes = e ? 8 * (size_t)e->erase_boxes : 0;
    vt_status st;
    v->workspace.device = v->s->device;
    VT_TRY(vt_graph_create(&v->g, VT_F32));
    VT_TRY(build(v));
    VT_TRY(vt_exec_create(&v->exec, v->g, &v->workspace));
    v->images = vt_alloc_raw((size_t)vt_tensor_count(v->made));
    v->boxes = vt_alloc(boxes * sizeof *v->boxes);
    v->pixels = vt_alloc_raw(vt_tensor_bytes(v->made));
    if (!v->images || !v->boxes || !v->pixels) VT_TRY(vt_fail_memory("images"));
    vt_exec_bind(v->exec, "images", v->images);
    vt_exec_bind(v->exec, "boxes", v->boxes);
    vt_exec_bind(v->exec, "where", v->where);
    vt_exec_bind(v->exec, "weights", v->weights);
    vt_exec_bind(v->exec, "slots", v->slots);
    if (e) vt_exec_bind(v->exec, "step", &e->step);
fail:
    return st;
}

/* Image i as sample 0, its partner as sample 1, which is not mixed itself. */
static void put(view *v, int64_t i)
{
    const vt_save_images *s = v->s;
    const vt_step_effects *e = s->effects;
    size_t bytes = (size_t)s->model->img_height * (size_t)s->model->img_width * (size_t)s->model->in_chans;
    int64_t from[] = {i, e && e->where ? e->where[5 * i] : i};
    for (int k = 0; k < (e ? 2 : 1); k++) {
        memcpy(v->images + (size_t)k * bytes, s->images + (size_t)from[k] * bytes, bytes);
        if (!e) continue;
        v->slots[k] = e->slots[from[k]];
        if (e->erase_boxes)
            memcpy(v->boxes + k * 4 * e->erase_boxes, e->boxes + from[k] * 4 * e->erase_boxes,
                   4 * (size_t)e->erase_boxes * sizeof *v->boxes);
        v->weights[3 * k] = v->weights[3 * k + 1] = v->weights[3 * k + 2] = 1;
    }
    if (!e || !e->where) return;
    v->where[0] = 1;
    memcpy(v->where + 1, e->where + 5 * i + 1, 4 * sizeof *v->where);
    memcpy(v->weights, e->weights + 3 * i, 3 * sizeof *v->weights);
}

vt_status vt_seen_images(const vt_save_images *s, vt_take_image *take, void *arg)
{
    view v = {.s = s};
    vt_status st = open_view(&v);
    for (int64_t i = 0; i < s->count && st == VT_OK; i++) {
        put(&v, i);
        st = vt_exec_run(v.exec);
        if (st) break;
        vt_exec_read(v.exec, v.made, v.pixels);
        st = take(arg, i, v.pixels);
    }
    vt_free(v.images);
    vt_free(v.boxes);
    vt_free(v.pixels);
    vt_exec_destroy(v.exec);
    vt_workspace_free(&v.workspace);
    vt_graph_destroy(v.g);
    return st;
}

typedef struct planes {
    const vt_model_config *model;
    float *values; /* [C, H, W] */
    vt_writer *out;
} planes;

static vt_status put_planes(void *arg, int64_t i, const float *pixels)
{
    const planes *p = arg;
    size_t chans = (size_t)p->model->in_chans, area = (size_t)p->model->img_height * (size_t)p->model->img_width;
    for (size_t c = 0; c < chans; c++)
        for (size_t k = 0; k < area; k++) p->values[c * area + k] = pixels[k * chans + c];
    return vt_writer_put(p->out, p->values, area * chans * sizeof *p->values);
}

static vt_status produce(void *arg, vt_writer *out)
{
    const vt_save_images *s = arg;
    const vt_model_config *m = s->model;
    size_t count = (size_t)m->in_chans * (size_t)m->img_height * (size_t)m->img_width;
    planes p = {m, vt_alloc_raw(count * sizeof *p.values), out};
    vt_status st = p.values ? vt_seen_images(s, put_planes, &p) : vt_fail_memory("images");
    vt_free(p.values);
    return st;
}

vt_save_tensor vt_save_images_tensor(vt_save_images *s)
{
    return (vt_save_tensor){.name = "images", .dtype = VT_F32, .ndim = 4, .produce = produce, .arg = s,
                            .shape = {s->count, s->model->in_chans, s->model->img_height, s->model->img_width}};
}
