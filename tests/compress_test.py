"""compress: kept budgets, plans that can be run again, safety from kill -9. Slow: minutes, so only with BITKERF_SWEEP=full."""
import hashlib
import os
import pathlib
import random
import signal
import subprocess
import tempfile
import time
import unittest

import program
from program import find_model, run

MODEL = find_model()
PLAN = "blk.0.* = hadamard | gptq/bipolar2.u8.g192\nblk.1.* = same/uint4.u8.g32\n"
KILLS = 50


def sum_of(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@unittest.skipUnless(MODEL and os.environ.get("BITKERF_SWEEP") == "full", "no model, or BITKERF_SWEEP is not full")
class Compress(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        os.environ["BITKERF_CACHE"] = str(self.folder)  # so that nothing is known before
        self.plan = self.folder / "plan"
        self.plan.write_text(PLAN)

    def arguments(self, out):
        return ["compress", MODEL, "--plan", self.plan, "--windows", 2, "-o", out]

    def test_kill_at_any_moment(self):
        whole = self.folder / "whole.gguf"
        start = time.time()
        self.assertEqual(run(*self.arguments(whole)).code, 0)
        seconds, expected = time.time() - start, sum_of(whole)
        out = self.folder / "out.gguf"
        out.write_bytes(b"old")
        complete = 0
        for seed in range(KILLS):
            if seed % 10 == 0:  # from the start, statistics and all
                for kept in (self.folder / "statistics").glob("*"):
                    kept.unlink()
            child = subprocess.Popen([program.PROGRAM, *map(str, self.arguments(out))], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(random.Random(seed).uniform(0, seconds))
            child.send_signal(signal.SIGKILL)
            child.wait()
            if out.read_bytes() != b"old":
                self.assertEqual(sum_of(out), expected)
                out.write_bytes(b"old")
                complete += 1
        self.assertLess(complete, KILLS)
        self.assertEqual(run(*self.arguments(out)).code, 0)
        self.assertEqual(sum_of(out), expected)

    def test_what_is_not_possible_is_refused(self):
        result = run("compress", MODEL, "--plan", self.folder / "none", "-o", self.folder / "x")
        self.assertEqual(result.code, 3)
        result = run("compress", MODEL, "--budget", "64", "-o", self.folder / "x")
        self.assertEqual(result.code, 2)
        self.assertIn("64MiB", result.err)


if __name__ == "__main__":
    unittest.main()
