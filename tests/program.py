"""Runs the built program and says what happened; shared by the whole-program tests."""
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import unittest

PROGRAM = os.environ.get("BITKERF_PROGRAM", "build/release/bitkerf")
SOURCE = pathlib.Path(os.environ.get("BITKERF_SOURCE", pathlib.Path(__file__).parent.parent))
SANITIZED = os.environ.get("BITKERF_SANITIZED", "")  # timings and sizes mean nothing then
FULL = os.environ.get("BITKERF_SWEEP") == "full"  # ./check --all: also what takes long, and limits of time
TIMED = FULL and not SANITIZED
SMOLLM2 = "SmolLM2-135M-Instruct.Q4_1.gguf"


class Result:
    def __init__(self, code, out, err, seconds, peak_bytes):
        self.code, self.out, self.err, self.seconds, self.peak_bytes = code, out, err, seconds, peak_bytes

    def __repr__(self):
        return f"exit code {self.code}, {self.seconds:.2f} s, {self.peak_bytes >> 20} MiB\n" \
               f"stdout: {self.out[:1000]}\nstderr: {self.err[:1000]}"


def run(*arguments, stdin=b"", timeout=120, env=None):
    """Runs `bitkerf arguments`; stdin is bytes or an open file. Output is decoded with U+FFFD for what is no UTF-8."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, tempfile.TemporaryFile() as pipe:
        if isinstance(stdin, bytes):
            pipe.write(stdin)
            pipe.seek(0)
            stdin = pipe
        start = time.monotonic()
        process = subprocess.Popen([PROGRAM, *map(str, arguments)], stdin=stdin, stdout=out, stderr=err,
                                   env={**os.environ, **(env or {})})
        code, peak = None, 0
        while code is None:  # wait4 tells the peak of this child alone
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                code, peak = os.waitstatus_to_exitcode(status), usage.ru_maxrss * 1024
            elif time.monotonic() - start > timeout:
                process.kill()
                os.wait4(process.pid, 0)
                code = "timeout"
            else:
                time.sleep(0.001)
        process.returncode = code if isinstance(code, int) else -9
        seconds = time.monotonic() - start
        out.seek(0)
        err.seek(0)
        return Result(code, out.read().decode("utf-8", "replace"), err.read().decode("utf-8", "replace"), seconds, peak)


def find_model(name=SMOLLM2):
    """Path of a model in the cache folders, or None."""
    home = pathlib.Path.home() / ".cache"
    for folder in (pathlib.Path(os.environ.get("BITKERF_CACHE") or home / "bitkerf"), home / "peers" / "models"):
        if (folder / name).is_file():
            return folder / name
    return None


def needs_model(name=SMOLLM2):
    """The model's path; ends the test program as skipped when it is not there."""
    path = find_model(name)
    if path is None:
        print(f"skipped: {name} is not in the cache folder; tools/fetch_model.sh fetches it")
        sys.exit(77)
    return path


def needs_verb(verb):
    if f"\n  {verb} " not in run("help").out:
        print(f"skipped: this build has no verb {verb}")
        sys.exit(77)


class TestCase(unittest.TestCase):
    def assert_refused(self, result, code, *words):
        """One error line, at most one hint line, nothing on stdout, the exit code; `words` are in the message."""
        lines = result.err.splitlines()
        self.assertEqual(result.code, code, result)
        self.assertEqual(result.out, "", result)
        self.assertIn(len(lines), (1, 2), result)
        self.assertTrue(lines[0].startswith("error: "), result)
        if len(lines) == 2:
            self.assertTrue(lines[1].startswith("hint: "), result)
        for word in words:
            self.assertIn(word, result.err)

    def assert_done(self, result):
        self.assertEqual(result.code, 0, result)


def main():
    unittest.main(verbosity=1)
