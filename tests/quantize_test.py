"""Quantizes a real model and runs what comes out; wrong recipes and damaged files are one line."""
import json
import pathlib
import tempfile
import unittest

import program
from program import find_model, run

MODEL = find_model()


@unittest.skipUnless(MODEL, "no model in the cache folders")
class Quantize(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.path = pathlib.Path(cls.folder.name) / "small.gguf"
        result = run("quantize", MODEL, "--recipe", "*=rtn-max/bipolar8.g64; token_embd=keep", "-o", cls.path, "--json")
        assert result.code == 0, result

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def run_text(self, *more):
        return run("run", self.path, "-p", "The capital of France is", "-n", 8, "--temp", 0, *more)

    def test_runs_at_any_number_of_bits(self):
        for bits in (0, 8, 6):
            result = self.run_text("--bits", bits)
            self.assertEqual(result.code, 0, result)
            self.assertIn("Paris", result.out, result)
        self.assertEqual(self.run_text("--bits", 8).out, self.run_text().out)

    def test_fewer_bits_are_another_model(self):
        self.assertNotEqual(self.run_text("--bits", 1).out, self.run_text().out)

    def test_records_make_the_same_file_again(self):
        records = run("quantize", self.path, "--list", "--json")
        self.assertEqual(records.code, 0, records)
        rows = json.loads(records.out)["records"]
        self.assertIn({"matrix": "blk.0.attn_q", "transform": "none", "quantizer": "rtn-max", "format": "bipolar8.f16.g64",
                       "form": "bit_planes", "execution": "integer-only"},
                      [{k: row[k] for k in ("matrix", "transform", "quantizer", "format", "form", "execution")} for row in rows])
        again = pathlib.Path(self.folder.name) / "again.gguf"
        self.assertEqual(run("quantize", MODEL, "--like", self.path, "-o", again).code, 0)
        self.assertEqual(again.read_bytes(), self.path.read_bytes())
        self.assertEqual(run("quantize", MODEL, "--like", MODEL, "-o", again).code, 3)

    def test_damage_is_one_line(self):
        data = bytearray(self.path.read_bytes())
        for name, old, new in (("form", b"bit_planes", b"bit_plants"), ("format", b"bipolar8.f16.g64", b"bipolar8.f16.g32"),
                               ("input", b"int8.g64", b"int9.g64"),
                               ("format name", b"bipolar8.f16.g64", b"bipolar9.f16.g64")):
            broken = pathlib.Path(self.folder.name) / "broken.gguf"
            broken.write_bytes(data.replace(old, new))
            result = run("run", broken, "-p", "x", "-n", 1)
            self.assertEqual(result.code, 3, (name, result))
            self.assertEqual(result.err.count("error:"), 1, (name, result))
        broken.write_bytes(data[:len(data) * 2 // 3])
        self.assertEqual(run("run", broken, "-p", "x", "-n", 1).code, 3)

    def test_wrong_calls(self):
        out = pathlib.Path(self.folder.name) / "never.gguf"
        for recipe in ("", "*", "*=foo/int4", "*=rtn/int9", "*=rtn/int16 | codebook"):
            result = run("quantize", MODEL, "--recipe", recipe, "-o", out)
            self.assertEqual(result.code, 2, (recipe, result))
            self.assertEqual(result.err.count("error:"), 1, (recipe, result))
        self.assertEqual(run("quantize", MODEL, "--recipe", "*=rtn/int4").code, 2)
        self.assertNotEqual(run("quantize", MODEL, "--recipe", "*=rtn/int4", "-o", out.parent / "no" / "such").code, 0)
        self.assertFalse(out.exists())


if __name__ == "__main__":
    program.main()
