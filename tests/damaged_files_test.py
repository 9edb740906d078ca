"""A damaged model file loads, or is refused with one line and exit code 3, without eating memory.

BITKERF_SWEEP=full tries 200 truncations and 500 single-byte corruptions of the header part, otherwise a fifth of it;
and each may take a second.
"""
import json
import os
import random
import shutil
import tempfile
import unittest

import program
from program import run

TRUNCATIONS, CORRUPTIONS = (200, 500) if program.FULL else (40, 100)
SECONDS = 1.0
EXTRA_BYTES = 64 << 20


class DamagedFiles(program.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.model = program.find_model()
        cls.size = cls.model.stat().st_size
        report = json.loads(run("info", cls.model, "--json").out)
        cls.header = cls.size - report["tensor_bytes"]
        cls.folder = tempfile.TemporaryDirectory()
        cls.copy = os.path.join(cls.folder.name, "copy.gguf")

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def assert_loaded_or_refused(self, what):
        """Returns whether it was loaded."""
        for attempt in range(5):  # other load on the machine may slow one try down
            result = run("info", self.copy, "--load", timeout=60)
            if result.seconds <= SECONDS or not program.TIMED:
                break
        with self.subTest(what):
            if result.code != 0:
                self.assert_refused(result, 3)
                if program.TIMED:
                    self.assertLessEqual(result.seconds, SECONDS, result)
            if not program.SANITIZED:
                # A model that is loaded may be 1.3 times its file.
                allowed = self.size * (1.3 if result.code == 0 else 1) + EXTRA_BYTES
                self.assertLessEqual(result.peak_bytes, allowed, result)
        return result.code == 0

    def test_the_whole_file_loads(self):
        shutil.copyfile(self.model, self.copy)
        self.assertTrue(self.assert_loaded_or_refused("the file as it is"))

    def test_truncated(self):
        shutil.copyfile(self.model, self.copy)
        choose = random.Random(1)
        sizes = [0, 1, 4, 23, 24, self.header - 1, self.header, self.size - 1]
        while len(sizes) < TRUNCATIONS:  # half of them within the header part
            sizes.append(choose.randrange(self.header if len(sizes) % 2 else self.size))
        for size in sorted(sizes, reverse=True):  # so that one copy serves all
            os.truncate(self.copy, size)
            self.assertFalse(self.assert_loaded_or_refused(f"truncated to {size} bytes"), size)

    def test_one_byte_of_the_header_is_wrong(self):
        shutil.copyfile(self.model, self.copy)
        choose = random.Random(2)
        loaded = 0
        with open(self.copy, "r+b", buffering=0) as file:
            for i in range(CORRUPTIONS):
                # Keys, shapes and offsets lie at the two ends of the header part; between them, the tokens.
                where = choose.choice([choose.randrange(2048), choose.randrange(self.header),
                                       self.header - 1 - choose.randrange(16384)])
                file.seek(where)
                before = file.read(1)
                after = bytes([before[0] ^ choose.randrange(1, 256)])
                file.seek(where)
                file.write(after)
                loaded += self.assert_loaded_or_refused(f"byte {where}: {before.hex()} -> {after.hex()}")
                file.seek(where)
                file.write(before)
        print(f"{CORRUPTIONS} corruptions: {loaded} loaded, {CORRUPTIONS - loaded} refused")
        self.assertGreater(loaded, 0)
        self.assertLess(loaded, CORRUPTIONS)

    def test_no_model_at_all(self):
        for path, word in (("no/such/file.gguf", "no/such/file.gguf"), ("/", "/"), ("/dev/null", "/dev/null")):
            for verb in ("info", "tokenize", "run", "bench"):
                self.assert_refused(run(verb, path, *(["-p", "x"] if verb in ("tokenize", "run") else [])), 3, word)


if __name__ == "__main__":
    program.needs_model()
    program.needs_verb("run")
    program.main()
