#!/usr/bin/env python3
"""Times bitkerf and other engines on the same GGUF files, taking turns, and prints the README's table.

    bench/peers.py MODEL.gguf... --peers DIR [--rounds 5] [--threads 2]

DIR holds what there is of: llama.cpp/build/bin/llama-bench, ik_llama.cpp/build/bin/llama-bench, and
venv/bin/python with openvino_genai. An engine that is missing or cannot load a model is a line of its own.
In every round every engine runs once; best and median of the rounds are printed, because other load on the machine
only ever slows a run down. Prompt: 512 tokens into an empty session; generation: 128 tokens one by one.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

OPENVINO = """
import sys
import numpy
import openvino
import openvino_genai
model, threads = sys.argv[1], int(sys.argv[2])
pipeline = openvino_genai.LLMPipeline(model, "CPU", {"INFERENCE_NUM_THREADS": threads})
config = openvino_genai.GenerationConfig()
config.do_sample, config.ignore_eos, config.apply_chat_template = False, True, False
prompt = openvino.Tensor(numpy.arange(1000, 1512, dtype=numpy.int64)[None, :])
short = openvino.Tensor(numpy.arange(1000, 1008, dtype=numpy.int64)[None, :])
for _ in range(2):  # the first round warms up
    config.max_new_tokens = 1
    first = pipeline.generate(prompt, config).perf_metrics.get_ttft().mean
    config.max_new_tokens = 128
    each = pipeline.generate(short, config).perf_metrics.get_tpot().mean
print(512e3 / first, 1e3 / each)
"""


def call(command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=1800)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise RuntimeError(lines[-1][:120] if lines else f"exit code {done.returncode}")
    return done.stdout


def llama_bench(program, *extra):
    def measure(model, threads):
        rows = json.loads(call([program, "-m", model, "-t", threads, "-p", 512, "-n", 128, "-r", 1, "-o", "json", *extra]))
        return (next(row["avg_ts"] for row in rows if row["n_prompt"]), next(row["avg_ts"] for row in rows if row["n_gen"]))
    return measure


def openvino(python):
    return lambda model, threads: tuple(map(float, call([python, "-c", OPENVINO, model, threads]).split()[-2:]))


class Ours:
    def __init__(self, program):
        self.program, self.report = program, None

    def __call__(self, model, threads):
        report = json.loads(call([self.program, "bench", model, "-t", threads, "-r", 1, "--json"]))
        speeds = tuple(row["tokens_per_second"] for row in report["rows"])
        if self.report is None or speeds > tuple(row["tokens_per_second"] for row in self.report["rows"]):
            self.report = report
        return speeds


def engines(arguments):
    ours = Ours(arguments.ours)
    rows = {"bitkerf": ours}
    if arguments.peers:
        folder = pathlib.Path(arguments.peers).expanduser()
        ik = folder / "ik_llama.cpp/build/bin/llama-bench"
        rows |= {"llama.cpp": llama_bench(folder / "llama.cpp/build/bin/llama-bench"),
                 "ik_llama.cpp": llama_bench(ik),
                 "ik_llama.cpp -rtr": llama_bench(ik, "-rtr", 1),
                 "OpenVINO GenAI": openvino(folder / "venv/bin/python")}
    return ours, rows


def table(model, arguments):
    ours, rows = engines(arguments)
    results = {name: [] for name in rows}
    trouble = {}
    for _ in range(arguments.rounds):
        for name, measure in rows.items():
            if name in trouble and not results[name]:
                continue
            try:
                results[name].append(measure(model, arguments.threads))
            except (RuntimeError, OSError, ValueError, StopIteration, subprocess.TimeoutExpired) as error:
                trouble[name] = str(error) or type(error).__name__
    shares = [row["share_of_limit"] for row in ours.report["rows"]] if ours.report else [0, 0]
    print(f"\n**{pathlib.Path(model).name}**, {arguments.threads} threads, {arguments.rounds} rounds, "
          f"load average {os.getloadavg()[0]:.1f}\n")
    print("| engine | pp512 best | median | tg128 best | median |\n|---|---:|---:|---:|---:|")
    for name, speeds in results.items():
        if not speeds:
            print(f"| {name} | {trouble[name]} | | | |")
            continue
        cells = []
        for column in (0, 1):
            values = [speed[column] for speed in speeds]
            cells += [f"{max(values):.0f}", f"{statistics.median(values):.0f}"]
        print(f"| {name} | " + " | ".join(cells) + " |")
    if ours.report:
        print(f"| bitkerf's share of the limit | {shares[0]:.0%} of int8 | | {shares[1]:.0%} of memory read | |")
    return ours.report


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL.gguf")
    parser.add_argument("--peers", metavar="DIR", help="folder of the other engines; without it, only bitkerf runs")
    parser.add_argument("--ours", default=pathlib.Path(__file__).parent.parent / "build/release/bitkerf")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    reports = [table(model, arguments) for model in arguments.models]
    machine = next((report["machine"] for report in reports if report), None)
    if machine:
        print(f"\n{machine['cpu']} (family {machine['family']}, model {machine['model']}), {machine['cores']} cores; "
              f"limits with {machine['threads']} threads: memory read {machine['read_bytes_per_second'] / 1e9:.0f} GB/s, "
              f"int8 {machine['int8_ops_per_second'] / 1e9:.0f} Gop/s.")
        print(f"Command: `{' '.join(['bench/peers.py', *[pathlib.Path(m).name for m in arguments.models]])} --peers DIR "
              f"--rounds {arguments.rounds} --threads {arguments.threads}`")
    return 0 if all(reports) else 1


if __name__ == "__main__":
    sys.exit(main())
