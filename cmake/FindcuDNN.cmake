# cuDNN 9 or later: sets cuDNN_FOUND, cuDNN_VERSION, cuDNN_INCLUDE_DIR and cuDNN_LIBRARY; what to do where it is missing
# is in cuDNN_NOT_FOUND_MESSAGE. Where it is looked for: vitc-find-nvidia.cmake.
include(vitc-find-nvidia)
vitc_find_nvidia(cuDNN ROOT CUDNN_ROOT HEADER cudnn_version.h LIBRARY cudnn libcudnn.so.9 WHEEL cudnn
                 VERSION CUDNN_MAJOR CUDNN_MINOR CUDNN_PATCHLEVEL
                 PACKAGES "libcudnn9-dev or the wheel nvidia-cudnn-cu13")
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(cuDNN REQUIRED_VARS cuDNN_LIBRARY cuDNN_INCLUDE_DIR VERSION_VAR cuDNN_VERSION
                                  REASON_FAILURE_MESSAGE "${cuDNN_NOT_FOUND_MESSAGE}")
