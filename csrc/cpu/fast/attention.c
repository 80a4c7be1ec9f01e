#include "cpu/fast/attention.h"

/* A task takes some rows of a head; K and V are packed for it, and its scores are made CHUNK bytes at a time, so that
 * they stay in the first-level cache between the two products. */
enum {
    CHUNK = 32 << 10,
    MOST_ROWS = 96,             /* of a chunk; as it has no more rows than columns, CHUNK alone keeps it near this */
    TASKS = 64,                 /* few heads are cut into more tasks than heads ... */
    TASK_ROWS = 64,             /* ... but not into fewer rows than these */
};

typedef struct plan {
    int64_t heads;              /* B * H */
    int n, d;
    int together, cuts;         /* heads of a task, tasks of a head: one of them is 1 */
    int rows;                   /* of a chunk */
    size_t worker_floats;
} plan;

static plan make_plan(const vt_node *node)
{
    const vt_attention_attrs *a = node->attrs;
    const vt_tensor *qkv = node->in[0];
    plan p = {.heads = qkv->shape[0] * a->heads, .n = (int)qkv->shape[1]};
    p.d = (int)(qkv->shape[2] / (3 * a->heads));
    int most = vt_ceil_div(p.n, TASK_ROWS), want = p.heads < TASKS ? (int)((TASKS + p.heads - 1) / p.heads) : 1;
    p.cuts = want < most ? want : most;
    p.together = vt_heads_together(p.heads, p.n, p.d);
    int ld = vt_scores_ld(p.n), task_rows = vt_ceil_div(p.n, p.cuts),
        tiles = CHUNK / (int)sizeof(float) / ld / VT_TILE_ROWS;
    p.rows = tiles > 0 ? tiles * VT_TILE_ROWS : VT_TILE_ROWS;
    if (p.rows > task_rows) p.rows = task_rows;
    if (p.rows > MOST_ROWS) p.rows = MOST_ROWS;
    p.worker_floats = vt_panels_floats(p.d, p.n) + vt_panels_floats(p.n, p.d) + (size_t)(p.rows + 1) * ld;
    return p;
}

/* Row i to exp of its scaled scores' distances from the largest. Returns the sum; *most is the largest. */
static float exp_row(const vt_head *h, float *s, float scale, float *most)
{
    int whole = h->n / VT_LANES, rest = h->n % VT_LANES;
    vf largest = vf_set(-INFINITY), sum = {0};
    for (int j = 0; j < whole; j++) largest = vf_max(vf_load(s + j * VT_LANES) * scale, largest);
    float *tail = s + whole * VT_LANES;
    if (rest) largest = vf_max(vf_first(vf_load(tail) * scale, rest, largest), largest);
    *most = vf_max_lane(largest);
    for (int j = 0; j < whole; j++) {
        vf p = vf_exp(vf_load(s + j * VT_LANES) * scale - *most);
        vf_store(s + j * VT_LANES, p);
        sum += p;
    }
    if (rest) {
        vf p = vf_first(vf_exp(vf_load(tail) * scale - *most), rest, vf_set(0));
        vf_store(tail, p);
        sum += p;
    }
    return vf_sum(sum);
}

static void drop_row(const vt_head *h, int i, float *s, float *factors)
{
    vt_keep_factors(&h->keep, h->draw + (uint32_t)i * (uint32_t)h->n, h->n, factors);
    for (int j = 0; j < h->n; j++) s[j] *= factors[j];
}

static void scale_row(float *o, float by, int d)
{
    int k = 0;
    for (; k + VT_LANES <= d; k += VT_LANES) vf_store(o + k, vf_load(o + k) * by);
    if (k < d) vf_store_n(o + k, vf_load_n(o + k, d - k) * by, d - k);
}

/* Rows first .. first+rows-1; out and lse are at the first. */
static void attend(const vt_head *h, const vt_panels *keys, const vt_panels *values, int first, int rows, float *scores,
                   float *out, float *lse)
{
    float scale, inverse[MOST_ROWS], *factors = scores + (ptrdiff_t)rows * h->ld;
    ptrdiff_t width = h->stride / 3;
    vt_head_scores(h, keys, first, rows, scores, &scale);
    for (int i = 0; i < rows; i++) {
        float *s = scores + (ptrdiff_t)i * h->ld, most, sum = exp_row(h, s, scale, &most);
        if (h->attrs->dropout > 0) drop_row(h, first + i, s, factors);
        lse[i] = most + logf(sum);
        inverse[i] = 1 / sum;
    }
    vt_product p = {.m = rows, .k = h->n, .a = scores, .a_row = h->ld, .a_col = 1, .b = values, .c = out, .ldc = width};
    vt_product_run(&p);
    for (int i = 0; i < rows; i++) scale_row(out + i * width, inverse[i], h->d);
}

typedef struct job {
    const vt_run *r;
    plan p;
} job;

/* Part `cut` of head bh. */
static void attend_head(const job *j, const vt_head *h, int64_t bh, int cut, float *scratch)
{
    const plan *p = &j->p;
    vt_panels keys = {scratch, p->d, p->n}, values = {scratch + vt_panels_floats(p->d, p->n), p->n, p->d};
    float *scores = values.data + vt_panels_floats(p->n, p->d);
    vt_panels_pack(&keys, h->k, 1, h->stride);
    vt_panels_pack(&values, h->v, h->stride, 1);
    ptrdiff_t width = h->stride / 3;
    float *out = (float *)j->r->out[0] + h->b * h->n * width + h->h * h->d, *lse = (float *)j->r->out[1] + bh * h->n;
    int end = vt_cut(h->n, p->cuts, cut + 1);
    for (int i = vt_cut(h->n, p->cuts, cut), rows; i < end; i += rows) {
        rows = end - i < p->rows ? end - i : p->rows;
        attend(h, &keys, &values, i, rows, scores, out + i * width, lse + i);
    }
}

static void attend_task(void *arg, int task, int worker)
{
    const job *j = arg;
    int64_t bh = task / j->p.cuts * j->p.together, end = bh + j->p.together;
    if (end > j->p.heads) end = j->p.heads;
    vt_head h = vt_head_of(j->r, 0, 1, 2, bh), next;
    vt_prefetch_head(&h);
    for (; bh < end; bh++, h = next) {
        if (bh + 1 < end) {
            next = vt_head_of(j->r, 0, 1, 2, bh + 1);
            vt_prefetch_head(&next);
        }
        attend_head(j, &h, bh, task % j->p.cuts, (float *)j->r->scratch + (size_t)worker * j->p.worker_floats);
    }
}

VT_FAST_BODY(attention)
{
    job j = {r, make_plan(r->node)};
    int64_t tasks = (j.p.heads + j.p.together - 1) / j.p.together * j.p.cuts;
    vt_pool_run(r->pool, (int)tasks, attend_task, &j);
}

VT_FAST_SCRATCH(attention)
{
    return make_plan(n).worker_floats * (size_t)threads * sizeof(float);
}
