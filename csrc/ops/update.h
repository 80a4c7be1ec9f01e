/* ops/update.h - what the optimizers' bodies share on every backend (common subset of C and C++): the order of a node's
 * inputs, and the numbers of a step. */
#ifndef VT_OPS_UPDATE_H
#define VT_OPS_UPDATE_H

#include <math.h>

#include "base/philox.h"
#include "ops/ops.h"

/* A node's inputs; then a group for each parameter: */
enum { VT_UPDATE_FLAG, VT_UPDATE_CONTROL, VT_UPDATE_STEP, VT_UPDATE_NORM, VT_UPDATE_GROUPS };
/* the parameter, its gradient, its average or NULL, its copy or NULL, and as many moments as the optimizer has. */
enum { VT_UPDATE_PARAM, VT_UPDATE_GRAD, VT_UPDATE_EMA, VT_UPDATE_COPY, VT_UPDATE_MOMENT };

/* Of a step, for all parameters. */
typedef struct vt_update {
    double lr, decay;
    double clip;                 /* what gradients are multiplied by */
    double correction1;          /* 1 - beta1^t */
    double inv_root2;            /* 1 / sqrt(1 - beta2^t) */
    double ema_old, ema_new;
    int apply;                   /* 0: the flag is set, nothing is written */
} vt_update;

/* LAMB first scales gradients so that their norm, after --clip-grad, is at most this: the max_grad_norm that timm's
 * Lamb and apex's FusedLAMB have where nobody says otherwise, as timm's factory does not. */
#define VT_LAMB_NORM 1.0

/* own_norm: of the gradients, at most, by the optimizer's own rule; 0: it has none. */
VT_HD vt_update vt_update_numbers(double flag, const float *control, int32_t step, double norm, double beta1,
                                  double beta2, double own_norm)
{
    vt_update u;
    double t = step + 1.0, most = control[VT_CONTROL_MAX_NORM], clip = most > 0 ? most / (norm + 1e-6) : 1;
    u.clip = clip < 1 ? clip : 1;
    if (own_norm > 0 && norm * u.clip > own_norm) u.clip = own_norm / norm;
    u.lr = control[VT_CONTROL_LR];
    u.decay = control[VT_CONTROL_DECAY];
    u.correction1 = 1 - pow(beta1, t);
    u.inv_root2 = 1 / sqrt(1 - pow(beta2, t));
    u.ema_old = control[VT_CONTROL_EMA_DECAY];
    u.ema_new = 1 - u.ema_old;
    u.apply = flag == 0;
    return u;
}

/* LAMB's trust ratio, from the sums of squares of a parameter and of its update. */
VT_HD double vt_lamb_ratio(double of_param, double of_update, double decay)
{
    return decay != 0 && of_param > 0 && of_update > 0 ? sqrt(of_param / of_update) : 1;
}

#endif
