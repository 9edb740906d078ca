#!/usr/bin/env python3
"""Perplexity against prefill time and executed 4-bit products: activations of 8 bits, of 4, refined, refined and pruned.

Usage: refine.py MODEL.gguf TEXT [--calibration FILE] [--share 0.17] [--prune keep=0.8@8] [--recipe R] [--windows 4] [--threads 2]
                 [--folder F]     keeps files and figures there: the same command goes on where it was
The model is quantized by R with --calibration; thresholds are chosen on calibration text, TEXT is scored. Windows are 2048 tokens: a
prompt of 1024, which may be pruned, then 1024 that are scored. Prefill is timed on 1024 tokens. Wants the program as $BITKERF.
"""
import argparse
import json
import os
import subprocess
import tempfile

PROGRAM = os.environ.get("BITKERF", "build/release/bitkerf")


def ask(*arguments):
    return json.loads(subprocess.run([PROGRAM, *map(str, arguments), "--json"], check=True, capture_output=True, text=True).stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("text")
    parser.add_argument("--calibration")
    parser.add_argument("--share", type=float, default=0.17)
    parser.add_argument("--prune", default="keep=0.8@8")
    parser.add_argument("--recipe", default="blk.*=hadamard | gptq/int4.g64 | int_dot | int8.g64")
    parser.add_argument("--windows", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or temporary
        calibration = options.calibration or f"{folder}/statistics.gguf"
        small, thresholds, results = f"{folder}/small.gguf", f"{folder}/thresholds", f"{folder}/results.json"

        def make(path, *arguments):
            if not os.path.exists(path):
                subprocess.run([PROGRAM, *map(str, arguments), "-o", path], check=True, stdout=subprocess.DEVNULL)

        make(calibration, "calibrate", options.model)
        make(small, "quantize", options.model, "--recipe", options.recipe, "--calibration", calibration)
        make(thresholds, "allocate", small, "--thresholds", "--share", options.share, "--calibration", calibration)
        rows = {
            "A8": ["--refine", "blk.*=0"],
            "A4": ["--refine", "blk.*=inf"],
            "refine": ["--refine", "@" + thresholds],
            "refine + pruning": ["--refine", "@" + thresholds, "--prune-tokens", options.prune],
            "A8 + pruning": ["--refine", "blk.*=0", "--prune-tokens", options.prune],
            "A8, as it is": [],
            "A8 + pruning, as it is": ["--prune-tokens", options.prune],
        }
        found = json.load(open(results)) if os.path.exists(results) else {}
        for name, flags in rows.items():
            if name in found:
                continue
            ppl = ask("eval", small, "-f", options.text, "-c", 2048, "--chunks", options.windows, "-t", options.threads, *flags)["ppl"]
            test = ask("bench", small, "-p", 1024, "-n", 0, "-r", 5, "-b", 1024, "-t", options.threads, *flags)["rows"][0]
            found[name] = (ppl, 1024e3 / test["tokens_per_second"], test.get("products", {}).get("macs_4_bit"))
            json.dump(found, open(results + ".part", "w"))
            os.replace(results + ".part", results)
        full = found["A8"][2]
        print(f"{'':24} {'perplexity':>10} {'ms of 1024':>10} {'10^9 4-bit products':>20} {'of A8':>7}")
        for name in rows:
            ppl, milliseconds, products = found[name]
            counted = f"{products / 1e9:20.2f} {products / full:7.3f}" if products else ""
            print(f"{name:24} {ppl:10.3f} {milliseconds:10.1f} {counted}")
        (a8, _, full), (a4, _, half), (refined, _, part) = found["A8"], found["A4"], found["refine"]
        print(f"refine: {100 * (full - part) / (full - half):.1f} % of A4's saving, {100 * (refined - a8) / (a4 - a8):.1f} % of its loss of perplexity")


if __name__ == "__main__":
    main()
