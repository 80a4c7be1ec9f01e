# The CUDA backend: -DVITC_CUDA=AUTO builds it where a toolkit of at least 12.4 is found, ON insists, OFF does without.
set(VITC_CUDA AUTO CACHE STRING "the CUDA backend: AUTO, ON or OFF")
set(VITC_CUDA_ARCHITECTURES "" CACHE STRING
    "such as 80;90a; empty: the cards of this machine, else all that the compiler knows")
set(VITC_HAS_CUDA OFF)

function(vitc_without_cuda reason)
  if(VITC_CUDA STREQUAL "ON")
    message(FATAL_ERROR "VITC_CUDA=ON: ${reason}")
  endif()
  message(STATUS "CUDA backend: left out: ${reason}")
endfunction()

# nvcc as CUDACXX says, on PATH, in /usr/local/cuda, or as the pip wheels of CUDA 13 lay it out:
# .../site-packages/nvidia/cu13/bin.
function(vitc_find_nvcc)
  file(GLOB wheels "$ENV{VIRTUAL_ENV}/lib/python3*/site-packages/nvidia/*/bin"
       "/usr/lib/python3/dist-packages/nvidia/*/bin" "/usr/local/lib/python3*/*-packages/nvidia/*/bin")
  if(NOT "$ENV{CUDACXX}" STREQUAL "")
    find_program(VITC_NVCC NAMES $ENV{CUDACXX})
    set(VITC_NO_NVCC "CUDACXX is $ENV{CUDACXX}, which is no program" PARENT_SCOPE)
    return()
  endif()
  set(VITC_NO_NVCC "nvcc was not found; put it on PATH or set CUDACXX" PARENT_SCOPE)
  find_program(VITC_NVCC nvcc HINTS $ENV{CUDA_HOME}/bin $ENV{CUDA_PATH}/bin PATHS /usr/local/cuda/bin ${wheels})
  mark_as_advanced(VITC_NVCC)
endfunction()

# The wheels' libraries lie in lib, where nvcc looks into lib64, and have no name without a version, by which CMake
# looks. Sets VITC_WHEEL_LIBRARIES, that folder; empty: nvcc is of no wheel.
function(vitc_find_wheel_libraries)
  get_filename_component(bin ${VITC_NVCC} DIRECTORY)
  get_filename_component(root ${bin} DIRECTORY)
  file(GLOB runtime ${root}/lib/libcudart.so.[0-9][0-9])
  file(GLOB cublas ${root}/lib/libcublasLt.so.[0-9][0-9])
  set(VITC_WHEEL_LIBRARIES "" PARENT_SCOPE)
  if(runtime AND NOT EXISTS ${root}/lib64)
    set(VITC_WHEEL_LIBRARIES ${root}/lib PARENT_SCOPE)
    set(CUDA_CUDART ${runtime} CACHE FILEPATH "of the wheels") # by these names FindCUDAToolkit keeps what it found
    set(CUDA_cudart_LIBRARY ${runtime} CACHE FILEPATH "of the wheels")
    if(cublas)
      set(CUDA_cublasLt_LIBRARY ${cublas} CACHE FILEPATH "of the wheels")
    endif()
    mark_as_advanced(CUDA_CUDART CUDA_cudart_LIBRARY CUDA_cublasLt_LIBRARY)
  endif()
endfunction()

# CMake links a program to learn what the compiler is. The folder is for that alone: taken for one where programs look
# by themselves, it would be left out of their run path.
macro(vitc_enable_cuda)
  vitc_find_wheel_libraries()
  set(vitc_library_path "$ENV{LIBRARY_PATH}")
  if(VITC_WHEEL_LIBRARIES)
    set(ENV{LIBRARY_PATH} "${VITC_WHEEL_LIBRARIES}:${vitc_library_path}")
  endif()
  enable_language(CUDA)
  list(REMOVE_ITEM CMAKE_CUDA_IMPLICIT_LINK_DIRECTORIES "${VITC_WHEEL_LIBRARIES}")
  set(ENV{LIBRARY_PATH} "${vitc_library_path}")
  set(CMAKE_CUDA_RUNTIME_LIBRARY None) # CUDA::cudart is linked by name; not a second, static one
endmacro()

# The newest architectures that this nvcc compiles for, among those vitc has kernels for.
function(vitc_architectures result)
  execute_process(COMMAND ${CMAKE_CUDA_COMPILER} --list-gpu-arch OUTPUT_VARIABLE known ERROR_QUIET)
  set(found "")
  foreach(arch 80 86 89 90a 100 120)
    if(known MATCHES "compute_${arch}")
      list(APPEND found ${arch})
    elseif(arch STREQUAL "90a" AND known MATCHES "compute_90")
      list(APPEND found 90a)
    endif()
  endforeach()
  execute_process(COMMAND nvidia-smi --query-gpu=compute_cap --format=csv,noheader RESULT_VARIABLE failed
                  OUTPUT_VARIABLE cards ERROR_QUIET)
  if(failed EQUAL 0 AND cards MATCHES "[0-9]")
    string(REGEX MATCHALL "[0-9]+\\.[0-9]+" cards "${cards}")
    string(REPLACE "." "" cards "${cards}")
    string(REPLACE "90" "90a" cards "${cards}")
    list(REMOVE_DUPLICATES cards)
    set(found ${cards})
  endif()
  set(${result} ${found} PARENT_SCOPE)
endfunction()

macro(vitc_cuda_backend) # sets VITC_HAS_CUDA; a macro, since it enables a language
  if(NOT VITC_CUDA STREQUAL "OFF")
    vitc_find_nvcc()
    if(NOT VITC_NVCC)
      vitc_without_cuda("${VITC_NO_NVCC}")
    else()
      set(CMAKE_CUDA_COMPILER ${VITC_NVCC})
      set(CMAKE_CUDA_ARCHITECTURES OFF) # given below, target by target
      vitc_enable_cuda()
      find_package(CUDAToolkit 12.4)
      if(NOT CUDAToolkit_FOUND)
        vitc_without_cuda("${VITC_NVCC} is older than 12.4 or its libraries are missing")
      elseif(NOT TARGET CUDA::cublasLt)
        vitc_without_cuda("cublasLt was not found beside ${VITC_NVCC} (Debian: libcublas-dev; pip: nvidia-cublas)")
      else()
        set(VITC_HAS_CUDA ON)
      endif()
    endif()
  endif()
endmacro()

# What files of kernels are compiled with: architectures, C++17, the include path of tree and toolkit.
function(vitc_cuda_flags target)
  foreach(arch ${VITC_CUDA_CHOSEN})
    target_compile_options(${target} PRIVATE
                           "$<$<COMPILE_LANGUAGE:CUDA>:SHELL:-gencode=arch=compute_${arch},code=sm_${arch}>")
  endforeach()
  set_target_properties(${target} PROPERTIES CUDA_STANDARD 17 CUDA_STANDARD_REQUIRED ON POSITION_INDEPENDENT_CODE ON)
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/csrc
                             ${PROJECT_SOURCE_DIR}/kernels ${CUDAToolkit_INCLUDE_DIRS})
  target_compile_options(${target} PRIVATE # C-like C++: nothing of the C++ runtime is linked
                         "$<$<COMPILE_LANGUAGE:CUDA>:SHELL:-Xcompiler=-fno-exceptions,-fno-rtti,-ffp-contract=off>")
  if(VITC_WERROR)
    target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CUDA>:--Werror=all-warnings>)
  endif()
endfunction()

# Nothing calls NCCL yet, so nothing is linked to it: whoever wants more than one GPU learns here what there is.
function(vitc_tell_nccl)
  find_package(NCCL 2 QUIET)
  if(NCCL_FOUND)
    message(STATUS "NCCL: ${NCCL_VERSION}, ${NCCL_LIBRARY}; nothing calls it yet: training is on one GPU")
  else()
    message(STATUS "NCCL: left out: ${NCCL_NOT_FOUND_MESSAGE}")
  endif()
endfunction()

# vitc_cuda: the kernels and the backend, as objects. Sets VITC_CUDA_CHOSEN, the architectures.
# cuDNN, which vitc bench attention loads, where its headers are.
function(vitc_cuda_objects result)
  file(GLOB kernels CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/kernels/*.cu)
  find_package(cuDNN 9 QUIET)
  if(cuDNN_FOUND)
    message(STATUS "cuDNN, for vitc bench attention: ${cuDNN_VERSION}, ${cuDNN_LIBRARY}")
  else()
    message(STATUS "cuDNN, for vitc bench attention: left out: ${cuDNN_NOT_FOUND_MESSAGE}")
    list(FILTER kernels EXCLUDE REGEX "/attention_cudnn\\.cu$")
  endif()
  vitc_tell_nccl()
  add_library(vitc_cuda OBJECT ${kernels} ${PROJECT_SOURCE_DIR}/kernels/backends.c)
  set(VITC_CUDA_CHOSEN ${VITC_CUDA_ARCHITECTURES})
  if(NOT VITC_CUDA_CHOSEN)
    vitc_architectures(VITC_CUDA_CHOSEN)
  endif()
  list(TRANSFORM VITC_CUDA_CHOSEN REPLACE "^90$" "90a") # without the a, the kernels that sm_90 is given would trap
  message(STATUS "CUDA backend: ${CMAKE_CUDA_COMPILER_ID} ${CMAKE_CUDA_COMPILER_VERSION}, "
                 "architectures ${VITC_CUDA_CHOSEN}")
  vitc_cuda_flags(vitc_cuda)
  if(cuDNN_FOUND)
    target_include_directories(vitc_cuda PRIVATE ${cuDNN_INCLUDE_DIR})
    target_compile_definitions(vitc_cuda PRIVATE VT_HAS_CUDNN VT_CUDNN_LIBRARY="${cuDNN_LIBRARY}")
  endif()
  set(VITC_CUDA_CHOSEN ${VITC_CUDA_CHOSEN} PARENT_SCOPE)
  set(${result} $<TARGET_OBJECTS:vitc_cuda> PARENT_SCOPE)
endfunction()
