# NCCL 2, from a system package, beside the CUDA toolkit, or as the pip wheel nvidia-nccl lays it out:
# .../site-packages/nvidia/nccl/{include,lib}; NCCL_ROOT, a variable or the environment's, names the one folder to look
# into instead. Sets NCCL_FOUND, NCCL_VERSION, NCCL_INCLUDE_DIR and NCCL_LIBRARY; what to do where it is missing is in
# NCCL_NOT_FOUND_MESSAGE.
set(nccl_only "")
if(NOT NCCL_ROOT AND NOT "$ENV{NCCL_ROOT}" STREQUAL "")
  set(NCCL_ROOT $ENV{NCCL_ROOT})
endif()
if(NCCL_ROOT)
  set(nccl_roots ${NCCL_ROOT})
  set(nccl_only NO_DEFAULT_PATH)
else()
  file(GLOB nccl_wheels "$ENV{VIRTUAL_ENV}/lib/python3*/site-packages/nvidia/nccl"
       "/usr/lib/python3/dist-packages/nvidia/nccl" "/usr/local/lib/python3*/*-packages/nvidia/nccl")
  set(nccl_roots ${CUDAToolkit_LIBRARY_ROOT} ${CUDAToolkit_TARGET_DIR} ${nccl_wheels})
  set(nccl_includes ${CUDAToolkit_INCLUDE_DIRS})
  set(nccl_libraries ${CUDAToolkit_LIBRARY_DIR})
endif()
find_path(NCCL_INCLUDE_DIR nccl.h HINTS ${nccl_roots} ${nccl_includes} PATH_SUFFIXES include ${nccl_only})
get_filename_component(nccl_beside "${NCCL_INCLUDE_DIR}" DIRECTORY) # the library that the header is of
find_library(NCCL_LIBRARY NAMES nccl libnccl.so.2 NAMES_PER_DIR HINTS ${nccl_beside} ${nccl_roots} ${nccl_libraries}
             PATH_SUFFIXES lib lib64 ${nccl_only})
mark_as_advanced(NCCL_INCLUDE_DIR NCCL_LIBRARY)

set(NCCL_NOT_FOUND_MESSAGE
    "NCCL 2 was not found: install libnccl-dev or the wheel nvidia-nccl-cu13, or set NCCL_ROOT")
if(NCCL_ROOT)
  set(NCCL_NOT_FOUND_MESSAGE "NCCL_ROOT is ${NCCL_ROOT}, which has no include/nccl.h or no lib/libnccl.so")
elseif(NCCL_INCLUDE_DIR AND NOT NCCL_LIBRARY)
  set(NCCL_NOT_FOUND_MESSAGE "${NCCL_INCLUDE_DIR}/nccl.h is without libnccl.so: install libnccl-dev or the wheel "
                             "nvidia-nccl-cu13, or set NCCL_ROOT")
  list(JOIN NCCL_NOT_FOUND_MESSAGE "" NCCL_NOT_FOUND_MESSAGE)
endif()
if(NCCL_INCLUDE_DIR)
  file(READ ${NCCL_INCLUDE_DIR}/nccl.h nccl_header)
  foreach(part MAJOR MINOR PATCH)
    string(REGEX MATCH "define NCCL_${part} +([0-9]+)" nccl_match "${nccl_header}")
    list(APPEND nccl_parts ${CMAKE_MATCH_1})
  endforeach()
  list(JOIN nccl_parts "." NCCL_VERSION)
  unset(nccl_parts)
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(NCCL REQUIRED_VARS NCCL_LIBRARY NCCL_INCLUDE_DIR VERSION_VAR NCCL_VERSION
                                  REASON_FAILURE_MESSAGE "${NCCL_NOT_FOUND_MESSAGE}")
