"""What the scripts here that judge files of a model have in common: the three texts, `bitkerf eval`, kept results."""
import json
import os
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAM = ROOT / "build/release/bitkerf"
TEXTS = {"novel": "northanger_abbey", "code": "code", "markdown": "markdown"}
WINDOWS = 20  # of 512 tokens


def call(*command):
    """Standard output and error; what failed ends the script."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, env=os.environ | {"LC_ALL": "C"})
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}:\n" + "\n".join((done.stderr or done.stdout).splitlines()[-5:]))
    return done.stdout + done.stderr


def judge(program, file, model, windows=WINDOWS):
    """{"perplexity", "reference" (both of the novel), "novel", "code", "markdown" (divergences), "divergence" (their mean)}"""
    result = {}
    for name, text in TEXTS.items():
        report = json.loads(call(program, "eval", file, "-f", ROOT / f"data/evaluation/{text}.txt", "--chunks", windows, "--reference", model, "--json"))
        result[name] = report["kld_mean"]
        if name == "novel":
            result |= {"perplexity": report["ppl"], "reference": report["ppl_reference"]}
    result["divergence"] = sum(result[name] for name in TEXTS) / len(TEXTS)
    return result


def kept(folder, name, make):
    """What make() gave, from a file in that folder where it was kept, so that an interrupted script goes on."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    if not path.exists():
        result = make()
        part = path.with_suffix(".part")
        part.write_text(json.dumps(result))
        part.rename(path)
    return json.loads(path.read_text())
