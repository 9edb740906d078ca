#!/usr/bin/env python3
"""Writes number_formats.txt: elements, scales and blocks of number formats by other programs (torch, ml_dtypes, numpy).

    make_number_formats.py > number_formats.txt

  decode NAME BY: the value of every code, as float32 bits; "*" where the code stands for infinity or NaN.
  encode NAME BY: of all finite bfloat16 values, positive then negative, ascending bits: each value at which the code
      changes, and the code from there on; "*" where the peer overflows (our formats clip).
  e8m0 RULE: of all positive finite bfloat16 values: each at which the exponent's code changes, and the code.
  block NAME RULE: a (5, 80) matrix, see weights(): FNV-1a (64 bits) of the codes' bytes, row by row, and of the
      scales' float32 bits, then the tensor's scale.
  rows u8: per row of the absolute values of weights(): the row's float16 and FNV-1a of the codes of its multiples; then the
      same of weights() as they are, signed.
"""
import ml_dtypes
import numpy as np
import torch

# By which program; the splits that none of them knows are computed below from the definition, in double.
TORCH = {"e4m3": torch.float8_e4m3fn, "e5m2": torch.float8_e5m2}
ML_DTYPES = {"e3m4": ml_dtypes.float8_e3m4, "e3m2": ml_dtypes.float6_e3m2fn, "e2m3": ml_dtypes.float6_e2m3fn,
             "e2m1": ml_dtypes.float4_e2m1fn}
NUMPY = ["e2m5", "e3m3", "e4m2", "e2m4", "e4m1", "e2m2", "e3m1", "e1m2", "e3m0"]


def split(name):
    return int(name[1]), int(name[3])


def encode_numpy(name, x):
    """Codes of float64 x, clipped: e = max(floor(log2 |x|), 1 - bias), step = 2^(e - M)."""
    e_bits, m_bits = split(name)
    bias = 2 ** (e_bits - 1) - 1
    largest = (2 - 2.0 ** -m_bits) * 2.0 ** (2 ** e_bits - 1 - bias)
    magnitude = np.minimum(np.abs(x), largest)
    exponent = np.maximum(np.frexp(np.where(magnitude > 0, magnitude, 1e-300))[1] - 1, 1 - bias)
    scaled = np.ldexp(magnitude, m_bits - exponent)
    quotient = np.rint(scaled).astype(np.int64)  # ties to even
    code = quotient + ((exponent + bias - 1) << m_bits)  # a subnormal has no implied one, so its exponent counts as 0
    if m_bits == 0:  # powers of two have no digit that could be even: as IEEE conversions by integer addition, the code
        code -= (scaled == 1.5) & (code % 2 == 1)
    return code | np.signbit(x).astype(np.int64) << (e_bits + m_bits)


def decode_numpy(name, code):
    e_bits, m_bits = split(name)
    bias = 2 ** (e_bits - 1) - 1
    exponent, mantissa = code >> m_bits & (2 ** e_bits - 1), code & (2 ** m_bits - 1)
    value = np.where(exponent == 0, np.ldexp(mantissa.astype(float), 1 - bias - m_bits),
                     np.ldexp(mantissa + 2.0 ** m_bits, exponent - bias - m_bits))
    return np.where(code >> (e_bits + m_bits), -value, value).astype(np.float32)


def decode(name, codes):
    bytes_ = codes.astype(np.uint8)
    if name in TORCH:
        return torch.from_numpy(bytes_).view(TORCH[name]).float().numpy()
    if name in ML_DTYPES:
        return bytes_.view(ML_DTYPES[name]).astype(np.float32)
    return decode_numpy(name, codes)


def encode(name, x):
    """Codes of float32 x, and whether the peer's result is infinity or NaN."""
    if name in TORCH:
        codes = torch.from_numpy(x).to(TORCH[name]).view(torch.uint8).numpy().astype(np.int64)
    elif name in ML_DTYPES:
        with np.errstate(all="ignore"):
            codes = x.astype(ML_DTYPES[name]).view(np.uint8).astype(np.int64)
    else:
        return encode_numpy(name, x.astype(np.float64)), np.zeros(x.shape, bool)
    return codes, ~np.isfinite(decode(name, codes))


def bfloat16(first, last):
    bits = np.arange(first, last, dtype=np.uint32)
    return bits, (bits << 16).view(np.float32)


def changes(bits, values):
    return " ".join(f"{b:04x}:{v}" for i, (b, v) in enumerate(zip(bits, values)) if i == 0 or v != values[i - 1])


def elements():
    for name in [*TORCH, *ML_DTYPES, *NUMPY]:
        by = f"torch-{torch.__version__.split('+')[0]}" if name in TORCH else f"ml_dtypes-{ml_dtypes.__version__}" if name in ML_DTYPES else "numpy"
        codes = np.arange(2 ** (1 + sum(split(name))))
        values = decode(name, codes)
        print(f"decode {name} {by}", *(f"{v.view(np.uint32):08x}" if np.isfinite(v) else "*" for v in values))
        line = []
        for first, last in ((0, 0x7F80), (0x8000, 0xFF80)):
            bits, x = bfloat16(first, last)
            code, special = encode(name, x)
            line.append(changes(bits, ["*" if s else f"{c:02x}" for c, s in zip(code, special)]))
        print(f"encode {name} {by}", *line)


def e8m0(value, rule):
    """Code of a positive float: up: the smallest power of two not below; down: the largest not above."""
    fraction, exponent = np.frexp(value.astype(np.float64))
    floor = exponent - 1
    return np.clip(floor + (rule == "up") * (fraction != 0.5), -127, 127) + 127


def scales():
    assert float(np.uint8(254).view(ml_dtypes.float8_e8m0fnu)) == 2.0 ** 127 and float(np.uint8(0).view(ml_dtypes.float8_e8m0fnu)) == 2.0 ** -127
    bits, x = bfloat16(1, 0x7F80)
    print("e8m0 up", changes(bits, [f"{c:02x}" for c in e8m0(x, "up")]))


def weights():
    """(5, 80): splitmix64 of the index, its top 24 bits as a fraction in [-1, 1), cubed: tails. Rows of all sizes."""
    w = np.zeros((5, 80), np.float32)
    mask = (1 << 64) - 1
    for i in range(400):
        z = (i + 1) * 0x9E3779B97F4A7C15 & mask
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & mask
        z = (z ^ z >> 27) * 0x94D049BB133111EB & mask
        z ^= z >> 31
        f = np.float32((z >> 40) / 2.0 ** 23 - 1)
        w[i // 80, i % 80] = f * f * f
    w *= np.array([1, 2.0 ** -130, 2.0 ** 100, 3e-5, 700], np.float32)[:, None]  # subnormal scales and sums too
    w[3, :32] = 0
    return w


def fnv(data):
    h = 0xCBF29CE484222325
    for byte in data:
        h = (h ^ byte) * 0x100000001B3 & (1 << 64) - 1
    return f"{h:016x}"


GRIDS = {"mxfp8": "e4m3", "mxfp6": "e2m3", "mxfp4": "e2m1", "mxint8": 127, "mxint4": 7, "nvfp4": "e2m1", "nvint4": 7}


def blocks():
    with np.errstate(all="ignore"):
        for name, grid in GRIDS.items():
            nv = name.startswith("nv")
            top = np.float32(grid) if isinstance(grid, int) else np.float32({"e4m3": 448, "e2m3": 7.5, "e2m1": 6}[grid])
            for rule in ("up",) if nv else ("up", "down"):
                w = weights()
                if nv:
                    w = w[[0, 3]]  # one scale per tensor: what is far smaller would all be zero
                group = 16 if nv else 32
                tensor = np.float32(np.abs(w).max() / np.float32(top * np.float32(448))) if nv else np.float32(1)
                codes, all_scales = [], []
                for row in w:
                    for first in range(0, 80, group):
                        g = row[first:first + group]
                        largest = np.abs(g).max()
                        if nv:
                            s = decode("e4m3", encode("e4m3", np.float32([largest / top / tensor]))[0])[0]
                        elif largest == 0:
                            s = np.float32(2.0 ** -127)
                        elif rule == "up":
                            s = np.float32(2.0 ** (int(e8m0(np.float32([largest / top]), "up")[0]) - 127))
                        else:
                            e = np.frexp(np.float64(largest))[1] - 1 - (np.frexp(np.float64(top))[1] - 1)
                            s = np.float32(2.0 ** np.clip(e, -127, 127))
                        x = g / np.float32(s * tensor) if s > 0 else np.zeros_like(g)
                        if isinstance(grid, int):
                            code = np.clip(np.rint(x), -grid, grid).astype(np.int64) + grid
                        else:
                            code, _ = encode(grid, np.clip(x, -top, top))
                        codes.append(code)
                        all_scales.append(s)
                print(f"block {name} {rule}", fnv(np.concatenate(codes).astype(np.uint8).tobytes()),
                      fnv(np.array(all_scales, "<f4").tobytes()), f"{np.array(tensor, '<f4').view(np.uint32):08x}")


def float16_above(v):
    v = min(v, np.float32(65504))
    half = np.float16(v)
    return half if np.float32(half) >= v else np.nextafter(half, np.float16(np.inf))


def row_multiples():
    line = []
    with np.errstate(all="ignore"):
        for signed in (False, True):
            steps = np.float32(128 if signed else 256)
            for row in weights():
                row = row if signed else np.abs(row)
                unit = float16_above(np.float32(np.abs(row).max() / ((steps - 1) / steps)))
                code = np.minimum(np.rint(np.abs(row / np.float32(unit)) * steps), steps - 1)
                if not signed:
                    code = np.maximum(code, row > 0)
                code = (np.copysign(code, row) + 128 * signed).astype(np.uint8)
                line.append(f"{unit.view(np.uint16):04x}:{fnv(code.tobytes())}")
    print("rows u8", *line)


print("# made by make_number_formats.py")
elements()
scales()
blocks()
row_multiples()
