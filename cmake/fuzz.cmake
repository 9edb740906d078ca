# One libFuzzer program per src/**/*_fuzz.cc, named after the file. Configure with the preset `fuzz` (clang).
# The corpus of x_fuzz lies in tests/fuzz/x/.
foreach(source ${BITKERF_FUZZ_SOURCES})
  get_filename_component(name ${source} NAME_WE)
  add_executable(${name} ${source})
  target_link_libraries(${name} PRIVATE bitkerf)
  target_compile_options(${name} PRIVATE -fsanitize=fuzzer)
  target_link_options(${name} PRIVATE -fsanitize=fuzzer)
endforeach()
