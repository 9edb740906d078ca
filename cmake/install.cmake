# What `cmake --install` puts where: the library with headers and its CMake and pkg-config descriptions, the program,
# its manual page and completions (made by the program itself from its table of options).
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

install(TARGETS bitkerf EXPORT bitkerf ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY src/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/bitkerf FILES_MATCHING PATTERN "*.h")

set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/bitkerf)
install(EXPORT bitkerf NAMESPACE bitkerf:: DESTINATION ${package_folder})
configure_package_config_file(cmake/bitkerfConfig.cmake.in bitkerfConfig.cmake INSTALL_DESTINATION ${package_folder})
write_basic_package_version_file(bitkerfConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/bitkerfConfig.cmake ${CMAKE_CURRENT_BINARY_DIR}/bitkerfConfigVersion.cmake
        DESTINATION ${package_folder})

# The prefix is that of the description's own place, so that an installed tree may be moved.
file(RELATIVE_PATH BITKERF_PREFIX_FROM_PC ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
configure_file(cmake/bitkerf.pc.in bitkerf.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/bitkerf.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

if(TARGET bitkerf_cli)
  install(TARGETS bitkerf_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  # made_by_program(FILE FOLDER ARGUMENTS...)
  function(made_by_program file folder)
    add_custom_command(OUTPUT ${file} COMMAND bitkerf_cli ${ARGN} > ${file} DEPENDS bitkerf_cli VERBATIM)
    set_property(GLOBAL APPEND PROPERTY BITKERF_MADE ${file})
    install(FILES ${CMAKE_CURRENT_BINARY_DIR}/${file} DESTINATION ${folder})
  endfunction()
  made_by_program(bitkerf.1 ${CMAKE_INSTALL_MANDIR}/man1 help --man)
  made_by_program(bitkerf.bash ${CMAKE_INSTALL_DATADIR}/bash-completion/completions help --completion bash)
  made_by_program(_bitkerf ${CMAKE_INSTALL_DATADIR}/zsh/site-functions help --completion zsh)
  made_by_program(bitkerf.fish ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d help --completion fish)
  get_property(made GLOBAL PROPERTY BITKERF_MADE)
  add_custom_target(bitkerf_manual ALL DEPENDS ${made})
endif()
