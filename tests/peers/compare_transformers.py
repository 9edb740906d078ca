#!/usr/bin/env python3
"""Our float path against Python's transformers, on the same quantized files.

The weights of the file are dequantized by the `gguf` package and put into the model that transformers builds, float32;
we run the form `dense` with a float32 cache. All logits of a few texts must agree to 1e-3.

    python3 tests/peers/compare_transformers.py      # with torch, transformers and gguf installed

Models are looked for in ~/.cache/peers/models. Exit code 77: something is missing.
"""
import os
import pathlib
import re
import subprocess
import sys

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("BITKERF_BUILD", SOURCE / "build/release"))
MODELS = pathlib.Path.home() / ".cache/peers/models"
TOLERANCE = 1e-3

try:
    import numpy as np
    import torch
    import transformers
    from gguf import GGUFReader, dequantize
except ImportError as error:
    other = pathlib.Path.home() / ".cache/peers/venv-torch/bin/python"
    if other.exists() and pathlib.Path(sys.prefix) != other.parents[1]:
        os.execv(other, [str(other), *sys.argv])
    print("skipped:", error)
    sys.exit(77)

TEXTS = [
    "It was a bright cold day in April, and the clocks were striking thirteen. Winston Smith, his chin nuzzled into "
    "his breast in an effort to escape the vile wind, slipped quickly through the glass doors",
    "def fibonacci(n):\n    if n < 2:\n        return n\n    return fibonacci(n - 1) + fibonacci(n - 2)\n",
    "Die Hauptstadt von Deutschland ist Berlin; 日本の首都は東京です。",
]

NAMES = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
LAYER_NAMES = {
    "attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
LLAMA_NORMS = {"ffn_norm": "post_attention_layernorm"}
GEMMA_NORMS = {"post_attention_norm": "post_attention_layernorm", "ffn_norm": "pre_feedforward_layernorm",
               "post_ffw_norm": "post_feedforward_layernorm"}


def build(path):
    reader = GGUFReader(path)
    value = lambda key, otherwise=None: reader.fields[key].contents() if key in reader.fields else otherwise
    architecture = value("general.architecture")
    get = lambda key, otherwise=None: value(f"{architecture}.{key}", otherwise)
    tensors = {t.name: t for t in reader.tensors}
    heads, width = get("attention.head_count"), get("embedding_length")
    kv_heads = get("attention.head_count_kv")
    common = dict(vocab_size=int(tensors["token_embd.weight"].shape[1]), hidden_size=width,
                  intermediate_size=get("feed_forward_length"), num_hidden_layers=get("block_count"),
                  num_attention_heads=heads, num_key_value_heads=kv_heads, head_dim=get("attention.key_length", width // heads),
                  max_position_embeddings=get("context_length"), rms_norm_eps=get("attention.layer_norm_rms_epsilon"),
                  tie_word_embeddings="output.weight" not in tensors)
    gemma = architecture == "gemma3"
    if gemma:
        rope = dict(full_attention=dict(rope_type="default", rope_theta=get("rope.freq_base")),
                    sliding_attention=dict(rope_type="default", rope_theta=10000.0))
        config = transformers.Gemma3TextConfig(**common, rope_parameters=rope, sliding_window=get("attention.sliding_window"),
                                               query_pre_attn_scalar=get("attention.key_length"))
        model_class = transformers.Gemma3ForCausalLM
    else:
        config = transformers.LlamaConfig(**common, rope_parameters=dict(rope_type="default", rope_theta=get("rope.freq_base")))
        model_class = transformers.LlamaForCausalLM
    config._attn_implementation = "eager"
    model = model_class(config).float().eval()
    parameters = dict(model.named_parameters())
    wanted = set(parameters)
    for name, tensor in tensors.items():
        data = torch.from_numpy(dequantize(tensor.data, tensor.tensor_type).astype(np.float32))
        base = name.removesuffix(".weight")
        match = re.fullmatch(r"blk\.(\d+)\.(.*)", base)
        if match:
            module = {**LAYER_NAMES, **(GEMMA_NORMS if gemma else LLAMA_NORMS)}[match[2]]
            full = f"model.layers.{match[1]}.{module}.weight"
            if not gemma and match[2] in ("attn_q", "attn_k"):  # neighbours to halves
                n = heads if match[2] == "attn_q" else kv_heads
                data = data.reshape(n, -1, 2, width).swapaxes(1, 2).reshape(-1, width)
        else:
            full = NAMES[base] + ".weight"
        if gemma and full.endswith("norm.weight"):
            data = data - 1
        with torch.no_grad():
            parameters[full].copy_(data.reshape(parameters[full].shape))
        wanted.discard(full)
    assert not wanted - {"lm_head.weight"}, wanted
    return model


def main():
    models = sorted(MODELS.glob("SmolLM2*.gguf")) + sorted(MODELS.glob("gemma-3*.gguf"))
    if not models:
        print("skipped: no models in", MODELS)
        sys.exit(77)
    subprocess.run(["cmake", "--build", BUILD, "--target", "bitkerf_probe"], check=True, stdout=subprocess.DEVNULL)
    good = True
    for path in models:
        lines = [subprocess.run([BUILD / "bitkerf", "tokenize", path, "-p", text], check=True, stdout=subprocess.PIPE).stdout.decode().strip()
                 for text in TEXTS]
        ours = subprocess.run([BUILD / "bitkerf_probe", "logits", path, "dense", "f32"], check=True, stdout=subprocess.PIPE,
                              input="\n".join(lines).encode() + b"\n").stdout
        model = build(path)
        with torch.no_grad():
            theirs = torch.cat([model(torch.tensor([[int(i) for i in line.split()]])).logits[0] for line in lines]).numpy()
        ours = np.frombuffer(ours, np.float32).reshape(theirs.shape)
        difference = np.abs(ours - theirs).max()
        good &= bool(difference <= TOLERANCE)
        print(f"{path.name}: {theirs.shape[0]} tokens, logits up to {np.abs(theirs).max():.1f} differ by at most {difference:.1e}: "
              f"{'good' if difference <= TOLERANCE else 'BAD'}", flush=True)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
