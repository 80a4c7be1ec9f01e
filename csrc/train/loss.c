#include "train/loss.h"

static vt_tensor *base(vt_graph *g, const vt_loss_options *o, const char *name, vt_tensor *logits, vt_tensor *targets,
                       vt_tensor *weights)
{
    return o->bce ? vt_bce(g, name, logits, targets, weights, o->bce_threshold)
                  : vt_cross_entropy(g, name, logits, targets, weights);
}

vt_tensor *vt_loss_build(vt_graph *g, const vt_loss_options *o, vt_heads heads, vt_tensor *targets, vt_tensor *weights,
                         vt_tensor *teacher)
{
    vt_tensor *cls = base(g, o, "loss", heads.logits, targets, weights);
    if (teacher) {
        vt_tensor *student = heads.logits_dist ? heads.logits_dist : heads.logits;
        vt_tensor *term = vt_distill(g, "loss_teacher", student, teacher,
                                     o->distill_hard ? VT_DISTILL_HARD : VT_DISTILL_SOFT, (float)o->distill_tau);
        return vt_add_scaled(g, "loss_distilled", 1 - o->distill_alpha, cls, o->distill_alpha, term, NULL);
    }
    if (!heads.logits_dist) return cls;
    vt_tensor *dist = base(g, o, "loss_dist", heads.logits_dist, targets, weights);
    return vt_add_scaled(g, "loss_mean", 0.5, cls, 0.5, dist, NULL);
}
