#include "cpu/fast/cut.h"

typedef struct job {
    const vt_run *r;
    const vt_part *parts;
    double *sums;        /* of each part's squares */
} job;

static void sum_part(void *arg, int task, int worker)
{
    const job *j = arg;
    const vt_part *part = &j->parts[task];
    const float *g = (const float *)j->r->in[part->input] + part->at;
    double sums[16] = {0}, sum = 0;
    int i = 0;
    for (; i + 16 <= part->count; i += 16)
        for (int k = 0; k < 16; k++) sums[k] += (double)g[i + k] * g[i + k];
    for (; i < part->count; i++) sum += (double)g[i] * g[i];
    for (int k = 0; k < 16; k++) sum += sums[k];
    j->sums[task] = sum;
}

VT_FAST_BODY(grad_norm)
{
    int parts = vt_part_count(r->node, 0, 1);
    vt_part_list(r->node, 0, 1, r->scratch);
    job j = {r, r->scratch, (double *)((vt_part *)r->scratch + parts)};
    vt_pool_run(r->pool, parts, sum_part, &j);
    double sum = 0;
    for (int i = 0; i < parts; i++) sum += j.sums[i];
    *(float *)r->out[0] = (float)sqrt(sum);
}

VT_FAST_SCRATCH(grad_norm)
{
    return (size_t)vt_part_count(n, 0, 1) * (sizeof(vt_part) + sizeof(double));
}
