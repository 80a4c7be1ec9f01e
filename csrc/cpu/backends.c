/* The backends of a build without CUDA, and attention's rivals; kernels/backends.c lists those of a build with it. */
#include "ops/rivals.h"

extern const vt_backend vt_cpu_backend;
const vt_backend *const vt_backends[] = {&vt_cpu_backend, NULL};

extern const vt_attention_rival vt_attention_unfused_cpu;
const vt_attention_rival *const vt_attention_rivals[] = {&vt_attention_unfused_cpu, NULL};
