#!/usr/bin/env python3
"""choose() against HiGHS on instances of the size and kind that plans have: 210 layers, 10 candidates, 20 budgets; one limit
(bytes) and two (bytes and seconds). Prints our cost, HiGHS's best and its proven bound; fails when ours exceeds HiGHS's best
by more than 0.1 %, or breaks a limit."""
import json
import math
import os
import pathlib
import random
import subprocess
import sys
import time

try:
    import highspy
except ImportError:
    print("skipped: highspy is not there (PyPI: highspy)")
    sys.exit(77)

BUILD = pathlib.Path(os.environ.get("BITKERF_BUILD", "build/release"))
SHAPES = [(576, 576), (192, 576), (192, 576), (576, 576), (1536, 576), (1536, 576), (576, 1536)]  # of one block of SmolLM2
SENSITIVITY = [0.6, 3.6, 16.3, 0.9, 0.9, 1.4, 1.6]  # harm per weight at 3 bits, relative
BITS = [2.1, 2.3, 3.1, 3.3, 4.1, 4.3, 4.55, 5.1, 6.1, 8.1]
MIB = 1 << 20


def instance(seed, limits):
    rng = random.Random(seed)
    items = []
    for _ in range(30):
        for (rows, cols), sensitivity in zip(SHAPES, SENSITIVITY):
            scale = 1e-9 * sensitivity * rows * cols * rng.lognormvariate(0, 0.6)
            options = []
            for bits in BITS:
                size = math.ceil(rows * cols * bits / 8 / 64) * 64 + rng.randrange(150, 220)
                harm = scale * 4.0 ** (3 - bits) * rng.uniform(0.85, 1.15)
                seconds = size / 40e9 + rows * cols * rng.uniform(0.5, 1.5) / 2e12
                options.append((harm, [float(size), seconds][:limits]))
            items.append(options)
    return items


def highs(items, limits, seconds=10):
    h = highspy.Highs()
    h.setOptionValue("output_flag", False)
    h.setOptionValue("mip_rel_gap", 1e-5)
    h.setOptionValue("time_limit", float(seconds))
    h.setOptionValue("threads", 1)
    columns = []
    # In units near one: costs in thousandths of the largest, uses as parts of their limit.
    unit = max(cost for options in items for cost, _ in options) / 1000
    for options in items:
        columns.append([h.addBinary(obj=cost / unit) for cost, _ in options])
        h.addConstr(sum(columns[-1]) == 1)
    for k, limit in enumerate(limits):
        h.addConstr(sum(v * (use[k] / limit * 1000) for item, options in zip(columns, items) for v, (_, use) in zip(item, options)) <= 1000)
    h.minimize()
    info = h.getInfo()
    if info.primal_solution_status != 2:
        return None, None
    return info.objective_function_value * unit, info.mip_dual_bound * unit


def main():
    subprocess.run(["cmake", "--build", BUILD, "--target", "bitkerf_knapsack"], check=True, stdout=subprocess.DEVNULL)
    program = subprocess.Popen([BUILD / "bitkerf_knapsack"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    worst, failures = 0.0, 0
    budgets = [(34 + 59 * i / 19) * MIB for i in range(20)]
    print("limits  budget MiB       ours   gap ours  s        HiGHS   its bound      s  ours / HiGHS - 1")
    for limits in (1, 2):
        items = instance(limits, limits)
        for budget in budgets if limits == 1 else budgets[::4]:
            bounds = [budget * 106 / 135, budget / 44e9 + 52e-6][:limits]  # linears only
            words = [len(items), len(BITS), limits, *bounds]
            for options in items:
                for cost, use in options:
                    words += [repr(cost), *map(repr, use)]
            program.stdin.write(" ".join(map(str, words)) + "\n")
            program.stdin.flush()
            ours = json.loads(program.stdout.readline())
            start = time.time()
            best, bound = highs(items, bounds)
            seconds = time.time() - start
            if ours["cost"] is None or best is None:
                agree = (ours["cost"] is None) == (best is None)
                print(f"{limits:6}  {budget / MIB:10.2f}  infeasible: ours {ours['cost'] is None}, HiGHS {best is None}")
                failures += not agree
                continue
            over = ours["cost"] / best - 1
            kept = all(u <= b * (1 + 1e-9) for u, b in zip(ours["used"], bounds))
            gap = 1 - ours["bound"] / ours["cost"] if ours["cost"] else 0
            print(f"{limits:6}  {budget / MIB:10.2f}  {ours['cost']:.7f}  {gap:8.1e}  {ours['seconds']:.3f}  {best:.7f}  {bound:.7f}  {seconds:5.1f}"
                  f"  {over:+.6%}{'' if kept else '  LIMIT BROKEN'}", flush=True)
            worst = max(worst, over)
            failures += over > 1e-3 or not kept
    print(f"worst: {worst:+.6%}")
    sys.exit(1 if failures else 0)


main()
