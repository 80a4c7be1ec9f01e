#include "train/evaluate.h"

#include <math.h>

#include "base/alloc.h"

static double log_sum_exp(const float *logits, int classes)
{
    double most = logits[0], sum = 0;
    for (int k = 1; k < classes; k++)
        if (logits[k] > most) most = logits[k];
    for (int k = 0; k < classes; k++) sum += exp(logits[k] - most);
    return most + log(sum);
}

void vt_score_add(vt_score *s, const float *logits, const int32_t *labels, int n, int classes)
{
    for (int i = 0; i < n; i++) {
        const float *row = logits + (int64_t)i * classes;
        if (labels[i] < 0) continue;
        int before = 0; /* classes at least as likely as the label; NaN is never below */
        for (int k = 0; k < classes; k++) before += k != labels[i] && !(row[k] < row[labels[i]]);
        s->acc1 += before < 1;
        s->acc5 += before < 5;
        s->loss += log_sum_exp(row, classes) - row[labels[i]];
        s->n++;
    }
}

void vt_score_finish(vt_score *s)
{
    double n = s->n ? (double)s->n : 1;
    s->acc1 *= 100 / n;
    s->acc5 *= 100 / n;
    s->loss /= n;
}

vt_status vt_evaluate(vt_score *score, vt_eval *eval, const vt_dataset *data, const vt_transform *transform,
                      int workers, bool skip_bad)
{
    int classes = (int)eval->logits->shape[1];
    *score = (vt_score){0};
    vt_loader *loader = NULL;
    vt_loader_options o = {.transform = *transform, .micro_end = 1, .epochs = 1, .workers = workers, .prefetch = 2,
                           .skip_bad = skip_bad};
    o.sampler = (vt_sampler){.repeats = 1, .micro_batch = eval->batch, .micros = 1};
    float *logits = vt_alloc((size_t)eval->batch * (size_t)classes * sizeof *logits);
    if (!logits) return vt_fail_memory("logits");
    vt_status st;
    VT_TRY(vt_loader_create(&loader, data, &o));
    for (;;) {
        const vt_batch *batch;
        VT_TRY(vt_loader_next(loader, &batch));
        if (!batch) break;
        VT_TRY(vt_eval_run(eval, batch->images, logits));
        vt_score_add(score, logits, batch->labels, eval->batch, classes);
        vt_loader_release(loader, batch);
    }
    vt_score_finish(score);
fail:
    vt_loader_destroy(loader);
    vt_free(logits);
    return st;
}

void vt_top(const float *logits, int classes, int k, int *best, float *probability)
{
    double lse = log_sum_exp(logits, classes);
    for (int i = 0; i < k; i++) {
        int at = -1;
        for (int c = 0; c < classes; c++) {
            bool taken = false;
            for (int j = 0; j < i; j++) taken |= best[j] == c;
            if (!taken && (at < 0 || logits[c] > logits[at])) at = c;
        }
        best[i] = at;
        probability[i] = (float)exp(logits[at] - lse);
    }
}
