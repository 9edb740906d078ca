"""compress, plan and compare on a tiny model: kept budgets, plans that can be run again, safety from kill -9, errors of one line.

BITKERF_SWEEP=full kills 50 times instead of 3 and tries 1,000 damaged plans instead of 40.
"""
import fcntl
import hashlib
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

import program
from program import run
from tiny_model import write_tiny_model

KILLS = 50 if program.FULL else 3
MUTATIONS = 1000 if program.FULL else 40
WORDS = "the of and to in is that it was for on are as with his they at be this from have or by one had not but what all were when".split()
BUDGET = "90KiB"
SMALLEST, LARGEST, BUDGETS = 60_000, 160_000, 20  # bytes


def sum_of(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


class Compress(program.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.whole = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.whole.name)
        os.environ["BITKERF_CACHE"] = str(cls.folder / "cache")  # so that nothing is known before
        (cls.folder / "cache").mkdir()
        # Only the machine is known already, when somebody has measured it: that takes seconds and changes no file.
        for known in (pathlib.Path.home() / ".cache" / "bitkerf").glob("machine-*.json"):
            shutil.copy(known, cls.folder / "cache")
        cls.model = write_tiny_model(cls.folder / "tiny.gguf")
        cls.text = cls.folder / "text.txt"
        cls.text.write_text(" ".join(random.Random(2).choices(WORDS, k=4000)))
        cls.how = ("--calibrate", cls.text, "--windows", 3)
        start = time.monotonic()
        cls.expected = cls.folder / "expected.gguf"
        result = cls.compress("--budget", BUDGET, "-o", cls.expected)
        assert result.code == 0, result
        cls.seconds = time.monotonic() - start

    @classmethod
    def tearDownClass(cls):
        cls.whole.cleanup()

    @classmethod
    def compress(cls, *arguments):
        return run("compress", cls.model, *cls.how, *arguments)

    def plan(self, *arguments):
        return run("plan", self.model, *self.how, *arguments)

    def forget(self, *folders):
        for folder in folders:
            for kept in (self.folder / "cache" / folder).glob("*"):
                kept.unlink()

    def test_kill_at_any_moment(self):
        out = self.folder / "out.gguf"
        expected = sum_of(self.expected)
        # Of a run that knows nothing but the machine, and of one that knows everything.
        self.forget("statistics", "plans")
        start = time.monotonic()
        self.assert_done(self.compress("--budget", BUDGET, "-o", out))
        fresh = time.monotonic() - start
        start = time.monotonic()
        self.assert_done(self.compress("--budget", BUDGET, "-o", out))
        resumed = time.monotonic() - start
        complete = 0
        for seed in range(KILLS):
            out.write_bytes(b"old")
            known = seed % 3 == 2
            if not known:
                self.forget(*(("statistics", "plans"), ("plans",))[seed % 2])
            arguments = ["compress", self.model, *self.how, "--budget", BUDGET, "-o", out]
            child = subprocess.Popen([program.PROGRAM, *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(random.Random(seed).uniform(0, resumed if known else fresh))
            child.send_signal(signal.SIGKILL)
            child.wait()
            if out.read_bytes() != b"old":
                self.assertEqual(sum_of(out), expected, f"kill {seed}")
                complete += 1
            result = self.compress("--budget", BUDGET, "-o", out)  # goes on with what the killed run left
            self.assert_done(result)
            self.assertEqual(sum_of(out), expected, f"after kill {seed}")
        self.assertEqual(list(self.folder.glob("out.gguf.*")), [])  # what killed runs had begun is gone
        if KILLS > 10:
            self.assertLess(complete, KILLS // 2)
        print(f"{KILLS} kills, {complete} after the file was complete; {fresh:.2f} s from nothing, {resumed:.2f} s with everything known")

    def test_tuned_files_survive_kill_too(self):
        how = ("--budget", BUDGET, "--tune", "--steps", 6)
        whole, out = self.folder / "tuned.gguf", self.folder / "tuning.gguf"
        start = time.monotonic()
        self.assert_done(self.compress(*how, "-o", whole))
        seconds = time.monotonic() - start
        self.assertLessEqual(whole.stat().st_size, 90 << 10)
        out.write_bytes(b"old")
        for seed in range(KILLS // 3):
            arguments = ["compress", self.model, *self.how, *how, "-o", out]
            child = subprocess.Popen([program.PROGRAM, *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(random.Random(seed).uniform(0.3, 1) * seconds)
            child.send_signal(signal.SIGKILL)
            child.wait()
            if out.read_bytes() != b"old":
                self.assertEqual(sum_of(out), sum_of(whole), f"kill {seed}")
                out.write_bytes(b"old")
            self.assert_done(self.compress(*how, "-o", out))
            self.assertEqual(sum_of(out), sum_of(whole), f"after kill {seed}")
            out.write_bytes(b"old")

    def test_kept_errors_cut_off_anywhere_are_read_or_made_again(self):
        kept = next((self.folder / "cache" / "plans").glob("*.errors"))
        whole = kept.read_bytes()
        out = self.folder / "cut.gguf"
        for cut in (0, 5, 40, len(whole) // 2, len(whole) - 1):
            kept.write_bytes(whole[:cut])
            self.assert_done(self.compress("--budget", BUDGET, "-o", out))
            self.assertEqual(sum_of(out), sum_of(self.expected), f"cut at {cut}")
        self.assertEqual(sorted(kept.read_bytes().splitlines()), sorted(whole.splitlines()))

    def test_the_same_file_with_any_number_of_threads(self):
        for threads in (1, 2):
            self.forget("statistics", "plans")
            out = self.folder / f"threads{threads}.gguf"
            self.assert_done(self.compress("--budget", BUDGET, "-t", threads, "-o", out))
            self.assertEqual(sum_of(out), sum_of(self.expected), f"{threads} threads")

    def test_a_plan_gives_the_same_file(self):
        plan, out = self.folder / "plan", self.folder / "planned.gguf"
        result = self.plan("--budget", BUDGET)
        self.assert_done(result)
        plan.write_text(result.out)
        self.assert_done(self.compress("--plan", plan, "-o", out))
        self.assertEqual(sum_of(out), sum_of(self.expected))

    def test_budgets_are_kept_and_harm_does_not_grow(self):
        harm = float("inf")
        for i in range(BUDGETS):
            budget = SMALLEST + (LARGEST - SMALLEST) * i // (BUDGETS - 1)
            out = self.folder / "budget.gguf"
            result = self.compress("--budget", f"{budget}B", "--json", "-o", out)
            self.assert_done(result)
            self.assertLessEqual(out.stat().st_size, budget)
            report = json.loads(result.out)
            self.assertEqual(report["file_bytes"], out.stat().st_size)
            self.assertLessEqual(report["predicted_kld"], harm, f"{budget} bytes")
            harm = report["predicted_kld"]

    def test_a_harm_is_kept_with_the_fewest_bytes(self):
        few = self.plan("--max-kld", "0.01", "--json")
        more = self.plan("--max-kld", "0.001", "--json")
        self.assert_done(few), self.assert_done(more)
        few, more = json.loads(few.out), json.loads(more.out)
        self.assertLessEqual(few["predicted_kld"], 0.01)
        self.assertLessEqual(more["predicted_kld"], 0.001)
        self.assertLess(few["file_bytes"], more["file_bytes"])

    def test_what_cannot_be_met_names_the_nearest_plan(self):
        for budget in ("10KiB", "0.1bpw", "ram=1KiB", "1000000000000tok/s", "ttft=0.000001ms@512"):
            for result in (self.plan("--budget", budget), self.compress("--budget", budget, "-o", self.folder / "never.gguf")):
                self.assert_refused(result, 4, budget, "nearest")
        self.assertFalse((self.folder / "never.gguf").exists())

    def test_speed_is_measured(self):  # how fast such a small model is depends on what else runs: any speed will do
        report = self.plan("--budget", "0.001x", "--json")
        self.assert_done(report)
        measured = json.loads(report.out)["measured"]
        self.assertGreaterEqual(measured["speed"], 0.001 * 0.95)
        self.assertAlmostEqual(measured["speed"], measured["decode_tokens_per_second"] / measured["uniform_4_bit_tokens_per_second"], 6)
        out = self.folder / "fast.gguf"
        result = self.compress("--budget", "0.001x", "--budget", BUDGET, "--budget", "ttft=10000ms@64", "--json", "-o", out)
        self.assert_done(result)
        self.assertLessEqual(out.stat().st_size, 90 << 10)
        self.assertGreater(json.loads(result.out)["measured"]["prefill_seconds"], 0)
        self.assert_refused(self.plan("--budget", "100x"), 4, "100x", "nearest", "x the speed of uniform 4 bits")
        self.assert_refused(self.plan("--budget", "1x", "--forms", "gguf"), 2, "--forms")
        self.assertEqual(list((self.folder / "cache" / "plans").glob("*.gguf*")), [])  # what was measured is gone

    def test_what_is_wrong_is_one_line(self):
        for budget in ("64", "MiB", "-5MiB", "0MiB", "nanMiB", "infMiB", "1e5MiB", "64 MiB", "ram=3", "ttft=3ms", "ttft=3ms@0",
                       "3.2bpw ", ""):
            self.assert_refused(self.plan("--budget", budget), 2)
        self.assert_refused(self.plan(), 2, "--budget")
        self.assert_refused(self.compress("--budget", BUDGET), 2, "-o")
        out = self.folder / "never.gguf"
        plan = self.folder / "wrong"
        for text in ("*", "* = ", "= keep", "* = rtn", "* = rtn/", "* = rtn/int4.g64 | no_form", "* = no_transform | rtn/int4.g64",
                     "* = rtn/int99", "* = no/int4", "* = rtn/int4.g64 | bit_planes | int8 | more", "token_embd[5:2] = rtn/int4.g64",
                     "token_embd[0:10] = rtn/int4.g64", "token_embd[0:x] = rtn/int4.g64", "token_embd[0:99999999999999999999] = rtn/int4",
                     "token_embd[0:300] = rtn/int4.g64\ntoken_embd[299:] = rtn/int4.g64", "token_embd[0:100000] = rtn/int4.g64",
                     "\0", "* = hadamard | hadamard | rtn/int4.g64", "\x1b[2J = keep keep"):
            plan.write_text(text)
            result = self.compress("--plan", plan, "-o", out)
            with self.subTest(text):
                self.assert_refused(result, 2)
                self.assertIsNone(re.search(r"[\x00-\x09\x0b-\x1f]", result.err), result)
        self.assert_refused(self.compress("--plan", self.folder / "none", "-o", out), 3, "none")
        self.assertFalse(out.exists())
        self.assert_refused(self.compress("--budget", BUDGET, "-o", self.folder / "no" / "folder.gguf"), 1, "there is no folder")

    def test_what_killed_writers_left_is_deleted_and_nothing_else(self):
        folder = self.folder / "leftovers"
        folder.mkdir()
        out = folder / "a.gguf"
        left, locked = folder / "a.gguf.part-Ab3dEf", folder / "a.gguf.part-locked"
        others = [folder / name for name in ("a.gguf.part-12345", "a.gguf.part-1234567", "a.gguf.backup", "b.gguf.part-Ab3dEf")]
        for path in (left, locked, *others):
            path.write_bytes(b"x")
        with open(locked) as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            self.assert_done(self.compress("--budget", BUDGET, "-o", out))
        self.assertEqual(set(folder.iterdir()), {out, locked, *others})

    def test_any_text_is_a_plan_or_refused(self):
        generator = random.Random(7)
        plan, out = self.folder / "mutated", self.folder / "mutated.gguf"
        pieces = ["", "keep", "hadamard", "gptq", "rtn", "/", "int4", "uint2", "bipolar3", "normal9", ".u8", ".f16", ".g64", ".g0",
                  ".row", "|", "=", "[", ":", "]", "[0:4]", "-1", "9" * 30, "*", "?", ";", "\n", "#", "same", "int_dot", "bit_planes",
                  "int8.g32", "\\", "\xff", "\0"]
        results = {0: 0, 2: 0}
        for i in range(MUTATIONS):
            text = "* = hadamard | gptq/int4.u8.g64 | int_dot | int8.row\n" \
                   "token_embd[0:200] = rtn/int6.g32\ntoken_embd[200:] = rtn/int8.g32\n"
            for _ in range(generator.randint(0, 3)):
                at = generator.randrange(len(text) + 1)
                text = text[:at] + generator.choice(pieces) + text[at + generator.choice((0, 0, 1, 4, 12)):]
            plan.write_bytes(text.encode("latin-1"))
            result = self.compress("--plan", plan, "-o", out)
            with self.subTest(text=text):
                if result.code == 0:
                    self.assert_done(run("info", out))
                else:
                    self.assert_refused(result, 2)
                results[result.code] += 1
        self.assertTrue(all(results.values()), results)

    def test_compare_marks_the_first_difference(self):
        small = self.folder / "small.gguf"
        self.assert_done(self.compress("--budget", f"{SMALLEST}B", "-o", small))
        ask = ("-p", "the of and", "-n", 12)
        same = run("compare", self.model, self.model, *ask, "--json")
        self.assert_done(same)
        report = json.loads(same.out)
        self.assertTrue(report["same"])
        self.assertEqual(report["first_difference"], -1)
        self.assertNotIn("▶", run("compare", self.model, self.model, *ask).out)
        other = run("compare", self.model, small, *ask, "--json")
        self.assert_done(other)
        report = json.loads(other.out)
        first, second = (answer["ids"] for answer in report["answers"])
        self.assertEqual([answer["file_bytes"] for answer in report["answers"]], [self.model.stat().st_size, small.stat().st_size])
        self.assertFalse(report["same"])  # the answers of a random model do not survive 2 bits
        at = report["first_difference"]
        self.assertEqual(first[:at], second[:at])
        self.assertNotEqual(first[at:at + 1], second[at:at + 1])
        shown = run("compare", self.model, small, *ask)
        self.assert_done(shown)
        self.assertEqual(shown.out.count("▶"), 2, shown)
        self.assertEqual(shown.out.count("◀"), 2, shown)
        # Each side is what `run` says alone.
        for model, answer in zip((self.model, small), report["answers"]):
            alone = run("run", model, *ask, "--temp", 0)
            self.assertIn(answer["text"].strip(), alone.out)
        self.assert_refused(run("compare", self.model, *ask), 2)
        self.assert_refused(run("compare", self.model, self.folder / "none.gguf", *ask), 3, "none.gguf")


if __name__ == "__main__":
    program.main()
