#!/usr/bin/env python3
"""Dynamic fixed point (15-bit codes, exact sums) against float32 by numpy's OpenBLAS, in turns.

    fixed_point_openblas.py [--threads 1] [--rounds 5]
"""
import argparse
import json
import os
import subprocess
import sys
import time

PROGRAM = os.environ.get("BITKERF_PROGRAM", "build/release/bitkerf")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    if os.environ.get("OPENBLAS_NUM_THREADS") != str(arguments.threads):
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "OPENBLAS_NUM_THREADS": str(arguments.threads)})
    import numpy as np

    def openblas(tokens, rows, cols):
        x, w = np.random.rand(tokens, cols).astype(np.float32), np.random.rand(rows, cols).astype(np.float32)
        y, best, start = np.empty((tokens, rows), np.float32), 1e9, time.perf_counter()
        while time.perf_counter() - start < 0.3:
            begin = time.perf_counter()
            np.matmul(x, w.T, out=y)
            best = min(best, time.perf_counter() - begin)
        return 2 * tokens * rows * cols / best / 1e9

    def ours(tokens, rows, cols):
        run = subprocess.run([PROGRAM, "bench", "--kernels", "--format", "int16:p=15.row", "--act", "fixed15.row", "--shape", f"{rows}x{cols}",
                              "--tokens", str(tokens), "-t", str(arguments.threads), "--json"], check=True, capture_output=True)
        return max(row["gops"] for row in json.loads(run.stdout)["rows"] if row["form"] == "fixed_point")

    for tokens, rows, cols in ((512, 576, 1536), (512, 1536, 576), (1024, 1024, 1024)):
        pairs = [(ours(tokens, rows, cols), openblas(tokens, rows, cols)) for _ in range(arguments.rounds)]
        ratios = sorted(a / b for a, b in pairs)
        print(f"{tokens} x {rows} x {cols}, {arguments.threads} threads: fixed point {max(a for a, _ in pairs):.0f} Gop/s, OpenBLAS float32 "
              f"{max(b for _, b in pairs):.0f} GFLOP/s, ratio {ratios[len(ratios) // 2]:.2f} (median; {ratios[0]:.2f} to {ratios[-1]:.2f})")


main()
