#!/usr/bin/env python3
"""Budgets of speed: asked, predicted, and measured again in other processes.

    bench/speed_budgets.py MODEL.gguf [--budgets "1.2x" "1.1x,64MiB" ...] [--work DIR]

For each budget (several at once are joined by commas) `compress` writes a file; then `bench` of that file and of the model at uniform 4
bits run in turns, best of so many rounds. Met: the measured speed is at least 0.95 of what was asked and every other limit is kept; or
`compress` refuses with exit code 4. Prints a Markdown table; fails when a budget is neither met nor refused.
"""
import argparse
import json
import pathlib
import subprocess
import sys

from judge import PROGRAM, call

BUDGETS = ["1.2x", "1.1x,64MiB", "700tok/s,56MiB", "ttft=130ms@512,1x,74MiB", "3x"]
UNIFORM = "* = rtn/int4.g32 | int_dot"  # as apps/settle.cc
ROUNDS = 6
MISS = 0.05


def bench(program, file):
    rows = json.loads(call(program, "bench", file, "-p", 512, "-n", 128, "-r", 1, "--json"))["rows"]
    return {"ttft": 512 / rows[0]["tokens_per_second"], "speed": rows[1]["tokens_per_second"]}


def asked(text, file, uniform):
    """(what was measured, whether it keeps the limit) of one budget."""
    if text.endswith("MiB"):
        mib = file["bytes"] / 2**20
        return f"{mib:.2f} MiB", mib <= float(text[:-3])
    if text.startswith("ttft="):
        return f"{file['ttft'] * 1e3:.0f} ms", file["ttft"] * 1e3 <= float(text[5:text.index("ms")]) * (1 + MISS)
    if text.endswith("x"):
        speed = file["speed"] / uniform["speed"]
        return f"{speed:.3f}x", speed >= float(text[:-1]) * (1 - MISS)
    return f"{file['speed']:.0f} tok/s", file["speed"] >= float(text[:-5]) * (1 - MISS)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--budgets", nargs="*", default=BUDGETS)
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path("/tmp/bitkerf-speed"))
    parser.add_argument("--ours", default=PROGRAM)
    arguments = parser.parse_args()
    program, model, work = arguments.ours, arguments.model, arguments.work
    work.mkdir(parents=True, exist_ok=True)
    base = work / "uniform.gguf"
    if not base.exists():
        call(program, "quantize", model, "--recipe", UNIFORM, "-o", base)
    print("| asked | predicted | measured by `compress` | measured again | plans measured | predicted divergence | |\n|---|---:|---:|---|---:|---:|---|")
    failures = 0
    for budget in arguments.budgets:
        out = work / "out.gguf"
        command = [program, "compress", model, "-o", out, "--json"]
        for one in budget.split(","):
            command += ["--budget", one]
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
        if done.returncode == 4:
            print(f"| {budget} | | | | | | refused: {done.stderr.splitlines()[0].split(': ', 1)[1]} |", flush=True)
            continue
        if done.returncode:
            raise SystemExit(done.stderr)
        report = json.loads(done.stdout)
        rounds = [(bench(program, base), bench(program, out)) for _ in range(ROUNDS)]
        best = lambda i: {"ttft": min(r[i]["ttft"] for r in rounds), "speed": max(r[i]["speed"] for r in rounds)}
        uniform, file = best(0), best(1) | {"bytes": out.stat().st_size}
        parts = [asked(one, file, uniform) for one in budget.split(",")]
        met = all(ok for _, ok in parts)
        failures += not met
        measured = report["measured"]
        print(f"| {budget} | {report['predicted_decode_tokens_per_second']:.0f} tok/s | {measured['decode_tokens_per_second']:.0f} tok/s, {measured['speed']:.3f}x | "
              f"{', '.join(text for text, _ in parts)} ({file['speed']:.0f} tok/s; uniform {uniform['speed']:.0f}) | {measured['plans']} | "
              f"{report['predicted_kld']:.4f} | {'met' if met else 'MISSED'} |", flush=True)
    sys.exit(1 if failures else 0)


main()
