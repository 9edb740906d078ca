#!/usr/bin/env python3
"""All pairs of widths, weights of 1 to 8 bits by activations of 1 to 8 and 16, against numpy's int64 products.

Scales are powers of two and activations such that their encoding is exact, so every output is an integer times a power
of two and must be equal bit for bit, on every instruction set. (bipolar1, activations of one bit, has a scale of its own:
x = +-1 there, whose scale is the constant of the encoding, so outputs are compared after division by it.)
"""
import os
import pathlib
import subprocess
import sys

try:
    import numpy
except ImportError:
    print("skipped: numpy is not there")
    sys.exit(77)

BUILD = pathlib.Path(os.environ.get("BITKERF_BUILD", "build/release"))
KS = (1, 31, 63, 64, 65, 576, 1536, 4097)
ROWS, TOKENS = 37, 7


def weights(bits, kind, random, cols):
    levels = 1 << bits
    codes = random.integers(0, levels, (ROWS, cols))
    codes[::3] = random.integers(0, 2, (len(codes[::3]), cols)) * (levels - 1)  # extreme codes
    values = {"int": codes - levels // 2, "uint": codes, "bipolar": 2 * codes - levels + 1}[kind]
    return codes.astype(numpy.uint16), values.astype(numpy.int64)


def activations(bits, random, cols):
    if bits == 1:
        return random.choice([-1, 1], (TOKENS, cols)).astype(numpy.int64)
    top = 32639 if bits == 16 else (1 << bits - 1) - 1
    x = random.integers(-top, top + 1, (TOKENS, cols))
    x[:, ::32] = top  # each group has its largest code, so that its scale is 1
    x[0] = top * random.choice([-1, 1], cols)  # extreme codes
    return x.astype(numpy.int64)


def main():
    subprocess.run(["cmake", "--build", BUILD, "--target", "bitkerf_products"], check=True, stdout=subprocess.DEVNULL)
    random, compared, pairs = numpy.random.default_rng(1), 0, 0
    isas = [name for name in ("portable", "avx2", "avx512")
            if subprocess.run([BUILD / "bitkerf", "doctor", "--isa", name], capture_output=True).returncode == 0]
    for w_bits in range(1, 9):
        for a_bits in (1, 2, 3, 4, 5, 6, 7, 8, 16):
            pairs += 1
            for cols in KS:
                kind = ("int", "uint", "bipolar")[(w_bits + a_bits + cols) % 3]
                encoding = "bipolar1.row" if a_bits == 1 else f"int{a_bits}.g{(32, 64, 128)[cols % 3]}"
                codes, values = weights(w_bits, kind, random, cols)
                x = activations(a_bits, random, cols)
                minima = numpy.zeros((ROWS, -(-cols // 64)), numpy.float32)
                scales = numpy.ones((ROWS, -(-cols // 64)), numpy.float32)
                parts = [codes, scales] + ([minima] if kind == "uint" else []) + [x.astype(numpy.float32)]
                data = b"".join(numpy.ascontiguousarray(part).tobytes() for part in parts)
                want = x @ values.T
                for isa in isas:
                    run = subprocess.run([BUILD / "bitkerf_products", "bit_planes", f"{kind}{w_bits}.f32.g64", encoding, isa, str(ROWS), str(cols), str(TOKENS)],
                                         input=data, capture_output=True)
                    assert run.returncode == 0, (kind, w_bits, encoding, run.stderr)
                    for y in numpy.frombuffer(run.stdout, numpy.float32).reshape(-1, TOKENS, ROWS):
                        if a_bits == 1:
                            y = numpy.rint(y / numpy.float32(0.79788))  # error far below a half: sums are below 2^21
                            exact = numpy.abs(want) < 1 << 21
                        else:
                            # Sums of parts below 2^24 are exact as floats; beyond, a float has 24 bits.
                            exact = (numpy.abs(x) @ numpy.abs(values.T)) < 1 << 24
                        wrong = (y != want) & exact
                        assert not wrong.any(), (kind, w_bits, encoding, isa, cols, numpy.argwhere(wrong)[0], y[wrong][0], want[wrong][0])
                        assert (numpy.abs(y - want) <= numpy.abs(x) @ numpy.abs(values.T) * 1e-5 + 0.5 * (a_bits == 1)).all()
                        compared += int(exact.sum())
    print(f"{pairs} pairs of widths, {len(KS)} lengths, {len(isas)} instruction sets: {compared} outputs equal int64 products")


if __name__ == "__main__":
    main()
