#include "cpu/fast/attention.h"

/* With S the scaled scores, P = exp(S - lse), F dropout's factors, delta the row sums of dO * O:
 *   dP = dO V^T,  dS = P * (F * dP - delta),  dQ = scale * dS K,  dK = scale * dS^T Q,  dV = (P * F)^T dO
 * A task is a head. P and dS are made CHUNK bytes at a time, to stay in the second-level cache until dK and dV are
 * summed. */
enum { CHUNK = 256 << 10 };

enum { DOUT, QKV, OUT, LSE, BIAS, RANDOM };

typedef struct plan {
    int64_t heads;              /* B * H */
    int together, tasks, n, d;  /* heads of a task; tasks */
    int rows;                   /* of a chunk */
    size_t worker_floats;
} plan;

/* dbias is summed over the samples, and over the heads where they share one: a task then takes all that meet, in order,
 * which are `tasks` apart. */
static plan make_plan(const vt_node *node)
{
    const vt_attention_attrs *a = node->attrs;
    const vt_tensor *qkv = node->in[QKV], *dbias = node->out[1];
    plan p = {.heads = qkv->shape[0] * a->heads, .n = (int)qkv->shape[1]};
    p.d = (int)(qkv->shape[2] / (3 * a->heads));
    p.together = vt_heads_together(p.heads, p.n, p.d);
    p.tasks = dbias ? (int)dbias->shape[0] : (int)((p.heads + p.together - 1) / p.together);
    int ld = vt_scores_ld(p.n), tiles = CHUNK / (int)sizeof(float) / ld / VT_TILE_ROWS;
    p.rows = tiles > 0 ? tiles * VT_TILE_ROWS : VT_TILE_ROWS;
    if (p.rows > p.n) p.rows = p.n;
    p.worker_floats = 2 * vt_panels_floats(p.d, p.n) + 3 * vt_panels_floats(p.n, p.d);
    p.worker_floats += (size_t)(2 * p.rows + 1) * ld;
    return p;
}

/* A head's gradient under way. */
typedef struct grad {
    vt_head h;
    const float *dout, *out, *lse;      /* rows of dout and out `width` apart */
    ptrdiff_t width;
    float *dq, *dk, *dv;                /* rows h.stride apart */
    float *dbias;                       /* or NULL */
    vt_panels keys_t, values_t, keys, queries, douts;
    float *p, *ds, *factors;
} grad;

static float dot(const float *a, const float *b, int n)
{
    vf sum = {0};
    int k = 0;
    for (; k + VT_LANES <= n; k += VT_LANES) sum += vf_load(a + k) * vf_load(b + k);
    if (k < n) sum += vf_load_n(a + k, n - k) * vf_load_n(b + k, n - k);
    return vf_sum(sum);
}

/* Row i: p holds q k^T and becomes P * F; ds holds dP and becomes scale * dS. Lanes beyond the last column are not
 * used. */
static void row_grad(const grad *g, int i, float scale, float *p, float *ds)
{
    const vt_head *h = &g->h;
    float lse = g->lse[i], delta = dot(g->dout + i * g->width, g->out + i * g->width, h->d);
    bool drop = h->attrs->dropout > 0;
    if (drop) vt_keep_factors(&h->keep, h->draw + (uint32_t)i * (uint32_t)h->n, h->n, g->factors);
    for (int j = 0; j < h->vecs; j++) {
        vf prob = vf_exp(vf_load(p + j * VT_LANES) * scale - lse), dp = vf_load(ds + j * VT_LANES), kept = prob;
        if (drop) {
            vf factor = vf_load(g->factors + j * VT_LANES);
            dp *= factor;
            kept *= factor;
        }
        vf_store(p + j * VT_LANES, kept);
        vf_store(ds + j * VT_LANES, prob * (dp - delta));
    }
    for (int j = 0; g->dbias && j < h->n; j++) g->dbias[(int64_t)i * h->n + j] += ds[j];
    for (int j = 0; j < h->vecs; j++) vf_store(ds + j * VT_LANES, vf_load(ds + j * VT_LANES) * h->attrs->scale);
}

static void chunk_grad(const grad *g, int first, int rows)
{
    const vt_head *h = &g->h;
    float scale;
    vt_head_scores(h, &g->keys_t, first, rows, g->p, &scale);
    vt_product dp = {.m = rows, .k = h->d, .a = g->dout + first * g->width, .a_row = g->width, .a_col = 1,
                     .b = &g->values_t, .c = g->ds, .ldc = h->ld, .padded = 1};
    vt_product_run(&dp);
    for (int i = 0; i < rows; i++)
        row_grad(g, first + i, scale, g->p + (ptrdiff_t)i * h->ld, g->ds + (ptrdiff_t)i * h->ld);
    vt_product dq = {.m = rows, .k = h->n, .a = g->ds, .a_row = h->ld, .a_col = 1, .b = &g->keys,
                     .c = g->dq + first * h->stride, .ldc = h->stride};
    vt_product_run(&dq);
    vt_product dk = {.m = h->n, .k = rows, .k0 = first, .a = g->ds, .a_row = 1, .a_col = h->ld, .b = &g->queries,
                     .c = g->dk, .ldc = h->stride, .accumulate = first > 0};
    vt_product_run(&dk);
    vt_product dv = dk;
    dv.a = g->p;
    dv.b = &g->douts;
    dv.c = g->dv;
    vt_product_run(&dv);
}

typedef struct job {
    const vt_run *r;
    plan p;
} job;

static vt_panels take_panels(float **at, int k, int n)
{
    vt_panels p = {*at, k, n};
    *at += vt_panels_floats(k, n);
    return p;
}

static grad grad_of(const job *j, int64_t bh)
{
    const vt_run *r = j->r;
    int n = j->p.n, d = j->p.d;
    grad g = {.h = vt_head_of(r, QKV, BIAS, RANDOM, bh)};
    const vt_head *h = &g.h;
    const vt_tensor *dbias = r->node->out[1];
    g.width = h->stride / 3;
    int64_t at = h->b * n * g.width + h->h * d;
    g.dout = (const float *)r->in[DOUT] + at;
    g.out = (const float *)r->in[OUT] + at;
    g.lse = (const float *)r->in[LSE] + bh * n;
    g.dq = (float *)r->out[0] + (h->q - (const float *)r->in[QKV]);
    g.dk = g.dq + g.width;
    g.dv = g.dk + g.width;
    if (dbias) g.dbias = (float *)r->out[1] + (dbias->shape[0] > 1 ? h->h * n * n : 0);
    return g;
}

static void prefetch_grad(const grad *g)
{
    vt_prefetch_head(&g->h);
    vt_prefetch_rows(g->dout, g->width, g->h.n, g->h.d);
    vt_prefetch_rows(g->out, g->width, g->h.n, g->h.d);
}

static void head_grad(const plan *p, grad *g, float *scratch)
{
    const vt_head *h = &g->h;
    g->keys_t = take_panels(&scratch, p->d, p->n);
    g->values_t = take_panels(&scratch, p->d, p->n);
    g->keys = take_panels(&scratch, p->n, p->d);
    g->queries = take_panels(&scratch, p->n, p->d);
    g->douts = take_panels(&scratch, p->n, p->d);
    g->p = scratch;
    g->ds = g->p + (ptrdiff_t)p->rows * h->ld;
    g->factors = g->ds + (ptrdiff_t)p->rows * h->ld;
    vt_panels_pack(&g->keys_t, h->k, 1, h->stride);
    vt_panels_pack(&g->values_t, h->v, 1, h->stride);
    vt_panels_pack(&g->keys, h->k, h->stride, 1);
    vt_panels_pack(&g->queries, h->q, h->stride, 1);
    vt_panels_pack(&g->douts, g->dout, g->width, 1);
    for (int i = 0; i < p->n; i += p->rows) chunk_grad(g, i, p->n - i < p->rows ? p->n - i : p->rows);
}

static void grad_task(void *arg, int task, int worker)
{
    const job *j = arg;
    const vt_tensor *dbias = j->r->node->out[1];
    if (dbias) {
        size_t each = vt_tensor_bytes(dbias) / (size_t)dbias->shape[0];
        memset((char *)j->r->out[1] + (size_t)task * each, 0, each);
    }
    int64_t step = dbias ? j->p.tasks : 1, bh = dbias ? task : (int64_t)task * j->p.together;
    int64_t end = dbias || bh + j->p.together > j->p.heads ? j->p.heads : bh + j->p.together;
    grad g = grad_of(j, bh), next;
    prefetch_grad(&g);
    for (; bh < end; bh += step, g = next) {
        if (bh + step < end) {
            next = grad_of(j, bh + step);
            prefetch_grad(&next);
        }
        head_grad(&j->p, &g, (float *)j->r->scratch + (size_t)worker * j->p.worker_floats);
    }
}

VT_FAST_BODY(attention_grad)
{
    job j = {r, make_plan(r->node)};
    vt_pool_run(r->pool, j.p.tasks, grad_task, &j);
}

VT_FAST_SCRATCH(attention_grad)
{
    return make_plan(n).worker_floats * (size_t)threads * sizeof(float);
}
