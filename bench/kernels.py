#!/usr/bin/env python3
"""Our kernels beside library calls in the same run: oneDNN (int8), OpenBLAS (float32, through numpy), llama.cpp's dot
product of rows (4 and 8 bits). Each takes its turn in every round; the best counts, activations' encoding included.

    bench/kernels.py [--bitkerf build/release/bitkerf] [--onednn FOLDER] [--llama FOLDER] [--rounds 3] [--threads 1 2]

FOLDERs hold libdnnl.so.3 (PyPI: onednn-devel) and libggml-cpu.so; what is not there is left out. Needs numpy. A baseline
below half of its own roofline is marked "weak": being faster than that shows nothing, and the exit code is 1 unless
--weak says that this is known.
"""
import argparse
import ctypes
import glob
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

HOME = pathlib.Path.home()
SHAPES = [(4096, 4096), (2048, 8192)]
TOKENS = [1, 256, 512]
# What is set beside what: our format and encoding, the library.
ROWS = [("int8.g128", "int8.g128", "onednn"), ("int8.g32", "int8.g32", "onednn"), ("int4.g128", "int8.g128", "onednn"),
        ("int4.f32.g32", "f32", "openblas"), ("int4.g32", "int8.g32", "Q4_0"), ("int8.g32", "int8.g32", "Q8_0")]
GGML = {"Q4_0": (2, 18), "Q8_0": (8, 34)}  # type number, bytes of 32 weights


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bitkerf", default="build/release/bitkerf")
    parser.add_argument("--onednn", default=next(iter(glob.glob(f"{HOME}/.cache/peers/*/lib/libdnnl.so.3")), "").rpartition("/")[0])
    parser.add_argument("--llama", default=f"{HOME}/.cache/peers/llama.cpp/build/bin")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--shapes", nargs="+", default=[f"{n}x{k}" for n, k in SHAPES])
    parser.add_argument("--tokens", type=int, nargs="+", default=TOKENS)
    parser.add_argument("--weak", action="store_true")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def again_with_threads(count, folder):
    """Libraries read their number of threads and their folder when they are loaded."""
    want = {"OMP_NUM_THREADS": str(count), "OPENBLAS_NUM_THREADS": str(count), "LD_LIBRARY_PATH": folder}
    environment = {**os.environ, **want}
    return subprocess.run([sys.executable, *sys.argv, "--threads", str(count)], env={**environment, "BITKERF_BENCH_CHILD": "1"})


def onednn(folder, n, k, m):
    import numpy
    library = ctypes.CDLL(f"{folder}/libdnnl.so.3")
    pointer, integer, character = ctypes.c_void_p, ctypes.c_int64, ctypes.c_char
    call = library.dnnl_gemm_u8s8s32
    call.argtypes = [character] * 3 + [integer] * 3 + [ctypes.c_float, pointer, integer, ctypes.c_uint8, pointer, integer,
                                                        ctypes.c_int8, ctypes.c_float, pointer, integer, pointer]
    a, b = numpy.ones((m, k), numpy.uint8), numpy.ones((n, k), numpy.int8)
    c, zero = numpy.zeros((m, n), numpy.int32), numpy.zeros(1, numpy.int32)

    def run():
        call(b"N", b"T", b"F", m, n, k, 1.0, a.ctypes.data, k, 0, b.ctypes.data, k, 0, 0.0, c.ctypes.data, n, zero.ctypes.data)
    run()
    assert (c == k).all()
    return run, "int8", n * k


def openblas(n, k, m):
    import numpy
    a, b = numpy.ones((m, k), numpy.float32), numpy.ones((n, k), numpy.float32)
    c = numpy.zeros((m, n), numpy.float32)

    def run():
        numpy.matmul(a, b.T, out=c)
    run()
    assert (c == k).all()
    return run, "float", 4 * n * k


def vec_dot(folder, scratch, kind, n, k, m, threads):
    import numpy
    shim = pathlib.Path(scratch) / "vec_dot.so"
    if not shim.exists():
        subprocess.run(["cc", "-O3", "-fopenmp", "-shared", "-fPIC", "-o", shim, pathlib.Path(__file__).parent / "vec_dot.c"], check=True)
    ctypes.CDLL(f"{folder}/libggml-base.so", mode=ctypes.RTLD_GLOBAL)
    library = ctypes.CDLL(f"{folder}/libggml-cpu.so")
    library.ggml_cpu_init()

    class Traits(ctypes.Structure):
        _fields_ = [("from_float", ctypes.c_void_p), ("vec_dot", ctypes.c_void_p), ("vec_dot_type", ctypes.c_int), ("nrows", ctypes.c_int64)]
    library.ggml_get_type_traits_cpu.restype = ctypes.POINTER(Traits)
    number, block = GGML[kind]
    traits = library.ggml_get_type_traits_cpu(number).contents
    assert traits.vec_dot_type == 8, "activations are Q8_0"
    encode = ctypes.cast(library.ggml_get_type_traits_cpu(8).contents.from_float, ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64))
    encode_weights = ctypes.cast(traits.from_float, ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64))
    random = numpy.random.default_rng(1)
    w_float = random.standard_normal((n, k), numpy.float32)
    w, w_bytes, x_bytes = numpy.zeros((n, k // 32 * block), numpy.uint8), k // 32 * block, k // 32 * 34
    for r in range(n):
        encode_weights(w_float[r].ctypes.data, w[r].ctypes.data, k)
    x, encoded = random.standard_normal((m, k), numpy.float32), numpy.zeros((m, x_bytes), numpy.uint8)
    y = numpy.zeros((m, n), numpy.float32)
    product = ctypes.CDLL(str(shim)).product
    product.argtypes = [ctypes.c_void_p] * 2 + [ctypes.c_int64] * 3 + [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_void_p,
                                                                         ctypes.c_size_t, ctypes.c_void_p, ctypes.c_int]

    def run(keep=(w, x, encoded, y, encode)):
        product(traits.vec_dot, ctypes.cast(encode, ctypes.c_void_p), n, k, m, w.ctypes.data, w_bytes, x.ctypes.data, encoded.ctypes.data,
                x_bytes, y.ctypes.data, threads)
    run()
    error = numpy.abs(y - x @ w_float.T).mean() / numpy.abs(x @ w_float.T).mean()
    assert error < 0.2, error
    return run, "int8", n * w_bytes


def ours(options, format_name, act, shape, m, threads):
    command = [options.bitkerf, "bench", "--kernels", "--format", format_name, "--act", act, "--shape", shape, "--tokens", str(m), "-t", str(threads), "--json"]
    report = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    best = max(report["rows"], key=lambda row: row["gops"])
    return best["kernel"], best["gops"], report["machine"]


def measure(options, threads):
    rows, weak = [], 0
    with tempfile.TemporaryDirectory() as scratch:
        for shape in options.shapes:
            n, k = map(int, shape.split("x"))
            for m in options.tokens:
                libraries = {}
                for name in dict.fromkeys(row[2] for row in ROWS):
                    if name == "onednn" and options.onednn:
                        libraries[name] = onednn(options.onednn, n, k, m)
                    elif name == "openblas":
                        libraries[name] = openblas(n, k, m)
                    elif name in GGML and os.path.exists(f"{options.llama}/libggml-cpu.so"):
                        libraries[name] = vec_dot(options.llama, scratch, name, n, k, m, threads)
                cases = [row for row in ROWS if row[2] in libraries]
                best = {name: 1e9 for name in libraries}
                found = {row: ("", 0.0) for row in cases}
                peak = {"int8": 0.0, "float": 0.0, "read": 0.0}
                for _ in range(options.rounds):
                    for row in cases:
                        kernel, gops, machine = ours(options, row[0], row[1], shape, m, threads)
                        found[row] = max(found[row], (kernel, gops), key=lambda v: v[1])
                        peak = {"int8": max(peak["int8"], machine["int8_ops_per_second"]), "float": max(peak["float"], machine["float_ops_per_second"]),
                                "read": max(peak["read"], machine["read_bytes_per_second"])}
                        run = libraries[row[2]][0]
                        until = time.perf_counter() + 0.3
                        while True:
                            start = time.perf_counter()
                            run()
                            now = time.perf_counter()
                            best[row[2]] = min(best[row[2]], now - start)
                            if now > until:
                                break
                for row in cases:
                    _, kind, size = libraries[row[2]]
                    ops = 2 * n * k * m
                    limit = max(ops / peak[kind], size / peak["read"])
                    share = limit / best[row[2]]
                    library = ops / best[row[2]] / 1e9
                    weak += share < 0.5
                    rows.append({"format": row[0], "activation": row[1], "shape": shape, "tokens": m, "threads": threads, "kernel": found[row][0],
                                 "gops": found[row][1], "library": row[2], "library_gops": library, "library_share_of_roofline": share,
                                 "ratio": found[row][1] / library})
    return rows, weak


def main():
    options = arguments()
    if "BITKERF_BENCH_CHILD" not in os.environ:
        codes = [again_with_threads(count, options.onednn).returncode for count in options.threads]
        sys.exit(max(codes))
    threads = options.threads[-1]
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    rows, weak = measure(options, threads)
    if options.json:
        print(json.dumps({"rows": rows, "load": os.getloadavg()[0]}))
    else:
        print(f"{threads} threads; load average {os.getloadavg()[0]:.1f}")
        print(f"{'shape':<10} {'M':>4} {'ours':<34} {'Gop/s':>7}   {'library':<9} {'Gop/s':>7} {'roofline':>8} {'ratio':>6}")
        for r in rows:
            print(f"{r['shape']:<10} {r['tokens']:>4} {r['kernel'] + ' ' + r['format']:<34} {r['gops']:>7.0f}   {r['library']:<9} {r['library_gops']:>7.0f}"
                  f" {100 * r['library_share_of_roofline']:>6.0f} % {r['ratio']:>6.2f}{'   weak baseline' if r['library_share_of_roofline'] < 0.5 else ''}")
    if weak and not options.weak:
        print(f"error: {weak} of {len(rows)} baselines are below half of their roofline", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
