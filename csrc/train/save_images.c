#include "train/save_images.h"

#include "base/alloc.h"
#include "graph/exec.h"
#include "ops/ops.h"

/* A graph of patchify alone, with patches of one pixel: what is left of it is the normalisation. */
static vt_status build(vt_graph *g, const vt_model_config *m, vt_tensor **pixels)
{
    vt_patchify_attrs a = {1, 1, 1, 1, {0}, {0}};
    for (int i = 0; i < m->in_chans; i++) {
        a.mean[i] = m->mean[i];
        a.inv_std[i] = 1 / m->std[i];
    }
    int64_t shape[] = {1, m->img_height, m->img_width, m->in_chans};
    *pixels = vt_patchify(g, "pixels", vt_graph_input(g, "images", VT_U8, 4, shape), &a);
    if (*pixels) (*pixels)->keep = true;
    return vt_graph_plan(g);
}

/* One image after the other: pixels [H, W, C], planes [C, H, W]. */
static vt_status put_images(const vt_save_images *s, vt_exec *e, const vt_tensor *made, float *pixels, float *planes,
                            vt_writer *out)
{
    size_t chans = (size_t)s->model->in_chans, area = (size_t)s->model->img_height * (size_t)s->model->img_width;
    for (int64_t i = 0; i < s->count; i++) {
        vt_exec_bind(e, "images", s->images + (size_t)i * area * chans);
        vt_status st = vt_exec_run(e);
        if (st) return st;
        vt_exec_read(e, made, pixels);
        for (size_t c = 0; c < chans; c++)
            for (size_t p = 0; p < area; p++) planes[c * area + p] = pixels[p * chans + c];
        st = vt_writer_put(out, planes, area * chans * sizeof *planes);
        if (st) return st;
    }
    return VT_OK;
}

static vt_status produce(void *arg, vt_writer *out)
{
    const vt_save_images *s = arg;
    vt_workspace workspace = {.device = s->device};
    vt_graph *g = NULL;
    vt_exec *e = NULL;
    vt_tensor *made = NULL;
    float *pixels = NULL;
    vt_status st;
    VT_TRY(vt_graph_create(&g, VT_F32));
    VT_TRY(build(g, s->model, &made));
    VT_TRY(vt_exec_create(&e, g, &workspace));
    pixels = vt_alloc_raw(2 * vt_tensor_bytes(made));
    if (!pixels) VT_TRY(vt_fail_memory("images"));
    st = put_images(s, e, made, pixels, pixels + vt_tensor_count(made), out);
fail:
    vt_free(pixels);
    vt_exec_destroy(e);
    vt_workspace_free(&workspace);
    vt_graph_destroy(g);
    return st;
}

vt_save_tensor vt_save_images_tensor(vt_save_images *s)
{
    return (vt_save_tensor){.name = "images", .dtype = VT_F32, .ndim = 4, .produce = produce, .arg = s,
                            .shape = {s->count, s->model->in_chans, s->model->img_height, s->model->img_width}};
}
