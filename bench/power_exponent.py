#!/usr/bin/env python3
"""The exponent that pow4:a=auto finds for each matrix, against a look at every 0.005 (NUPES).

    power_exponent.py MODEL.safetensors [--from 0.4] [--to 1.1] [--matrices N]

Needs nothing but the built program (BITKERF_PROGRAM). Tensors that are no floats (position ids) are left out first.
"""
import argparse
import json
import os
import struct
import subprocess
import tempfile

PROGRAM = os.environ.get("BITKERF_PROGRAM", "build/release/bitkerf")


def matrices_only(path, out, most):
    data = open(path, "rb").read()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + length])
    kept, body = {}, b""
    for name, tensor in header.items():
        if name == "__metadata__" or tensor["dtype"] not in ("F32", "F16", "BF16") or len(tensor["shape"]) != 2 or min(tensor["shape"]) < 2:
            continue
        if tensor["shape"][0] > 5000 or len(kept) == most:  # embeddings: no product
            continue
        begin, end = tensor["data_offsets"]
        kept[name] = {**tensor, "data_offsets": [len(body), len(body) + end - begin]}
        body += data[8 + length + begin:8 + length + end]
    text = json.dumps(kept).encode()
    text += b" " * (-len(text) % 8)
    out.write(struct.pack("<Q", len(text)) + text + body)
    out.flush()


def noise(path, formats):
    run = subprocess.run([PROGRAM, "compare-formats", path, "--format", ",".join(formats), "--json"], check=True, capture_output=True)
    return json.loads(run.stdout)["rows"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--from", type=float, default=0.4, dest="low")
    parser.add_argument("--to", type=float, default=1.1, dest="high")
    parser.add_argument("--matrices", type=int, default=10**6)
    arguments = parser.parse_args()
    steps = [f"{arguments.low + 0.005 * i:.3f}" for i in range(round((arguments.high - arguments.low) / 0.005) + 1)]
    with tempfile.NamedTemporaryFile(suffix=".safetensors") as file:
        matrices_only(arguments.model, file, arguments.matrices)
        for group in ("row", "g64", "g32"):
            auto, integers = f"pow4:a=auto.f32.{group}", f"mxint4.f32.{group}"
            rows = noise(file.name, [auto, integers] + ([f"pow4:a={a}.f32.{group}" for a in steps] if group == "row" else []))
            gains, distances = [], []
            for row in rows:
                result = row["signal_to_noise"]
                gains.append(result[auto]["db"] - result[integers]["db"])
                if group == "row":
                    found = float(result[auto]["chosen"].split("=")[1].split(".f32")[0])
                    best = max(steps, key=lambda a: result[f"pow4:a={a}.f32.{group}"]["db"])
                    distances.append(abs(found - float(best)))
            print(f"{group}: {len(rows)} matrices, pow4 against 15 uniform levels: {min(gains):+.2f} to {max(gains):+.2f} dB, mean {sum(gains) / len(gains):+.2f} dB",
                  f"; largest distance of a from the best of {steps[0]}..{steps[-1]}: {max(distances):.4f}" if distances else "")


main()
