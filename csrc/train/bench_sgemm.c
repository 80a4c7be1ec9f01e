#include "train/bench_sgemm.h"

#include <dlfcn.h>
#include <string.h>

#include "base/alloc.h"
#include "base/pool.h"
#include "graph/exec.h"
#include "ops/ops.h"
#include "train/progress.h"

enum { SIDE = 2048, ROUNDS = 8, PATIENCE = 5 /* seconds */ };
#define PRODUCT_FLOPS (2.0 * SIDE * SIDE * SIDE)

/* --- ours: a graph of one linear op --- */

typedef struct own {
    vt_graph *g;
    vt_store w;
    vt_workspace workspace;
    vt_exec *exec;
} own;

static vt_status open_own(own *o, vt_device *device, const float *x)
{
    int index;
    int64_t shape[] = {SIDE, SIDE};
    vt_status st;
    vt_store_init(&o->w, "param", VT_F32);
    o->workspace.device = device;
    VT_TRY(vt_graph_create(&o->g, VT_F32));
    VT_TRY(vt_store_add(&o->w, &(vt_entry){.name = "w", .ndim = 2, .shape = {SIDE, SIDE}}, &index));
    vt_tensor *in = vt_graph_input(o->g, "x", VT_F32, 2, shape);
    vt_tensor *y = vt_linear(o->g, "y", in, vt_graph_stored(o->g, &o->w, index, false), NULL);
    VT_TRY(vt_graph_status(o->g));
    y->keep = true;
    VT_TRY(vt_graph_plan(o->g));
    VT_TRY(vt_store_bind(&o->w, device));
    vt_store_write(&o->w, device, index, 0, x, SIDE * SIDE);
    VT_TRY(vt_exec_create(&o->exec, o->g, &o->workspace));
    vt_exec_bind(o->exec, "x", x);
fail:
    return st;
}

static void close_own(own *o, vt_device *device)
{
    vt_exec_destroy(o->exec);
    vt_workspace_free(&o->workspace);
    vt_store_unbind(&o->w, device);
    vt_store_free(&o->w);
    vt_graph_destroy(o->g);
}

/* --- OpenBLAS, where it is installed --- */

typedef void (*cblas_sgemm)(int order, int trans_a, int trans_b, int m, int n, int k, float alpha, const float *a,
                            int lda, const float *b, int ldb, float beta, float *c, int ldc);
typedef struct openblas {
    void *library;
    cblas_sgemm sgemm;
    float *c;
} openblas;

/* A function by name: ISO C has no cast from an object's pointer to a function's. */
static void find(void *library, const char *name, void *function, size_t bytes)
{
    void *symbol = dlsym(library, name);
    memcpy(function, &symbol, bytes);
}

static vt_status open_openblas(openblas *b, int threads)
{
    static const char *const names[] = {"libopenblas.so.0", "libopenblas.so"};
    void (*set_threads)(int) = NULL;
    for (int i = 0; i < 2 && !b->library; i++) b->library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    if (!b->library) return VT_OK;
    find(b->library, "cblas_sgemm", &b->sgemm, sizeof b->sgemm);
    find(b->library, "openblas_set_num_threads", &set_threads, sizeof set_threads);
    if (set_threads) set_threads(threads);
    b->c = vt_alloc_raw(sizeof(float) * SIDE * SIDE);
    return b->c ? VT_OK : vt_fail_memory("sgemm");
}

/* y = x w^T, row-major, as the linear op. */
static void run_openblas(const openblas *b, const float *x)
{
    enum { ROW_MAJOR = 101, NO_TRANS = 111, TRANS = 112 };
    b->sgemm(ROW_MAJOR, NO_TRANS, TRANS, SIDE, SIDE, SIDE, 1, x, SIDE, x, SIDE, 0, b->c, SIDE);
}

static void keep_best(double *best, double start)
{
    double speed = 1e-9 * PRODUCT_FLOPS / (vt_seconds() - start);
    if (speed > *best) *best = speed;
}

vt_status vt_sgemm_measure(vt_sgemm_speed *speed, vt_device *device)
{
    vt_status st;
    own o = {0};
    openblas b = {0};
    *speed = (vt_sgemm_speed){0};
    float *x = vt_alloc_raw(sizeof *x * SIDE * SIDE);
    if (!x) return vt_fail_memory("sgemm");
    for (int i = 0; i < SIDE * SIDE; i++) x[i] = (float)(i % 97) / 97 - 0.5f;
    VT_TRY(open_own(&o, device, x));
    VT_TRY(open_openblas(&b, vt_pool_threads(device->pool)));
    double begun = vt_seconds(); /* a slow path is measured once */
    for (int round = 0; round < ROUNDS && (!round || vt_seconds() - begun < PATIENCE); round++) {
        double start = vt_seconds();
        VT_TRY(vt_exec_run(o.exec));
        keep_best(&speed->own, start);
        start = vt_seconds();
        if (!b.sgemm) continue;
        run_openblas(&b, x);
        keep_best(&speed->openblas, start);
    }
    speed->best = speed->own > speed->openblas ? speed->own : speed->openblas;
fail:
    close_own(&o, device);
    vt_free(b.c); /* the library stays: its threads may still be in it */
    vt_free(x);
    return st;
}
