"""Sets the biases of a quantized encoder (BERT, MiniLM) so that what its layers give has the means of the float model's.

    python3 tools/encoder_biases.py FOLDER QUANTIZED.gguf TEXT... [--sentences N]

QUANTIZED.gguf, made from FOLDER by `bitkerf quantize`, is changed in place: its bytes stay as many. Rounding leaves errors that are
the same for every text; a bias takes them away for nothing. One pass of all sentences goes through both models; as it comes to a layer,
the layer's bias (norms' too) takes the difference of the means over all tokens, so later layers see what earlier ones were corrected to.
Needs torch, transformers, gguf and, for the weights that the file stands for, the program bitkerf_probe (BITKERF_BUILD, build/release).
"""
import argparse
import os
import pathlib
import subprocess
import tempfile

import encoder_statistics

NORMS = {"attention.output.LayerNorm": "attn_output_norm", "output.LayerNorm": "layer_output_norm"}
TABLES = {"embeddings.word_embeddings": "token_embd", "embeddings.position_embeddings": "position_embd", "embeddings.token_type_embeddings": "token_types"}


def name_of(path):
    """GGUF's name of a module with a bias, or None."""
    if path == "embeddings.LayerNorm":
        return "token_embd_norm"
    for norm, name in NORMS.items():
        if path.endswith(norm) and path.split(".")[3] == norm.split(".")[0]:
            return f"blk.{path.split('.')[2]}.{name}"
    return encoder_statistics.name_of(path)


def expanded(file, build):
    """{matrix: what the file's packed codes stand for}"""
    import numpy
    import torch

    with tempfile.TemporaryDirectory() as folder:
        listing = subprocess.run([str(build / "bitkerf_probe"), "weights", str(file), folder], check=True, stdout=subprocess.PIPE, text=True).stdout
        found = {}
        for line in listing.splitlines():
            name, rows, cols = line.split()
            found[name] = torch.from_numpy(numpy.fromfile(pathlib.Path(folder) / name, numpy.float32).reshape(int(rows), int(cols)).copy())
    return found


def four_bit_blocks(table):
    """What --exec int-block makes of tables that a file keeps in floats."""
    import torch

    blocks = table.reshape(table.shape[0], -1, 32)
    largest = blocks.abs().amax(2, keepdim=True).clamp(min=1e-30)
    step = torch.exp2(torch.ceil(torch.log2(largest / 7)))
    return ((blocks / step).round().clamp(-7, 7) * step).reshape(table.shape)


def correct(folder, file, sentences, build):
    import gguf
    import torch
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    models = [transformers.AutoModel.from_pretrained(folder).float().eval() for _ in range(2)]
    weights = expanded(file, build)
    batch = tokenizer(sentences, padding=True, truncation=True, max_length=64, return_tensors="pt")
    mask = batch["attention_mask"].bool()
    means, biases = {}, {}

    def remember(name):
        def see(module, inputs, output):
            means[name] = output[mask].mean(0)
        return see

    def change(name):
        def see(module, inputs, output):
            difference = means[name] - output[mask].mean(0)
            biases[name] = module.bias.detach() + difference
            return output + difference
        return see

    for model, hook in zip(models, (remember, change)):
        for path, module in model.named_modules():
            name = name_of(path)
            if name:
                module.register_forward_hook(hook(name))
            if hook is change:
                if name in weights:
                    module.weight.data = weights[name]
                if path in TABLES:
                    module.weight.data = weights.get(TABLES[path], four_bit_blocks(module.weight.data))
        with torch.no_grad():
            model(**batch)
    reader = gguf.GGUFReader(str(file), "r+")
    tensors = {t.name: t for t in reader.tensors}
    for name, bias in biases.items():
        tensors[name + ".bias"].data[:] = bias.numpy()
    reader.data.flush()
    return len(biases), int(mask.sum())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("file")
    parser.add_argument("text", nargs="+")
    parser.add_argument("--sentences", type=int, default=512)
    options = parser.parse_args()
    sentences = []
    for path in options.text:
        own = encoder_statistics.sentences_of(pathlib.Path(path).read_text())
        count = min(len(own), options.sentences // len(options.text))
        sentences += [own[i * len(own) // count] for i in range(count)]
    build = pathlib.Path(os.environ.get("BITKERF_BUILD", pathlib.Path(__file__).resolve().parents[1] / "build" / "release"))
    count, tokens = correct(options.folder, options.file, sentences, build)
    print(f"{options.file}: {count} biases, from {tokens} tokens of {len(sentences)} sentences")


if __name__ == "__main__":
    main()
