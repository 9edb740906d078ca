"""The machine code of integer-only execution holds no floating-point arithmetic and no conversion: every object of src/integer/execute,
and of what those call while a model runs (the team of threads), is disassembled. That the check can fail is shown on objects that do
compute with floats."""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import unittest

BUILD = pathlib.Path(os.environ["BITKERF_BUILD"])
OBJECTS = BUILD / "CMakeFiles" / "bitkerf.dir" / "src"

# Mnemonics whose operands are floats by the letters they end in. What begins with p or vp works on integers (pabsd, vpmaxsd), the
# others here only move, mix or mask bits, whatever their names say.
ENDS_AS_FLOAT = re.compile(r"^v?[a-z0-9]+(ss|sd|ps|pd|sh|ph)$")
MOVES_BITS = re.compile(r"^v?(mov|and|or|xor|unpck|shuf|blend|insert|extract|broadcast|expand|compress|gather|scatter|maskmov)[a-z0-9]*$|^v?p|^push$|^cmpsd$")
CONVERTS = re.compile(r"^v?cvt|^v?(u?comi)s[sdh]$|^vf[n]?m|^vdpbf16|^vrndscale|^vgetexp|^vgetmant|^vscalef")
X87 = re.compile(r"^f(?!ence)[a-z0-9]+$|^(emms|femms)$")


def float_instructions(path):
    listing = subprocess.run(["objdump", "-d", "--no-show-raw-insn", str(path)], check=True, stdout=subprocess.PIPE, text=True).stdout
    found, count = {}, 0
    for line in listing.splitlines():
        parts = line.split("\t")
        if len(parts) < 2:
            continue
        words = [w for w in parts[1].split() if w not in ("rep", "repz", "repnz", "lock", "data16", "notrack", "bnd", "{evex}")]
        if not words:
            continue
        name = words[0]
        count += 1
        if CONVERTS.match(name) or X87.match(name) or (ENDS_AS_FLOAT.match(name) and not MOVES_BITS.match(name)):
            found[name] = found.get(name, 0) + 1
    return found, count


@unittest.skipUnless(shutil.which("objdump"), "no objdump")
@unittest.skipIf(os.environ.get("BITKERF_SANITIZED"), "sanitizers add code of their own")
class IntegerObjects(unittest.TestCase):
    def test_nothing_between_token_ids_and_logits_is_a_float(self):
        objects = sorted((OBJECTS / "integer" / "execute").glob("*.o"))
        names = {path.name for path in objects}
        for source in (pathlib.Path(os.environ["BITKERF_SOURCE"]) / "src" / "integer" / "execute").glob("*.cc"):
            self.assertIn(source.name + ".o", names)
        for path in [*objects, OBJECTS / "core" / "threads.cc.o"]:
            found, count = float_instructions(path)
            self.assertGreater(count, 100, path)
            self.assertEqual(found, {}, f"{path.name} computes with floats")

    def test_the_check_can_fail(self):
        for name in ("integer/prepare/scales.cc.o", "integer/integer_model.cc.o", "ops/kernels_portable.cc.o", "ops/kernels_avx2.cc.o", "ops/kernels_avx512.cc.o"):
            found, _ = float_instructions(OBJECTS / name)
            self.assertGreater(sum(found.values()), 0, name)
        found, _ = float_instructions(OBJECTS / "ops" / "kernels_avx512.cc.o")
        self.assertTrue(any(name.startswith("vfm") for name in found) and any(name.startswith("vcvt") for name in found), found)


if __name__ == "__main__":
    if not shutil.which("objdump"):
        print("skipped: no objdump")
        sys.exit(77)
    unittest.main()
