# One program per src/**/*_bench.cc, named after the file: build/release/attention_bench times one part of the library
# against this machine's limits. Configure with -DBITKERF_BENCH=ON.
foreach(source ${BITKERF_BENCH_SOURCES})
  get_filename_component(name ${source} NAME_WE)
  add_executable(${name} ${source})
  target_link_libraries(${name} PRIVATE bitkerf)
endforeach()
