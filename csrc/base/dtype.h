/* base/dtype.h - element types of tensors in memory and in files. */
#ifndef VT_BASE_DTYPE_H
#define VT_BASE_DTYPE_H

#include <stddef.h>
#include <stdint.h>

typedef enum vt_dtype { VT_F32, VT_F64, VT_BF16, VT_F16, VT_U8, VT_I32, VT_I64, VT_BOOL } vt_dtype;

size_t vt_dtype_bytes(vt_dtype dtype);
const char *vt_dtype_name(vt_dtype dtype); /* safetensors' spelling: "F32" */
uint16_t vt_bf16(float value);              /* the bits, rounded to nearest even; NaN stays one */

#endif
