# What FindcuDNN and FindNCCL share: a library of NVIDIA's from a system package, beside the CUDA toolkit, or as its pip
# wheel lays it out, .../site-packages/nvidia/WHEEL/{include,lib}; a folder named by ROOT, a variable or the
# environment's, is the only one looked into. The library is looked for beside the header first: the version told is
# then that of what is linked.
#
#   vitc_find_nvidia(NAME ROOT variable HEADER file LIBRARY names WHEEL folder VERSION macros PACKAGES what to install)
#
# sets NAME_INCLUDE_DIR and NAME_LIBRARY in the cache, NAME_VERSION and NAME_NOT_FOUND_MESSAGE for the caller.
include_guard()

function(vitc_find_nvidia name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "ROOT;HEADER;WHEEL;PACKAGES" "LIBRARY;VERSION")
  set(root "${${arg_ROOT}}")
  if(NOT root)
    set(root "$ENV{${arg_ROOT}}")
  endif()
  if(root)
    set(folders ${root})
    set(only NO_DEFAULT_PATH)
  else()
    file(GLOB wheels "$ENV{VIRTUAL_ENV}/lib/python3*/site-packages/nvidia/${arg_WHEEL}"
         "/usr/lib/python3/dist-packages/nvidia/${arg_WHEEL}" "/usr/local/lib/python3*/*-packages/nvidia/${arg_WHEEL}")
    set(folders ${CUDAToolkit_LIBRARY_ROOT} ${CUDAToolkit_TARGET_DIR} ${wheels})
    set(includes ${CUDAToolkit_INCLUDE_DIRS})
    set(libraries ${CUDAToolkit_LIBRARY_DIR})
  endif()
  find_path(${name}_INCLUDE_DIR ${arg_HEADER} HINTS ${folders} ${includes} PATH_SUFFIXES include ${only})
  get_filename_component(beside "${${name}_INCLUDE_DIR}" DIRECTORY)
  find_library(${name}_LIBRARY NAMES ${arg_LIBRARY} NAMES_PER_DIR HINTS ${beside} ${folders} ${libraries}
               PATH_SUFFIXES lib lib64 lib/${CMAKE_LIBRARY_ARCHITECTURE} ${only})
  mark_as_advanced(${name}_INCLUDE_DIR ${name}_LIBRARY)

  list(GET arg_LIBRARY 0 short)
  set(message "${name} was not found: install ${arg_PACKAGES}, or set ${arg_ROOT}")
  if(root)
    set(message "${arg_ROOT} is ${root}, which has no include/${arg_HEADER} or no lib/lib${short}.so")
  elseif(${name}_INCLUDE_DIR AND NOT ${name}_LIBRARY)
    set(message "${${name}_INCLUDE_DIR}/${arg_HEADER} is without lib${short}.so: ${message}")
  endif()
  set(${name}_NOT_FOUND_MESSAGE "${message}" PARENT_SCOPE)
  if(${name}_INCLUDE_DIR)
    file(READ ${${name}_INCLUDE_DIR}/${arg_HEADER} header)
    set(parts "")
    foreach(macro ${arg_VERSION})
      string(REGEX MATCH "define ${macro} +([0-9]+)" match "${header}")
      list(APPEND parts ${CMAKE_MATCH_1})
    endforeach()
    list(JOIN parts "." version)
    set(${name}_VERSION ${version} PARENT_SCOPE)
  endif()
endfunction()
