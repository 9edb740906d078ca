#!/usr/bin/env python3
"""README's table of budgets: compresses a model to each, judges the files, and sets llama.cpp's files beside them.

    bench/budgets.py MODEL.gguf [--budgets 74MiB 64MiB ...] [--tune 48MiB 40MiB] [--work DIR] [--readme README.md]

Perplexity is that of 20 windows of 512 tokens of Northanger Abbey, divergence KL(source || file) on 20 windows each of a novel, Python
code and Markdown (data/evaluation), none of which was calibrated on. Seconds and memory are of `compress`; what earlier runs kept in
$BITKERF_CACHE makes it quicker, so the first line of the table says what there was. Speed is `bench`'s best of 5 rounds, the source's
in turns with every file's. llama.cpp's files, in their places by size, are those of data/evaluation/llama_cpp.csv (bench/llama_cpp.py). Prints the table; with
--readme it takes the place of what stands between the lines <!-- budgets --> and <!-- /budgets -->. Also writes
data/evaluation/budgets.csv, which `bitkerf report --measured` draws. Results are kept in the work folder.
"""
import argparse
import csv
import json
import os
import pathlib
import subprocess
import sys
import time

from judge import PROGRAM, ROOT, TEXTS, call, judge, kept

BUDGETS = ["74MiB", "64MiB", "56MiB", "48MiB", "40MiB"]
ROUNDS = 5


def decode_speed(program, file):
    return json.loads(call(program, "bench", file, "-p", 0, "-n", 128, "-r", 1, "--json"))["rows"][0]["tokens_per_second"]


def compress(program, model, budget, tuned, out):
    command = [program, "compress", model, "--budget", budget, "-o", out, "--json", *(["--tune"] if tuned else [])]
    start = time.monotonic()
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, text=True)
    report = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(map(str, command))}: failed")
    return {"seconds": time.monotonic() - start, "memory": usage.ru_maxrss * 1024 / 2**20, "predicted": json.loads(report)["predicted_kld"],
            "MiB": out.stat().st_size / 2**20}


def measure(program, model, budget, tuned, work):
    out = work / f"{budget}{'-tuned' if tuned else ''}.gguf"
    row = kept(work, out.stem + "-made", lambda: compress(program, model, budget, tuned, out))
    row |= kept(work, out.stem + "-judged", lambda: judge(program, out, model))

    def speeds():
        pairs = [(decode_speed(program, model), decode_speed(program, out)) for _ in range(ROUNDS)]
        return {"source_speed": max(a for a, _ in pairs), "speed": max(b for _, b in pairs)}

    row |= kept(work, out.stem + "-speed", speeds)
    return {"name": budget + (", `--tune`" if tuned else ""), **row}


def llama_cpp(path):
    if not path.exists():
        return []
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    return [row for row in csv.DictReader(lines) if row["type"] != "source"]


def table(rows, others):
    text = ("| file | MiB | perplexity | divergence: novel, code, Markdown; mean | predicted | decode, tok/s: it / the source, in turns | `compress` |\n"
            "|---|---:|---:|---|---:|---:|---|\n")
    first = rows[0]
    lines = [(first["source_MiB"], f"| the source | {first['source_MiB']:.1f} | {first['reference']:.2f} | | | | |\n")]
    parts = lambda row: ", ".join(f"{float(row[name]):.3g}" for name in TEXTS) + f"; {float(row['divergence']):.3g}"
    for row in rows:
        lines.append((row["MiB"], f"| **bitkerf, {row['name']}** | {row['MiB']:.2f} | {row['perplexity']:.2f} | {parts(row)} | {row['predicted']:.3g} | "
                      f"{row['speed']:.0f} / {row['source_speed']:.0f} | {row['seconds']:.0f} s, {row['memory'] / 1024:.1f} GiB |\n"))
    for row in others:
        lines.append((float(row["MiB"]), f"| llama.cpp {row['type']} | {float(row['MiB']):.1f} | {float(row['perplexity']):.4g} | {parts(row)} | | | |\n"))
    return text + "".join(line for _, line in sorted(lines, key=lambda pair: -pair[0]))


def replace(path, text):
    whole = path.read_text()
    begin, end = "<!-- budgets -->\n", "<!-- /budgets -->"
    if begin not in whole or end not in whole:
        raise SystemExit(f"{path}: has no lines {begin.strip()} and {end}")
    head, rest = whole.split(begin, 1)
    path.write_text(head + begin + text + end + rest.split(end, 1)[1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--budgets", nargs="*", default=BUDGETS)
    parser.add_argument("--tune", nargs="*", default=[], help="budgets that are tuned too")
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path("/tmp/bitkerf-budgets"))
    parser.add_argument("--ours", default=PROGRAM)
    parser.add_argument("--readme", type=pathlib.Path)
    parser.add_argument("--csv", type=pathlib.Path, default=ROOT / "data/evaluation/budgets.csv")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    rows = []
    for tuned, budgets in ((False, arguments.budgets), (True, arguments.tune)):
        for budget in budgets:
            row = measure(arguments.ours, arguments.model, budget, tuned, arguments.work)
            row["source_MiB"] = arguments.model.stat().st_size / 2**20
            rows.append(row)
            print(row, file=sys.stderr, flush=True)
    text = table(rows, llama_cpp(ROOT / "data/evaluation/llama_cpp.csv"))
    print(text)
    lines = [f"# {arguments.model.name} by bitkerf: bench/budgets.py; columns as in llama_cpp.csv", "name,MiB,perplexity,divergence,predicted,novel,code,markdown"]
    for row in rows:
        values = [row[key] for key in ("perplexity", "divergence", "predicted", *TEXTS)]
        lines.append(f"{row['name'].replace(',', '').replace('`', '')},{row['MiB']:.2f}," + ",".join(f"{v:.4f}" for v in values))
    arguments.csv.write_text("\n".join(lines) + "\n")
    if arguments.readme:
        replace(arguments.readme, text)


main()
