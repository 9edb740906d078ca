#!/usr/bin/env python3
"""Do learned costs of products predict the speed of whole models?

    bench/cost_model.py MODEL.gguf... [--bitkerf build/release/bitkerf] [--rounds 3]

Packs each model in several formats, measures `bitkerf bench`, and predicts: the products' time by the costs that
`bitkerf bench --fit` learned, and the rest (attention, norms, sampling) as it was in one format that is not predicted, the
anchor. Formats are measured in turns. Exit code 1 when an error is above 15 % or the rank order's Spearman below 0.9.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

ANCHOR = "int6.g64"
FORMATS = ["int8.g128", "int5.g64", "int4.g32", "int4.g128", "uint4.g32", "int3.g128", "int2.g64", "ternary.g128"]


def spearman(a, b):
    rank = lambda values: [sorted(values).index(v) for v in values]
    n = len(a)
    return 1 - 6 * sum((x - y) ** 2 for x, y in zip(rank(a), rank(b))) / (n * (n * n - 1))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("models", nargs="+")
    parser.add_argument("--bitkerf", default="build/release/bitkerf")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--formats", default=",".join(FORMATS))
    parser.add_argument("--keep", help="folder for the packed models, used again when they are there")
    parser.add_argument("--prefix", default="", help="what runs the measured program, such as 'chrt -f 50'")
    options = parser.parse_args()
    formats = [ANCHOR] + [f for f in options.formats.split(",") if f != ANCHOR]
    bad = False
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(options.keep or temporary)
        folder.mkdir(exist_ok=True, parents=True)
        for model in options.models:
            runs = {f: [] for f in formats}
            for f in formats:
                path = folder / f"{pathlib.Path(model).stem}.{f}.gguf"
                if not path.exists():
                    # The quickest quantizer: no kernel's time depends on the values.
                    subprocess.run([*options.prefix.split(), options.bitkerf, "quantize", model, "--recipe", f"*=rtn-max/{f}", "-o",
                                    str(path)], check=True, stdout=subprocess.DEVNULL)
                runs[f].append(path)
            tests = {f: {} for f in formats}  # format -> test -> [measured seconds, predicted products]
            for _ in range(options.rounds):
                for f in formats:
                    result = json.loads(subprocess.run([*options.prefix.split(), options.bitkerf, "bench", str(runs[f][0]), "--cost",
                                                        "-p", "512", "-n", "64", "-r", "2", "--json"],
                                                       capture_output=True, text=True, check=True).stdout)
                    for row in result["rows"]:
                        tokens = int(row["test"][2:])
                        seconds = tokens / row["tokens_per_second"]
                        old = tests[f].get(row["test"], [9e9, 0])
                        tests[f][row["test"]] = [min(old[0], seconds), row["predicted_product_seconds"]]
            for test in tests[ANCHOR]:
                tokens = int(test[2:])
                rest = tests[ANCHOR][test][0] - tests[ANCHOR][test][1]
                print(f"\n{pathlib.Path(model).name} {test}: anchor {ANCHOR} {tokens / tests[ANCHOR][test][0]:.1f} tokens/s, "
                      f"of it products {100 * tests[ANCHOR][test][1] / tests[ANCHOR][test][0]:.0f} %")
                print(f"{'format':<14} {'measured':>9} {'predicted':>10} {'error':>7}   tokens/s")
                measured, predicted = [], []
                for f in formats[1:]:
                    seconds, products = tests[f][test]
                    measured.append(tokens / seconds)
                    predicted.append(tokens / (products + rest))
                    error = predicted[-1] / measured[-1] - 1
                    bad |= abs(error) > 0.15
                    print(f"{f:<14} {measured[-1]:>9.1f} {predicted[-1]:>10.1f} {100 * error:>6.1f} %")
                rho = spearman(measured, predicted)
                bad |= rho < 0.9
                print(f"rank correlation {rho:.2f}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
