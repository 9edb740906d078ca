"""Statistics of an encoder of sentences (BERT, MiniLM), which bitkerf compresses but does not run, from Python's transformers.

    python3 tools/encoder_statistics.py FOLDER TEXT -o STATISTICS.gguf [--sentences N]
    bitkerf compress FOLDER --calibration STATISTICS.gguf --budget 3.2bpw -o SMALL.gguf

Needs torch, transformers and gguf. The text is cut into sentences. Moments are means over their tokens. Gradients are of the
sentence's vector v (mean of the last layer, length 1): for z drawn from N(0, 1) the mean square of d(z v)/d(output), summed over
the tokens of a sentence, so that the harm of a change is half the expected squared length of what it does to v, which is
1 - cosine. The format of the file: src/compress/calibration/statistics.h.
"""
import argparse
import pathlib
import re

# The linear layers of a block, by the names of transformers' modules.
MODULES = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
}
SHARED = {"attn_k": "attn_q", "attn_v": "attn_q"}  # whose input is another one's


def sentences_of(text, least=24, most=240):
    pieces = re.split(r"(?<=[.!?;])\s+", " ".join(text.split()))
    return [piece for piece in pieces if least <= len(piece) <= most]


def name_of(module):
    found = re.fullmatch(r"encoder\.layer\.(\d+)\.(.*)", module)
    return f"blk.{found[1]}.{MODULES[found[2]]}" if found and found[2] in MODULES else None


def embed(model, batch):
    """Unit vectors of sentences: means of the last layer over tokens that are not padding."""
    hidden = model(**batch).last_hidden_state
    mask = batch["attention_mask"].unsqueeze(-1).to(hidden.dtype)
    mean = (hidden * mask).sum(1) / mask.sum(1)
    return mean / mean.norm(dim=1, keepdim=True)


def gather(model, tokenizer, sentences, batch_size=32, seed=0):
    """{name: E[x x^T]}, {name: E[g^2]}, tokens."""
    import torch

    moments, gradients, outputs, state = {}, {}, {}, {"tokens": 0}

    def watch(name):
        def see(module, inputs, output):
            x = inputs[0].detach()[state["mask"]]
            if name.rsplit(".", 1)[1] not in SHARED:
                moments[name] = moments.get(name, 0) + (x.T @ x).double()
            output.retain_grad()
            outputs[name] = output
        return see

    def watch_table(module, inputs, output):
        output.requires_grad_()
        output.retain_grad()
        outputs["token_embd.input"] = output

    hooks = [module.register_forward_hook(watch(name_of(path))) for path, module in model.named_modules() if name_of(path)]
    hooks.append(model.embeddings.word_embeddings.register_forward_hook(watch_table))
    generator = torch.Generator().manual_seed(seed)
    for first in range(0, len(sentences), batch_size):
        batch = tokenizer(sentences[first:first + batch_size], padding=True, truncation=True, return_tensors="pt")
        state["mask"] = batch["attention_mask"].bool()
        state["tokens"] += int(state["mask"].sum())
        vectors = embed(model, batch)
        (vectors * torch.randn(vectors.shape, generator=generator)).sum().backward()
        for name, output in outputs.items():
            gradients[name] = gradients.get(name, 0) + output.grad[state["mask"]].double().square().sum(0)
        outputs.clear()
        model.zero_grad()
    for hook in hooks:
        hook.remove()
    moments = {name: (moment / state["tokens"]).float().numpy() for name, moment in moments.items()}
    gradients = {name: (gradient / len(sentences)).float().numpy() for name, gradient in gradients.items()}
    return moments, gradients, state["tokens"]


def write(path, moments, gradients, tokens, origin):
    import gguf
    import numpy

    names = [name for name in gradients if not name.endswith(".input")]
    inputs = [name if name in moments else f"{name.rsplit('.', 1)[0]}.{SHARED[name.rsplit('.', 1)[1]]}" for name in names]
    writer = gguf.GGUFWriter(str(path), arch="none")
    writer.add_string("general.type", "statistics")
    writer.add_array("bitkerf.statistics.matrix", names)
    writer.add_array("bitkerf.statistics.input", inputs)
    writer.add_array("bitkerf.statistics.tokens", [tokens] * len(names))
    writer.add_string("bitkerf.statistics.origin", origin)
    for name, moment in moments.items():
        writer.add_tensor(name + ".moment", numpy.ascontiguousarray(moment[numpy.triu_indices(len(moment))]))
    for name, gradient in gradients.items():
        writer.add_tensor(name + ".gradient", gradient)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("text", nargs="+")
    parser.add_argument("-o", "--output", required=True)
    parser.add_argument("--sentences", type=int, default=1024)
    options = parser.parse_args()
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(options.folder)
    model = transformers.AutoModel.from_pretrained(options.folder).float().eval()
    sentences = []
    for path in options.text:
        own = sentences_of(pathlib.Path(path).read_text())
        count = min(len(own), options.sentences // len(options.text))
        sentences += [own[i * len(own) // count] for i in range(count)]
    moments, gradients, tokens = gather(model, tokenizer, sentences)
    write(options.output, moments, gradients, tokens, f"{options.folder}; {' '.join(options.text)}")
    print(f"{options.output}: {len(moments)} inputs over {tokens} tokens of {len(sentences)} sentences")


if __name__ == "__main__":
    main()
