/* Whatever the bytes, a safetensors file opens or is refused, and what opens can be read to its end.
 * clang -fsanitize=fuzzer,address,undefined; corpus: tests/fuzz/corpus/safetensors */
#include <stdio.h>
#include <stdlib.h>

#include "base/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char path[] = "fuzz_safetensors.out"; /* through the file system, as users' files come */
    FILE *out = fopen(path, "wb");
    if (!out || fwrite(data, 1, size, out) != size || fclose(out)) abort();
    vt_safetensors f;
    if (vt_safetensors_open(&f, path) != VT_OK) return 0;
    for (int i = 0; i < f.count; i++) {
        const vt_safetensor *t = &f.tensors[i];
        if (vt_safetensors_find(&f, t->name) != t || t->bytes > size) abort();
        float *values = malloc((size_t)t->count * sizeof *values + 1);
        if (!values) abort();
        vt_safetensor_to_float(t, values);
        free(values);
    }
    vt_safetensors_metadata(&f, "format");
    vt_safetensors_close(&f);
    return 0;
}
