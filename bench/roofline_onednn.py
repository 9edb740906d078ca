#!/usr/bin/env python3
"""Does the machine probe alone predict somebody else's products? 20 of oneDNN's, int8 and float32, beside the roofline
max(operations / rate, bytes / bandwidth of the level that holds them) + a join.

    bench/roofline_onednn.py LIBRARY_FOLDER [--bitkerf build/release/bitkerf] [--threads 1] [--shapes 1x4096x11008,4x4096x11008]

LIBRARY_FOLDER holds libdnnl.so.3 (PyPI: onednn-devel, in the virtual environment's lib/). Needs numpy. Exit code 1 when the
median error is above 25 %.
"""
import argparse
import ctypes
import json
import os
import statistics
import subprocess
import sys
import time

SHAPES = [(1024, 1024, 1024), (256, 2048, 2048), (512, 4096, 1024), (128, 4096, 4096), (64, 2048, 2048), (768, 768, 3072),
          (512, 1536, 576), (1, 4096, 4096), (1, 2048, 8192), (2048, 2048, 512)]  # M, N, K


def libraries(folder):
    if folder not in os.environ.get("LD_LIBRARY_PATH", ""):  # its own dependencies are found by the loader only
        os.environ["LD_LIBRARY_PATH"] = folder
        os.execv(sys.executable, [sys.executable, *sys.argv])
    return ctypes.CDLL(f"{folder}/libdnnl.so.3")


def products(library, shapes):
    import numpy
    pointer, integer, character = ctypes.c_void_p, ctypes.c_int64, ctypes.c_char
    library.dnnl_sgemm.argtypes = [character] * 2 + [integer] * 3 + [ctypes.c_float, pointer, integer, pointer, integer,
                                                                     ctypes.c_float, pointer, integer]
    library.dnnl_gemm_u8s8s32.argtypes = ([character] * 3 + [integer] * 3 + [ctypes.c_float, pointer, integer, ctypes.c_uint8, pointer,
                                          integer, ctypes.c_int8, ctypes.c_float, pointer, integer, pointer])
    for kind in ("int8", "f32"):
        for m, n, k in shapes:
            a = numpy.ones((m, k), numpy.uint8 if kind == "int8" else numpy.float32)
            b = numpy.ones((k, n), numpy.int8 if kind == "int8" else numpy.float32)
            c = numpy.zeros((m, n), numpy.int32 if kind == "int8" else numpy.float32)
            zero = numpy.zeros(1, numpy.int32)
            at = [v.ctypes.data for v in (a, b, c, zero)]

            def run(kind=kind, m=m, n=n, k=k, at=at, keep=(a, b, c, zero)):
                if kind == "int8":
                    library.dnnl_gemm_u8s8s32(b"N", b"N", b"F", m, n, k, 1.0, at[0], k, 0, at[1], n, 0, 0.0, at[2], n, at[3])
                else:
                    library.dnnl_sgemm(b"N", b"N", m, n, k, 1.0, at[0], k, at[1], n, 0.0, at[2], n)

            run()
            assert c[0, 0] == k and c[-1, -1] == k
            yield kind, (m, n, k), a.nbytes + b.nbytes + c.nbytes, run


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--bitkerf", default="build/release/bitkerf")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--shapes", help="M x N x K, in place of the 10 shapes")
    options = parser.parse_args()
    shapes = [tuple(map(int, shape.split("x"))) for shape in options.shapes.split(",")] if options.shapes else SHAPES
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:options.threads])
    library = libraries(os.path.abspath(options.folder))
    probe = json.loads(subprocess.run([options.bitkerf, "doctor", "--probe", "--json", "-t", str(options.threads)],
                                      capture_output=True, text=True, check=True).stdout)
    value = {f["name"]: f["value"] for f in probe["figures"] if f["threads"] == options.threads}
    caches = [int(v) for v in probe["machine"].rsplit("caches ", 1)[1].split()]

    def bound(kind, shape, size):
        m, n, k = shape
        rate = value["rate.int8_dot" if kind == "int8" else "rate.f32_fma"]
        level = "read.l2" if size <= caches[1] * options.threads else "read.l3" if size <= caches[2] else "read.memory"
        return max(2 * m * n * k / rate, size / value[level]) + value.get("join", 0)

    cases = list(products(library, shapes))
    best = [9.0] * len(cases)
    for _ in range(15):  # interleaved
        for i, case in enumerate(cases):
            start = time.perf_counter()
            case[3]()
            best[i] = min(best[i], time.perf_counter() - start)
    errors = []
    print(f"{'kind':<5} {'M x N x K':<18} {'oneDNN us':>10} {'roofline us':>11} {'share':>6}")
    for (kind, shape, size, _), seconds in zip(cases, best):
        limit = bound(kind, shape, size)
        errors.append(abs(limit / seconds - 1))
        print(f"{kind:<5} {'x'.join(map(str, shape)):<18} {seconds * 1e6:>10.1f} {limit * 1e6:>11.1f} {limit / seconds:>6.2f}")
    print(f"median error {100 * statistics.median(errors):.1f} % ({options.threads} threads), wanted at most 25 %")
    return 0 if statistics.median(errors) <= 0.25 else 1


if __name__ == "__main__":
    sys.exit(main())
