/* train/evaluate.h - accuracy and loss over a data set, every image once. */
#ifndef VT_TRAIN_EVALUATE_H
#define VT_TRAIN_EVALUATE_H

#include "data/loader.h"
#include "models/eval.h"

typedef struct vt_score {
    double acc1, acc5; /* per cent; acc5 is of min(5, classes) */
    double loss;       /* mean cross-entropy, labels not smoothed */
    int64_t n;
} vt_score;

/* Runs the evaluation graph over all of the data set. `workers` as the loader's. */
vt_status vt_evaluate(vt_score *score, vt_eval *eval, const vt_dataset *data, const vt_transform *transform,
                      int workers, bool skip_bad);

/* Adds n samples' logits [n, classes] to sums that vt_score_finish divides; a label below 0 is not counted. A tie
 * counts against the label. */
void vt_score_add(vt_score *sums, const float *logits, const int32_t *labels, int n, int classes);
void vt_score_finish(vt_score *sums);

/* softmax(logits) [classes] and the k best classes in falling order. */
void vt_top(const float *logits, int classes, int k, int *best, float *probability);

#endif
