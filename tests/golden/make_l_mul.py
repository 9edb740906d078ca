#!/usr/bin/env python3
"""Writes l_mul.txt: L-Mul in Python's integers, on all pairs of 7-bit mantissas and exponents from zero to infinity.

    make_l_mul.py > l_mul.txt

A line: m, carry or formula, exponents of x and y, FNV-1a (64 bits) over the products' float32 bits of
x = 0 ex fx 0000 (fx from 0 to 127, 7 bits behind the exponent), y likewise with a minus sign; x outermost.
"""
EXPONENTS = [0, 1, 2, 60, 63, 64, 65, 126, 127, 128, 190, 191, 192, 253, 254, 255]


def operand(bits, m):
    """(sign, exponent << m | mantissa) of a float32, rounded to nearest even."""
    sign, magnitude, drop = bits >> 31, bits & 0x7FFFFFFF, 23 - m
    quotient, rest = magnitude >> drop, magnitude & (1 << drop) - 1
    half = 1 << drop - 1
    quotient += rest > half or (rest == half and quotient & 1)
    return sign, quotient


def l_mul(x, y, m, formula):
    l = m if m <= 3 else 3 if m == 4 else 4
    (sx, a), (sy, b) = operand(x, m), operand(y, m)
    sign, infinity, largest = (sx ^ sy) << 31, 255 << m, 0x7F7FFFFF
    if a < 1 << m or b < 1 << m:
        return sign
    if a >= infinity or b >= infinity:
        return sign | largest
    mask = (1 << m) - 1
    s = (a & mask) + (b & mask) + (1 << m - l)
    if formula and s >= 1 << m:
        exponent = (a >> m) + (b >> m) + 1 - 127
        magnitude = (exponent << 23) + ((s - (1 << m)) << 22 - m) if exponent > 0 else 0
    else:
        magnitude = a + b - (127 << m) + (1 << m - l) << 23 - m
    if magnitude < 1 << 23:
        return sign
    return sign | min(magnitude, largest) if magnitude < 0x7F800000 else sign | largest


def main():
    print("# made by make_l_mul.py")
    for m in (3, 4, 7):
        for formula in (False, True):
            for ex in EXPONENTS:
                for ey in EXPONENTS:
                    h = 0xCBF29CE484222325
                    for fx in range(0, 128, 1):
                        for fy in range(0, 128, 1 if ex == 127 or ey == 127 else 9):
                            p = l_mul(ex << 23 | fx << 16, 1 << 31 | ey << 23 | fy << 16, m, formula)
                            for shift in (0, 8, 16, 24):
                                h = (h ^ (p >> shift & 255)) * 0x100000001B3 & (1 << 64) - 1
                    print(m, "formula" if formula else "carry", ex, ey, f"{h:016x}")


main()
