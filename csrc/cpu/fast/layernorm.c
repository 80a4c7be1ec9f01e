#include "cpu/fast/cut.h"
#include "cpu/fast/simd_math.h"

/* ---- forward ----------------------------------------------------------------------------------------------------- */

static void sum_rows(float *sum, const float *x, const float *branch, float scale, int d)
{
    int k = 0;
    for (; k + VT_LANES <= d; k += VT_LANES) vf_store(sum + k, vf_load(x + k) + scale * vf_load(branch + k));
    if (k < d) vf_store_n(sum + k, vf_load_n(x + k, d - k) + scale * vf_load_n(branch + k, d - k), d - k);
}

static float row_mean(const float *x, int d)
{
    vf sum[4] = {{0}};
    int k = 0;
    for (; k + 4 * VT_LANES <= d; k += 4 * VT_LANES) {
        VT_UNROLL
        for (int i = 0; i < 4; i++) sum[i] += vf_load(x + k + i * VT_LANES);
    }
    for (; k + VT_LANES <= d; k += VT_LANES) sum[0] += vf_load(x + k);
    if (k < d) sum[1] += vf_load_n(x + k, d - k);
    return vf_sum((sum[0] + sum[1]) + (sum[2] + sum[3])) / (float)d;
}

static float row_squares(const float *x, float mean, int d) /* of the distances from the mean */
{
    vf sum[4] = {{0}};
    int k = 0;
    for (; k + 4 * VT_LANES <= d; k += 4 * VT_LANES) {
        VT_UNROLL
        for (int i = 0; i < 4; i++) {
            vf v = vf_load(x + k + i * VT_LANES) - mean;
            sum[i] += v * v;
        }
    }
    for (; k + VT_LANES <= d; k += VT_LANES) {
        vf v = vf_load(x + k) - mean;
        sum[0] += v * v;
    }
    if (k < d) {
        vf v = vf_first(vf_load_n(x + k, d - k) - mean, d - k, vf_set(0));
        sum[1] += v * v;
    }
    return vf_sum((sum[0] + sum[1]) + (sum[2] + sum[3]));
}

static void normalise_row(float *y, const float *x, const float *w, const float *b, float mean, float rstd, int d)
{
    int k = 0;
    for (; k + VT_LANES <= d; k += VT_LANES)
        vf_store(y + k, (vf_load(x + k) - mean) * rstd * vf_load(w + k) + vf_load(b + k));
    if (k == d) return;
    int left = d - k;
    vf v = (vf_load_n(x + k, left) - mean) * rstd * vf_load_n(w + k, left) + vf_load_n(b + k, left);
    vf_store_n(y + k, v, left);
}

typedef struct job {
    const vt_run *r;
    int64_t rows, per_sample, per_task;
    int d;
    float *partial;      /* layernorm_grad: [task][2 * d], of dw and db */
} job;

static void forward_rows(void *arg, int task, int worker)
{
    const job *j = arg;
    const float *x = j->r->in[0], *branch = j->r->in[1], *scale = j->r->in[2], *w = j->r->in[3], *b = j->r->in[4];
    float *y = j->r->out[0], *mean = j->r->out[1], *rstd = j->r->out[2], *sum = j->r->out[3];
    double eps = ((const vt_layernorm_attrs *)j->r->node->attrs)->eps;
    for (int64_t i = task * j->per_task; i < j->rows && i < (task + 1) * j->per_task; i++) {
        int64_t at = i * j->d;
        const float *row = branch ? sum + at : x + at;
        if (branch) sum_rows(sum + at, x + at, branch + at, scale ? scale[i / j->per_sample] : 1, j->d);
        float m = row_mean(row, j->d);
        mean[i] = m;
        rstd[i] = (float)(1 / sqrt((double)row_squares(row, m, j->d) / j->d + eps));
        normalise_row(y + at, row, w, b, m, rstd[i], j->d);
    }
}

static job job_of(const vt_run *r, int64_t per_task)
{
    const vt_tensor *x = r->node->in[0];
    int64_t rows = vt_rows(x);
    return (job){r, rows, rows / x->shape[0], per_task, (int)vt_cols(x), r->scratch};
}

static int tasks_of(const job *j)
{
    return (int)((j->rows + j->per_task - 1) / j->per_task);
}

VT_FAST_BODY(layernorm)
{
    job j = job_of(r, vt_piece_rows(vt_cols(r->node->in[0])));
    vt_pool_run(r->pool, tasks_of(&j), forward_rows, &j);
}

VT_FAST_SCRATCH(layernorm)
{
    return 0;
}

/* ---- gradient ---------------------------------------------------------------------------------------------------- */

typedef struct row {
    const float *dy, *x, *w, *dsum;  /* dsum: or NULL */
    float *dx, *dbranch;             /* dbranch: or NULL */
    float mean, rstd, scale;
    vf g_mean, gx_mean;              /* of dy * w, and of that times the normalised x */
} row;

/* `n` lanes; where n is constant no masks are left. */
VT_INLINE vf load(const float *p, int n)
{
    return n == VT_LANES ? vf_load(p) : vf_load_n(p, n);
}

VT_INLINE void store(float *p, vf v, int n)
{
    if (n == VT_LANES) vf_store(p, v);
    else vf_store_n(p, v, n);
}

/* `n` lanes at k: adds to the row's sums, and to dw and db. */
VT_INLINE void reduce(row *r, int k, int n, float *dw, float *db)
{
    vf dy = load(r->dy + k, n), xhat = (load(r->x + k, n) - r->mean) * r->rstd;
    vf g = dy * load(r->w + k, n);
    r->g_mean += g;
    r->gx_mean += g * xhat;
    vf_store(dw + k, vf_load(dw + k) + dy * xhat);
    vf_store(db + k, vf_load(db + k) + dy);
}

VT_INLINE void finish(const row *r, int k, int n)
{
    vf xhat = (load(r->x + k, n) - r->mean) * r->rstd, g = load(r->dy + k, n) * load(r->w + k, n);
    vf dx = (g - r->g_mean - xhat * r->gx_mean) * r->rstd;
    if (r->dsum) dx += load(r->dsum + k, n);
    store(r->dx + k, dx, n);
    if (r->dbranch) store(r->dbranch + k, dx * r->scale, n);
}

static void row_grad(row r, int d, float *dw, float *db)
{
    int whole = d - d % VT_LANES, left = d - whole;
    for (int k = 0; k < whole; k += VT_LANES) reduce(&r, k, VT_LANES, dw, db);
    if (left) reduce(&r, whole, left, dw, db);
    r.g_mean = vf_set(vf_sum(r.g_mean) / (float)d);
    r.gx_mean = vf_set(vf_sum(r.gx_mean) / (float)d);
    for (int k = 0; k < whole; k += VT_LANES) finish(&r, k, VT_LANES);
    if (left) finish(&r, whole, left);
}

/* Rows of a task: a function of shape, as the sums' order hangs on it; at most GRAD_TASKS partial sums. */
enum { GRAD_ROWS = 64, GRAD_TASKS = 64 };

static int64_t grad_rows(const vt_node *n)
{
    int64_t per_task = (vt_rows(n->in[0]) + GRAD_TASKS - 1) / GRAD_TASKS;
    return per_task < GRAD_ROWS ? GRAD_ROWS : per_task;
}

static size_t partial_floats(const vt_node *n) /* of a task: dw and db in whole vectors */
{
    return 2 * (((size_t)vt_cols(n->in[0]) + VT_LANES - 1) / VT_LANES) * VT_LANES;
}

static void grad_block(void *arg, int task, int worker)
{
    const job *j = arg;
    const vt_run *r = j->r;
    size_t floats = partial_floats(r->node);
    const float *mean = r->in[4], *rstd = r->in[5], *scale = r->in[6], *dsum = r->in[1];
    float *dw = j->partial + (size_t)task * floats, *db = dw + floats / 2, *dbranch = r->out[3];
    memset(dw, 0, floats * sizeof *dw);
    for (int64_t i = task * j->per_task; i < j->rows && i < (task + 1) * j->per_task; i++) {
        int64_t at = i * j->d;
        row one = {.dy = (const float *)r->in[0] + at, .x = (const float *)r->in[2] + at, .w = r->in[3],
                   .dsum = dsum ? dsum + at : NULL, .dx = (float *)r->out[0] + at,
                   .dbranch = dbranch ? dbranch + at : NULL, .mean = mean[i], .rstd = rstd[i],
                   .scale = dbranch ? scale[i / j->per_sample] : 1};
        row_grad(one, j->d, dw, db);
    }
}

VT_FAST_BODY(layernorm_grad)
{
    job j = job_of(r, grad_rows(r->node));
    size_t floats = partial_floats(r->node);
    int tasks = tasks_of(&j);
    vt_pool_run(r->pool, tasks, grad_block, &j);
    for (int i = 1; i < tasks; i++)
        for (size_t k = 0; k < floats; k++) j.partial[k] += j.partial[(size_t)i * floats + k];
    memcpy(r->out[1], j.partial, (size_t)j.d * sizeof(float));
    memcpy(r->out[2], j.partial + floats / 2, (size_t)j.d * sizeof(float));
}

VT_FAST_SCRATCH(layernorm_grad)
{
    int64_t per_task = grad_rows(n);
    size_t tasks = (size_t)((vt_rows(n->in[0]) + per_task - 1) / per_task);
    return tasks * partial_floats(n) * sizeof(float);
}
