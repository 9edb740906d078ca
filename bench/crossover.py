#!/usr/bin/env python3
"""Which consumer of the bit planes is fastest, for weights of p bits, activations of q bits and M tokens.

    bench/crossover.py [--bitkerf build/release/bitkerf] [--shape 2048x2048] [--threads 1] [--rounds 3]

Every line is one (p, q, M): giga-multiply-adds per second of each consumer that applies, all checked by `bench --kernels`
before they are timed; `auto` marks what the matrix itself chooses and what that loses against the best; the last column
is int8 weights x int8 activations in the same run. The best of --rounds runs counts, which are interleaved.
Then the claims of the issue's "Done when" that the table answers.
"""
import argparse, json, subprocess, sys

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--bitkerf", default="build/release/bitkerf")
parser.add_argument("--shape", default="2048x2048")
parser.add_argument("--threads", default="1")
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--weights", default="1,2,3,4,6,8", help="bits")
parser.add_argument("--inputs", default="1,2,3,4,8", help="bits")
parser.add_argument("--tokens", default="1,8,256")
parser.add_argument("--line", metavar="NxK", help="instead: one token, this shape, weights of 1 to 8 bits: is the time a line in the bits?")
parser.add_argument("--prefix", default="", help="put before every run, as in 'chrt -f 50'")
options = parser.parse_args()
numbers = lambda text: [int(n) for n in text.split(",")]


def run(format, act, tokens, shape=options.shape):
    command = [*options.prefix.split(), options.bitkerf, "bench", "--kernels", "--json", "--format", format, "--act", act, "--shape",
               shape, "--tokens", str(tokens), "-t", options.threads]
    rows = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["rows"]
    return {r["kernel"].split("/")[1]: (r["gops"] / 2, r["chosen"]) for r in rows if r["form"] == "bit_planes"}


def line(title, times):
    """Least squares of time = a + c * bits, and how good it is."""
    n = len(times)
    mean_x, mean_y = sum(times) / n, sum(times.values()) / n
    c = sum((x - mean_x) * (y - mean_y) for x, y in times.items()) / sum((x - mean_x) ** 2 for x in times)
    rest = sum((y - mean_y - c * (x - mean_x)) ** 2 for x, y in times.items())
    print(f"{title:<26} " + " ".join(f"{bits}: {1e6 * t:.0f}" for bits, t in times.items()) +
          f" us; {1e6 * (mean_y - c * mean_x):.0f} + {1e6 * c:.0f} bits, R2 {1 - rest / sum((y - mean_y) ** 2 for y in times.values()):.4f}")


if options.line:
    rows, cols = numbers(options.line.replace("x", ","))
    for act, kernel in [("bipolar1.row", "popcount"), ("int8.row", "lookup"), ("int8.row", "auto")]:
        times = {}
        for _ in range(options.rounds):
            for bits in range(1, 9):
                found = run(f"bipolar{bits}.f32.row", act, 1, options.line)
                name = next(k for k, v in found.items() if v[1]) if kernel == "auto" else kernel
                if name in found:
                    times[bits] = min(times.get(bits, 1e9), rows * cols / found[name][0] / 1e9)
        line(f"{kernel} x {act}", dict(sorted(times.items())))
    sys.exit(0)

inputs = {q: f"bipolar{q}.row" if q == 1 else f"int{q}.row" for q in numbers(options.inputs)}
cases = [(p, q, m) for m in numbers(options.tokens) for p in numbers(options.weights) for q in inputs]
best, auto = {}, {}
for _ in range(options.rounds):
    for m in numbers(options.tokens):
        for name, (rate, _) in run("int8.f32.row", "int8.row", m).items():
            best[m, "int8"] = max(best.get((m, "int8"), 0), rate if name == "expand" else 0)
    for p, q, m in cases:
        for name, (rate, chosen) in run(f"bipolar{p}.f32.row", inputs[q], m).items():
            best.setdefault((p, q, m), {})[name] = max(best.get((p, q, m), {}).get(name, 0), rate)
            if chosen:
                auto[p, q, m] = name

kernels = ["expand", "popcount", "lookup"]
print(f"{options.shape}, {options.threads} thread(s), GMAC/s, scales per row and token")
print(f"{'M':>4} {'W':>2} {'A':>2} " + " ".join(f"{k:>9}" for k in kernels) + f" {'int8':>9}  auto")
worst = 0
for p, q, m in cases:
    rates = best[p, q, m]
    loss = max(rates.values()) / rates[auto[p, q, m]] - 1
    worst = max(worst, loss)
    print(f"{m:>4} {p:>2} {q:>2} " + " ".join(f"{rates[k]:>9.0f}" if k in rates else f"{'-':>9}" for k in kernels) +
          f" {best[m, 'int8']:>9.0f}  {auto[p, q, m]}" + (f", {100 * loss:.0f} % slower than the best" if loss > 0 else ""))
print(f"auto is at most {100 * worst:.0f} % slower than the best consumer")
for p, q, m, want, kernel in [(1, 1, 256, 3, "popcount"), (1, 2, 256, 1.8, "popcount"), (2, 2, 256, 1.1, "popcount")]:
    if (p, q, m) in best:
        print(f"W{p}A{q} at {m} tokens: {best[p, q, m][kernel] / best[m, 'int8']:.2f} x int8 (wanted: {want})")
for p in (1, 2):
    if (p, 8, 1) in best:
        rates = best[p, 8, 1]
        print(f"W{p}A8 at 1 token: lookup {rates['lookup'] / rates['expand']:.2f} x expand (wanted: 1.2)")
