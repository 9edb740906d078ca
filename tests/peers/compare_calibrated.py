"""Our mixed plans beside GPTQ (gptqmodel) and HQQ at no more bits, scales and everything else stored counted, same calibration.

    compare_calibrated.py minilm    MiniLM (float32), expanded back into transformers: mean cosine of 1,000 sentences' vectors to float32's
    compare_calibrated.py smollm2   SmolLM2's layers: output error tr(dW H dW^T), and perplexity and divergence by bitkerf eval
    compare_calibrated.py grids     MiniLM's layers after rotation: squared error of grids for normal weights beside their constants
    compare_calibrated.py lattice   E8P with feedback beside scalar grids with feedback, about 2 bits
    compare_calibrated.py kernel    our rounding beside gptqmodel's on the same H, order and format: output error layer by layer
    compare_calibrated.py rows      rows of MiniLM in 4 and 8 bits, dealt out by `bitkerf allocate`
    compare_calibrated.py four_bits inputs and weights of MiniLM in 4 bits after transforms
    compare_calibrated.py integers  our codes beside those of a textbook GPTQ written here, on every linear layer of MiniLM

Calibration: data/calibration (for MiniLM its prose and Markdown by sentences), tests: data/evaluation. Needs torch, transformers, gguf,
hqq and gptqmodel (tests/peers/README or: pip install hqq gptqmodel); without them, or without the models, exit code 77. What takes long is kept
in the folder --work. CALIBRATED_BITS, 3.0,2.25 unless set, are ours; theirs have at least as many.
"""
import argparse
import json
import math
import os
import pathlib
import subprocess
import sys
import time

SOURCE = pathlib.Path(os.environ.get("BITKERF_SOURCE", pathlib.Path(__file__).resolve().parents[2]))
BUILD = pathlib.Path(os.environ.get("BITKERF_BUILD", SOURCE / "build" / "release"))
PROGRAM = os.environ.get("BITKERF_PROGRAM", str(BUILD / "bitkerf"))
MODELS = pathlib.Path.home() / ".cache" / "peers" / "models"
sys.path.insert(0, str(SOURCE / "tools"))

try:
    import gguf
    import numpy
    import torch
    import transformers
    from gptqmodel.quantization.config import QuantizeConfig
    from gptqmodel.quantization.gptq import GPTQ
    from hqq.core.quantize import Quantizer
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

import encoder_statistics

SENTENCES = 1000
# (name, what their bits are, W and H to W'). GPTQ's zero points take as many bits as a code, scales 16; HQQ's scale and zero 16 each.
# Groups are divisors of 384 and 1536, 576 and 1536, as near below our bits as they come, or the nearest above.
GPTQ_BITS = {3.0: [(3, -1), (3, 192), (3, 96)], 2.25: [(2, -1), (2, 192), (2, 96), (2, 64)]}
HQQ_BITS = {3.0: [(3, 384), (3, 192)], 2.25: [(2, 128), (2, 96)]}


def run(*arguments):
    result = subprocess.run([PROGRAM, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if result.returncode != 0:
        sys.exit(f"bitkerf {' '.join(map(str, arguments))}\n{result.stderr}")
    return result.stdout


def output_error(change, moment):
    return float(((change.double() @ moment.double()) * change.double()).sum())


def by_gptq(weights, moment, bits, group, **more):
    """gptqmodel's, given inputs with exactly this second moment: rows of the Cholesky factor."""
    layer = torch.nn.Linear(weights.shape[1], weights.shape[0], bias=False)
    layer.weight.data = weights.clone()
    config = QuantizeConfig(bits=bits, group_size=group, **{"desc_act": True, "sym": False, "mse": 2.0, "damp_percent": 0.01, **more})
    if hasattr(config, "fallback"):
        config.fallback = None
    task = GPTQ(layer, config)
    task.quantizer.configure(perchannel=True)
    n = len(moment)
    jitter = 1e-9 * float(moment.diagonal().mean())
    while True:
        factor, info = torch.linalg.cholesky_ex(moment.double() + jitter * torch.eye(n, dtype=torch.float64))
        if info == 0:
            break
        jitter *= 10
    rows = (factor.T * math.sqrt(n)).float()
    task.add_batch(rows.unsqueeze(0), layer(rows).unsqueeze(0))
    quantized = task.quantize(blocksize=128)[0]
    return quantized.detach().float().reshape(weights.shape)


def by_hqq(weights, bits, group):
    group = min(group, weights.shape[1])
    while weights.shape[1] % group:
        group -= 1
    quantized, meta = Quantizer.quantize(weights.clone(), nbits=bits, group_size=group, axis=1, round_zero=False, optimize=True,
                                         compute_dtype=torch.float32, device="cpu")
    return Quantizer.dequantize(quantized, meta).float().reshape(weights.shape)


def gptq_bits(bits, group, shapes):
    weights = sum(r * c for r, c in shapes)
    return bits + sum(r * (c // (c if group < 0 else group)) * (16 + bits) for r, c in shapes) / weights


def hqq_bits(bits, group, shapes):
    def width(c):
        g = min(group, c)
        while c % g:
            g -= 1
        return g
    return bits + sum(r * (c // width(c)) * 32 for r, c in shapes) / sum(r * c for r, c in shapes)


def read_statistics(path):
    """{matrix: E[x x^T]}"""
    reader = gguf.GGUFReader(path)
    text = lambda key: [bytes(reader.fields[key].parts[i]).decode() for i in reader.fields[key].data]
    tensors = {t.name: t for t in reader.tensors}
    kept, moments = {}, {}
    for matrix, name in zip(text("bitkerf.statistics.matrix"), text("bitkerf.statistics.input")):
        if name not in kept:
            upper = tensors[name + ".moment"].data
            n = int((math.sqrt(8 * len(upper) + 1) - 1) / 2 + 0.5)
            full = numpy.zeros((n, n), numpy.float32)
            full[numpy.triu_indices(n)] = upper
            kept[name] = torch.from_numpy(full + numpy.triu(full, 1).T)
        moments[matrix] = kept[name]
    return moments


def expanded(model, folder):
    """The floats that a file of ours stands for: {matrix: W'}, rows in the order of the kernels."""
    folder.mkdir(exist_ok=True)
    listing = subprocess.run([BUILD / "bitkerf_probe", "weights", model, folder], check=True, stdout=subprocess.PIPE, text=True).stdout
    found = {}
    for line in listing.splitlines():
        name, rows, cols = line.split()
        found[name] = torch.from_numpy(numpy.fromfile(folder / name, numpy.float32).reshape(int(rows), int(cols)).copy())
        (folder / name).unlink()
    return found


def our_lines(model, statistics, bits, is_ours):
    """The plan's lines of the linear layers at the budget where they take at most `bits` a weight in all, and their bits."""
    low, high = 0, 64.0
    best = None
    for _ in range(14):
        budget = (low + high) / 2 if low else high
        plan = subprocess.run([PROGRAM, "plan", str(model), "--calibration", str(statistics), "--budget", f"{budget:.4f}bpw", "--json"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if plan.returncode == 4:
            low = budget
            continue
        if plan.returncode != 0:
            sys.exit(plan.stderr)
        layers = [layer for layer in json.loads(plan.stdout)["layers"] if is_ours(layer["matrix"])]
        weights = sum(WEIGHTS[layer["matrix"]] for layer in layers)
        used = 8 * sum(layer["bytes"] for layer in layers) / weights
        if used <= bits:
            best, low = (layers, used), budget
        else:
            high = budget
        if not low:
            low = 0.01
    if best is None:
        sys.exit(f"no plan of {bits} bits")
    return "\n".join(f"{layer['matrix']} = {layer['recipe']}" for layer in best[0]), best[1]


WEIGHTS = {}
ONLY = ""
BLOCKS = [int(b) for b in os.environ.get("CALIBRATED_BLOCKS", "0,1,2,3,4,5").split(",")]  # of `kernel`


def row(name, bits, *figures):
    print(f"| {name} | {bits:.3f} | " + " | ".join(figures) + " |", flush=True)


def judged_minilm(work):
    """judge(name, bits, quantize): a row with the mean cosine of MiniLM with the weights that quantize() gives; and what it is made of."""
    folder = MODELS / "all-MiniLM-L6-v2"
    if not folder.is_dir():
        print("skipped: no all-MiniLM-L6-v2")
        sys.exit(77)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    load = lambda: transformers.AutoModel.from_pretrained(folder).float().eval()
    model = load()
    statistics = work / "minilm.statistics.gguf"
    if not statistics.exists():
        sentences = []
        for name in ("prose", "markdown"):
            own = encoder_statistics.sentences_of((SOURCE / "data" / "calibration" / f"{name}.txt").read_text())
            sentences += [own[i * len(own) // 512] for i in range(min(512, len(own)))]
        encoder_statistics.write(statistics, *encoder_statistics.gather(model, tokenizer, sentences), origin="MiniLM")
    moments = read_statistics(statistics)
    own = encoder_statistics.sentences_of((SOURCE / "data" / "evaluation" / "northanger_abbey.txt").read_text(), least=12, most=400)
    own += encoder_statistics.sentences_of((SOURCE / "data" / "evaluation" / "markdown.txt").read_text(), least=12, most=400)
    sentences = [own[i * len(own) // SENTENCES] for i in range(SENTENCES)] if len(own) > SENTENCES else own
    modules = {encoder_statistics.name_of(path): module for path, module in model.named_modules() if encoder_statistics.name_of(path)}
    shapes = [tuple(m.weight.shape) for m in modules.values()]
    WEIGHTS.update({name: m.weight.numel() for name, m in modules.items()})

    def vectors(model):
        with torch.no_grad():
            order = sorted(range(len(sentences)), key=lambda i: len(sentences[i]))
            out = [None] * len(sentences)
            for first in range(0, len(order), 50):
                some = order[first:first + 50]
                batch = tokenizer([sentences[i] for i in some], padding=True, truncation=True, return_tensors="pt")
                for i, v in zip(some, encoder_statistics.embed(model, batch)):
                    out[i] = v
        return torch.stack(out)

    exact = vectors(model)
    weights = {name: m.weight.detach().clone() for name, m in modules.items()}

    def judge(name, bits, quantize, hooks=()):
        """hooks: of the modules' inputs, already in place; taken away here."""
        if name.startswith(ONLY):
            quantized = quantize()
            relative = sum(output_error(quantized[n] - weights[n], moments[n]) / output_error(weights[n], moments[n]) for n in weights) / len(weights)
            for n, m in modules.items():
                m.weight.data = quantized[n]
            cosine = float((vectors(model) * exact).sum(1).mean())
        for hook in hooks:
            hook.remove()
        if not name.startswith(ONLY):
            return
        for n, m in modules.items():
            m.weight.data = weights[n]
        row(name, bits, f"{cosine:.5f}", f"{1 - cosine:.2e}", f"{relative:.4f}")

    print(f"MiniLM: {len(sentences)} sentences, {len(shapes)} linear layers\n\n| | bits | mean cosine | 1 - it | relative output error |\n|---|---|---|---|---|")
    judge.model = model
    return judge, weights, moments, shapes, folder, statistics


def four_bits(work, wanted):
    """Card 39: inputs and weights of 4 bits (a scale per token, and per 64 weights) after no transform, SmoothQuant's, a Hadamard matrix and P1, P2
    learned by ours from 256 tokens of calibration text, computed in torch."""
    del wanted
    judge, weights, _, _, folder, _ = judged_minilm(work)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    text = encoder_statistics.sentences_of((SOURCE / "data" / "calibration" / "prose.txt").read_text())
    batch = tokenizer([text[i * len(text) // 64] for i in range(64)], padding=True, truncation=True, return_tensors="pt")
    seen = {}

    def watch(name):
        def hook(module, inputs):
            if name not in seen:
                seen[name] = inputs[0][batch["attention_mask"].bool()]
        return hook

    model = judge.model
    modules = {encoder_statistics.name_of(path): m for path, m in model.named_modules() if encoder_statistics.name_of(path)}
    handles = [m.register_forward_pre_hook(watch(n)) for n, m in modules.items()]
    with torch.no_grad():
        encoder_statistics.embed(model, batch)
    for h in handles:
        h.remove()

    def rounded(x, group):
        parts = x.reshape(*x.shape[:-1], -1, group)
        scale = (parts.abs().amax(-1, keepdim=True) / 7).clamp_min(1e-30)
        return ((parts / scale).round().clamp(-8, 7) * scale).reshape(x.shape)

    def hadamard(n):
        # Sylvester's matrix times Paley's of order 12 (of which 384 and 1536 are multiples), signs at random.
        squares = {i * i % 11 for i in range(1, 11)}
        q = torch.tensor([[0 if i == j else 1 if (j - i) % 11 in squares else -1 for j in range(11)] for i in range(11)], dtype=torch.float32)
        paley = torch.eye(12)
        paley[0, 1:], paley[1:, 0], paley[1:, 1:] = 1, -1, q + torch.eye(11)
        h = paley
        while len(h) < n:
            h = torch.kron(torch.tensor([[1.0, 1.0], [1.0, -1.0]]), h)
        assert len(h) == n and torch.allclose(h @ h.T, n * torch.eye(n), atol=1e-2)
        signs = torch.randint(0, 2, (n,), generator=torch.Generator().manual_seed(n)) * 2 - 1
        return h / math.sqrt(n) * signs

    def learned(x, w):
        n = w.shape[1]
        some = x[torch.arange(256) * len(x) // 256]
        data = torch.cat([some, w]).float().numpy().tobytes()
        out = subprocess.run([BUILD / "bitkerf_probe", "kron", str(n), "256", "4"], input=data, check=True, stdout=subprocess.PIPE).stdout
        p = torch.from_numpy(numpy.frombuffer(out, numpy.float32).copy())
        n1 = max(i for i in range(1, n + 1) if n % i == 0 and i * i <= n)
        p1, p2 = p[n:n + n1 * n1].reshape(n1, n1), p[n + n1 * n1:].reshape(n // n1, n // n1)
        return torch.kron(p1.T.contiguous(), p2.T.contiguous()) * p[:n]  # T x, x by rows

    def smooth(x, w):
        s = x.abs().amax(0).clamp_min(1e-5).sqrt() / w.abs().amax(0).clamp_min(1e-5).sqrt()
        return torch.diag(1 / s)

    kinds = {"none": lambda x, w: None, "smoothing": smooth, "hadamard": lambda x, w: hadamard(w.shape[1]), "kron": learned}
    for kind, make in kinds.items():
        made, handles, quantized, spread = {}, [], {}, []
        for name, m in modules.items():
            key = name.replace("attn_k", "attn_q").replace("attn_v", "attn_q")
            if key not in made:
                readers = [n for n in modules if n.replace("attn_k", "attn_q").replace("attn_v", "attn_q") == key]
                made[key] = make(seen[key], torch.cat([weights[n] for n in readers]))
            t, w = made[key], weights[name]
            inverse = None if t is None else torch.linalg.inv(t.double()).float()
            x = seen[key] if t is None else seen[key] @ t.T
            largest = x.abs().amax(0)
            spread.append(float(largest.max() / largest.median()))
            back = lambda x, inverse=inverse: x if inverse is None else x @ inverse.T
            turn = lambda x, t=t: x if t is None else x @ t.T
            quantized[name] = rounded(w if t is None else w @ inverse, 64)
            quantized[name] = quantized[name] if t is None else quantized[name] @ t
            handles.append(m.register_forward_pre_hook(lambda _, inputs, turn=turn, back=back: (back(rounded(turn(inputs[0]), inputs[0].shape[-1])),)))
        judge(f"W4A4, {kind}", 4, lambda: quantized, handles)
        print(f"    largest over median column of the inputs: {math.exp(sum(map(math.log, spread)) / len(spread)):.1f}, at most {max(spread):.1f}", flush=True)


def rows(work, wanted):
    """Card 160: a tenth of the rows in 8 bits, dealt out over the model, within every matrix, by chance; the others in 4."""
    del wanted
    judge, weights, _, _, folder, statistics = judged_minilm(work)
    low, high = "rtn/int4.row", "rtn/int8.row"

    def make(*recipe):
        report = json.loads(run("quantize", folder, *recipe, "--calibration", statistics, "-o", work / "ours.gguf", "--json"))
        return report["bits_per_weight"], {n: w for n, w in expanded(work / "ours.gguf", work / "floats").items() if n in weights}

    for recipe in (low, high):
        bits, found = make("--recipe", f"blk.*={recipe}")
        judge(recipe, bits, lambda: found)
    for deal, seed in (("global", 1), ("matrix", 1), ("random", 1), ("random", 2), ("random", 3)):
        plan = work / f"rows.{deal}.{seed}"
        run("allocate", folder, "--calibration", statistics, "--low", low, "--high", high, "--share", 0.1, "--deal", deal, "-s", seed, "-o", plan)
        bits, found = make("--recipe", f"@{plan}")
        judge(f"{deal} {seed}", bits, lambda: found)


def minilm(work, wanted):
    judge, weights, moments, shapes, folder, statistics = judged_minilm(work)
    for bits in wanted:
        lines, used = our_lines(folder, statistics, bits, lambda m: m.startswith("blk."))
        (work / "plan").write_text(lines)
        run("quantize", folder, "--recipe", f"@{work / 'plan'}", "--calibration", statistics, "-o", work / "ours.gguf")
        judge(f"ours, {bits}", used, lambda: {n: w for n, w in expanded(work / "ours.gguf", work / "floats").items() if n in weights})
        for b, group in GPTQ_BITS.get(bits, []):
            judge(f"gptqmodel {b} bits, group {group}, act order, mse", gptq_bits(b, group, shapes),
                  lambda: {n: by_gptq(w, moments[n], b, group) for n, w in weights.items()})
        for b, group in HQQ_BITS.get(bits, []):
            judge(f"hqq {b} bits, group {group}", hqq_bits(b, group, shapes), lambda: {n: by_hqq(w, b, group) for n, w in weights.items()})


def smollm2(work, wanted):
    source = MODELS / "SmolLM2-135M-Instruct.Q4_1.gguf"
    if not source.is_file():
        print("skipped: no SmolLM2")
        sys.exit(77)
    statistics = work / "smollm2.statistics.gguf"
    if not statistics.exists():
        run("calibrate", source, "-o", statistics)
    moments = read_statistics(statistics)
    reader = gguf.GGUFReader(source)
    tensors = [t for t in reader.tensors if t.name.startswith("blk.") and len(t.shape) == 2]
    WEIGHTS.update({t.name.removesuffix(".weight"): int(t.n_elements) for t in tensors})
    shapes = [(int(t.shape[1]), int(t.shape[0])) for t in tensors]
    windows = os.environ.get("CALIBRATED_WINDOWS", "10")

    def judge(name, bits, make):
        if not name.startswith(ONLY):
            return
        path, figures = make(), []
        for text in ("northanger_abbey", "code", "markdown"):
            report = json.loads(run("eval", path, "-f", SOURCE / "data" / "evaluation" / f"{text}.txt", "--chunks", windows, "--reference", source, "--json"))
            figures += [f"{report['ppl']:.2f}", f"{report['kld_mean']:.4f}"]
        row(name, bits, *figures)

    def rounded(path, by):
        """The source with its linear layers rounded and expanded again, as float16."""
        if path.exists():
            return path
        writer = gguf.GGUFWriter(str(path.with_suffix(".part")), arch="llama")
        for key, field in reader.fields.items():
            if key.startswith("GGUF.") or key == "general.architecture":
                continue
            value, kind = field.contents(), field.types[0]
            if kind == gguf.GGUFValueType.ARRAY:
                writer.add_array(key, value)
            else:
                writer.add_key_value(key, value, kind)
        for t in reader.tensors:
            name = t.name.removesuffix(".weight")
            if name not in WEIGHTS:
                writer.add_tensor(t.name, t.data, raw_dtype=t.tensor_type)
                continue
            weights = torch.from_numpy(gguf.dequantize(t.data, t.tensor_type).astype(numpy.float32))
            writer.add_tensor(t.name, by(weights, moments[name]).half().numpy())
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        path.with_suffix(".part").rename(path)
        return path

    print(f"SmolLM2's linear layers, the embedding as in the source; {windows} windows of each text\n\n| | bits | novel ppl | KLD | code ppl | KLD | Markdown ppl | KLD |"
          "\n|---|---|---|---|---|---|---|---|")
    for bits in wanted:
        lines, used = our_lines(source, statistics, bits, lambda m: m.startswith("blk."))
        (work / "plan").write_text(lines)
        run("quantize", source, "--recipe", f"@{work / 'plan'}", "--calibration", statistics, "-o", work / "ours.gguf")
        judge(f"ours, {bits}", used, lambda: work / "ours.gguf")
        for b, group in ((3, 192),) if bits >= 3 else ((2, 96),):
            judge(f"gptqmodel {b} bits, group {group}, act order, mse", gptq_bits(b, group, shapes),
                  lambda: rounded(work / f"gptq{b}g{group}.gguf", lambda w, h: by_gptq(w, h, b, group)))
        for b, group in ((3, 192),) if bits >= 3 else ((2, 96),):
            judge(f"hqq {b} bits, group {group}", hqq_bits(b, group, shapes), lambda: rounded(work / f"hqq{b}g{group}.gguf", lambda w, h: by_hqq(w, b, group)))


def grids(work, wanted):
    """Card 247: squared error of rotated layers, scales searched, beside the constant of the grid for normal weights; NF4 at the same bits."""
    del wanted
    folder = MODELS / "all-MiniLM-L6-v2"
    if not folder.is_dir():
        print("skipped: no all-MiniLM-L6-v2")
        sys.exit(77)
    model = transformers.AutoModel.from_pretrained(folder).float()
    weights = {encoder_statistics.name_of(path): m.weight.detach() for path, m in model.named_modules() if encoder_statistics.name_of(path)}
    print("MiniLM, 36 layers: squared error relative to the weights, least, mean, most; the constant of Lloyd and Max")
    found = {}
    for recipe, constant in (("hadamard | rtn/bipolar2.row", 0.1188), ("hadamard | rtn/normal2.row", 0.1175), ("hadamard | rtn/normal3.row", 0.03454),
                             ("hadamard | rtn/normal4.row", 0.009497), ("hadamard | rtn/nf4.row", 0), ("rtn/nf4.g64", 0), ("hadamard | rtn/normal4.g64", 0),
                             ("hadamard | rtn/normal8d2.row", 0.0080), ("hadamard | rtn/e8p2.row", 0.0915)):
        run("quantize", folder, "--recipe", f"blk.*={recipe}", "-o", work / "k.gguf")
        ours = expanded(work / "k.gguf", work / "floats")
        t = found[recipe] = [float((ours[n] - w).double().square().sum() / w.double().square().sum()) for n, w in weights.items()]
        print(f"{recipe}: {min(t):.5f} {sum(t) / len(t):.5f} {max(t):.5f}; {constant or '-'}", flush=True)
    for one, other in (("hadamard | rtn/normal4.row", "hadamard | rtn/nf4.row"), ("hadamard | rtn/normal4.g64", "rtn/nf4.g64")):
        print(f"{one} below {other} in {sum(a < b for a, b in zip(found[one], found[other]))} of {len(weights)} layers")


def lattice(work, wanted):
    """Card 264: E8P with feedback beside scalar 2 bits with feedback."""
    del wanted
    folder = MODELS / "all-MiniLM-L6-v2"
    statistics = work / "minilm.statistics.gguf"
    if not folder.is_dir() or not statistics.exists():
        print("skipped: wants MiniLM, and `minilm` run before")
        sys.exit(77)
    moments = read_statistics(statistics)
    model = transformers.AutoModel.from_pretrained(folder).float()
    weights = {encoder_statistics.name_of(path): m.weight.detach() for path, m in model.named_modules() if encoder_statistics.name_of(path)}
    print("MiniLM, 36 layers: output error relative to the outputs, mean; bits")
    for recipe in ("hadamard | gptq/e8p2.row", "gptq/uint2.g64", "hadamard | gptq/uint2.g64", "hadamard | gptq/bipolar2.g64", "hadamard | gptq/bipolar2.u8.g192",
                   "hadamard | gptq-beam/bipolar2.u8.g192"):
        start = time.monotonic()
        report = json.loads(run("quantize", folder, "--recipe", f"blk.*={recipe}", "--calibration", statistics, "-o", work / "k.gguf", "--json"))
        seconds = time.monotonic() - start
        ours = expanded(work / "k.gguf", work / "floats")
        relative = sum(output_error(ours[n] - w, moments[n]) / output_error(w, moments[n]) for n, w in weights.items()) / len(weights)
        print(f"{recipe}: {relative:.5f}; {report['bits_per_weight']:.3f} bits, {seconds:.1f} s", flush=True)


def minilm_layers(work):
    """{matrix: weights}, {matrix: H} of MiniLM's linear layers."""
    folder, statistics = MODELS / "all-MiniLM-L6-v2", work / "minilm.statistics.gguf"
    if not folder.is_dir() or not statistics.exists():
        print("skipped: wants MiniLM, and `minilm` run before")
        sys.exit(77)
    moments = read_statistics(statistics)
    model = transformers.AutoModel.from_pretrained(folder).float()
    weights = {encoder_statistics.name_of(path): m.weight.detach() for path, m in model.named_modules() if encoder_statistics.name_of(path)}
    return {n: w for n, w in weights.items() if int(n.split(".")[1]) in BLOCKS}, moments, folder, statistics


def kernel(work, wanted):
    """Card 268: the same H, order and format on both sides, layer by layer. gptqmodel's groups of the natural order are found as it goes,
    ours are fixed before; in act order its groups are fixed before too, or (`own groups`) made of columns next to each other in that
    order, which is another format. Ours goes from the last column to the first, so it gets its columns turned round."""
    del wanted
    weights, moments, folder, statistics = minilm_layers(work)
    kept = work / "gptqmodel.json"
    known = json.loads(kept.read_text()) if kept.exists() else {}

    def theirs(n, bits, group, order, fixed):
        key = f"{n} {bits} {group} {order} {fixed}"
        if key not in known:
            w, h = weights[n], moments[n]
            if not order:
                w, h = w.flip(1), h.flip(0, 1)
            known[key] = min(output_error(by_gptq(w, h, bits, group, desc_act=order, static_groups=fixed, mse=mse) - w, h) for mse in (0.0, 2.0))
            kept.write_text(json.dumps(known))
        return known[key]

    print(f"MiniLM, output error relative to gptqmodel's, the better of mse and none: mean of {len(weights)} layers, the largest, the whole sum\n")
    for bits, group in ((4, 128), (3, 64)):
        for order, fixed, label in ((False, False, "natural order"), (True, True, "act order"), (True, False, "act order, own groups")):
            peer = {n: theirs(n, bits, group, order, fixed) for n in weights}
            for quantizer in ("gptq", "gptq-beam") if order else ("gptq-natural",):
                run("quantize", folder, "--recipe", f"blk.*={quantizer}/uint{bits}.g{group}", "--calibration", statistics, "-o", work / "k.gguf")
                ours = expanded(work / "k.gguf", work / "floats")
                error = {n: output_error(ours[n] - w, moments[n]) for n, w in weights.items()}
                ratios = {n: error[n] / peer[n] for n in weights}
                worst = max(ratios, key=ratios.get)
                print(f"W{bits} g{group} {label}: {quantizer} {sum(ratios.values()) / len(ratios):.3f}, {ratios[worst]:.3f} ({worst}), "
                      f"{sum(error.values()) / sum(peer.values()):.3f}; above 1.02: {sum(r > 1.02 for r in ratios.values())}", flush=True)


def integers(work, wanted):
    """Card 268: our codes beside those of a textbook GPTQ (front to back, Cholesky factor of the inverse, float64) on our scales, its columns
    in our order turned round. Prints where codes differ: how far from halfway between two of them the first of such a row was."""
    del wanted
    weights, moments, folder, statistics = minilm_layers(work)
    print("MiniLM: recipe, weights, codes that differ, rows with some, farthest from a tie where a row parts; largest relative gap of the error identity")
    for recipe, lowest in (("gptq-textbook/uint4.g128", 0), ("gptq-pivot/uint3.g64", 0), ("gptq-textbook/int4.row", -8), ("gptq-pivot/int3.g64", -4)):
        run("quantize", folder, "--recipe", f"blk.*={recipe}", "--calibration", statistics, "-o", work / "k.gguf")
        listing = subprocess.run([BUILD / "bitkerf_probe", "codes", work / "k.gguf", work / "floats"], check=True, stdout=subprocess.PIPE, text=True).stdout
        top = 2 ** int(recipe.split("int")[1][0]) - 1
        all_codes = differing = differing_rows = 0
        farthest = gap = 0.0
        for line in listing.splitlines():
            name, rows, cols, groups, _ = line.split()
            rows, cols, groups = int(rows), int(cols), int(groups)
            if name not in weights:
                continue
            read = lambda what, n: numpy.fromfile(work / "floats" / f"{name}.{what}", numpy.float32).reshape(-1, n)
            codes, scales, minima = read("codes", cols).astype(int), read("scales", groups), read("minima", groups)
            if len(minima) == 0:
                minima = numpy.zeros_like(scales)
            group = -(-cols // groups)
            h = moments[name].numpy().astype(numpy.float64)
            h = h + 0.01 * h.diagonal().mean() * numpy.eye(cols)
            order = pivot_order(h) if "pivot" in recipe else numpy.arange(cols)
            found, off_tie, own_gap = textbook(weights[name].numpy().astype(numpy.float64), h, order[::-1], scales, minima, group, lowest, top, codes)
            wrong = found != codes
            all_codes += wrong.size
            differing += int(wrong.sum())
            differing_rows += int(wrong.any(1).sum())
            farthest, gap = max(farthest, off_tie), max(gap, own_gap)
        print(f"{recipe}: {all_codes}, {differing}, {differing_rows}, {farthest:.1e}; {gap:.1e}", flush=True)


def pivot_order(h):
    """First what is fixed last: the smallest diagonal, then always the smallest that is left."""
    rest, order = h.copy(), numpy.arange(len(h))
    for k in range(len(h)):
        best = k + int(rest.diagonal()[k:].argmin())
        order[[k, best]] = order[[best, k]]
        rest[[k, best]] = rest[[best, k]]
        rest[:, [k, best]] = rest[:, [best, k]]
        rest[k + 1:, k + 1:] -= numpy.outer(rest[k + 1:, k], rest[k, k + 1:]) / rest[k, k]
    return order


def textbook(weights, h, order, scales, minima, group, lowest, top, ours):
    """GPTQ's codes; how far from a tie the first code of a row was that is not ours, at most; the largest relative gap between
    dW H dW^T of a row and the sum of its squared residuals over the inverse's pivots."""
    upper = numpy.linalg.cholesky(numpy.linalg.inv(h[numpy.ix_(order, order)])).T  # H^-1 = U^T U
    rows, cols = weights.shape
    left = weights[:, order].copy()
    found, change, losses = numpy.zeros((rows, cols), int), numpy.zeros((rows, cols)), numpy.zeros(rows)
    parted, off_tie = numpy.zeros(rows, bool), 0.0
    block = 64
    for start in range(0, cols, block):
        end = min(start + block, cols)
        errors = numpy.zeros((rows, end - start))
        for k in range(start, end):
            c = order[k]
            scale, minimum = scales[:, c // group], minima[:, c // group]
            place = (left[:, k] - minimum) / numpy.where(scale > 0, scale, 1) - lowest
            code = numpy.clip(numpy.rint(place), 0, top).astype(int)
            value = scale * (code + lowest).astype(numpy.float32) + minimum  # float32, as stored
            first = (code != ours[:, c]) & ~parted
            if first.any():
                off_tie = max(off_tie, float(numpy.abs(numpy.abs(place - numpy.floor(place))[first] - 0.5).max()))
            parted |= first
            found[:, c] = code
            error = (left[:, k] - value) / upper[k, k]
            losses += error ** 2
            errors[:, k - start] = error
            left[:, k:end] -= numpy.outer(error, upper[k, k:end])
            change[:, c] = weights[:, c] - value
        left[:, end:] -= errors @ upper[start:end, end:]
    exact = ((change @ h) * change).sum(1)
    return found, off_tie, float((numpy.abs(exact - losses) / exact).max())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["minilm", "smollm2", "kernel", "integers", "rows", "four_bits", "grids", "lattice"])
    parser.add_argument("--only", default="", help="rows whose name begins so")
    parser.add_argument("--work", default=str(pathlib.Path.home() / ".cache" / "bitkerf" / "compare_calibrated"))
    options = parser.parse_args()
    global ONLY
    ONLY = options.only
    work = pathlib.Path(options.work)
    work.mkdir(parents=True, exist_ok=True)
    wanted = [float(b) for b in os.environ.get("CALIBRATED_BITS", "3.0,2.25").split(",")]
    globals()[options.what](work, wanted)


if __name__ == "__main__":
    main()
