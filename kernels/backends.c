/* The backends of a build with CUDA, and attention's rivals; csrc/cpu/backends.c lists those of a build without. */
#include "ops/rivals.h"

extern const vt_backend vt_cpu_backend, vt_cuda_backend;
const vt_backend *const vt_backends[] = {&vt_cuda_backend, &vt_cpu_backend, NULL};

extern const vt_attention_rival vt_attention_unfused_cpu, vt_attention_unfused_cuda, vt_attention_cudnn;
const vt_attention_rival *const vt_attention_rivals[] = {
#ifdef VT_HAS_CUDNN
    &vt_attention_cudnn,
#endif
    &vt_attention_unfused_cuda, &vt_attention_unfused_cpu, NULL};
