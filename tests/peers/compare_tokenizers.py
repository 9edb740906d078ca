#!/usr/bin/env python3
"""Tokenizes texts with llama.cpp's llama-tokenize and with bitkerf, and compares the ids.

    compare_tokenizers.py [BITKERF [TEXT...]]

By default the release build, every model in ~/.cache/peers/models and every vocabulary of llama.cpp there whose
tokenizer bitkerf knows, and the texts below: prose and code of this repository and strings of many scripts.
"""
import glob
import os
import random
import subprocess
import sys
import tempfile

PEERS = os.path.expanduser("~/.cache/peers")
LLAMA = f"{PEERS}/llama.cpp"
# Where llama.cpp differs from Hugging Face's tokenizers, which bitkerf follows.
KNOWN = {
    ("ggml-vocab-bert-bge.gguf", "scripts.txt"): "it keeps one code point of a decomposition",
}
# First and last code points of blocks of letters, digits, signs, marks, emoji.
BLOCKS = [(0x20, 0x7E), (0xA1, 0x24F), (0x391, 0x3A1), (0x400, 0x4FF), (0x5D0, 0x5EA), (0x620, 0x64A), (0x905, 0x939),
          (0xE01, 0xE30), (0x1780, 0x17B3), (0x3041, 0x3096), (0x4E00, 0x9FA0), (0xAC00, 0xD7A3), (0x1F600, 0x1F64F),
          (0x2010, 0x2027), (0x300, 0x36F), (0xFF10, 0xFF19), (0x660, 0x669)]


def scripts(characters):
    """Runs of characters from the blocks, with spaces, digits and line ends between."""
    generator = random.Random(7)
    text = []
    while len(text) < characters:
        low, high = generator.choice(BLOCKS)
        text += [chr(generator.randint(low, high)) for _ in range(generator.randrange(1, 6))]
        text += generator.choice([" ", "  ", "", "", "\n", "\n\n", "\t", "'s", "1234567", " \n", "   "])
    return "".join(text)


def ids_of_llama(model, path):
    run = subprocess.run([f"{LLAMA}/build/bin/llama-tokenize", "-m", model, "-f", path, "--ids", "--no-parse-special",
                          "--no-escape"], capture_output=True, check=False)
    if run.returncode != 0:
        return None
    return [int(token) for token in run.stdout.decode().strip().strip("[]").replace(",", " ").split()]


def main():
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    program = sys.argv[1] if len(sys.argv) > 1 else f"{root}/build/release/bitkerf"
    if not os.path.exists(f"{LLAMA}/build/bin/llama-tokenize") or not os.path.exists(program):
        sys.exit("skipped: this comparison needs llama-tokenize in ~/.cache/peers and a release build")
    models = sorted(glob.glob(f"{PEERS}/models/*.gguf") + glob.glob(f"{LLAMA}/models/ggml-vocab-*.gguf"))
    different = compared = 0
    with tempfile.TemporaryDirectory() as folder:
        texts = sys.argv[2:]
        if not texts:
            texts = [f"{folder}/scripts.txt", f"{folder}/code.txt", f"{folder}/prose.txt"]
            sources = sorted(glob.glob(f"{root}/src/files/**/*.cc", recursive=True))
            documents = sorted(glob.glob(f"{root}/*.md") + glob.glob(f"{root}/docs/*.md"))
            joined = ["".join(open(name, encoding="utf-8").read() for name in names) for names in (sources, documents)]
            # A tag in Gemma's and Phi-3's files, as in Hugging Face's tokenizers; llama.cpp makes it a control token.
            joined = [text.replace("</s>", "") for text in joined]
            for path, text in zip(texts, [scripts(20000), *joined]):
                with open(path, "w", encoding="utf-8", newline="") as file:
                    file.write(text)
        for model in models:
            for text in texts:
                ours = subprocess.run([program, "tokenize", model, "-f", text], capture_output=True, check=False)
                if (os.path.basename(model), os.path.basename(text)) in KNOWN:
                    continue
                if ours.returncode != 0:
                    print(f"{os.path.basename(model)}: {ours.stderr.decode().splitlines()[0]}")
                    different += 1
                    break
                theirs = ids_of_llama(model, text)
                if theirs is None:
                    print(f"{os.path.basename(model)}: llama-tokenize refuses it")
                    break
                tokens = [int(token) for token in ours.stdout.split()]
                compared += 1
                if tokens != theirs:
                    at = next((i for i, (a, b) in enumerate(zip(tokens, theirs)) if a != b), len(theirs))
                    print(f"{os.path.basename(model)}, {os.path.basename(text)}: token {at} of {len(theirs)} is "
                          f"{tokens[at:at + 4]}, llama-tokenize has {theirs[at:at + 4]}")
                    different += 1
    print(f"{compared} comparisons, {different} different")
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main()
