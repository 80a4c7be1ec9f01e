# cuDNN 9 or later, from a system package, a folder named by CUDNN_ROOT, beside the CUDA toolkit, or as the pip wheel
# nvidia-cudnn lays it out: .../site-packages/nvidia/cudnn/{include,lib}. Sets cuDNN_FOUND, cuDNN_VERSION,
# cuDNN_INCLUDE_DIR and cuDNN_LIBRARY; what to do where it is missing is in cuDNN_NOT_FOUND_MESSAGE.
file(GLOB cudnn_wheels "$ENV{VIRTUAL_ENV}/lib/python3*/site-packages/nvidia/cudnn"
     "/usr/lib/python3/dist-packages/nvidia/cudnn" "/usr/local/lib/python3*/*-packages/nvidia/cudnn")
set(cudnn_roots ${CUDNN_ROOT} $ENV{CUDNN_ROOT} ${CUDAToolkit_LIBRARY_ROOT} ${CUDAToolkit_TARGET_DIR} ${cudnn_wheels})
find_path(cuDNN_INCLUDE_DIR cudnn_version.h HINTS ${cudnn_roots} ${CUDAToolkit_INCLUDE_DIRS} PATH_SUFFIXES include)
find_library(cuDNN_LIBRARY NAMES cudnn libcudnn.so.9 HINTS ${cudnn_roots} ${CUDAToolkit_LIBRARY_DIR}
             PATH_SUFFIXES lib lib64)
mark_as_advanced(cuDNN_INCLUDE_DIR cuDNN_LIBRARY)

set(cuDNN_NOT_FOUND_MESSAGE
    "cuDNN 9 was not found: install libcudnn9-dev or the wheel nvidia-cudnn-cu13, or set CUDNN_ROOT")
if(cuDNN_INCLUDE_DIR)
  file(READ ${cuDNN_INCLUDE_DIR}/cudnn_version.h cudnn_header)
  foreach(part MAJOR MINOR PATCHLEVEL)
    string(REGEX MATCH "define CUDNN_${part} +([0-9]+)" cudnn_match "${cudnn_header}")
    list(APPEND cudnn_parts ${CMAKE_MATCH_1})
  endforeach()
  list(JOIN cudnn_parts "." cuDNN_VERSION)
  unset(cudnn_parts)
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(cuDNN REQUIRED_VARS cuDNN_LIBRARY cuDNN_INCLUDE_DIR VERSION_VAR cuDNN_VERSION
                                  REASON_FAILURE_MESSAGE "${cuDNN_NOT_FOUND_MESSAGE}")
