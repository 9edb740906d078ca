#!/usr/bin/env python3
"""Derivatives of a loss in the tiny models of tests/golden/models, by PyTorch's autograd.

    pip install torch transformers safetensors
    python3 tests/golden/make_gradients.py          # writes tests/golden/models/<name>/gradients.bin

The loss is the sum over tokens of -log p(label): two windows, the model's first prompt and the first 40 tokens of its
second, with the tokens of the third prompt as labels. gradients.bin holds float32 vectors, each as int32 length of its
name, the name, int32 count, the values: "loss"; "input" (squares of derivatives in the embedding's output, before its
scale); "<norm>" (derivatives in gains); "<matrix>.square", ".factor", ".bias" (compress/backward/, RowDerivatives).
The committed files were made by torch 2.15.0 and transformers 5.23.0.
"""

import pathlib
import struct

import numpy as np
import torch
import transformers

FOLDER = pathlib.Path(__file__).parent / "models"
MATRICES = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
            "self_attn.qkv_proj": "attn_qkv", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
            "mlp.gate_up_proj": "ffn_up"}
NORMS = {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "pre_feedforward_layernorm": "ffn_norm",
         "post_feedforward_layernorm": "post_ffw_norm", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm"}


def stored_name(module, gemma):
    if module == "lm_head":
        return "output"
    if module == "model.norm":
        return "output_norm"
    _, _, layer, rest = module.split(".", 3)
    if gemma and rest == "post_attention_layernorm":
        return f"blk.{layer}.post_attention_norm"
    return f"blk.{layer}." + {**MATRICES, **NORMS}[rest]


def make(folder):
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    header = np.fromfile(folder / "golden.bin", np.int32, 3)
    prompts = torch.from_numpy(np.fromfile(folder / "golden.bin", np.int32, header[0] * header[1], offset=12)).long().reshape(header[0], header[1])
    gemma, tied = "gemma" in model.config.model_type, model.config.tie_word_embeddings
    outputs, result = {}, {}
    def keep(name):
        def hook(module, inputs, output):
            output.retain_grad()
            outputs[name] = output
        return hook
    for name, module in model.named_modules():
        if isinstance(module, (torch.nn.Linear, torch.nn.Embedding)):
            module.register_forward_hook(keep(name))
    def add(name, values):
        result[name] = result.get(name, 0) + values.detach().double().numpy()
    for window, labels in ((prompts[0], prompts[2]), (prompts[1][:40], prompts[2][:40])):
        model.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(window[None]).logits[0], labels, reduction="sum")
        loss.backward()
        add("loss", loss.reshape(1))
        for name, module in model.named_modules():
            if isinstance(module, torch.nn.Linear):
                y, g, stored = outputs[name][0], outputs[name].grad[0], stored_name(name, gemma)
                if stored == "output" and tied:
                    stored = "token_embd"
                out = y if module.bias is None else y - module.bias
                add(stored + ".square", (g * g).sum(0))
                add(stored + ".factor", (g * out).sum(0))
                add(stored + ".bias", g.sum(0))
            elif isinstance(module, torch.nn.Embedding):
                x, g = outputs[name][0], outputs[name].grad[0]
                scale = float(getattr(module, "embed_scale", 1))
                add("input", (g * g).sum(0) * scale * scale)
                if tied:
                    add("token_embd.factor", torch.zeros(header[2]).index_add(0, window, (g * x).sum(1)))
            elif name.endswith("norm"):
                add(stored_name(name, gemma), module.weight.grad)
    with open(folder / "gradients.bin", "wb") as f:
        for name, values in result.items():
            f.write(struct.pack("<i", len(name)) + name.encode() + struct.pack("<i", len(values)) + values.astype("<f4").tobytes())
    print(f"{folder.name:13} loss {float(result['loss'][0]):.4f}, {len(result)} vectors")


if __name__ == "__main__":
    for path in sorted(FOLDER.iterdir()):
        make(path)
