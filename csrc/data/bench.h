/* data/bench.h - how fast training samples are made from JPEG files, beside libjpeg-turbo's plain decoding. */
#ifndef VT_DATA_BENCH_H
#define VT_DATA_BENCH_H

#include "data/transform.h"

typedef struct vt_data_bench {
    int images;               /* in memory, about 500x333, quality 90, 4:2:0 */
    double bytes;             /* of one of them, on average */
    double decode_per_second; /* libjpeg-turbo alone: each whole image to RGB */
    double sample_per_second; /* vt_transform_sample: decode, crop, resize, flip */
    double share;             /* the median over rounds of samples' speed / decoding's speed */
    double augmented_per_second, augmented_share; /* the same with the transform's augmentation; 0: it has none */
} vt_data_bench;

/* Makes the JPEG files from photographs (PNG or JPEG files; paths NULL: made-up ones), then measures this thread's
 * seconds of CPU: each round decodes all of them plainly, then makes a sample of each, then an augmented one; medians
 * over the rounds. */
vt_status vt_data_bench_run(vt_data_bench *result, const char *const *paths, int count, const vt_transform *t,
                            int rounds);

#endif
