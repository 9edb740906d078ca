#!/usr/bin/env python3
"""Do we say what llama.cpp says? Two comparisons for each model that has been fetched:

1. We continue 20 prompts greedily by 64 tokens; llama.cpp reads the same texts. At least 98 % of our tokens must be its
   most likely ones too, and where they are not, its own lead must be below 0.5 logits (both programs round activations
   to 8 bits, so near ties may fall either way).
2. Perplexity on 40 windows of 512 tokens of a text: ours at most 0.5 % above and 1 % below llama-perplexity's.

    python3 tests/peers/compare_llama.py [--text NORTHANGER_ABBEY.txt] [--windows 40] [--model NAME]

Models and llama.cpp (built, with shared libraries) are looked for in ~/.cache/peers; the text is that of the argument,
of BITKERF_TEXT, or is taken from Debian's package r-cran-janeaustenr. Exit code 77: something is missing.
"""
import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("BITKERF_BUILD", SOURCE / "build/release"))
PEERS = pathlib.Path.home() / ".cache/peers"
LLAMA = PEERS / "llama.cpp"
MODELS = ["SmolLM2-135M-Instruct.Q4_1.gguf", "gemma-3-270m-q4_k_m.gguf"]
LEAST_AGREEMENT, LARGEST_MARGIN, MOST_ABOVE, MOST_BELOW = 0.98, 0.5, 0.005, 0.01

PROMPTS = [
    "It was a bright cold day in April, and the clocks were",
    "The old lighthouse keeper had not spoken to anyone for three weeks when",
    "Photosynthesis is the process by which plants",
    "The history of the Roman Empire can be divided into several periods. The first",
    "Dear Sir or Madam,\n\nI am writing to complain about",
    "In 1969, the first human beings landed on the Moon.",
    "def fibonacci(n):\n    \"\"\"Return the n-th Fibonacci number.\"\"\"\n",
    "#include <stdio.h>\n\nint main(void) {\n    for (int i = 0; i < 10; i++) {\n",
    "SELECT name, count(*) FROM orders JOIN customers ON",
    "<html>\n<head>\n<title>My page</title>\n</head>\n<body>\n",
    "Shopping list:\n- milk\n- bread\n- eggs\n-",
    "The planets of the solar system:\n1. Mercury\n2. Venus\n3.",
    "Ingredients for pancakes:\n* 2 cups of flour\n* 1 teaspoon of salt\n*",
    "Il était une fois une petite fille qui",
    "Die Hauptstadt von Deutschland ist Berlin. Die Stadt",
    "Había una vez un perro que vivía en",
    "日本の首都は東京です。東京は",
    "Москва является столицей России. В городе",
    {"SmolLM2": "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n",
     "gemma": "<start_of_turn>user\nWhat is the capital of France?<end_of_turn>\n<start_of_turn>model\n"},
    {"SmolLM2": "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
                "<|im_start|>user\nWrite a short poem about the sea.<|im_end|>\n<|im_start|>assistant\n",
     "gemma": "<start_of_turn>user\nWrite a short poem about the sea.<end_of_turn>\n<start_of_turn>model\n"},
]


def skip(reason):
    print("skipped:", reason)
    sys.exit(77)


def prompts_for(model):
    return [next((text for start, text in p.items() if model.startswith(start)), "") if isinstance(p, dict) else p
            for p in PROMPTS]


def find_text(given):
    for path in (given, os.environ.get("BITKERF_TEXT")):
        if path:
            return pathlib.Path(path)
    skip("no text: give --text or BITKERF_TEXT")


def compare_tokens(model, folder, form="-"):
    program = folder / "llama_margins"
    libraries = LLAMA / "build/bin"
    subprocess.run(["g++", "-std=c++17", "-O2", f"-I{LLAMA}/include", f"-I{LLAMA}/ggml/include",
                    str(SOURCE / "tests/peers/llama_margins.cc"), "-o", str(program), f"-L{libraries}", "-lllama", "-lggml",
                    "-lggml-base", f"-Wl,-rpath,{libraries}"], check=True)
    ours = subprocess.run([BUILD / "bitkerf_probe", "greedy", model, form, "f16", "64"], check=True, stdout=subprocess.PIPE,
                          input=b"".join(p.encode() + b"\0" for p in prompts_for(model.name))).stdout
    lines = subprocess.run([program, model, "2"], check=True, stdout=subprocess.PIPE, input=ours).stdout.decode().split("\n")
    rows = [(int(a), int(b), float(c)) for a, b, c in (line.split() for line in lines if line)]
    margins = sorted(margin for id, best, margin in rows if id != best)
    agreement = 1 - len(margins) / len(rows)
    good = agreement >= LEAST_AGREEMENT and (not margins or margins[-1] < LARGEST_MARGIN) and len(rows) == 64 * len(PROMPTS)
    print(f"{model.name}: {100 * agreement:.2f} % of {len(rows)} greedy tokens are llama.cpp's too; where not, its lead is at "
          f"most {margins[-1] if margins else 0:.3f} logits: {'good' if good else 'BAD'}", flush=True)
    return good


def compare_perplexity(model, text, windows):
    ours = json.loads(subprocess.run([BUILD / "bitkerf", "eval", model, "-f", text, "-c", "512", "--chunks", str(windows),
                                      "--json"], check=True, stdout=subprocess.PIPE).stdout)["ppl"]
    peer = subprocess.run([LLAMA / "build/bin/llama-perplexity", "-m", model, "-f", text, "-c", "512", "--chunks",
                           str(windows), "-t", "2"], check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    theirs = float(re.search(r"PPL = ([0-9.]+)", peer.stdout.decode(errors="replace")).group(1))
    difference = ours / theirs - 1
    good = -MOST_BELOW <= difference <= MOST_ABOVE
    print(f"{model.name}: perplexity {ours:.4f}, llama-perplexity {theirs:.4f}: {100 * difference:+.2f} %: "
          f"{'good' if good else 'BAD'}", flush=True)
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text")
    parser.add_argument("--windows", type=int, default=40)
    parser.add_argument("--model", help="only this one of " + ", ".join(MODELS))
    options = parser.parse_args()
    if not (LLAMA / "build/bin/llama-perplexity").exists():
        skip(f"no llama.cpp built in {LLAMA}")
    models = [PEERS / "models" / name for name in MODELS if options.model in (None, name)]
    models = [model for model in models if model.exists()] or skip(f"no models in {PEERS}/models")
    text = find_text(options.text)
    subprocess.run(["cmake", "--build", BUILD, "--target", "bitkerf_probe"], check=True, stdout=subprocess.DEVNULL)
    good = True
    with tempfile.TemporaryDirectory() as folder:
        for model in models:
            good &= compare_tokens(model, pathlib.Path(folder))
            good &= compare_perplexity(model, text, options.windows)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
