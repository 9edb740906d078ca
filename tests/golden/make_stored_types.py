#!/usr/bin/env python3
"""Writes stored_types.txt: what the blocks of every stored type decode to, by other people's programs.

    make_stored_types.py path/to/libggml-base.so > stored_types.txt

A type's input is `blocks` blocks of bytes from splitmix64 seeded with its id. A line holds: name, id, weights per
block, bytes per block, blocks, FNV-1a (64 bits) over the outputs' 32-bit words, and the first words. Every infinity
and NaN counts as 0x7fc00000, as programs differ in NaN signs. The judge is gguf's quants.py (gguf of PyPI, 0.17 or
later); types it cannot decode are judged by llama.cpp's library, integers and F64 by numpy.
"""
import ctypes
import sys

import gguf
import numpy as np
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

BLOCKS = 64
MASK = (1 << 64) - 1
PLAIN = {"F32": "<f4", "F16": "<f2", "F64": "<f8", "I8": "i1", "I16": "<i2", "I32": "<i4", "I64": "<i8"}
LIBRARY = {"Q8_K": "dequantize_row_q8_K", "Q1_0": "dequantize_row_q1_0", "Q2_0": "dequantize_row_q2_0"}
NO_DECODER = {"Q8_1"}  # for activations only


def random_bytes(seed, count):
    state, out = seed, bytearray()
    while len(out) < count:
        state = (state + 0x9E3779B97F4A7C15) & MASK
        z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        out += (z ^ (z >> 31)).to_bytes(8, "little")
    return np.frombuffer(bytes(out[:count]), dtype=np.uint8)


def decode(name, block, data):
    if name in PLAIN:
        return data.view(PLAIN[name]).astype(np.float32)
    if name in LIBRARY:
        out = np.empty(BLOCKS * block, dtype=np.float32)
        function = getattr(library, LIBRARY[name])
        function(data.ctypes.data_as(ctypes.c_void_p), out.ctypes.data_as(ctypes.c_void_p), ctypes.c_int64(out.size))
        return out
    return gguf.dequantize(data.reshape(BLOCKS, -1), GGMLQuantizationType[name]).reshape(-1)


library = ctypes.CDLL(sys.argv[1])
np.seterr(all="ignore")
types = [(t.name, t.value, *GGML_QUANT_SIZES[t]) for t in GGMLQuantizationType if t.name not in NO_DECODER]
if "Q2_0" not in GGMLQuantizationType.__members__:
    types.append(("Q2_0", 42, 64, 18))
for name, number, block, size in types:
    words = decode(name, block, random_bytes(number, BLOCKS * size)).view(np.uint32).copy()
    words[(words & 0x7F800000) == 0x7F800000] = 0x7FC00000
    digest = 0xCBF29CE484222325
    for byte in words.tobytes():
        digest = ((digest ^ byte) * 0x100000001B3) & MASK
    print(name, number, block, size, BLOCKS, f"{digest:016x}", *(f"{w:08x}" for w in words[:4]))
