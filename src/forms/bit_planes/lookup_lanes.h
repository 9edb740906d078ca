// What the lookup consumer asks of an instruction set besides lanes_*.h: struct Lookup of lookup_lanes_*.h.
//
//   sums(q, offset, low, high)        entry n of 16, low and high byte: offset + sum of the q[i], i < 4, whose bit of n is set
//   add(words, tables, low, high)     looks up both nibbles of the 64 bytes of 16 rows; adds each row's low bytes to its
//                                     lane of `low`, and the high bytes to the bytes of `high`
//   add_bytes(sum, bytes)             adds the four unsigned bytes of each lane
#pragma once
