#!/usr/bin/env python3
"""Writes tiny random models with Python transformers, and the logits that it computes from them in float32.

    pip install torch transformers safetensors
    python3 tests/golden/make_tiny_models.py        # into tests/golden/models/<name>/

Every parameter is random, norm gains and biases too: a parameter that keeps the value it starts with (0 or 1) would let
wrong wiring pass. Sizes are odd on purpose; windows and trained contexts are shorter than the prompts. golden.bin is
int32 prompts, tokens, vocabulary; int32 ids (prompts, tokens); float32 logits (prompts, tokens, vocabulary).
The committed files were made by torch 2.15.0 and transformers 5.23.0.
"""

import json
import pathlib
import shutil

import numpy as np
import torch
import transformers

VOCABULARY, PROMPTS, TOKENS = 136, 3, 64
SIZES = dict(vocab_size=VOCABULARY, hidden_size=40, intermediate_size=72, num_hidden_layers=3, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=128, bos_token_id=1, eos_token_id=2, pad_token_id=0)
LONG = [1.0 + 0.7 * i for i in range(5)]
SHORT = [1.0 + 0.1 * i for i in range(5)]


def longrope(original):
    return dict(original_max_position_embeddings=original,
                rope_parameters=dict(rope_type="longrope", rope_theta=10000.0, long_factor=LONG, short_factor=SHORT,
                                     original_max_position_embeddings=original))


MODELS = {
    "llama3": ("Llama", dict(num_attention_heads=5, num_key_value_heads=1, head_dim=22, rope_parameters=dict(
        rope_type="llama3", rope_theta=5000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
        original_max_position_embeddings=48))),
    "llama_linear": ("Llama", dict(attention_bias=True, mlp_bias=True, tie_word_embeddings=True, rope_parameters=dict(
        rope_type="linear", rope_theta=10000.0, factor=3.0))),
    "mistral": ("Mistral", dict(head_dim=18, sliding_window=13)),
    "qwen2": ("Qwen2", dict(num_attention_heads=5, num_key_value_heads=5)),
    "qwen2_yarn": ("Qwen2", dict(rope_parameters=dict(
        rope_type="yarn", rope_theta=10000.0, factor=4.0, original_max_position_embeddings=32))),
    "qwen3": ("Qwen3", dict(num_attention_heads=6, num_key_value_heads=2, head_dim=14, tie_word_embeddings=True)),
    "gemma2": ("Gemma2", dict(head_dim=22, sliding_window=11, query_pre_attn_scalar=9, attn_logit_softcapping=3.0,
                              final_logit_softcapping=4.0)),
    "gemma3": ("Gemma3Text", dict(head_dim=34, sliding_window=9, num_hidden_layers=7, query_pre_attn_scalar=17,
                                  num_attention_heads=2, num_key_value_heads=1, rope_parameters=dict(
                                      full_attention=dict(rope_type="linear", rope_theta=1e6, factor=8.0),
                                      sliding_attention=dict(rope_type="default", rope_theta=10000.0)))),
    "phi3": ("Phi3", dict(sliding_window=21, rope_parameters=dict(
        rope_type="default", rope_theta=10000.0, partial_rotary_factor=0.6))),
    "phi3_long": ("Phi3", longrope(32)),
    "phi3_short": ("Phi3", longrope(64)),
}


def randomise(model, generator):
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if name.endswith("norm.weight"):
            noise = parameter.data.mean().round() + 0.4 * noise  # about 0 for Gemma, about 1 for others
        elif name.endswith("bias"):
            noise = 0.5 * noise
        elif "embed_tokens" in name or "lm_head" in name:
            noise = 0.4 * noise
        else:
            noise = 1.5 * noise / parameter.shape[1] ** 0.5
        parameter.data = noise.half().float()  # what half floats hold exactly: the file is half as big


def make(name, family, changes, folder):
    transformers.set_seed(1)
    config = getattr(transformers, family + "Config")(**{**SIZES, **changes})
    config._attn_implementation = "eager"
    model_class = getattr(transformers, family.removesuffix("Text") + "ForCausalLM")
    model = model_class(config).float().eval()
    generator = torch.Generator().manual_seed(sum(map(ord, name)))
    randomise(model, generator)
    prompts = torch.randint(0, VOCABULARY, (PROMPTS, TOKENS), generator=generator)
    with torch.no_grad():
        logits = torch.cat([model(prompt[None]).logits for prompt in prompts]).float()
    print(f"{name:13} logits: mean size {logits.abs().mean():.2f}, largest {logits.abs().max():.2f}")

    shutil.rmtree(folder, ignore_errors=True)
    model.half().save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    with open(folder / "golden.bin", "wb") as f:
        np.array([PROMPTS, TOKENS, VOCABULARY], np.int32).tofile(f)
        prompts.numpy().astype(np.int32).tofile(f)
        logits.numpy().tofile(f)


if __name__ == "__main__":
    for name, (family, changes) in MODELS.items():
        make(name, family, changes, pathlib.Path(__file__).parent / "models" / name)
