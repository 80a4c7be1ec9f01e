/* data/augment_policy.h - which ops a training sample is augmented with: RandAugment, AutoAugment, ThreeAugment, AugMix
 * and colour jitter, by the names and with the distributions of timm, DeiT and torchvision.
 *
 * Drawing is apart from doing: the draws are a function of the policy and of (seed, epoch, sample, repeat). */
#ifndef VT_DATA_AUGMENT_POLICY_H
#define VT_DATA_AUGMENT_POLICY_H

#include <stdbool.h>

#include "base/status.h"
#include "data/augment_ops.h"

enum {
    VT_AUGMENT_LAYERS = 16, /* most ops of RandAugment */
    VT_AUGMENT_CHAINS = 8,  /* of AugMix: its width and its depth, at most */
    VT_AUGMENT_DEPTH = 8,
    VT_AUGMENT_STEPS = VT_AUGMENT_CHAINS * VT_AUGMENT_DEPTH, /* of any sample */
    VT_AUGMENT_SET = 15                                      /* ops to draw from, at most */
};

typedef struct vt_augment_op {
    const char *name; /* timm's */
    vt_augment_fn *apply;
    /* The argument at a level from 0 on, 10 being full strength, plain and with inc1: the op's strength then grows with
     * it. sign: -1 or 1. */
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

/* Ops to draw from: evenly and with replacement, or by weight and without. */
typedef struct vt_augment_set {
    const char *name;
    int count;
    bool weighted;
    int op[VT_AUGMENT_SET]; /* rows of the table of ops */
    double weight[VT_AUGMENT_SET];
} vt_augment_set;

/* All zeros: nothing. */
typedef struct vt_augment {
    enum { VT_AUGMENT_NONE, VT_AUGMENT_RAND, VT_AUGMENT_AUTO, VT_AUGMENT_THREE, VT_AUGMENT_MIX } policy;
    double level, deviation;       /* deviation: of the level, drawn for each op; infinite: evenly, 0 .. level */
    double most;                   /* the level is then clipped to 0 .. most */
    const vt_augment_set *set;     /* RandAugment, AugMix */
    int layers;                    /* RandAugment: ops drawn, */
    double probability;            /* each applied with this probability */
    bool increasing;
    vt_augment_subpolicies *pairs; /* AutoAugment: one pair is drawn */
    bool posterize_increasing;     /* v0r, originalr: Posterize is stronger at higher levels */
    int width, depth;              /* AugMix: chains, and ops of each; depth 0: one to three */
    double alpha;                  /* Beta's and Dirichlet's */
    bool blended;                  /* chain by chain in 8 bits */
    double jitter;                 /* --color-jitter: see vt_augment_jitters */
} vt_augment;

/* --aa: "none" (or NULL); "rand" with parts mX (level, 10), mstdX (deviation, 0; above 100: infinite), mmaxX (most,
 * 10), incX (1: increasing), nX (layers, 2), pX (probability, 0.5), tNAME (set: weights, 3a or 3aw, all increasing) in
 * any order; "original", "originalr", "v0" or "v0r" with mstdX; "3a"; "augmix" with mX (level, 3), mstdX (deviation,
 * infinite), wX (width, 3), dX (depth, 0), aX (alpha, 1), bX (1: blended; timm takes any b so). The jitter stays.
 * VT_INVALID names the part. */
vt_status vt_augment_parse(vt_augment *augment, const char *text);

bool vt_augment_on(const vt_augment *augment);      /* whether anything is ever drawn */
bool vt_augment_jitters(const vt_augment *augment); /* after ThreeAugment, RandAugment's sets 3a and 3aw, and alone */

typedef struct vt_augment_step {
    const vt_augment_op *op;
    double argument;
    vt_filter filter;
} vt_augment_step;

/* AugMix (Hendrycks et al., 2020): (1 - share) image + share (the sum of weight[k] chain[k] of the image), in float32,
 * cut to whole levels after the sum and after the mixing. Blended: chain after chain is blended into the image, cut
 * each time, with the coefficients that amount to the same. */
typedef struct vt_augment_drawn {
    vt_augment_step steps[VT_AUGMENT_STEPS];
    int count;                    /* of steps */
    int chains;                   /* AugMix's; 0: the steps are done one after the other */
    int ends[VT_AUGMENT_CHAINS];  /* [chains]: where the steps of each end */
    float weight[VT_AUGMENT_CHAINS], share;
    bool blended;
} vt_augment_drawn;

/* filter: of warps; VT_FILTER_RANDOM draws bilinear or bicubic for each, and nearest is taken as bilinear, both as timm
 * does. */
void vt_augment_draw(const vt_augment *augment, vt_filter filter, uint64_t seed, uint32_t epoch, uint32_t sample,
                     uint32_t repeat, vt_augment_drawn *drawn);
/* Bytes that an image's canvas->work must have; 0 where the policy does nothing. */
size_t vt_augment_work(const vt_augment *augment, int height, int width, int channels);
/* canvas.filter is not looked at. */
void vt_augment_apply(const vt_augment_drawn *drawn, vt_canvas canvas);

#endif
