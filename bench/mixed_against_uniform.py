#!/usr/bin/env python3
"""Mixed plans against the best uniform recipe of the same size.

    bench/mixed_against_uniform.py MODEL.gguf [--work DIR] [--windows 20]

A uniform recipe is one candidate of the planner's own table (same quantizers, rotations and formats) for every linear layer of all blocks,
and one, perhaps another, for the embedding. Near each of six sizes the pairs of least predicted harm are written by
`compress --plan` and judged; the best one's size in bytes is then the budget of `compress`. Divergence is the mean of that on 20
windows of 512 tokens of each of data/evaluation's texts. Prints a Markdown table. Statistics and errors of candidates come from
$BITKERF_CACHE as for `plan`. Results are kept in the work folder.
"""
import argparse
import json
import pathlib
import sys

from judge import PROGRAM, TEXTS, call, judge, kept

SIZES = [74, 64, 56, 48, 44, 40]  # MiB
FINALISTS = 2  # uniform pairs of a size that are written and judged
REACH = 0.06   # a pair is near a size when it is at most that much smaller


def name_of(recipe):
    return "".join(c if c.isalnum() else "_" for c in recipe)


def layers_of(program, model):
    report = json.loads(call(program, "plan", model, "--budget", "64MiB", "--explain", "*", "--json"))
    return report["fixed_bytes"], report["layers"]


def pairs_of(fixed, layers):
    """(bytes, predicted harm, recipe of linears, recipe of the embedding), every pair that fits all layers."""
    groups = {"blk.": {}, "token_embd": {}, "output": {}}
    counts = dict.fromkeys(groups, 0)
    for layer in layers:
        group = next(g for g in groups if layer["matrix"].startswith(g))
        counts[group] += 1
        for c in layer["candidates"]:
            size, harm, count = groups[group].get(c["recipe"], (0, 0, 0))
            groups[group][c["recipe"]] = (size + c["bytes"], harm + c["harm"], count + 1)
    whole = {g: {r: v[:2] for r, v in rows.items() if v[2] == counts[g]} for g, rows in groups.items()}
    pairs = []
    for linear, (a, harm_a) in whole["blk."].items():
        for embedding, (b, harm_b) in whole["token_embd"].items():
            pairs.append((fixed + a + b, harm_a + harm_b, linear, embedding))
    return pairs


def finalists(pairs, size):
    limit = size * 2**20
    near = [p for p in pairs if limit * (1 - REACH) <= p[0] <= limit]
    near = near or [max((p for p in pairs if p[0] <= limit), key=lambda p: p[0])]
    # Of pairs that are larger and worse than another none can be best.
    front = [p for p in near if not any(q[0] <= p[0] and q[1] < p[1] for q in near)]
    return sorted(front, key=lambda p: p[1])[:FINALISTS]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path("/tmp/bitkerf-mixed"))
    parser.add_argument("--ours", default=PROGRAM)
    parser.add_argument("--windows", type=int, default=20)
    arguments = parser.parse_args()
    program, model, work = arguments.ours, arguments.model, arguments.work
    fixed, layers = kept(work, "candidates", lambda: layers_of(program, model))
    pairs = pairs_of(fixed, layers)

    def uniform(linear, embedding):
        file, recipe = work / "uniform.gguf", work / "uniform.recipe"
        recipe.write_text(f"* = {linear}\ntoken_embd = {embedding}\n")
        call(program, "compress", model, "--plan", recipe, "-o", file)  # as `quantize --recipe`, with the statistics that plans have
        result = {"bytes": file.stat().st_size, **judge(program, file, model, arguments.windows)}
        file.unlink()
        return result

    def mixed(size):
        file = work / "mixed.gguf"
        call(program, "compress", model, "--budget", f"{size}B", "-o", file)
        result = {"bytes": file.stat().st_size, **judge(program, file, model, arguments.windows)}
        file.unlink()
        return result

    print("| MiB | best uniform recipe: linears; embedding | its divergence: novel, code, Markdown; mean | the plan's | better by |\n|---:|---|---|---|---:|")
    won = 0
    for size in SIZES:
        results = []
        for _, harm, linear, embedding in finalists(pairs, size):
            result = kept(work, f"{name_of(linear)}-{name_of(embedding)}", lambda: uniform(linear, embedding))
            results.append((result["divergence"], linear, embedding, result))
            print(size, linear, embedding, f"predicted {harm:.4f}", result, file=sys.stderr, flush=True)
        _, linear, embedding, best = min(results)
        ours = kept(work, f"mixed-{best['bytes']}", lambda: mixed(best["bytes"]))
        assert ours["bytes"] <= best["bytes"]
        gain = 1 - ours["divergence"] / best["divergence"]
        won += gain >= 0.1
        short = lambda recipe: recipe.replace(" | int_dot", "").replace(" | int8.row", "").replace(" | int8.g32", "")
        text = lambda r: ", ".join(f"{r[name]:.3f}" for name in TEXTS) + f"; {r['divergence']:.4f}"
        print(f"| {best['bytes'] / 2**20:.2f} | {short(linear)}; {short(embedding)} | {text(best)} | {text(ours)} | {gain:.0%} |", flush=True)
    print(f"\nBetter by 10 % at {won} of {len(SIZES)} sizes.")


main()
