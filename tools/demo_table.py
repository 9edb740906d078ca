#!/usr/bin/env python3
"""The table of ./demo: the source, our file and llama.cpp's types beside each other.
usage: demo_table.py RESULTS.json LLAMA_CPP.csv
RESULTS: {"source": {"mib", "tokens_per_second"}, "ours": {the same}, "texts": {name: result of `bitkerf eval --json`}}"""
import csv
import json
import sys

results = json.load(open(sys.argv[1]))
texts = results["texts"]
novel = texts["northanger_abbey"]
print(f"{'':28} {'MiB':>7} {'tok/s':>8} {'perplexity':>11}   divergence from the source on " + ", ".join(texts))
row = "{:28} {:>7.1f} {:>8} {:>11.2f}   {}"
source, ours = results["source"], results["ours"]
print(row.format("source", source["mib"], f"{source['tokens_per_second']:.0f}", novel["ppl_reference"], ""))
print(row.format("bitkerf", ours["mib"], f"{ours['tokens_per_second']:.0f}", novel["ppl"],
                 ", ".join(f"{t['kld_mean']:.3f}" for t in texts.values())))
lines = [line for line in open(sys.argv[2]) if not line.startswith("#")]
for peer in csv.DictReader(lines):
    if peer["type"] != "source":
        parts = ", ".join(f"{float(peer[name]):.3f}" for name in ("novel", "code", "markdown") if peer.get(name))
        print(row.format("llama.cpp " + peer["type"], float(peer["MiB"]), "", float(peer["perplexity"]), parts))
