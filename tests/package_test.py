"""Installs into a scratch folder and builds a small foreign program on it, through CMake and through pkg-config."""
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

import program

BUILD = os.environ.get("BITKERF_BUILD", "build/release")
CONSUMER = program.SOURCE / "tests" / "consumer"


def call(*command, **rest):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, **rest)
    if done.returncode:
        raise AssertionError(f"{command}\n{done.stdout}\n{done.stderr}")
    return done.stdout


class Package(program.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.prefix = pathlib.Path(cls.folder.name) / "prefix"
        call("cmake", "--install", BUILD, "--prefix", cls.prefix)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def test_program_manual_and_completions_are_installed(self):
        self.assertIn("bitkerf", call(self.prefix / "bin/bitkerf", "--version"))
        manual = (self.prefix / "share/man/man1/bitkerf.1").read_text()
        self.assertTrue(manual.startswith(".TH BITKERF 1"))
        for path in ("bash-completion/completions/bitkerf.bash", "zsh/site-functions/_bitkerf",
                     "fish/vendor_completions.d/bitkerf.fish"):
            self.assertGreater((self.prefix / "share" / path).stat().st_size, 500, path)

    def assert_works(self, consumer):
        out = call(consumer).splitlines()
        self.assertIn("Q4_K", out)
        self.assertIn("no/such/file.gguf", out[-1])

    def test_find_package(self):
        build = pathlib.Path(self.folder.name) / "consumer"
        call("cmake", "-S", CONSUMER, "-B", build, "-G", "Ninja", f"-DCMAKE_PREFIX_PATH={self.prefix}")
        call("cmake", "--build", build)
        self.assert_works(build / "consumer")

    def test_pkg_config(self):
        path = next(self.prefix.rglob("bitkerf.pc")).parent
        flags = call("pkg-config", "--cflags", "--libs", "bitkerf", env={**os.environ, "PKG_CONFIG_PATH": str(path)}).split()
        consumer = pathlib.Path(self.folder.name) / "by_pkg_config"
        call(os.environ.get("CXX", "g++"), "-std=c++20", CONSUMER / "consumer.cc", "-o", consumer, *flags)
        self.assert_works(consumer)


if __name__ == "__main__":
    if program.SANITIZED:
        print("skipped: a sanitized library is not installed")
        sys.exit(77)
    program.main()
