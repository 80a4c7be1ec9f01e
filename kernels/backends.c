/* The backends of a build with CUDA; csrc/cpu/backends.c lists those of a build without. */
#include "graph/backend.h"

extern const vt_backend vt_cpu_backend, vt_cuda_backend;
const vt_backend *const vt_backends[] = {&vt_cuda_backend, &vt_cpu_backend, NULL};
