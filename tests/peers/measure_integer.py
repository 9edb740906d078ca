"""What execution in integers alone costs: SmolLM2 by `--exec integer`, MiniLM by `--exec int-block`.

    measure_integer.py smollm2   perplexity beside floats and beside the same codes with float rescaling; sums of the logits' bytes and
                                 greedy ids on every instruction set with one thread and all
    measure_integer.py same      the last of these alone; INTEGER_ISAS: some instruction sets only
    measure_integer.py minilm    vectors of 1,000 sentences beside transformers in float32, 8 and 4 bits; rank correlation of pairs; bytes
                                 (needs torch, transformers, gguf)

Without the models, or what it needs of Python, exit code 77. INTEGER_WINDOWS: of 512 tokens, 8 unless set. INTEGER_ROWS: of minilm.
Files, statistics and the vectors in float32 are kept in ~/.cache/bitkerf/measure_integer.
"""
import hashlib
import json
import os
import pathlib
import random
import subprocess
import sys
import time

SOURCE = pathlib.Path(os.environ.get("BITKERF_SOURCE", pathlib.Path(__file__).resolve().parents[2]))
BUILD = pathlib.Path(os.environ.get("BITKERF_BUILD", SOURCE / "build" / "release"))
PROGRAM = os.environ.get("BITKERF_PROGRAM", str(BUILD / "bitkerf"))
MODELS = pathlib.Path.home() / ".cache" / "peers" / "models"
WORK = pathlib.Path.home() / ".cache" / "bitkerf" / "measure_integer"
RECIPE = "blk.*=gptq-beam/mxint4; token_embd=rtn/mxint4"
ROWS = os.environ.get("INTEGER_ROWS", "W8A8;W4A8, nearest;W4A8").split(";")
ISAS = os.environ.get("INTEGER_ISAS", "portable,avx2,avx512").split(",")
sys.path.insert(0, str(SOURCE / "tools"))


def run(*arguments, program=PROGRAM, stdin=None, **environment):
    result = subprocess.run([program, *map(str, arguments)], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **environment})
    if result.returncode != 0:
        sys.exit(f"{program} {' '.join(map(str, arguments))}\n{result.stderr.decode()}")
    return result.stdout


def one_core():
    return ["taskset", "-c", str(min(os.sched_getaffinity(0)))]


def known_isas():
    return [i for i in ISAS if subprocess.run([PROGRAM, "doctor", "--isa", i, "--json"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0]


def smollm2():
    model = MODELS / "SmolLM2-135M-Instruct.Q4_1.gguf"
    if not model.is_file():
        print("skipped: no SmolLM2")
        sys.exit(77)
    windows = os.environ.get("INTEGER_WINDOWS", "8")
    for text in ("northanger_abbey", "code", "markdown"):
        found = {}
        for how in ("float", "integer-rescaled", "integer"):
            more = () if how == "float" else ("--reference", model)
            start = time.monotonic()
            found[how] = json.loads(run("eval", model, "-f", SOURCE / "data" / "evaluation" / f"{text}.txt", "--chunks", windows, "--exec", how, *more, "--json"))
            found[how]["seconds"] = time.monotonic() - start
        print(f"{text}, {windows} windows: " + ", ".join(
            f"{how} {f['ppl']:.4f}" + (f" (KLD {f['kld_mean']:.5f})" if "kld_mean" in f else "") + f" {f['seconds']:.0f} s" for how, f in found.items()) +
            f"; integer / integer-rescaled {found['integer']['ppl'] / found['integer-rescaled']['ppl']:.5f}", flush=True)
    same()


def same():
    model = MODELS / "SmolLM2-135M-Instruct.Q4_1.gguf"
    ids = run("tokenize", model, "-f", SOURCE / "data" / "evaluation" / "northanger_abbey.txt").split()[:64]
    sums, texts = set(), set()
    for isa in known_isas():
        for prefix in ([], one_core()):
            logits = subprocess.run([*prefix, str(BUILD / "bitkerf_probe"), "logits", str(model), "integer", "f16"], input=b" ".join(ids) + b"\n",
                                    stdout=subprocess.PIPE, check=True, env={**os.environ, "BITKERF_ISA": isa}).stdout
            sums.add(hashlib.sha256(logits).hexdigest())
            texts.add(run("run", model, "-p", "The three primary colours are", "-n", "24", "--temp", "0", "--ignore-eos", "--exec", "integer", "--isa", isa,
                          "-t", "1" if prefix else "0"))
            print(f"{isa}, {'one core' if prefix else 'all cores'}: {len(logits)} bytes of logits, sha256 {hashlib.sha256(logits).hexdigest()[:16]}", flush=True)
    if len(sums) != 1 or len(texts) != 1:
        sys.exit("they differ")
    print(f"the same logits and the same text everywhere: {texts.pop().decode().strip()!r}")


def ranks(values):
    order = sorted(range(len(values)), key=values.__getitem__)
    place = [0] * len(values)
    for i, at in enumerate(order):
        place[at] = i
    return place


def correlation(a, b):
    mean_a, mean_b = sum(a) / len(a), sum(b) / len(b)
    top = sum((x - mean_a) * (y - mean_b) for x, y in zip(a, b))
    return top / (sum((x - mean_a) ** 2 for x in a) * sum((y - mean_b) ** 2 for y in b)) ** 0.5


def minilm():
    folder = MODELS / "all-MiniLM-L6-v2"
    try:
        import numpy
        import torch
        import transformers

        import encoder_statistics
    except ImportError as missing:
        print(f"skipped: {missing}")
        sys.exit(77)
    if not folder.is_dir():
        print("skipped: no all-MiniLM-L6-v2")
        sys.exit(77)
    WORK.mkdir(parents=True, exist_ok=True)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder).float().eval()
    statistics = WORK / "minilm.statistics.gguf"
    if not statistics.exists():  # the same as compare_calibrated.py's
        sentences = []
        for name in ("prose", "markdown"):
            own = encoder_statistics.sentences_of((SOURCE / "data" / "calibration" / f"{name}.txt").read_text())
            sentences += [own[i * len(own) // 512] for i in range(min(512, len(own)))]
        encoder_statistics.write(statistics, *encoder_statistics.gather(model, tokenizer, sentences), origin="MiniLM")
    own = []
    for name in ("northanger_abbey", "markdown"):
        own += encoder_statistics.sentences_of((SOURCE / "data" / "evaluation" / f"{name}.txt").read_text(), least=12, most=400)
    sentences = [own[i * len(own) // 1000] for i in range(1000)] if len(own) > 1000 else own
    kept = WORK / "exact.npy"
    if not kept.exists():
        exact = [None] * len(sentences)
        order = sorted(range(len(sentences)), key=lambda i: len(sentences[i]))
        with torch.no_grad():
            for first in range(0, len(order), 50):
                some = order[first:first + 50]
                batch = tokenizer([sentences[i] for i in some], padding=True, truncation=True, return_tensors="pt")
                for i, vector in zip(some, encoder_statistics.embed(model, batch)):
                    exact[i] = vector.double().numpy()
        numpy.save(kept, numpy.stack(exact))
    exact = numpy.load(kept)
    generator = random.Random(1)
    pairs = [generator.sample(range(len(sentences)), 2) for _ in range(20000)]
    # Nobody judged these pairs; what they have in common stands in: of pairs that share a long word the share of such words.
    words = [{w for w in "".join(c.lower() if c.isalnum() else " " for c in s).split() if len(w) > 3} for s in sentences]
    pairs = [(a, b) for a, b in pairs if words[a] & words[b]]
    overlap = [len(words[a] & words[b]) / len(words[a] | words[b]) for a, b in pairs]
    similarities = lambda v: [float(v[a] @ v[b]) for a, b in pairs]
    float_bytes = 4 * sum(p.numel() for name, p in model.named_parameters() if not name.startswith("pooler"))
    lines = "\n".join(" ".join(s.split()) for s in sentences)
    text = WORK / "sentences"
    text.write_text(lines)
    # Feedback rounding where the inputs' moments are known, the table of tokens to nearest by squared error; then biases.
    four = WORK / "four.gguf"
    if not four.exists():
        run("quantize", folder, "--recipe", RECIPE, "--calibration", statistics, "-o", four)
        texts = [str(SOURCE / "data" / "calibration" / f"{name}.txt") for name in ("prose", "markdown")]
        subprocess.run([sys.executable, SOURCE / "tools" / "encoder_biases.py", folder, four, *texts], check=True, stdout=subprocess.DEVNULL)
    nearest = WORK / "nearest.gguf"
    if not nearest.exists():
        run("quantize", folder, "--recipe", "*=rtn/mxint4", "-o", nearest)
    print(f"{len(sentences)} sentences; float32 {float_bytes / 2 ** 20:.2f} MiB (without the pooler)")
    for name, path, wanted in (("W8A8", folder, 0.995), ("W4A8, nearest", nearest, 0), ("W4A8", four, 0.98)):
        if name not in ROWS:
            continue
        start = time.monotonic()
        out = run("embed", path, "-f", text, "--exec", "int-block", "--json")
        seconds = time.monotonic() - start
        report = json.loads(out)
        vectors = numpy.array(report["vectors"])
        cosines = (vectors * exact).sum(1) / numpy.linalg.norm(vectors, axis=1)
        ranked = correlation(ranks(similarities(vectors)), ranks(similarities(exact)))
        judged = [100 * correlation(ranks(overlap), ranks(similarities(v))) for v in (exact, vectors)]
        print(f"{name}: mean cosine {cosines.mean():.5f}, least {cosines.min():.5f}; rank correlation of {len(pairs)} pairs' similarities with float32's "
              f"{100 * ranked:.2f} of 100, with common words {judged[0]:.2f} -> {judged[1]:.2f}; "
              f"{report['weight_bytes'] / 2 ** 20:.3f} MiB, float32 / it {float_bytes / report['weight_bytes']:.3f}; {report['tokens']} tokens, {seconds:.1f} s", flush=True)
        if cosines.mean() < wanted:
            sys.exit(f"expected at least {wanted}")
        if name == "W4A8":
            part = WORK / "part"
            part.write_text("\n".join(lines.split("\n")[:50]))
            sums = {hashlib.sha256(run("embed", path, "-f", part, "--json", "--isa", isa, "-t", t)).hexdigest() for isa in known_isas() for t in ("1", "2")}
            print(f"{len(sums)} sum of 50 sentences' vectors on {', '.join(known_isas())} with 1 and 2 threads")
            if len(sums) != 1:
                sys.exit("they differ")


if __name__ == "__main__":
    wanted = sys.argv[1:] or ["smollm2", "minilm"]
    for what in wanted:
        {"smollm2": smollm2, "same": same, "minilm": minilm}[what]()
