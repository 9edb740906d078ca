#!/usr/bin/env python3
"""STREAM through the library's layer beside plain C with OpenMP, on every instruction set and 1 to all threads.

    bench/stream.py [--build build/release] [--runs 20] [--threads 1,2]

Builds bench/stream_reference.c with the flags of the library's kernels and needs build/release/stream_bench (configure
with -DBITKERF_BENCH=ON). Both sides store through the cache, or both past it. Arrays are at least four times the last
cache; runs take turns. Exit code 1 when a median ratio is below 0.97.
"""
import argparse
import os
import pathlib
import subprocess
import sys
import tempfile

FLAGS = {  # as in CMakeLists.txt
    "portable": [],
    "avx2": ["-mavx2", "-mfma"],
    "avx512": ["-mavx2", "-mfma", "-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mprefer-vector-width=512"],
}
WANTED = 0.97


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--threads", default=",".join(str(t) for t in (1, os.cpu_count()) if t))
    options = parser.parse_args()
    source = pathlib.Path(__file__).parent / "stream_reference.c"
    worst = 9.0
    print(f"{'path':<9} {'threads':>7} {'stores':<14} {'loop':<6} {'layer GB/s':>10} {'C GB/s':>8} {'ratio':>6}")
    with tempfile.TemporaryDirectory() as folder:
        for isa, flags in FLAGS.items():
            for past in (0, 1):
                library = f"{folder}/{isa}{past}.so"
                # Without -fno-tree-loop-distribute-patterns the copy loop becomes memcpy, which stores past the cache.
                subprocess.run(["cc", "-O3", "-fno-tree-loop-distribute-patterns", "-ffp-contract=off", "-fopenmp", "-shared",
                                "-fPIC", *flags, *(["-DPAST_CACHE"] if past else []), str(source), "-o", library], check=True)
                for threads in sorted({int(t) for t in options.threads.split(",")}):
                    result = subprocess.run([f"{options.build}/stream_bench", isa, str(threads), str(options.runs), str(past), library],
                                            capture_output=True, text=True)
                    if result.returncode == 77:
                        print(f"{isa}: {result.stderr.strip()}")
                        continue
                    if result.returncode:
                        sys.exit(result.stderr)
                    for line in result.stdout.splitlines():
                        loop, ours, theirs, ratio = line.split()
                        worst = min(worst, float(ratio))
                        print(f"{isa:<9} {threads:>7} {'past cache' if past else 'through cache':<14} {loop:<6} {ours:>10} {theirs:>8} {float(ratio):>6.3f}",
                              flush=True)
    print(f"worst ratio {worst:.3f}, wanted {WANTED}")
    return 0 if worst >= WANTED else 1


if __name__ == "__main__":
    sys.exit(main())
