# Installation, and packages of it (`cpack --config build/CPackConfig.cmake`): gradc, the command with
# its pages and examples; libgradc, the library; libgradc-dev, what hosts are built with;
# python3-gradc, a module over the library.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

install(TARGETS gradc RUNTIME COMPONENT gradc)
install(TARGETS gradc_shared EXPORT gradc-config LIBRARY COMPONENT libgradc NAMELINK_COMPONENT libgradc-dev)
install(DIRECTORY include/gradc TYPE INCLUDE COMPONENT libgradc-dev)
install(EXPORT gradc-config NAMESPACE gradc:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/gradc
        COMPONENT libgradc-dev)
# 0.x: a minor version may change the API.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/gradc-config-version.cmake
                                 VERSION ${PROJECT_VERSION} COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/gradc-config-version.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/gradc COMPONENT libgradc-dev)
# Found wherever the installation is moved to.
file(RELATIVE_PATH GRADC_PC_TO_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
configure_file(cmake/gradc.pc.in gradc.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/gradc.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig
        COMPONENT libgradc-dev)
install(FILES README.md CHANGELOG.md TYPE DOC COMPONENT gradc)
install(DIRECTORY docs/ TYPE DOC COMPONENT gradc)
install(DIRECTORY examples TYPE DOC COMPONENT gradc)
# Debian's Python looks there below /usr; elsewhere it takes a PYTHONPATH.
install(DIRECTORY tools/python/gradc DESTINATION lib/python3/dist-packages COMPONENT python3-gradc
        FILES_MATCHING PATTERN "*.py")
foreach(package gradc libgradc libgradc-dev python3-gradc)
  install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DATAROOTDIR}/doc/${package} RENAME copyright
          COMPONENT ${package})
endforeach()

if(NOT CMAKE_CROSSCOMPILING AND NOT GRADC_SANITIZE)  # gradc prints its own pages and schema
  set(manual ${PROJECT_BINARY_DIR}/manual)
  add_custom_command(
    OUTPUT ${manual}/gradc/model.schema.json
    COMMAND ${CMAKE_COMMAND} -DGRADC=$<TARGET_FILE:gradc> -DOUT=${manual} -P
            ${PROJECT_SOURCE_DIR}/cmake/manual.cmake
    DEPENDS gradc cmake/manual.cmake
    COMMENT "Writing man pages, completions and the schema")
  add_custom_target(gradc_manual ALL DEPENDS ${manual}/gradc/model.schema.json)
  install(DIRECTORY ${manual}/man/ TYPE MAN COMPONENT gradc)
  install(DIRECTORY ${manual}/bash-completion ${manual}/zsh ${manual}/fish ${manual}/gradc TYPE DATA
          COMPONENT gradc)
endif()

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_CONTACT "the authors of gradc <gradc@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "compiler for training neural networks")
set(CPACK_COMPONENTS_ALL gradc libgradc libgradc-dev python3-gradc)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION devel)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_GRADC_PACKAGE_NAME gradc)
set(CPACK_DEBIAN_GRADC_PACKAGE_DEPENDS "libsndfile1")  # opened when recordings are read: no link says so
set(CPACK_DEBIAN_GRADC_PACKAGE_RECOMMENDS "gcc | clang")  # compile links with it
set(CPACK_DEBIAN_LIBGRADC_PACKAGE_NAME libgradc)
set(CPACK_DEBIAN_LIBGRADC-DEV_PACKAGE_NAME libgradc-dev)
set(CPACK_DEBIAN_LIBGRADC-DEV_PACKAGE_DEPENDS "libgradc (= ${PROJECT_VERSION})")
set(CPACK_COMPONENT_GRADC_DESCRIPTION "The gradc command: trains, compiles and inspects models given as JSON.")
set(CPACK_COMPONENT_LIBGRADC_DESCRIPTION "The library that C and C++ programs compile and train models with.")
set(CPACK_COMPONENT_LIBGRADC-DEV_DESCRIPTION "Headers, CMake package and pkg-config file of libgradc.")
set(CPACK_DEBIAN_PYTHON3-GRADC_PACKAGE_NAME python3-gradc)
set(CPACK_DEBIAN_PYTHON3-GRADC_PACKAGE_ARCHITECTURE all)
set(CPACK_DEBIAN_PYTHON3-GRADC_PACKAGE_DEPENDS
    "libgradc (= ${PROJECT_VERSION}), python3, python3-numpy")
set(CPACK_DEBIAN_PYTHON3-GRADC_PACKAGE_CONTROL_EXTRA ${PROJECT_SOURCE_DIR}/cmake/python3-gradc/prerm)
set(CPACK_COMPONENT_PYTHON3-GRADC_DESCRIPTION "A Python module over libgradc.")
include(CPack)
