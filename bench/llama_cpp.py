#!/usr/bin/env python3
"""Makes llama.cpp's files of a model and judges them as ours are judged: data/evaluation/llama_cpp.csv.

    bench/llama_cpp.py MODEL.gguf --peers DIR [--work DIR] [-o data/evaluation/llama_cpp.csv]

DIR holds llama.cpp/build/bin. The importance matrix is of the texts that we calibrate on, in the same shares and as much of
them (llama-imatrix); perplexity is llama-perplexity's on the first 20 windows of 512 tokens of data/evaluation/northanger_abbey.txt;
divergence is that from MODEL's predictions on 20 windows of each of the three texts, by `bitkerf eval --reference`, which multiplies
llama.cpp's blocks where they lie. What is in the work folder already is not made again.
"""
import argparse
import os
import pathlib
import re
import sys

from judge import PROGRAM, ROOT, TEXTS, WINDOWS, call, judge, kept

# As src/compress/calibration/default_texts.cc has them: read from there, so that they cannot differ.
SHARES = dict(re.findall(r'\{"(\w+)", bitkerf_text_\w+, bitkerf_text_\w+, ([0-9.]+)\}',
                         (ROOT / "src/compress/calibration/default_texts.cc").read_text()))
PIECES, PIECE = 64, 2048  # of the mix; about 550 tokens each, so as many as the 64 windows of 512 that we look at

# Rows of 576 weights are no whole super-blocks, so K-quants and most IQ types fall back to larger types; what is below 73 MiB is
# made of types with small blocks.
TYPES = {
    "Q3_K_M": ["Q3_K_M"], "IQ4_NL": ["IQ4_NL"], "Q2_K": ["Q2_K"], "IQ2_M": ["IQ2_M"], "IQ1_S": ["IQ1_S"],
    "IQ4_NL --pure": ["--pure", "IQ4_NL"], "Q4_0 --pure": ["--pure", "Q4_0"],
    "IQ4_NL with Q2_0 ffn_gate": ["--pure", "--tensor-type", "ffn_gate=q2_0", "IQ4_NL"],
    "IQ4_NL with Q2_0 ffn_gate and ffn_up": ["--pure", "--tensor-type", "ffn_gate=q2_0", "--tensor-type", "ffn_up=q2_0", "IQ4_NL"],
    "Q2_0 with 4-bit k v head":
        ["--pure", "--token-embedding-type", "q4_0", "--tensor-type", "attn_k=iq4_nl", "--tensor-type", "attn_v=iq4_nl", "Q2_0"],
}
# Left out: "Q2_0 --pure", 39.7 MiB, for which llama.cpp takes a quarter of an hour; Q2_0 with a better head is beyond use already.


def mix(path):
    total = sum(map(float, SHARES.values()))
    placed = []
    for name, share in SHARES.items():
        text = (ROOT / f"data/calibration/{name}.txt").read_bytes()
        count = min(round(PIECES * float(share) / total), len(text) // PIECE)
        for i in range(count):  # evenly over the text
            at = (len(text) - PIECE) * (2 * i + 1) // (2 * count)
            placed.append(((i + 0.5) / count, text[at:at + PIECE].decode(errors="ignore")))
    path.write_text("\n".join(piece for _, piece in sorted(placed)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--peers", required=True, help="folder of llama.cpp")
    parser.add_argument("--work", default="/tmp/bitkerf-llama-cpp", type=pathlib.Path, help="folder for what is made")
    parser.add_argument("--ours", default=PROGRAM)
    parser.add_argument("-o", "--output", default=ROOT / "data/evaluation/llama_cpp.csv", type=pathlib.Path)
    arguments = parser.parse_args()
    bin = pathlib.Path(arguments.peers).expanduser() / "llama.cpp/build/bin"
    work = arguments.work
    work.mkdir(parents=True, exist_ok=True)
    threads = len(os.sched_getaffinity(0))
    imatrix = work / "imatrix.gguf"
    if not imatrix.exists():
        mix(work / "mix.txt")
        call(bin / "llama-imatrix", "-m", arguments.model, "-f", work / "mix.txt", "-c", 512, "-t", threads, "-o", work / "part.gguf")
        (work / "part.gguf").rename(imatrix)
    def row_of(name, how):
        file = arguments.model
        if how:
            file = work / "file.gguf"
            call(bin / "llama-quantize", "--allow-requantize", "--imatrix", imatrix, *how[:-1], arguments.model, file, how[-1], threads)
        out = call(bin / "llama-perplexity", "-m", file, "-f", ROOT / "data/evaluation/northanger_abbey.txt", "-c", 512, "--chunks", WINDOWS, "-t", threads)
        row = judge(arguments.ours, file, arguments.model) if how else {key: 0 for key in (*TEXTS, "divergence")}
        row |= {"name": name, "MiB": file.stat().st_size / 2**20, "perplexity": float(re.search(r"Final estimate: PPL = ([0-9.]+)", out)[1])}
        if how:
            file.unlink()
        return row

    rows = []
    for name, how in {"source": None, **TYPES}.items():
        rows.append(kept(work, re.sub(r"\W+", "_", name), lambda: row_of(name, how)))
        print(rows[-1], file=sys.stderr, flush=True)
    lines = [f"# {arguments.model.name} requantized by llama.cpp with an importance matrix of the calibration mix: bench/llama_cpp.py.",
             "# perplexity: llama-perplexity, 20 windows of 512 tokens of Northanger Abbey; divergence: the mean of novel, code and markdown,",
             "# each the mean of KL(source || file) over 20 windows of 512 of a text of this folder, by bitkerf eval.",
             "type,MiB,perplexity,divergence,novel,code,markdown"]
    for row in rows:
        lines.append(f"{row['name']},{row['MiB']:.1f},{row['perplexity']:.2f}," + ",".join(f"{row[key]:.4f}" for key in ("divergence", *TEXTS)))
    arguments.output.write_text("\n".join(lines) + "\n")


main()
