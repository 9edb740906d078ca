"""20 budgets between 34 and 93 MiB for SmolLM2: none is exceeded, and more bytes never mean more predicted harm.

Plans with what an earlier `plan` or `compress` kept of the model in $BITKERF_CACHE; skipped where nothing is kept, as
gathering it takes minutes. BITKERF_SWEEP=full also writes every file (half a minute each on two cores), runs it, and compares
predicted divergence with the measured one: compress's, on calibration text kept apart, and the mean of data/evaluation's texts.
"""
import json
import os
import pathlib
import sys
import tempfile

import program
from program import find_model, run

SMALLEST, LARGEST, BUDGETS = 34.0, 93.0, 20  # MiB
SECONDS = 20  # a plan takes one where everything is kept
WRITE_SECONDS = 600
EVALUATED, WINDOWS = ("northanger_abbey", "code", "markdown"), 8


class Budgets(program.TestCase):
    def test_never_exceeded_and_harm_does_not_grow(self):
        harm = float("inf")
        for i in range(BUDGETS):
            budget = round(SMALLEST + (LARGEST - SMALLEST) * i / (BUDGETS - 1), 2)
            result = run("plan", MODEL, "--budget", f"{budget}MiB", "--json", timeout=SECONDS)
            if i == 0 and result.code == "timeout":
                self.skipTest("nothing is kept for this program and model")
            self.assert_done(result)
            report = json.loads(result.out)
            print(f"{budget:6.2f} MiB: {report['file_bytes'] / 2**20:6.2f} MiB, {report['predicted_kld']:.5f} nats, "
                  f"gap {report['gap']:.1e}")
            self.assertLessEqual(report["file_bytes"], budget * 2**20)
            self.assertLessEqual(report["predicted_kld"], harm)
            self.assertLessEqual(report["gap"], 1e-3)
            harm = report["predicted_kld"]
            if program.FULL:
                with tempfile.TemporaryDirectory() as folder:
                    self.write(pathlib.Path(folder) / "out.gguf", budget, report["file_bytes"], judged=i % 4 == 1)

    def write(self, out, budget, planned, judged):
        result = run("compress", MODEL, "--budget", f"{budget}MiB", "-o", out, "--json", timeout=WRITE_SECONDS)
        self.assert_done(result)
        report = json.loads(result.out)
        written = out.stat().st_size
        ratio = report["measured_kld"] / report["predicted_kld"]
        print(f"            written {written / 2**20:6.2f} MiB, {budget * 2**20 - written:8.0f} bytes to spare; measured on text kept apart "
              f"{report['measured_kld']:.5f} = {ratio:.2f} x predicted", flush=True)
        if judged:
            others = [self.divergence(out, text) for text in EVALUATED]
            print(f"            on {', '.join(EVALUATED)}: {', '.join(f'{d:.5f}' for d in others)}, mean "
                  f"{sum(others) / len(others) / report['predicted_kld']:.2f} x predicted", flush=True)
        self.assertLessEqual(written, budget * 2**20)
        self.assertLessEqual(written, planned)
        self.assertLessEqual(planned - written, 16384)  # segments alike are joined, so the header is shorter than planned
        self.assert_done(run("run", out, "-p", "The", "-n", 1, "--temp", 0))
        self.assertTrue(0.75 <= ratio <= 1.25, f"predicted {report['predicted_kld']}, measured {report['measured_kld']}")

    def divergence(self, file, text):
        result = run("eval", file, "-f", pathlib.Path(__file__).resolve().parent.parent / f"data/evaluation/{text}.txt", "--chunks", WINDOWS, "--reference", MODEL, "--json", timeout=WRITE_SECONDS)
        self.assert_done(result)
        return json.loads(result.out)["kld_mean"]


if __name__ == "__main__":
    MODEL = find_model()
    cache = pathlib.Path(os.environ.get("BITKERF_CACHE") or pathlib.Path.home() / ".cache" / "bitkerf")
    if MODEL is None or not any(cache.glob("plans/*.errors")):
        print("skipped: no model in the cache folder, or nothing kept by an earlier plan of it")
        sys.exit(77)
    program.main()
