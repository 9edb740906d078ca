#!/usr/bin/env python3
"""The same model with outlier channels: the largest gains of every attention and feed-forward norm times FACTOR, the columns of
the matrices that read it divided by as much. In exact arithmetic nothing changes; 8-bit activations with one scale per token suffer.

Usage: channel_stress.py IN.gguf OUT.gguf [--channels 6] [--factor 50]     wants PyPI's gguf and numpy
The matrices that change are stored as F16 (the factor is no power of two, so that their last bit is rounded).
"""
import argparse

import gguf
import numpy as np

READERS = {"attn_norm": ("attn_q", "attn_k", "attn_v"), "ffn_norm": ("ffn_gate", "ffn_up")}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("out")
    parser.add_argument("--channels", type=int, default=6)
    parser.add_argument("--factor", type=float, default=50)
    options = parser.parse_args()
    reader = gguf.GGUFReader(options.source)
    architecture = reader.get_field("general.architecture").contents()
    writer = gguf.GGUFWriter(options.out, architecture)
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name == "general.architecture":
            continue
        kind = field.types[0]
        writer.add_key_value(field.name, field.contents(), kind, field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None)
    picked = {}
    for tensor in reader.tensors:
        parts = tensor.name.split(".")
        if len(parts) == 4 and parts[2] in READERS:
            channels = np.argsort(-np.abs(tensor.data), kind="stable")[: options.channels]
            for matrix in READERS[parts[2]]:
                picked[f"blk.{parts[1]}.{matrix}.weight"] = channels
            picked[tensor.name] = channels
    for tensor in reader.tensors:
        channels = picked.get(tensor.name)
        if channels is None:
            writer.add_tensor(tensor.name, tensor.data, raw_shape=tensor.data.shape, raw_dtype=tensor.tensor_type)
        elif tensor.name.endswith("norm.weight"):
            gain = np.array(tensor.data, dtype=np.float32)
            gain[channels] *= options.factor
            writer.add_tensor(tensor.name, gain)
        else:
            weights = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
            weights[:, channels] /= options.factor
            writer.add_tensor(tensor.name, weights.astype(np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
