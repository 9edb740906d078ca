"""compress on SmolLM2 killed 50 times: OUT is the old file or the complete new one, and what goes on gives the same file.

Takes some 10 minutes; where there is no SmolLM2, exit code 77. Chains begin with nothing known and are killed again and again until one run comes
through; single runs begin with everything known and are killed anywhere, mostly while the file is written."""
import hashlib
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import program

# Seconds between starts and kills of a chain: at most LONGEST, and LONGER more after each kill, as the last steps begin anew each time.
CHAINS, LONGEST, LONGER = int(os.environ.get("BITKERF_KILL_CHAINS", 2)), 12.0, 2.0
KILLS = int(os.environ.get("BITKERF_KILLS", 50))
# Where BITKERF_KILL_KEPT names a cache folder, everything of the default calibration is known from there, and no chains are needed.
KEPT = os.environ.get("BITKERF_KILL_KEPT")
HOW = ("--budget", "74MiB") if KEPT else ("--budget", "74MiB", "--windows", "6")


def sum_of(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Job:
    def __init__(self, model, folder, cache):
        self.model, self.out, self.env = model, folder / "out.gguf", {**os.environ, "BITKERF_CACHE": str(cache)}
        if KEPT:
            shutil.copytree(KEPT, cache)
            return
        cache.mkdir()
        for known in (pathlib.Path.home() / ".cache" / "bitkerf").glob("machine-*"):
            (cache / known.name).write_bytes(known.read_bytes())

    def start(self):
        arguments = ["compress", self.model, *HOW, "-o", self.out]
        return subprocess.Popen([program.PROGRAM, *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=self.env)

    def finish(self):
        start = time.monotonic()
        child = self.start()
        error = child.communicate()[1]
        assert child.returncode == 0, error
        return time.monotonic() - start

    def kill_after(self, seconds):
        """True when it was killed, False when it was done before."""
        child = self.start()
        try:
            child.communicate(timeout=seconds)
            assert child.returncode == 0
            return False
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
            child.communicate()
            return True


def main():
    model = program.needs_model()
    generator = random.Random(11)
    with tempfile.TemporaryDirectory() as whole:
        folder = pathlib.Path(whole)
        expected, kills, complete = None, 0, 0

        def look(job):
            """After a kill: the old file or the whole new one."""
            nonlocal complete
            if job.out.read_bytes() == b"old":
                return
            assert sum_of(job.out) == expected, "a file that is neither"
            complete += 1
            job.out.write_bytes(b"old")

        for chain in range(CHAINS):
            job = Job(model, folder, folder / f"cache{chain}")
            job.out.write_bytes(b"old")
            patience = LONGEST
            while job.kill_after(generator.uniform(0.1, patience)):
                kills, patience = kills + 1, patience + LONGER
                if expected is not None:
                    look(job)
                else:
                    assert job.out.read_bytes() == b"old"
            found = sum_of(job.out)
            assert expected in (None, found), f"chain {chain} gave another file"
            expected = found
            print(f"chain {chain}: {kills} kills so far", flush=True)
        # Nobody disturbs this one.
        fresh = Job(model, folder, folder / "undisturbed")
        seconds = fresh.finish()
        assert expected in (None, sum_of(fresh.out)), "an undisturbed run gives another file"
        expected = sum_of(fresh.out)
        known = fresh.finish()
        print(f"undisturbed: {seconds:.0f} s{'' if KEPT else ' from nothing'}, {known:.1f} s with everything known", flush=True)
        while kills < KILLS:
            fresh.out.write_bytes(b"old")
            if fresh.kill_after(generator.uniform(0.02, 1.02) * known):
                kills += 1
                look(fresh)
        fresh.finish()
        assert sum_of(fresh.out) == expected
        assert list(folder.glob("out.gguf.*")) == [], "what killed runs had begun is left"
        print(f"{kills} kills, {complete} after the file was complete: the same {expected[:16]} every time")


if __name__ == "__main__":
    main()
