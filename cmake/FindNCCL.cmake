# NCCL 2: sets NCCL_FOUND, NCCL_VERSION, NCCL_INCLUDE_DIR and NCCL_LIBRARY; what to do where it is missing is in
# NCCL_NOT_FOUND_MESSAGE. Where it is looked for: vitc-find-nvidia.cmake.
include(vitc-find-nvidia)
vitc_find_nvidia(NCCL ROOT NCCL_ROOT HEADER nccl.h LIBRARY nccl libnccl.so.2 WHEEL nccl
                 VERSION NCCL_MAJOR NCCL_MINOR NCCL_PATCH PACKAGES "libnccl-dev or the wheel nvidia-nccl-cu13")
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(NCCL REQUIRED_VARS NCCL_LIBRARY NCCL_INCLUDE_DIR VERSION_VAR NCCL_VERSION
                                  REASON_FAILURE_MESSAGE "${NCCL_NOT_FOUND_MESSAGE}")
