/* libFuzzer entry: IDX files, plain and gzip, as labels (1 dimension) and as images (3). Whatever is accepted must have
 * as many readable elements as it says. */
#include <stdlib.h>

#include "base/alloc.h"
#include "data/idx.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    for (int dims = 1; dims <= 3; dims += 2) {
        vt_idx idx;
        if (vt_idx_parse(bytes, size, dims, &idx) != VT_OK) {
            if (idx.inflated) abort();
            continue;
        }
        if ((uint64_t)idx.dim[0] * idx.dim[1] * idx.dim[2] != idx.size) abort();
        unsigned sum = 0;
        for (size_t i = 0; i < idx.size; i++) sum += idx.data[i];
        if (sum > 255 * idx.size) abort();
        vt_free(idx.inflated);
    }
    return 0;
}
