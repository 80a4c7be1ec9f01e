/* train/freeze.h - which parameters are trained, and which of them decayed. */
#ifndef VT_TRAIN_FREEZE_H
#define VT_TRAIN_FREEZE_H

#include "graph/store.h"

/* Sets `frozen` of every entry: those that one of the globs (separated by commas, as fnmatch; NULL: none) matches, and
 * with attn_only all but those that DeiT's --attn-only trains (Touvron et al., "Three things everyone should know about
 * Vision Transformers", 2022; main.py of facebookresearch/deit): every *.attn.* and head.weight, head.bias, pos_embed.
 * VT_INVALID: a glob matches no parameter, or nothing is left to train. */
vt_status vt_freeze(vt_store *params, const char *globs, bool attn_only);
/* Sets `undecayed` of every entry: those that one of the globs matches. VT_INVALID: one matches no parameter. */
vt_status vt_undecay(vt_store *params, const char *globs);
int64_t vt_trained_parameters(const vt_store *params); /* elements that are not frozen */

#endif
