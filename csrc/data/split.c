#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/philox.h"
#include "data/kind.h"

static uint32_t share(uint32_t n, double fraction)
{
    uint32_t k = (uint32_t)floor(n * fraction + 0.5);
    if (k == 0 && fraction > 0 && n > 1) k = 1;
    return k >= n ? (n ? n - 1 : 0) : k;
}

vt_status vt_split_by_share(const int32_t *labels, uint32_t count, int classes, double fraction, uint64_t seed,
                            uint8_t *held_out)
{
    memset(held_out, 0, count);
    uint32_t *first = vt_alloc(((size_t)classes + 1) * sizeof *first); /* of class c: order[first[c] .. first[c + 1]) */
    uint32_t *order = vt_alloc_raw((size_t)count * sizeof *order);
    if (!first || !order) {
        vt_free(first);
        vt_free(order);
        return vt_fail_memory("the split into training and validation samples");
    }
    for (uint32_t i = 0; i < count; i++) first[labels[i] + 1]++;
    for (int c = 0; c < classes; c++) first[c + 1] += first[c];
    for (uint32_t i = 0; i < count; i++) order[first[labels[i]]++] = i; /* leaves first[c] at the end of class c */
    for (int c = 0; c < classes; c++) {
        uint32_t begin = c ? first[c - 1] : 0, n = first[c] - begin, k = share(n, fraction);
        vt_rng rng = vt_rng_data(seed, VT_PURPOSE_SPLIT, 0, (uint32_t)c, 0);
        for (uint32_t j = 0; j < k; j++) { /* the first k of a Fisher-Yates shuffle */
            uint32_t *a = &order[begin + j], *b = a + vt_rng_below(&rng, n - j), t = *b;
            *b = *a;
            *a = t;
            held_out[t] = 1;
        }
    }
    vt_free(first);
    vt_free(order);
    return VT_OK;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

vt_status vt_split_by_name(const vt_dataset *ds, const vt_part *part, uint8_t *held_out)
{
    enum { NAME_BYTES = 4096 };
    vt_status st = VT_OK;
    size_t n = ds->options.val_count;
    const char **sorted = vt_alloc_raw(n * sizeof *sorted);
    uint8_t *seen = vt_alloc(n);
    char *buffer = vt_alloc_raw(NAME_BYTES);
    if (!sorted || !seen || !buffer) VT_TRY(vt_fail_memory("the recorded validation samples"));
    for (size_t i = 0; i < n; i++) sorted[i] = ds->options.val_names[i];
    qsort(sorted, n, sizeof *sorted, by_bytes);
    for (uint32_t i = 0; i < part->count; i++) {
        const char *name = buffer;
        ds->kind->sample_name(ds, part, i, buffer, NAME_BYTES);
        const char **hit = bsearch(&name, sorted, n, sizeof *sorted, by_bytes);
        held_out[i] = hit != NULL;
        if (hit) seen[hit - sorted] = 1;
    }
    for (size_t i = 0; i < n; i++)
        if (!seen[i])
            VT_TRY(vt_fail(
                VT_INVALID,
                "%s: no sample \"%s\", which the checkpoint lists among its validation images: restore the file, "
                "or start a new run",
                ds->root, sorted[i]));
fail:
    vt_free(sorted);
    vt_free(seen);
    vt_free(buffer);
    return st;
}
