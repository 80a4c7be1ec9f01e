/* train/loss.h - the loss of a step as nodes, from a model's heads. */
#ifndef VT_TRAIN_LOSS_H
#define VT_TRAIN_LOSS_H

#include "models/models.h"
#include "vitc/train.h"

/* Base loss B: cross-entropy, or BCE, of a head with targets [B, K], weighted by weights [K] (NULL: 1).
 *   no teacher: B(cls), or the mean of both heads' where there are two
 *   teacher:    (1 - alpha) * B(cls) + alpha * distill(dist, teacher), as DeiT (Touvron et al., 2021); a student with
 *               one head gives it both roles
 * teacher: its logits [B, K], or NULL. */
vt_tensor *vt_loss_build(vt_graph *g, const vt_loss_options *options, vt_heads heads, vt_tensor *targets,
                         vt_tensor *weights, vt_tensor *teacher);

#endif
