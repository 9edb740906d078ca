"""Flags, help, exit codes: what can be said of the program without a model."""
import json
import os
import re
import subprocess
import unittest

import program
from program import run

VERBS = re.findall(r"^  ([a-z]+) +[A-Z]", run("help").out, re.MULTILINE)


class CommandLine(program.TestCase):
    def test_no_verb_is_a_usage_error(self):
        self.assert_refused(run(), 2, "no verb")

    def test_unknown_verbs_and_flags_name_the_nearest(self):
        self.assert_refused(run("doctro"), 2, "unknown verb 'doctro'", "did you mean 'doctor'?")
        self.assert_refused(run("doctor", "--jsn"), 2, "'--jsn'", "did you mean '--json'?")
        self.assert_refused(run("doctor", "--thread", "2"), 2, "did you mean '--threads'?")
        self.assert_refused(run("--json", "doctor"), 2, "--json")

    def test_values_out_of_range(self):
        for value in ("-1", "abc", "1e99", "nan", "", "1.5"):
            self.assert_refused(run("doctor", "-t", value), 2, "--threads")
        self.assert_refused(run("doctor", "-t"), 2, "--threads")
        self.assert_refused(run("doctor", "--isa", "pentium"), 2, "pentium", "avx2")
        self.assert_refused(run("help", "--completion", "tcsh"), 2, "tcsh", "bash")

    def test_control_characters_do_not_reach_the_terminal(self):
        self.assert_refused(run("\x1b[31mred\n"), 2, "\\x1b[31mred\\x0a")

    def test_help_of_each_verb_fits_one_screen(self):
        self.assertGreaterEqual(len(VERBS), 2)
        pages = [run("help").out]
        for verb in VERBS:
            page = run(verb, "--help")
            self.assert_done(page)
            self.assertEqual(page.err, "")
            self.assertEqual(page.out, run("help", verb).out)
            pages.append(page.out)
        for page in pages:
            self.assertLessEqual(len(page.splitlines()), 24, page)
            for line in page.splitlines():
                self.assertLessEqual(len(line), 100, line)

    def test_columns_of_help_do_not_touch(self):
        for verb in VERBS:
            for line in run(verb, "--help").out.splitlines():
                if line.startswith(" -") and len(line) > 50:
                    self.assertEqual((line[23], line[50]), (" ", " "), line)

    def test_version(self):
        self.assertRegex(run("--version").out, r"^bitkerf \d+\.\d+\.\d+\n$")

    def test_doctor_reports_the_machine(self):
        result = run("doctor", "--json", "-t", "1")
        self.assert_done(result)
        report = json.loads(result.out)
        machine = report["machine"]
        self.assertEqual(machine["threads"], 1)
        for roof in ("read_bytes_per_second", "int8_ops_per_second", "float_ops_per_second"):
            self.assertGreater(machine[roof], 1e8, roof)
        self.assertIn(machine["isa"], run("doctor").out)

    def test_a_closed_pipe_ends_quietly(self):
        read_end, write_end = os.pipe()
        os.close(read_end)
        result = subprocess.run([program.PROGRAM, "help"], stdout=write_end, stderr=subprocess.PIPE)
        os.close(write_end)
        self.assertEqual((result.returncode, result.stderr), (0, b""))

    def test_a_full_disk_is_an_error(self):
        with open("/dev/full", "wb") as full:
            result = subprocess.run([program.PROGRAM, "help"], stdout=full, stderr=subprocess.PIPE, text=True)
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stderr, r"^error: .*No space left on device\n$")

    def test_manual_and_completions_name_every_verb(self):
        texts = [run("help", "--man").out] + [run("help", "--completion", s).out for s in ("bash", "zsh", "fish")]
        for text in texts:
            for verb in VERBS:
                self.assertIn(verb, text)
            self.assertIn("json", text)
        self.assertEqual(subprocess.run(["bash", "-n"], input=texts[1], text=True).returncode, 0)

    def test_bash_completion_completes(self):
        script = run("help", "--completion", "bash").out + """
            COMP_WORDS=(bitkerf doct) COMP_CWORD=1; _bitkerf; echo "${COMPREPLY[@]}"
            COMP_WORDS=(bitkerf doctor --thr) COMP_CWORD=2; _bitkerf; echo "${COMPREPLY[@]}"
        """
        done = subprocess.run(["bash"], input=script, capture_output=True, text=True)
        self.assertEqual(done.stdout, "doctor\n--threads\n")


if __name__ == "__main__":
    program.main()
