#!/usr/bin/env python3
"""Relative errors of products and of 64-long dots of real q and k: L-Mul at m = 3, 4, 7 (carry form, and the formula), and
products of operands rounded to e4m3 and e5m2, against float64.

    l_mul.py QK.npz        q (n, 64) and k (n, 64), as made by --capture
    l_mul.py --capture MODEL.gguf TEXT QK.npz

Needs numpy and ml_dtypes; capturing needs torch, transformers and gguf.
"""
import sys

import numpy as np


def operand(x, m):
    """float32 rounded to m mantissa bits (nearest even), as bits."""
    bits = x.astype(np.float32).view(np.uint32).astype(np.int64)
    sign, magnitude, drop = bits >> 31, bits & 0x7FFFFFFF, 23 - m
    magnitude = (magnitude + (1 << drop - 1) - 1 + (magnitude >> drop & 1)) >> drop << drop
    return sign, np.where(magnitude < 1 << 23, 0, magnitude)


def l_mul(x, y, m, formula):
    l = m if m <= 3 else 3 if m == 4 else 4
    (sx, a), (sy, b) = operand(x, m), operand(y, m)
    mask, one = (1 << 23) - 1, 1 << 23
    s = (a & mask) + (b & mask) + (1 << 23 - l)
    total = a + b + (1 << 23 - l)
    if formula:
        total = np.where(s >= one, ((a >> 23) + (b >> 23) + 1 << 23) + (s - one) // 2, total)
    magnitude = total - (127 << 23)
    magnitude = np.where((magnitude < one) | (a == 0) | (b == 0), 0, np.minimum(magnitude, 0x7F7FFFFF))
    value = magnitude.astype(np.uint32).view(np.float32).astype(np.float64)
    return np.where(sx ^ sy, -value, value)


def rounded(x, y, kind):
    import ml_dtypes
    dtype = {"e4m3": ml_dtypes.float8_e4m3fn, "e5m2": ml_dtypes.float8_e5m2}[kind]
    return x.astype(dtype).astype(np.float64) * y.astype(dtype).astype(np.float64)


MODES = [("lmul m=3", lambda x, y: l_mul(x, y, 3, False)), ("lmul m=4", lambda x, y: l_mul(x, y, 4, False)),
         ("lmul m=7", lambda x, y: l_mul(x, y, 7, False)), ("formula m=3", lambda x, y: l_mul(x, y, 3, True)),
         ("formula m=4", lambda x, y: l_mul(x, y, 4, True)), ("formula m=7", lambda x, y: l_mul(x, y, 7, True)),
         ("e4m3", lambda x, y: rounded(x, y, "e4m3")), ("e5m2", lambda x, y: rounded(x, y, "e5m2"))]


def capture(model_path, text_path, out):
    import pathlib
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.models.llama import modeling_llama
    path = pathlib.Path(model_path)
    model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    kept = {"q": [], "k": []}
    plain = modeling_llama.apply_rotary_pos_emb

    def keep(q, k, *rest, **named):
        q, k = plain(q, k, *rest, **named)
        kept["q"].append(q[0].numpy())
        kept["k"].append(k[0].numpy())
        return q, k

    modeling_llama.apply_rotary_pos_emb = keep
    ids = tokenizer(open(text_path).read()[:4000], return_tensors="pt").input_ids[:, :256]
    with torch.no_grad():
        model(ids)
    rng = np.random.default_rng(1)
    q, k = [], []
    for layer_q, layer_k in zip(kept["q"], kept["k"]):  # (heads, tokens, 64)
        for _ in range(2000):
            head, t = rng.integers(layer_q.shape[0]), rng.integers(layer_q.shape[1])
            q.append(layer_q[head, t])
            k.append(layer_k[head * layer_k.shape[0] // layer_q.shape[0], rng.integers(t + 1)])
    np.savez_compressed(out, q=np.array(q, np.float32), k=np.array(k, np.float32))


def main():
    if sys.argv[1] == "--capture":
        return capture(*sys.argv[2:5])
    data = np.load(sys.argv[1])
    q, k = data["q"], data["k"]
    exact = q.astype(np.float64) * k.astype(np.float64)
    dots = exact.sum(1)
    size = np.sqrt((exact**2).sum(1))  # of a dot's terms: relative errors of dots near 0 mean nothing
    print(f"{len(q)} pairs of real q and k, {q.shape[1]} long\n")
    print(f"{'':12} {'products':>17} {'dots, relative to the root of the sum':>40}")
    print(f"{'':12} {'rms':>8} {'mean':>8} {'of squares: rms':>24} {'gain':>8} {'rms without gain':>18}")
    for name, multiply in MODES:
        p = multiply(q, k)
        keep = np.abs(exact) > 1e-12
        e = p[keep] / exact[keep] - 1
        d = p.sum(1)
        gain = (d * dots).sum() / (dots * dots).sum()
        print(f"{name:12} {100 * np.sqrt((e**2).mean()):7.2f}% {100 * e.mean():+7.2f}% {100 * np.sqrt((((d - dots) / size)**2).mean()):23.2f}% "
              f"{gain:8.4f} {100 * np.sqrt((((d / gain - dots) / size)**2).mean()):17.2f}%")


main()
