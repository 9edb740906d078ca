#!/usr/bin/env python3
"""Dependence runs one way: every #include "folder/..." below src/ and apps/ must point to a folder listed below.

Also flags source files of more than 800 lines that do not say at their top ("Long because ...") why.
Usage: check_dependencies.py [ROOT]     prints one line per offence; exit code 1 when there is one.
"""
import pathlib
import re
import sys

# What each folder may include, besides itself. A new folder of src/ gets a line here.
MAY_USE = {
    "core": "",
    "measure": "core",
    "formats": "core",
    "transforms": "core",
    "files": "core formats",
    "forms": "core formats transforms",
    "verify": "core formats transforms forms",
    "ops": "core formats forms",
    "mixers": "core formats forms ops",
    "ranks": "core formats forms",
    "models": "core formats forms ops mixers ranks files",
    "engine": "core formats forms ops mixers ranks files models",
    "compress": "core measure formats transforms forms ops mixers ranks files models",
    "integer": "core formats transforms forms ops mixers ranks files models compress",
    "serve": "core measure formats forms ops mixers ranks files models engine",
    "apps": "core measure formats transforms forms verify ops mixers ranks files models engine compress integer serve",
}
SOURCE = {".h", ".cc", ".cu", ".cuh", ".inl", ".inc"}
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)
LONGEST = 800


def offences(root):
    for top in ("src", "apps"):
        for path in sorted((root / top).rglob("*")):
            if path.suffix not in SOURCE:
                continue
            where = path.relative_to(root)
            folder = "apps" if top == "apps" else where.parts[1]
            text = path.read_text(encoding="utf-8")
            if folder not in MAY_USE:
                yield f"{where}: the folder {folder} is not in {pathlib.Path(__file__).name}"
                continue
            for match in INCLUDE.finditer(text):
                target = match.group(1).split("/")[0] if "/" in match.group(1) else None
                if match.group(1).startswith("."):
                    yield f"{where}: #include \"{match.group(1)}\": write the path from src/"
                elif target == "measure" and path.name.endswith("_bench.cc"):
                    continue  # a bench sets its times against the machine's limits
                elif target in MAY_USE and target != folder and target not in MAY_USE[folder].split():
                    line = text.count("\n", 0, match.start()) + 1
                    yield f"{where}:{line}: {folder} may not use {target} ({match.group(1)})"
            lines = text.count("\n")
            if lines > LONGEST and "Long because" not in text[:2000]:
                yield f"{where}: {lines} lines; find the seam, or say \"Long because ...\" at the top"


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent)
    found = list(offences(root))
    print("\n".join(found) if found else "dependence runs one way")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
