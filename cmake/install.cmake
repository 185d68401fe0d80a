# SPDX-License-Identifier: Apache-2.0
# Everything that `cmake --install` and `cpack` install.
include(CMakePackageConfigHelpers)

set(config_dir "${CMAKE_INSTALL_LIBDIR}/cmake/tern")
install(TARGETS tern EXPORT tern)
install(EXPORT tern NAMESPACE tern:: FILE ternTargets.cmake DESTINATION "${config_dir}")
configure_package_config_file(cmake/ternConfig.cmake.in "${PROJECT_BINARY_DIR}/ternConfig.cmake"
                              INSTALL_DESTINATION "${config_dir}")
write_basic_package_version_file("${PROJECT_BINARY_DIR}/ternConfigVersion.cmake"
                                 COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/ternConfig.cmake"
              "${PROJECT_BINARY_DIR}/ternConfigVersion.cmake" cmake/FindDNNL.cmake
        DESTINATION "${config_dir}")

# The public headers lie directly in these folders; the folders below are private.
install(FILES tern.h DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/tern")
foreach(folder IN LISTS folders)
  file(GLOB headers CONFIGURE_DEPENDS ${folder}/*.h)
  install(FILES ${headers} DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/tern/${folder}")
endforeach()

if(TARGET tern_mpi)
  install(TARGETS tern_mpi EXPORT tern_mpi COMPONENT mpi)
  install(EXPORT tern_mpi NAMESPACE tern:: FILE ternMpiTargets.cmake DESTINATION "${config_dir}"
          COMPONENT mpi)
  install(FILES mpi/session.h DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/tern/mpi" COMPONENT mpi)
endif()

# pkg-config. A static library cannot name its dependencies, so its users link all of them.
set(tern_private_libs -lspdlog -lfmt -lz -ldnnl)
list(TRANSFORM OpenMP_CXX_LIB_NAMES PREPEND -l OUTPUT_VARIABLE openmp_libs)
list(JOIN tern_private_libs " " tern_private_libs)
list(JOIN openmp_libs " " openmp_libs)
if(tern_type STREQUAL STATIC_LIBRARY)
  set(tern_libs "-ltern ${tern_private_libs} ${openmp_libs}")
else()
  set(tern_libs "-ltern")
endif()
file(RELATIVE_PATH pc_to_prefix "${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig" "${CMAKE_INSTALL_PREFIX}")
configure_file(cmake/tern.pc.in "${PROJECT_BINARY_DIR}/tern.pc" @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/tern.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
install(FILES LICENSE DESTINATION "${CMAKE_INSTALL_DOCDIR}")

if(NOT PROJECT_IS_TOP_LEVEL)
  return()
endif()

# `cpack -G DEB` packages the same files. Configure with CMAKE_INSTALL_PREFIX=/usr, which puts the
# library into Debian's own directory (lib/x86_64-linux-gnu).
set(CPACK_PACKAGE_NAME libtern-dev)
set(CPACK_PACKAGE_CONTACT "The Tern authors <tern@localhost>")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES OFF)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION libdevel)
# No compiler, as in every -dev package: it is the user's choice. A static library can be linked only
# on the Debian release that it was built on, which oneDNN's major version identifies.
if(tern_type STREQUAL STATIC_LIBRARY)
  string(REGEX MATCH "^[0-9]+" dnnl_major "${DNNL_VERSION}")
  math(EXPR dnnl_next "${dnnl_major} + 1")
  set(CPACK_DEBIAN_PACKAGE_DEPENDS
      "libdnnl-dev (>= ${dnnl_major}), libdnnl-dev (<< ${dnnl_next}~), libspdlog-dev, zlib1g-dev")
else()
  # Needs dpkg-dev and file; without dpkg-dev, cpack silently omits the dependencies.
  set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
endif()
# tern::mpi is a package of its own, for the MPI that it was built with.
if(TARGET tern_mpi)
  set(CPACK_DEB_COMPONENT_INSTALL ON)
  set(CPACK_DEBIAN_UNSPECIFIED_PACKAGE_NAME libtern-dev)
  set(CPACK_DEBIAN_MPI_PACKAGE_NAME libtern-mpi-dev)
  set(mpi_package libmpich-dev)
  if(MPI_CXX_LIBRARY_VERSION_STRING MATCHES "Open MPI" OR MPI_CXX_LIBRARIES MATCHES "openmpi")
    set(mpi_package libopenmpi-dev)
  endif()
  set(CPACK_DEBIAN_MPI_PACKAGE_DEPENDS "libtern-dev (= ${PROJECT_VERSION}), ${mpi_package}")
endif()
include(CPack)
