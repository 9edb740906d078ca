#!/usr/bin/env python3
"""Recipes beside each other on one model: size, perplexity and divergence from the source.

    recipes.py [--model FILE] --calibration FILE [--windows 8] [--text NAME] RECIPE...

A recipe is what `bitkerf quantize --recipe` takes (`blk.*=hadamard | gptq/normal3.row`, @FILE). A name and a colon may stand in front:
`global: @plan`. Text: northanger_abbey, code or markdown of data/evaluation. What was measured is kept in --work by recipe, so that an
interrupted table goes on. RECIPE `dense`: the source in float32.
"""
import argparse
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import time

SOURCE = pathlib.Path(__file__).resolve().parents[1]
PROGRAM = os.environ.get("BITKERF_PROGRAM", str(SOURCE / "build" / "release" / "bitkerf"))
MODEL = pathlib.Path.home() / ".cache" / "peers" / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"


def run(*arguments):
    done = subprocess.run([PROGRAM, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"bitkerf {' '.join(map(str, arguments))}\n{done.stderr}")
    return done.stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipes", nargs="+")
    parser.add_argument("--model", default=str(MODEL))
    parser.add_argument("--calibration", required=True)
    parser.add_argument("--windows", type=int, default=8)
    parser.add_argument("--text", default="northanger_abbey")
    parser.add_argument("--threads", default="0")
    parser.add_argument("--work", default=str(pathlib.Path.home() / ".cache" / "bitkerf" / "recipes"))
    options = parser.parse_args()
    work = pathlib.Path(options.work)
    work.mkdir(parents=True, exist_ok=True)
    kept = work / "measured.json"
    known = json.loads(kept.read_text()) if kept.exists() else {}
    evaluate = ["-f", SOURCE / "data" / "evaluation" / f"{options.text}.txt", "--chunks", options.windows, "--json", "-t", options.threads]
    for text in options.recipes:
        name, recipe = text.split(": ", 1) if ": " in text else (text, text)
        whole = pathlib.Path(recipe[1:]).read_text() if recipe.startswith("@") else recipe
        key = hashlib.sha256("\0".join([whole, options.model, options.calibration, options.text, str(options.windows)]).encode()).hexdigest()
        if key not in known:
            if recipe == "dense":
                report = json.loads(run("eval", options.model, *evaluate, "--form", "dense"))
                known[key] = (os.path.getsize(options.model), report["ppl"], 0.0, 0.0)
            else:
                out, start = work / "k.gguf", time.monotonic()
                run("quantize", options.model, "--recipe", recipe, "--calibration", options.calibration, "-o", out, "-t", options.threads)
                seconds = time.monotonic() - start
                report = json.loads(run("eval", out, *evaluate, "--reference", options.model))
                known[key] = (out.stat().st_size, report["ppl"], report["kld_mean"], seconds)
            kept.write_text(json.dumps(known))
        size, ppl, kld, seconds = known[key]
        print(f"{size / 2**20:8.2f} MiB  perplexity {ppl:10.3f}  divergence {kld:8.4f}  {seconds:6.1f} s  {name}", flush=True)


if __name__ == "__main__":
    main()
