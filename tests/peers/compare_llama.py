#!/usr/bin/env python3
"""Do we say what llama.cpp says? Two comparisons for each model that has been fetched:

1. We continue 20 prompts greedily by 64 tokens; llama.cpp reads the same texts. At least 98 % of our tokens must be its
   most likely ones too, and where they are not, its own lead must be below 0.5 logits. The judge is llama.cpp on the
   same weights in float32 (its own llama-quantize writes them): on the quantized file it rounds activations to 8 bits as
   we do, and then contradicts itself at 1 to 3 % of these places when it computes one token at a time instead of all at
   once, by more than 0.5 logits in places. Those figures are printed too.
2. Perplexity on 40 windows of 512 tokens of a text: ours at most 0.5 % above and 1 % below llama-perplexity's.

    python3 tests/peers/compare_llama.py [--text NORTHANGER_ABBEY.txt] [--windows 40] [--model NAME]

Models and llama.cpp (built, with shared libraries) are looked for in ~/.cache/peers; the text is that of the argument,
or of BITKERF_TEXT (Northanger Abbey is in Debian's package r-cran-janeaustenr). Exit code 77: something is missing.
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

# Some lines of context each: after a few words a small model is so unsure that the most likely token is a matter of
# rounding in either program. For the last two, the markup of each family.
PROMPTS = [
    "It was a bright cold day in April, and the clocks were striking thirteen. The old man closed the door of his house, "
    "put the key into his pocket, and walked slowly down the street towards the market, as he did every morning. At the "
    "market, he",
    "The old lighthouse keeper had not spoken to anyone for three weeks. Every evening he climbed the stairs to light "
    "the lamp, and every morning he climbed them again to put it out. One evening, when he reached the top of the stairs,",
    "Photosynthesis is the process by which plants, algae and some bacteria use the energy of sunlight to turn carbon "
    "dioxide and water into sugar and oxygen. It takes place in the chloroplasts, which contain",
    "The history of the Roman Empire can be divided into several periods. The first period began in 27 BC, when Augustus "
    "became the first emperor, and it ended in",
    "Dear Sir or Madam,\n\nI am writing to complain about the washing machine that I bought in your shop on the third of "
    "March. It worked for two weeks, and then it stopped. I would like",
    "When in the Course of human events, it becomes necessary for one people to dissolve the political bands which have "
    "connected them with another, and to assume among the powers of the earth,",
    "def fibonacci(n):\n    \"\"\"Return the n-th Fibonacci number.\"\"\"\n    if n < 2:\n        return n\n"
    "    return fibonacci(n - 1) + fibonacci(n - 2)\n\n\ndef factorial(n):\n    \"\"\"Return n!\"\"\"\n",
    "#include <stdio.h>\n\nint main(void) {\n    for (int i = 0; i < 10; i++) {\n        printf(\"%d\\n\", i);\n    }\n"
    "    return 0;\n}\n\nint sum(const int *values, int count) {\n",
    "CREATE TABLE customers (\n    id INTEGER PRIMARY KEY,\n    name TEXT NOT NULL,\n    email TEXT NOT NULL\n);\n\n"
    "CREATE TABLE orders (\n    id INTEGER PRIMARY KEY,\n",
    "<html>\n<head>\n<title>My page</title>\n</head>\n<body>\n<h1>My page</h1>\n<p>This is my page.</p>\n<ul>\n"
    "<li>One</li>\n<li>Two</li>\n",
    "The days of the week are Monday, Tuesday, Wednesday, Thursday, Friday, Saturday and Sunday. The months of the year "
    "are January, February,",
    "The planets of the solar system, in order of their distance from the Sun:\n1. Mercury\n2. Venus\n3. Earth\n4.",
    "Ingredients for pancakes:\n* 2 cups of flour\n* 1 teaspoon of salt\n* 2 eggs\n* 2 cups of milk\n\nInstructions:\n"
    "1. Mix the flour and the salt in a large bowl.\n2.",
    "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,",
    "Il était une fois une petite fille de village, la plus jolie qu'on eût su voir. Sa mère en était folle, et sa "
    "grand-mère plus folle encore. Cette bonne femme lui fit faire un petit chaperon rouge. Un jour,",
    "Die Hauptstadt von Deutschland ist Berlin. Die Hauptstadt von Frankreich ist Paris. Die Hauptstadt von Italien ist "
    "Rom. Die Hauptstadt von Spanien ist",
    "En un lugar de la Mancha, de cuyo nombre no quiero acordarme, no ha mucho tiempo que vivía un hidalgo de los de "
    "lanza en astillero, adarga antigua, rocín flaco y galgo corredor.",
    "Москва является столицей России. Париж является столицей Франции. Рим является столицей Италии. Мадрид является",
    {"SmolLM2": "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n",
     "gemma": "<start_of_turn>user\nWhat is the capital of France?<end_of_turn>\n<start_of_turn>model\n"},
    {"SmolLM2": "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
                "<|im_start|>user\nList the primary colors and say how to mix orange.<|im_end|>\n<|im_start|>assistant\n",
     "gemma": "<start_of_turn>user\nList the primary colors and say how to mix orange.<end_of_turn>\n"
              "<start_of_turn>model\n"},
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
    floats = folder / "f32.gguf"
    subprocess.run([libraries / "llama-quantize", "--allow-requantize", model, floats, "F32", "2"], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def ask(file):  # rows of: our token, llama.cpp's and its lead over ours, all at once and then token by token
        lines = subprocess.run([program, file, "2"], check=True, stdout=subprocess.PIPE, input=ours).stdout.decode().split("\n")
        return [[float(word) for word in line.split()] for line in lines if line]

    good = True
    for what, file in (("its float32", floats), ("its 8-bit activations", model)):
        rows = ask(file)
        for way, token in (("all at once", 1), ("token by token", 3)):
            wrong = [(at, row) for at, row in enumerate(rows) if row[0] != row[token]]
            agreement, lead = 100 - 100 * len(wrong) / len(rows), max([row[token + 1] for _, row in wrong], default=0)
            fine = agreement >= 100 * LEAST_AGREEMENT and lead < LARGEST_MARGIN and len(rows) == 64 * len(PROMPTS)
            print(f"{model.name}: {agreement:.2f} % of {len(rows)} greedy tokens are llama.cpp's too ({what}, {way}), its lead "
                  f"at the others is at most {lead:.3f} logits: {'good' if fine else 'BAD' if file == floats else 'for information'}",
                  flush=True)
            if file == floats:
                good &= fine
                for at, row in wrong if not fine else []:
                    print(f"  prompt {at // 64}, token {at % 64}: we say {row[0]:.0f}, llama.cpp {row[token]:.0f} (lead {row[token + 1]:.3f})")
        print(f"  llama.cpp agrees with itself at {100 * sum(row[1] == row[3] for row in rows) / len(rows):.2f} % ({what})", flush=True)
    floats.unlink()
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
