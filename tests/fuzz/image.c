/* libFuzzer entry: PNG and JPEG files, whole, and as training and evaluation take them. What is accepted must have
 * pixels that can be read, and be accepted whatever part of it is wanted. */
#include <stdlib.h>

#include "data/transform.h"

enum { SIDE = 20, MOST_PIXELS = 1 << 18 }; /* a fuzzer's second is too short for more */

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    uint8_t out[SIDE * SIDE * 3];
    vt_image_source source;
    vt_image image = {0};
    vt_transform_scratch scratch = {0};
    if (vt_image_open(&source, bytes, size) != VT_OK || source.width > MOST_PIXELS / source.height) return 0;
    vt_status whole = vt_image_decode(&image, &source, size % 2 ? 3 : 1, NULL);
    unsigned sum = 0, n = whole == VT_OK ? (unsigned)(image.width * image.height * image.channels) : 0;
    if (whole == VT_OK && (image.width != source.width || image.height != source.height)) abort();
    for (unsigned i = 0; i < n; i++) sum += image.data[i];
    if (sum > 255 * n) abort();
    for (int train = 0; train < 2; train++) {
        vt_transform t = vt_transform_default(SIDE, SIDE, 3, train);
        vt_sample sample = {.bytes = bytes, .size = size};
        vt_status part = vt_transform_sample(&t, &scratch, &sample, 0, 0, (uint32_t)size, 0, out);
        if (train && part != whole) abort();
    }
    vt_image_free(&image);
    vt_transform_scratch_free(&scratch);
    return 0;
}
