#include "data/erase.h"

#include <math.h>
#include <string.h>

#include "base/philox.h"

static const double least_area = 0.02, most_area = 1.0 / 3, least_aspect = 0.3;
enum { TRIES = 10 };

static double uniform(vt_rng *r, double low, double high)
{
    return low + (high - low) * (double)vt_rng_uniform(r);
}

void vt_erase_draw(const vt_erase *e, int height, int width, uint64_t seed, uint32_t epoch, uint32_t sample,
                   uint32_t repeat, int32_t *boxes)
{
    vt_rng r = vt_rng_data(seed, VT_PURPOSE_ERASE, epoch, sample, repeat);
    memset(boxes, 0, (size_t)e->most * 4 * sizeof *boxes);
    if (!((double)vt_rng_uniform(&r) < e->probability)) return;
    int count = 1 + (int)vt_rng_below(&r, (uint32_t)e->most);
    for (int k = 0; k < count; k++, boxes += 4) {
        for (int i = 0; i < TRIES; i++) {
            double area = uniform(&r, least_area, most_area) * height * width / count;
            double aspect = exp(uniform(&r, log(least_aspect), log(1 / least_aspect)));
            int h = (int)rint(sqrt(area * aspect)), w = (int)rint(sqrt(area / aspect));
            if (h >= height || w >= width) continue;
            boxes[0] = (int32_t)vt_rng_below(&r, (uint32_t)(height - h + 1));
            boxes[1] = (int32_t)vt_rng_below(&r, (uint32_t)(width - w + 1));
            boxes[2] = h;
            boxes[3] = w;
            break;
        }
    }
}
