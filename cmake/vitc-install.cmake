# cmake --install: the program, the library, its headers; found by pkg-config and by find_package(vitc).
include(CMakePackageConfigHelpers)
install(TARGETS vitc)
install(TARGETS vitc_lib EXPORT vitc-targets)
install(DIRECTORY include/vitc DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT vitc-targets NAMESPACE vitc:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/vitc)
configure_package_config_file(cmake/vitc-config.cmake.in ${PROJECT_BINARY_DIR}/vitc-config.cmake
                              INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/vitc)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/vitc-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/vitc-config.cmake ${PROJECT_BINARY_DIR}/vitc-config-version.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/vitc)
# The prefix is told from where the file lies, so that an installed tree can be moved.
file(RELATIVE_PATH VITC_PREFIX_FROM_PC /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
set(VITC_PC_CUDA "")
if(VITC_HAS_CUDA)
  set(VITC_PC_CUDA "-L${CUDAToolkit_LIBRARY_DIR} -lcudart -lcublasLt ")
endif()
set(VITC_PC_IMAGES "")
if(VITC_HAS_IMAGES)
  set(VITC_PC_IMAGES "-lpng -ljpeg -lz ")
endif()
configure_file(cmake/vitc.pc.in ${PROJECT_BINARY_DIR}/vitc.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/vitc.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
