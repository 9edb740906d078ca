#!/usr/bin/env bash
# A source compiled for AVX2 or AVX-512 may not define inline functions that the linker could pick for the rest of the
# program, which runs on processors without those instructions. Such functions are weak symbols in the object.
# Usage: check_kernel_objects.sh BUILD_FOLDER
set -euo pipefail
offences=0
count=0
while IFS= read -r object; do
  count=$((count + 1))
  # DW.ref.*: pointers that exception tables share, no code.
  weak=$(nm --demangle --defined-only "$object" | grep -E '^[0-9a-f]+ [WVu] ' | grep -v ' V DW.ref.' || true)
  if [ -n "$weak" ]; then
    echo "$object defines:"
    echo "$weak"
    offences=$((offences + 1))
  fi
done < <(find "$1/CMakeFiles/bitkerf.dir" -name '*_avx2.cc.o' -o -name '*_avx512.cc.o')
echo "$count kernel objects, $offences of them unsafe to link"
[ "$offences" -eq 0 ]
