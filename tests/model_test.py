"""The verbs on a real model, SmolLM2-135M-Instruct."""
import json
import subprocess
import tempfile
import unittest

import program
from program import run

TEXT = "The three primary colours are red,"
GREEDY = ("--temp", "0", "-n", "16")


class Model(program.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.model = program.find_model()
        cls.size = cls.model.stat().st_size
        cls.greedy = run("run", cls.model, "-p", TEXT, *GREEDY).out

    def report(self, *arguments, **rest):
        result = run(*arguments, "--json", **rest)
        self.assert_done(result)
        self.assertEqual(result.err, "")
        self.assertEqual(result.out.count("\n"), 1, "one object on one line")
        return json.loads(result.out)

    def test_run_continues_the_text(self):
        result = run("run", self.model, "-p", TEXT, *GREEDY)
        self.assert_done(result)
        self.assertEqual(result.err, "")
        self.assertIn("yellow", result.out)
        self.assertEqual(result.out, self.greedy)

    def test_run_reads_a_pipe_and_a_file(self):
        self.assertEqual(run("run", self.model, *GREEDY, stdin=TEXT.encode()).out, self.greedy)
        with tempfile.NamedTemporaryFile() as file:
            file.write(TEXT.encode())
            file.flush()
            self.assertEqual(run("run", "-m", self.model, "-f", file.name, *GREEDY).out, self.greedy)
        self.assert_refused(run("run", self.model, "-f", "no/such.txt"), 3, "no/such.txt")
        self.assert_refused(run("run", self.model, "-f", "/"), 3)
        self.assert_refused(run("run", self.model, "-p", "a", "-f", "b"), 2)

    def test_run_reports(self):
        report = self.report("run", self.model, "-p", TEXT, *GREEDY)
        self.assertEqual(report["text"] + "\n", self.greedy)
        self.assertEqual(report["tokens"], 16)
        self.assertEqual(report["prompt_tokens"], len(run("tokenize", self.model, "-p", TEXT).out.split()))
        self.assertGreater(report["prefill_tokens_per_second"], 1)
        self.assertGreater(report["decode_tokens_per_second"], 1)

    def test_threads_and_paths_do_not_change_a_bit(self):
        for more in (("-t", "1"), ("-t", "2"), ("-b", "3")):
            self.assertEqual(run("run", self.model, "-p", TEXT, *GREEDY, *more).out, self.greedy, more)

    def test_many_threads(self):
        self.assertEqual(run("run", self.model, "-p", TEXT, "--temp", "0", "-n", "1", "-t", "32").code, 0)
        self.assert_refused(run("run", self.model, "-p", TEXT, "-t", "257"), 2, "256")

    def test_the_same_seed_gives_the_same_text(self):
        texts = [run("run", self.model, "-p", "Once upon a time", "-n", "12", "--temp", "1.5", "-s", seed).out
                 for seed in (1, 1, 2, 3)]
        self.assertEqual(texts[0], texts[1])
        self.assertGreater(len(set(texts)), 1)

    def test_logit_bias(self):
        first = run("tokenize", self.model, "-p", self.greedy[:-1]).out.split()[0]
        forbidden = run("run", self.model, "-p", TEXT, *GREEDY, "-l", f"{first}-inf")
        self.assert_done(forbidden)
        self.assertNotEqual(forbidden.out.split()[0], self.greedy.split()[0])
        for wrong in ("", "1", "1+", "x+1", "1+nan", "999999999+1", "-1+1"):
            self.assert_refused(run("run", self.model, "-p", "a", "-l", wrong), 2)

    def test_a_text_too_long_names_both_numbers(self):
        self.assert_refused(run("run", self.model, "-p", "word " * 100, "-c", "64"), 2, "64", "101")

    def test_a_full_context_is_said(self):
        result = run("run", self.model, "-p", TEXT, "-c", "16", "-n", "-1", "--temp", "0")
        self.assert_done(result)
        self.assertIn("16", result.err)
        self.assertEqual(len(result.err.splitlines()), 1)

    def test_a_closed_pipe_ends_quietly(self):
        process = subprocess.Popen([program.PROGRAM, "run", str(self.model), "-p", TEXT, "-n", "2000", "-s", "1"],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertTrue(process.stdout.read(1))
        process.stdout.close()
        with process.stderr:
            self.assertEqual(process.stderr.read(), b"")
        self.assertEqual(process.wait(timeout=60), 0)

    def test_control_tokens_only_where_allowed(self):
        markup = "<|im_start|>"
        as_text = run("tokenize", self.model, "-p", markup).out.split()
        as_token = run("tokenize", self.model, "-p", markup, "--special").out.split()
        self.assertEqual(len(as_token), 1)
        self.assertGreater(len(as_text), 1)
        self.assertNotIn(as_token[0], as_text)

    def test_tokenize(self):
        ids = run("tokenize", self.model, "-p", TEXT)
        self.assert_done(ids)
        self.assertRegex(ids.out, r"^\d+( \d+)*\n$")
        report = self.report("tokenize", self.model, "-p", TEXT)
        self.assertEqual(report["tokens"], [int(i) for i in ids.out.split()])
        self.assertEqual("".join(report["pieces"]), TEXT)
        self.assertEqual(run("tokenize", self.model, stdin=TEXT.encode()).out, ids.out)

    def test_info(self):
        report = self.report("info", self.model)
        for key, value in {"architecture": "llama", "layers": 30, "width": 576, "heads": 9, "kv_heads": [3],
                           "context": 8192, "vocabulary": 49152, "file_bytes": self.size, "chat_template": True}.items():
            self.assertEqual(report[key], value, key)
        self.assertEqual(report["cache_bytes_per_token"]["f16"], 30 * 3 * (64 + 64) * 2)
        self.assertEqual(sum(t["bytes"] for t in report["types"]), report["tensor_bytes"])
        self.assertIn("Q4_1", run("info", self.model).out)
        self.assertIn("blk.29.ffn_down.weight", run("info", self.model, "--tensors").out)

    def test_run_answers_a_question(self):
        question = ("--chat", "-p", "What is the capital of France, and what is it known for?", "-n", "96", "--temp", "0")
        answer = run("run", self.model, *question)
        self.assert_done(answer)
        self.assertIn("Paris", answer.out)
        pirate = self.report("run", self.model, *question, "-sys", "You are a pirate.")
        plain = self.report("run", self.model, *question)
        self.assertEqual(plain["text"] + "\n", answer.out)
        self.assertEqual(plain["finish"], "stop")
        self.assertNotEqual(pirate["prompt_tokens"], plain["prompt_tokens"])
        # A message cannot end itself: the markup in it is text.
        markup = self.report("run", self.model, "--chat", "-p", "<|im_end|>", "-n", "1")
        empty = self.report("run", self.model, "--chat", "-p", "x", "-n", "1")
        self.assertGreater(markup["prompt_tokens"], empty["prompt_tokens"] + 1)

    def test_eval(self):
        with tempfile.NamedTemporaryFile("w") as file:
            file.write("The quick brown fox jumps over the lazy dog. " * 40)
            file.flush()
            report = self.report("eval", self.model, "-f", file.name, "-c", "64", "--chunks", "3")
            self.assertEqual((report["windows"], report["tokens"]), (3, 3 * 31))
            self.assertLess(report["ppl"], 50)
            same = self.report("eval", self.model, "-f", file.name, "-c", "64", "--chunks", "1", "--reference", self.model)
            self.assertEqual(same["same_top"], 1)
            self.assertLess(same["kld_99"], 1e-6)
        self.assert_refused(run("eval", self.model, "-p", "too short"), 2, "512")

    def test_bench(self):
        report = self.report("bench", self.model, "-p", "32", "-n", "8", "-r", "1")
        self.assertEqual([row["test"] for row in report["rows"]], ["pp32", "tg8"])
        for row in report["rows"]:
            self.assertGreater(row["tokens_per_second"], 1)
            self.assertGreater(row["gb_per_second"], 0)
            self.assertGreater(row["share_of_limit"], 0)
            if program.TIMED:
                self.assertLess(row["share_of_limit"], 1.5)
        self.assertGreater(report["machine"]["int8_ops_per_second"], 0)
        self.assertRegex(run("bench", self.model, "-p", "8", "-n", "2", "-r", "1", "--plain").out, r"^[\d.]+ [\d.]+\n$")
        self.assert_refused(run("bench", self.model, "-p", "0", "-n", "0"), 2)

    def test_bare_names_are_looked_for_in_the_cache(self):
        report = self.report("info", self.model.name, env={"BITKERF_CACHE": str(self.model.parent)})
        self.assertEqual(report["path"], str(self.model))

    @unittest.skipUnless(program.TIMED, "limits of time are asked of a quiet machine: ./check --all")
    def test_first_token(self):
        best = 1e9
        for _ in range(20):  # other load on the machine only ever slows a try down
            best = min(best, run("run", self.model, "-p", "Hello", "-n", "1", "--temp", "0").seconds)
            if best <= 0.3:
                break
        print(f"load to first token {best:.3f} s")
        self.assertLessEqual(best, 0.3)

    @unittest.skipIf(program.SANITIZED, "sanitizers cost memory")
    def test_memory(self):
        cache = 64 * 23040  # tokens x bytes per token
        peak = run("run", self.model, "-p", "Hello", "-n", "32", "-c", "64", "--temp", "0").peak_bytes
        print(f"peak memory {peak / self.size:.2f} x file")
        self.assertLessEqual(peak, 1.3 * self.size + cache)


if __name__ == "__main__":
    program.needs_model()
    program.needs_verb("run")
    program.main()
