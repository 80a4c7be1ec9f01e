/* The backends of a build without CUDA; kernels/backends.c lists those of a build with it. */
#include "graph/backend.h"

extern const vt_backend vt_cpu_backend;
const vt_backend *const vt_backends[] = {&vt_cpu_backend, NULL};
