#!/usr/bin/env python3
"""Does harm add up? Random plans for a model's linear layers, predicted beside measured, and plans by dynamic programming beside uniform ones.

    linearity.py [--plans 12] [--windows 6] [--bends] [--uniform] [--work FOLDER] [MODEL]

Wants a cache folder (BITKERF_CACHE) in which `bitkerf plan MODEL --budget 64MiB` has left statistics and the errors of candidates. Every plan
draws shares of the formats of 3 to 8 bits, then a format for each matrix by these shares; the embedding is kept. Predicted: the sum of harms of
the matrices (nats per token), and the same from the harms at 4 bits alone and constants of the grids (HIGGS: alpha times t squared). Measured on
the windows of data/evaluation/northanger_abbey.txt: perplexity and KL divergence from the source. --bends: fewer and fewer bits until it is no line
any more. --uniform: plans of least predicted harm within the bytes of one format for all. What was measured is kept in the folder --work.
"""
import argparse
import json
import os
import pathlib
import random
import re
import subprocess
import sys

SOURCE = pathlib.Path(__file__).resolve().parents[1]
PROGRAM = os.environ.get("BITKERF_PROGRAM", str(SOURCE / "build" / "release" / "bitkerf"))
MODEL = pathlib.Path.home() / ".cache" / "peers" / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
# name of the format, bits of a code, squared error of normal values relative to theirs (Lloyd and Max; pairs by our own search)
FORMATS = [("bipolar2", 2, 0.1188), ("e8p2", 2, 0.0915), ("normal5d2", 2.5, 0.0576), ("normal3", 3, 0.03454), ("normal6d2", 3, 0.0297), ("normal7d2", 3.5, 0.0155),
           ("normal4", 4, 0.009497), ("normal8d2", 4, 0.0080), ("normal5", 5, 0.0025), ("int6", 6, 0.00104), ("int8", 8, 0.00007)]
DRAWN = [f for f in FORMATS if f[1] >= 3]


def newest(folder, pattern):
    found = sorted(folder.glob(pattern), key=lambda p: p.stat().st_mtime)
    if not found:
        sys.exit(f"{folder}: no {pattern}; run `bitkerf plan MODEL --budget 64MiB` first")
    return found[-1]


def read_errors(path):
    """{matrix: {format: (recipe, harm)}} of the linear layers."""
    known = {}
    for line in path.read_text().splitlines()[1:]:
        matrix, recipe, harms = line.split("\t")
        if matrix.startswith("blk.") and (name := re.search(r"(?:gptq|rtn)/(\w+)\.", recipe)):
            known.setdefault(matrix, {})[name[1]] = (recipe, sum(float(h) for h in harms.split()[:-1]))
    return known


def run(*arguments):
    done = subprocess.run([PROGRAM, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"bitkerf {' '.join(map(str, arguments))}\n{done.stderr}")
    return done.stdout


def line_of(x, y):
    """Slope through the origin, 1 - residual / variance of it; slope, intercept and the same of a line with both."""
    n, mx, my = len(x), sum(x) / len(x), sum(y) / len(y)
    spread = sum((b - my) ** 2 for b in y)
    slope = sum(a * b for a, b in zip(x, y)) / sum(a * a for a in x)
    free = sum((a - mx) * (b - my) for a, b in zip(x, y)) / sum((a - mx) ** 2 for a in x)
    left = lambda s, o: 1 - sum((b - s * a - o) ** 2 for a, b in zip(x, y)) / spread
    return slope, left(slope, 0), free, my - free * mx, left(free, my - free * mx)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default=str(MODEL))
    parser.add_argument("--plans", type=int, default=12)
    parser.add_argument("--windows", type=int, default=6)
    parser.add_argument("--bends", action="store_true")
    parser.add_argument("--uniform", action="store_true")
    parser.add_argument("--threads", default="0")
    parser.add_argument("--work", default=str(pathlib.Path.home() / ".cache" / "bitkerf" / "linearity"))
    options = parser.parse_args()
    cache = pathlib.Path(os.environ.get("BITKERF_CACHE", pathlib.Path.home() / ".cache" / "bitkerf"))
    errors, statistics = read_errors(newest(cache / "plans", "*.errors")), newest(cache / "statistics", "*.gguf")
    work = pathlib.Path(options.work)
    work.mkdir(parents=True, exist_ok=True)
    kept = work / f"measured.{options.windows}.json"
    known = json.loads(kept.read_text()) if kept.exists() else {}
    text = SOURCE / "data" / "evaluation" / "northanger_abbey.txt"

    def measure(plan):
        """plan: {matrix: format}. Bytes, perplexity, divergence."""
        lines = "\n".join(f"{matrix} = {errors[matrix][name][0]}" for matrix, name in plan.items())
        if lines not in known:
            (work / "plan").write_text(lines)
            out = work / "k.gguf"
            run("quantize", options.model, "--recipe", f"@{work / 'plan'}", "--calibration", statistics, "-o", out, "-t", options.threads)
            report = json.loads(run("eval", out, "-f", text, "--chunks", options.windows, "--reference", options.model, "--json", "-t", options.threads))
            known[lines] = (out.stat().st_size, report["ppl"], report["kld_mean"])
            kept.write_text(json.dumps(known))
        return known[lines]

    source = known.get("source") or json.loads(run("eval", options.model, "-f", text, "--chunks", options.windows, "--json", "-t", options.threads))["ppl"]
    known["source"] = source
    constant = {name: t for name, _, t in FORMATS}
    harm = lambda plan: sum(errors[m][f][1] for m, f in plan.items())
    theorem = lambda plan: sum(errors[m]["normal4"][1] / constant["normal4"] * constant[f] for m, f in plan.items())
    has = lambda f: all(f in by for by in errors.values())
    show = lambda label, plan, size, ppl, kld: print(
        f"{label:24} {size / 2**20:7.2f} MiB  predicted {harm(plan):.5f} {theorem(plan):.5f}  divergence {kld:.5f} ({kld / harm(plan):.2f} x)  "
        f"perplexity {ppl:.3f} (+{ppl - source:.3f}, {(ppl - source) / harm(plan):.1f} x)", flush=True)
    print(f"{len(errors)} matrices, {options.windows} windows, source {source:.3f}; predicted: from the harms, from those of 4 bits and constants")

    plans, measured = [], []
    for i in range(options.plans):
        draw = random.Random(i)
        shares = [draw.expovariate(1) for _ in DRAWN]  # of a plan: uniform on the simplex
        plan = {m: next(f for f in draw.choices([f[0] for f in DRAWN], shares, k=1000) if f in errors[m]) for m in errors}
        plans.append(plan)
        measured.append(measure(plan))
        show(f"random {i}", plan, *measured[-1])
    if len(plans) > 2:
        for what, y in (("divergence", [m[2] for m in measured]), ("perplexity", [m[1] - source for m in measured])):
            for how, x in (("harms", [harm(p) for p in plans]), ("constants", [theorem(p) for p in plans])):
                slope, r2, free, offset, free_r2 = line_of(x, y)
                print(f"{what} by {how}: {slope:.2f} x, R2 {r2:.4f}; with an offset {free:.2f} x {offset:+.4f}, R2 {free_r2:.4f}")
    if options.bends:
        for name in [f[0] for f in FORMATS[::-1] if has(f[0])]:
            plan = {m: name for m in errors}
            show(f"all {name}", plan, *measure(plan))
    if options.uniform:
        # Bytes of a matrix as its rows' codes and scales; the file's size is shown.
        shapes = {t["name"].removesuffix(".weight"): t["shape"] for t in json.loads(run("info", options.model, "--tensors", "--json"))["tensors"]}
        bits = {name: b for name, b, _ in FORMATS}

        def cost(m, f):
            cols, rows = shapes[m]
            return rows * (cols * bits[f] / 8 + 2)

        for uniform in ("normal3", "normal4"):
            room = sum(cost(m, uniform) for m in errors)
            low, high, best = 0.0, 1.0, None
            for _ in range(80):  # what a byte is worth
                price = (low + high) / 2
                plan = {m: min((f for f in by if f in bits), key=lambda f: by[f][1] + price * cost(m, f)) for m, by in errors.items()}
                if sum(cost(m, f) for m, f in plan.items()) <= room:
                    best, high = plan, price
                else:
                    low = price
            show(f"all {uniform}", {m: uniform for m in errors}, *measure({m: uniform for m in errors}))
            show("  least harm, its bytes", best, *measure(best))


if __name__ == "__main__":
    main()
