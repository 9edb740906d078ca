// The thin vector layer of the integer kernels: sixteen 32-bit lanes, one per weight row, on every instruction set.
//
// Highway was weighed and left out here: Debian's version has no VNNI dot product, which is the point of these
// kernels, and a dozen operations is all that they need. Each of lanes_portable.h, lanes_avx2.h and lanes_avx512.h
// defines, in an anonymous namespace, `struct Lanes` with the same members, and all intrinsics of the folder lie in
// those three files. A kernels_*.inl file is included once per instruction set, after one of them.
//
//   F  16 floats        I  16 int32        B  64 bytes: four consecutive columns of 16 rows, row after row
//
// Same bits everywhere: integer operations are exact, and each float operation is one IEEE operation per lane
// (`fma` is fused on every path), so a kernel's results do not depend on the instruction set.
#pragma once
