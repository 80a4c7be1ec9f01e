#include "base/dtype.h"

static const struct {
    const char *name;
    size_t bytes;
} dtypes[] = {[VT_F32] = {"F32", 4}, [VT_F64] = {"F64", 8}, [VT_BF16] = {"BF16", 2}, [VT_F16] = {"F16", 2},
              [VT_U8] = {"U8", 1},   [VT_I32] = {"I32", 4}, [VT_I64] = {"I64", 8},   [VT_BOOL] = {"BOOL", 1}};

size_t vt_dtype_bytes(vt_dtype dtype)
{
    return dtypes[dtype].bytes;
}

const char *vt_dtype_name(vt_dtype dtype)
{
    return dtypes[dtype].name;
}

uint16_t vt_bf16(float value)
{
    union { float f; uint32_t bits; } v = {value};
    if (value != value) return (uint16_t)(v.bits >> 16 | 0x40);
    return (uint16_t)((v.bits + 0x7fff + (v.bits >> 16 & 1)) >> 16);
}
