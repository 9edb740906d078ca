"""An encoder as a Hugging Face folder: its weights are quantized and planned for with statistics from elsewhere, and what would run
it says that it cannot."""
import array
import hashlib
import json
import os
import pathlib
import random
import struct
import tempfile
import unittest

import program
from program import run
from tiny_model import ALIGNMENT, ARRAY, STRING, TYPE_F32, text, texts

WIDTH, INNER, LAYERS, VOCABULARY = 64, 128, 2, 1500
U64 = 10
INPUTS = {"attn_q": "attn_q", "attn_k": "attn_q", "attn_v": "attn_q", "attn_output": "attn_output", "ffn_up": "ffn_up", "ffn_down": "ffn_down"}
CONFIG = {"architectures": ["BertModel"], "hidden_size": WIDTH, "intermediate_size": INNER, "num_hidden_layers": LAYERS,
          "num_attention_heads": 4, "max_position_embeddings": 32, "vocab_size": VOCABULARY, "hidden_act": "gelu", "layer_norm_eps": 1e-12}


def write_encoder(folder):
    generator = random.Random(5)
    shapes = {"embeddings.word_embeddings.weight": (VOCABULARY, WIDTH), "embeddings.position_embeddings.weight": (32, WIDTH),
              "embeddings.token_type_embeddings.weight": (2, WIDTH), "embeddings.LayerNorm.weight": (WIDTH,),
              "embeddings.LayerNorm.bias": (WIDTH,), "pooler.dense.weight": (WIDTH, WIDTH), "pooler.dense.bias": (WIDTH,)}
    for i in range(LAYERS):
        for name, shape in {"attention.self.query": (WIDTH, WIDTH), "attention.self.key": (WIDTH, WIDTH), "attention.self.value": (WIDTH, WIDTH),
                            "attention.output.dense": (WIDTH, WIDTH), "intermediate.dense": (INNER, WIDTH), "output.dense": (WIDTH, INNER)}.items():
            shapes[f"encoder.layer.{i}.{name}.weight"], shapes[f"encoder.layer.{i}.{name}.bias"] = shape, shape[:1]
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            shapes[f"encoder.layer.{i}.{name}.weight"] = shapes[f"encoder.layer.{i}.{name}.bias"] = (WIDTH,)
    header = {"embeddings.position_ids": {"dtype": "I64", "shape": [1, 32], "data_offsets": [0, 256]}}
    data = struct.pack("<32q", *range(32))
    for name, shape in shapes.items():
        count = shape[0] * (shape[1] if len(shape) > 1 else 1)
        values = array.array("f", (generator.gauss(0, 0.1) for _ in range(count))).tobytes()
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(values)]}
        data += values
    head = json.dumps(header).encode()
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(head)) + head + data)
    return folder


def write_statistics(path, gradients=True, width=WIDTH, rows=WIDTH):
    """What tools/encoder_statistics.py writes: moments of uneven columns."""
    matrices = [f"blk.{i}.{name}" for i in range(LAYERS) for name in INPUTS]
    inputs = [f"{m.rsplit('.', 1)[0]}.{INPUTS[m.rsplit('.', 1)[1]]}" for m in matrices]
    tensors = {}
    for name in dict.fromkeys(inputs):
        cols = INNER if name.endswith("ffn_down") else width
        tensors[name + ".moment"] = [(0.1 + r % 7) if r == c else 0.02 for r in range(cols) for c in range(r, cols)]
    if gradients:
        for name in matrices:
            tensors[name + ".gradient"] = [1e-3 * (1 + r % 3) for r in range(INNER if name.endswith("ffn_up") else rows)]
        tensors["token_embd.input.gradient"] = [1e-3] * WIDTH
    metadata = [("general.type", STRING, text("statistics")), ("bitkerf.statistics.matrix", ARRAY, texts(matrices)),
                ("bitkerf.statistics.input", ARRAY, texts(inputs)),
                ("bitkerf.statistics.tokens", ARRAY, struct.pack(f"<IQ{len(matrices)}Q", U64, len(matrices), *[100] * len(matrices)))]
    header = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    for key, kind, value in metadata:
        header += text(key) + struct.pack("<I", kind) + value
    data = b""
    for name, values in tensors.items():
        header += text(name) + struct.pack("<IQIQ", 1, len(values), TYPE_F32, len(data))
        data += array.array("f", values).tobytes()
        data += bytes(-len(data) % ALIGNMENT)
    path.write_bytes(header + bytes(-len(header) % ALIGNMENT) + data)
    return path


class Encoder(program.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.whole = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.whole.name)
        os.environ["BITKERF_CACHE"] = str(cls.folder / "cache")
        (cls.folder / "cache").mkdir()
        for known in (pathlib.Path.home() / ".cache" / "bitkerf").glob("machine-*.json"):
            (cls.folder / "cache" / known.name).write_bytes(known.read_bytes())
        cls.model = write_encoder(cls.folder / "encoder")
        cls.statistics = write_statistics(cls.folder / "statistics.gguf")

    @classmethod
    def tearDownClass(cls):
        cls.whole.cleanup()

    def plan(self, statistics, budget, *more):
        return run("plan", self.model, "--calibration", statistics, "--budget", budget, *more)

    def test_what_runs_a_model_says_that_it_cannot(self):
        (self.folder / "text").write_text("the of and " * 2000)
        for arguments in (("run", self.model, "-p", "a"), ("eval", self.model, "-p", "a b c"), ("bench", self.model)):
            self.assert_refused(run(*arguments), 3, "architecture bert", "not run")
        out = self.folder / "never.gguf"
        for verb in ("calibrate", "compress"):
            more = ("--budget", "90KiB") if verb == "compress" else ()
            result = run(verb, self.model, "--calibrate", self.folder / "text", *more, "-o", out)
            self.assert_refused(result, 3)
        self.assertFalse(out.exists())

    def test_quantize(self):
        out = self.folder / "quantized.gguf"
        self.assert_done(run("quantize", self.model, "--recipe", "*=rtn/int4.g32", "-o", out))
        info = run("info", out, "--tensors", "--json")
        self.assert_done(info)
        for name in ("blk.1.attn_output.bias", "blk.1.layer_output_norm.weight", "position_embd.weight", "token_embd_norm.bias"):
            self.assertIn(name, info.out)
        self.assertNotIn("pooler", info.out)
        self.assertNotIn("position_ids", info.out)
        # Ours can be quantized again: it is a model of the same architecture.
        self.assert_done(run("quantize", out, "--recipe", "token_embd=keep", "-o", self.folder / "again.gguf"))

    def test_compress_keeps_its_budget_and_gives_the_plans_bytes(self):
        sums = set()
        out = self.folder / "small.gguf"
        for _ in range(2):
            result = run("compress", self.model, "--calibration", self.statistics, "--budget", "130KiB", "-o", out, "--json")
            self.assert_done(result)
            self.assertEqual(json.loads(result.out)["file_bytes"], out.stat().st_size)
            self.assertLessEqual(out.stat().st_size, 130 << 10)
            sums.add(hashlib.sha256(out.read_bytes()).hexdigest())
        plan = self.plan(self.statistics, "130KiB")
        self.assert_done(plan)
        (self.folder / "plan").write_text(plan.out)
        self.assert_done(run("compress", self.model, "--calibration", self.statistics, "--plan", self.folder / "plan", "-o", out))
        sums.add(hashlib.sha256(out.read_bytes()).hexdigest())
        self.assertEqual(len(sums), 1)

    def test_without_gradients_errors_count_relative_to_outputs(self):
        statistics = write_statistics(self.folder / "moments.gguf", gradients=False)
        result = self.plan(statistics, "130KiB")
        self.assert_done(result)
        self.assertIn("relative squared error of outputs", result.out)
        few, more = (json.loads(self.plan(statistics, budget, "--json").out) for budget in ("110KiB", "160KiB"))
        self.assertGreater(few["predicted_kld"], more["predicted_kld"])
        for layer in few["layers"]:  # the table of inputs as well
            self.assertGreater(layer["harm"], 0, layer)

    def test_statistics_that_do_not_fit_are_refused(self):
        wrong = write_statistics(self.folder / "wrong.gguf", width=32)
        self.assert_refused(self.plan(wrong, "130KiB"), 3, "32 columns")
        self.assert_refused(run("quantize", self.model, "--calibration", wrong, "--recipe", "blk.*=gptq/int4.g32", "-o", self.folder / "x"), 3, "32 columns")
        self.assert_refused(self.plan(write_statistics(self.folder / "rows.gguf", rows=63), "130KiB"), 3, "63")
        self.assert_refused(self.plan(self.folder / "none", "130KiB"), 3, "none")
        self.assert_refused(self.plan(self.statistics, "130KiB", "--calibrate", self.folder / "text"), 2, "--calibration", "--calibrate")


if __name__ == "__main__":
    program.main()
