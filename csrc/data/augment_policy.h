/* data/augment_policy.h - which ops a training sample is augmented with: RandAugment, AutoAugment, ThreeAugment and
 * colour jitter, by the names and with the distributions of timm, DeiT and torchvision.
 *
 * Drawing is apart from doing: the draws are a function of the policy and of (seed, epoch, sample, repeat). */
#ifndef VT_DATA_AUGMENT_POLICY_H
#define VT_DATA_AUGMENT_POLICY_H

#include <stdbool.h>

#include "base/status.h"
#include "data/augment_ops.h"

enum {
    VT_AUGMENT_LAYERS = 16,                  /* most ops of RandAugment */
    VT_AUGMENT_STEPS = VT_AUGMENT_LAYERS + 3 /* of any sample */
};

typedef struct vt_augment_op {
    const char *name; /* timm's */
    vt_augment_fn *apply;
    /* The argument at a level of 0 .. 10, plain and with inc1: the op's strength then grows with it. sign: -1 or 1. */
    double (*level)(double level, double sign), (*increasing)(double level, double sign);
} vt_augment_op;

/* An op of an AutoAugment sub-policy. */
typedef struct vt_augment_choice {
    int op;             /* row of the table of ops */
    double probability;
    int level;
} vt_augment_choice;

enum { VT_AUGMENT_SUBPOLICIES = 25 };
typedef const vt_augment_choice vt_augment_subpolicies[VT_AUGMENT_SUBPOLICIES][2];

/* All zeros: nothing. */
typedef struct vt_augment {
    enum { VT_AUGMENT_NONE, VT_AUGMENT_RAND, VT_AUGMENT_AUTO, VT_AUGMENT_THREE } policy;
    double level, deviation;          /* deviation: of the level, drawn for each op, then clipped to 0 .. 10 */
    int layers;                       /* RandAugment: ops drawn, with replacement, from 15, */
    double probability;               /* each applied with this probability */
    bool increasing;
    vt_augment_subpolicies *pairs;    /* AutoAugment: one pair is drawn */
    double jitter;                    /* --color-jitter: after ThreeAugment, and where there is no policy */
} vt_augment;

/* --aa: "none" (or NULL), "rand" with parts mX (level, 10), mstdX (deviation, 0), incX (1: increasing), nX (ops, 2), pX
 * (probability, 0.5) in any order; "original" or "v0" with mstdX; "3a". The jitter stays. VT_INVALID names the part. */
vt_status vt_augment_parse(vt_augment *augment, const char *text);

typedef struct vt_augment_step {
    const vt_augment_op *op;
    double argument;
    vt_filter filter;
} vt_augment_step;

/* Returns how many steps there are. filter: of warps; VT_FILTER_RANDOM draws bilinear or bicubic for each, and nearest
 * is taken as bilinear, both as timm does. */
int vt_augment_draw(const vt_augment *augment, vt_filter filter, uint64_t seed, uint32_t epoch, uint32_t sample,
                    uint32_t repeat, vt_augment_step steps[VT_AUGMENT_STEPS]);
/* One after the other; canvas->filter is not looked at. */
void vt_augment_apply(const vt_augment_step *steps, int count, vt_canvas canvas);

#endif
