"""--exec on the command line: what it takes, and that integers predict as the floats do."""
import json
import pathlib
import random
import tempfile
import unittest

import program
from encoder_test import VOCABULARY, WIDTH, write_encoder
from program import run
from tiny_model import LETTERS, write_tiny_model

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]


def write_tokenizer(folder):
    """WordPiece with the letters, alone and inside words, and numbered tokens nobody writes."""
    pieces = SPECIAL + list(LETTERS) + ["##" + c for c in LETTERS] + ["."]
    pieces += [f"unused{i}" for i in range(VOCABULARY - len(pieces))]
    (folder / "tokenizer.json").write_text(json.dumps({
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": i, "content": t, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
                         for i, t in enumerate(SPECIAL)],
        "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "TemplateProcessing",
                           "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "[SEP]", "type_id": 0}}],
                           "pair": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
                                    {"Sequence": {"id": "B", "type_id": 1}}, {"SpecialToken": {"id": "[SEP]", "type_id": 1}}],
                           "special_tokens": {t: {"id": t, "ids": [SPECIAL.index(t)], "tokens": [t]} for t in ("[CLS]", "[SEP]")}},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
                  "vocab": {t: i for i, t in enumerate(pieces)}}}))


class Integer(program.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.whole = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.whole.name)
        cls.model = write_tiny_model(cls.folder / "tiny.gguf")
        cls.encoder = write_encoder(cls.folder / "encoder")
        write_tokenizer(cls.encoder)
        generator = random.Random(3)
        cls.text = cls.folder / "text"
        cls.text.write_text(" ".join("".join(generator.choice(LETTERS) for _ in range(generator.randint(2, 7))) for _ in range(700)))

    @classmethod
    def tearDownClass(cls):
        cls.whole.cleanup()

    def test_perplexity_is_that_of_floats(self):
        found = {}
        for how in ("float", "integer", "integer-rescaled"):
            result = run("eval", self.model, "-f", self.text, "-c", "128", "--chunks", "2", "--exec", how, "--json")
            self.assert_done(result)
            found[how] = json.loads(result.out)["ppl"]
        self.assertLess(abs(found["integer"] / found["integer-rescaled"] - 1), 0.005, found)
        self.assertLess(abs(found["integer"] / found["float"] - 1), 0.05, found)
        self.assertNotEqual(found["integer"], found["integer-rescaled"])

    def test_reference_runs_in_floats(self):
        result = run("eval", self.model, "-f", self.text, "-c", "128", "--chunks", "1", "--exec", "integer", "--reference", self.model, "--json")
        self.assert_done(result)
        report = json.loads(result.out)
        self.assertGreater(report["kld_mean"], 0)
        self.assertLess(report["kld_mean"], 0.05)

    def test_same_text_on_every_path(self):
        texts = set()
        for more in (("-t", "1"), ("-t", "2"), ("-t", "2", "--isa", "portable"), ("-b", "3")):
            result = run("run", self.model, "-p", "the sound", "-n", "20", "--temp", "0", "--exec", "integer", *more)
            self.assert_done(result)
            texts.add(result.out)
        self.assertEqual(len(texts), 1)

    def test_vectors_of_texts(self):
        sentences = "the sun is hot.\nrain rolls in and out\nthe sun is hot.\n"
        result = run("embed", self.encoder, "-p", sentences, "--json")
        self.assert_done(result)
        report = json.loads(result.out)
        vectors = report["vectors"]
        self.assertEqual([len(v) for v in vectors], [WIDTH] * 3)
        self.assertEqual(vectors[0], vectors[2])
        self.assertNotEqual(vectors[0], vectors[1])
        for vector in vectors:
            self.assertAlmostEqual(sum(x * x for x in vector), 1, places=5)
        for more in (("-t", "1"), ("--isa", "portable"), ("--exec", "int-block")):
            self.assertEqual(run("embed", self.encoder, "-p", sentences, "--json", *more).out, result.out, more)
        lines = run("embed", self.encoder, "-p", sentences).out.splitlines()
        self.assertEqual(len(lines), 3)
        long = run("embed", self.encoder, "-p", "stone " * 200, "--json")  # is cut
        self.assert_done(long)
        self.assertEqual(json.loads(long.out)["tokens"], 32)

    def test_four_bits_take_half_the_bytes(self):
        small = self.folder / "small.gguf"
        self.assert_done(run("quantize", self.encoder, "--recipe", "*=rtn/mxint4", "-o", small))
        sizes, vectors = [], []
        for model in (self.encoder, small):
            result = run("embed", model, "-p", "the sun is hot.", "--json")
            self.assert_done(result)
            sizes.append(json.loads(result.out)["weight_bytes"])
            vectors.append(json.loads(result.out)["vectors"][0])
        self.assertLess(sizes[1], 0.54 * sizes[0])
        self.assertGreater(sum(a * b for a, b in zip(*vectors)), 0.9)

    def test_wrong_use_is_one_line(self):
        text = ("-f", self.text, "-c", "64", "--chunks", "1")
        self.assert_refused(run("eval", self.model, *text, "--exec", "int"), 2, "'int'", "integer-rescaled")
        self.assert_refused(run("eval", self.model, *text, "--exec", "int-block"), 2, "int-block", "known are")
        self.assert_refused(run("embed", self.encoder, "-p", "a", "--exec", "float"), 2, "'float'", "int-block")
        self.assert_refused(run("embed", self.model, "-p", "a"), 3, "architecture llama", "expected bert")
        self.assert_refused(run("eval", self.encoder, *text, "--exec", "integer"), 3, "architecture bert")
        self.assert_refused(run("eval", self.model, *text, "--exec", "integer", "--form", "dense"), 2, "--form", "--exec")
        self.assert_refused(run("eval", program.SOURCE / "tests/golden/models/qwen3", *text, "--exec", "integer"), 3)


if __name__ == "__main__":
    program.main()
