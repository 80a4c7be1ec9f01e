/* train/selftest.h - proves this build's op bodies on this machine, over the case list of ops/cases.h:
 *   gradient  the specification's (fp64 reference) gradients against finite differences of its own outputs;
 *   device    the device's fp32 bodies, with epilogues folded, against the specification: outputs, gradients, stores.
 * Every run begins with activations and scratch full of NaN. */
#ifndef VT_TRAIN_SELFTEST_H
#define VT_TRAIN_SELFTEST_H

#include "graph/backend.h"

typedef struct vt_selftest_result {
    const char *op, *name;     /* of the case */
    vt_status status;
    const char *message;       /* of a failure: tensor, shape, element, values; "" */
    double gradient, device;   /* worst error as a share of what is allowed; 0: there was nothing to compare */
    uint64_t digest;           /* of the bits that the device made */
} vt_selftest_result;
typedef void (*vt_selftest_report)(void *arg, const vt_selftest_result *result);

/* Runs the cases of op `filter` (NULL: all) with data drawn from `seed`. VT_FAILED, with their number, if any fail. */
vt_status vt_selftest(const vt_device_options *device, const char *filter, uint64_t seed, vt_selftest_report report,
                      void *arg);

#endif
