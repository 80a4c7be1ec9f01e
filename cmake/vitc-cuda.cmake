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

# nvcc on PATH, in /usr/local/cuda, or as the pip wheels lay it out: .../site-packages/nvidia/{cuda_nvcc,cuNN}/bin.
function(vitc_find_nvcc)
  file(GLOB wheels "$ENV{VIRTUAL_ENV}/lib/python3*/site-packages/nvidia/*/bin"
       "/usr/lib/python3/dist-packages/nvidia/*/bin" "/usr/local/lib/python3*/*-packages/nvidia/*/bin")
  find_program(VITC_NVCC nvcc HINTS $ENV{CUDACXX} $ENV{CUDA_HOME}/bin $ENV{CUDA_PATH}/bin
               PATHS /usr/local/cuda/bin ${wheels})
  mark_as_advanced(VITC_NVCC)
endfunction()

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
      vitc_without_cuda("nvcc was not found; put it on PATH or set CUDACXX")
    else()
      set(CMAKE_CUDA_COMPILER ${VITC_NVCC})
      set(CMAKE_CUDA_ARCHITECTURES OFF) # given below, target by target
      enable_language(CUDA)
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
