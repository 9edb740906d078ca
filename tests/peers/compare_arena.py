#!/usr/bin/env python3
"""The arena planner (src/compress/plan/arena.h) against HiGHS, and on graphs of real models.

    compare_arena.py [--graphs 30] [--seconds 60]

Branchy graphs of 8 to 25 operators in an arena midway between the smallest without spills and the largest operator's own need. HiGHS gets
the rules as an integer program: which operator runs at which step, what is resident, fetched, copied; addresses are left out, so that its optimum
is a bound that a valid plan of as many bytes meets (our plans are replayed by the checker, which knows addresses). Then blocks of models: the smallest arena
beside best fit's in the given order. Needs highspy (PyPI); without it exit code 77. Fails when a plan is wrong or moves more than HiGHS's."""
import argparse
import json
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


class Graph:
    def __init__(self):
        self.bytes, self.outside, self.operators, self.results = [], [], [], []

    def tensor(self, size, outside=False):
        self.bytes.append(size)
        self.outside.append(outside)
        return len(self.bytes) - 1

    def operator(self, inputs, *sizes):
        outputs = [self.tensor(size) for size in sizes]
        self.operators.append((list(inputs), outputs))
        return outputs[0]

    def own_need(self):
        return max(sum(self.bytes[t] for t in i + o) for i, o in self.operators)

    def words(self, alignment, arena, nodes):
        words = [alignment, arena, nodes, len(self.bytes)]
        for size, outside in zip(self.bytes, self.outside):
            words += [size, int(outside)]
        words.append(len(self.operators))
        for inputs, outputs in self.operators:
            words += [len(inputs), *inputs, len(outputs), *outputs]
        return " ".join(map(str, words + [len(self.results), *self.results])) + "\n"


def branchy(draw, operators):
    """Forks of two or three branches of different lengths that join again, one after the other."""
    g = Graph()
    size = lambda: 64 * draw.randint(1, 12)
    x = g.tensor(size(), True)
    while len(g.operators) < operators:
        ends = []
        for _ in range(draw.randint(2, 3)):
            t = x
            for _ in range(draw.randint(1, 2)):
                t = g.operator([t], size())
            ends.append(t)
        x = g.operator(ends, size())
    g.results = [x]
    return g


def highs(graph, arena, seconds):
    """Least bytes moved when addresses are of no matter, and the proven bound."""
    h = highspy.Highs()
    for option, value in (("output_flag", False), ("time_limit", float(seconds)), ("threads", 1), ("mip_rel_gap", 0.0)):
        h.setOptionValue(option, value)
    steps, tensors = range(len(graph.operators)), range(len(graph.bytes))
    maker = {t: o for o, (_, outputs) in enumerate(graph.operators) for t in outputs}
    unit = 64  # bytes, so that the costs are small numbers
    # What must run before and after an operator leaves it only some steps.
    before = [set() for _ in steps]
    for o, (inputs, _) in enumerate(graph.operators):
        for t in inputs:
            if t in maker:
                before[o] |= {maker[t]} | before[maker[t]]
    after = [sum(o in b for b in before) for o in steps]
    may = lambda o, t: len(before[o]) <= t < len(graph.operators) - after[o]
    run = [[h.addBinary() if may(o, t) else None for t in steps] for o in steps]
    here = [[h.addBinary() for _ in steps] for _ in tensors]
    fetched = [[h.addBinary(obj=graph.bytes[a] / unit) for _ in steps] for a in tensors]
    copied = [None if graph.outside[a] else h.addBinary(obj=graph.bytes[a] / unit) for a in tensors]
    total = lambda terms: sum((t for t in terms if t is not None), 0)
    for o in steps:
        h.addConstr(total(run[o]) == 1)
    for t in steps:
        h.addConstr(total(run[o][t] for o in steps) == 1)
        h.addConstr(sum(here[a][t] * (graph.bytes[a] / unit) for a in tensors) <= arena / unit)
        for o, (inputs, outputs) in enumerate(graph.operators):
            if run[o][t] is not None:
                for a in inputs + outputs:
                    h.addConstr(here[a][t] >= run[o][t])
    for a in tensors:
        for t in steps:
            made = run[maker[a]][t] if a in maker else None
            was = [here[a][t - 1]] if t else []
            h.addConstr(here[a][t] <= total(was + [fetched[a][t], made]))
            if a in maker:
                earlier = [run[maker[a]][k] for k in range(t)]
                if any(e is not None for e in earlier):
                    h.addConstr(fetched[a][t] <= total(earlier))
                    h.addConstr(here[a][t] <= total(earlier + [made]))
                else:
                    h.addConstr(fetched[a][t] == 0)
                    if made is None:
                        h.addConstr(here[a][t] == 0)
                    else:
                        h.addConstr(here[a][t] <= made)
            if copied[a] is not None:
                h.addConstr(copied[a] >= fetched[a][t])
    for a in graph.results:
        h.addConstr(here[a][len(graph.operators) - 1] == 1)
    h.minimize()
    info = h.getInfo()
    best = round(info.objective_function_value) * unit if info.primal_solution_status == 2 else None
    infeasible = h.getModelStatus() == highspy.HighsModelStatus.kInfeasible
    return best, None if infeasible else info.mip_dual_bound * unit, infeasible


def decoder(tokens, width, heads, kv, hidden, size=4):
    """A decoder's block: norm, q k v, rotation, attention, projection, sum; norm, gate and up, product, down, sum."""
    g = Graph()
    b = lambda columns: tokens * columns * size
    x = g.tensor(b(width), True)
    n = g.operator([x], b(width))
    q, k, v = (g.operator([n], b(c)) for c in (heads * 64, kv * 64, kv * 64))
    q, k = g.operator([q], b(heads * 64)), g.operator([k], b(kv * 64))
    a = g.operator([g.operator([q, k, v], b(heads * 64))], b(width))
    x = g.operator([x, a], b(width))
    n = g.operator([x], b(width))
    gate, up = g.operator([n], b(hidden)), g.operator([n], b(hidden))
    x = g.operator([x, g.operator([g.operator([gate, up], b(hidden))], b(width))], b(width))
    g.results = [x]
    return g


def encoder(tokens, width, hidden, heads, norm_first):
    """An encoder's block with the attention's scores as a tensor: MiniLM's norms come after the sums, a ViT's before the products."""
    g = Graph()
    b = lambda columns: tokens * columns * 4
    x = g.tensor(b(width), True)
    n = g.operator([x], b(width)) if norm_first else x
    q, k, v = (g.operator([n], b(width)) for _ in range(3))
    scores = g.operator([q, k], heads * tokens * tokens * 4)
    a = g.operator([g.operator([g.operator([scores], heads * tokens * tokens * 4), v], b(width))], b(width))
    x = g.operator([x, a], b(width))
    n = g.operator([x], b(width))
    x = n if not norm_first else x
    y = g.operator([x, g.operator([g.operator([g.operator([n], b(hidden))], b(hidden))], b(width))], b(width))
    if not norm_first:
        y = g.operator([y], b(width))
    g.results = [y]
    return g


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--graphs", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args()
    program = subprocess.Popen([BUILD / "bitkerf_arena"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(graph, arena, nodes=200_000_000):
        program.stdin.write(graph.words(64, arena, nodes))
        program.stdin.flush()
        return json.loads(program.stdout.readline())

    failures = 0
    print("model's block           operators  smallest arena KiB  best fit's  s")
    for name, graph in (("SmolLM2, 512 tokens", decoder(512, 576, 9, 3, 1536)), ("MiniLM, 128 tokens", encoder(128, 384, 1536, 12, False)),
                        ("ViT-S, 197 tokens", encoder(197, 384, 1536, 6, True)), ("branchy", branchy(random.Random(0), 18))):
        least = ask(graph, 0)
        failures += least["plan"]["trouble"] != "" or not least["plan"]["proven"] or least["plan"]["bytes"] > least["greedy"]["bytes"]
        print(f"{name:22}  {len(graph.operators):9}  {least['plan']['bytes'] / 1024:18.1f}  {least['greedy']['bytes'] / 1024:10.1f}  {least['seconds']:.3f}"
              f"{'' if least['plan']['proven'] else '  not proven'}")
    print("\noperators  arena     ours       s   HiGHS's    its bound      s  best fit's")
    agree = proven = 0
    for i in range(options.graphs):
        draw = random.Random(100 + i)
        graph = branchy(draw, 8 + 14 * i // max(1, options.graphs - 1))
        arena = (ask(graph, 0)["plan"]["bytes"] + graph.own_need()) // 2 // 64 * 64
        ours = ask(graph, arena)
        plan = ours["plan"]
        start = time.time()
        best, bound, infeasible = highs(graph, arena, options.seconds)
        seconds = time.time() - start
        wrong = (plan is None) != infeasible if infeasible or plan is None else plan["trouble"] != "" or (best is not None and best < plan["moved"]) or bound > plan["moved"] + 1
        failures += wrong
        met = plan is not None and bound is not None and bound > plan["moved"] - 64
        agree += met or infeasible
        proven += plan is not None and plan["proven"]
        print(f"{len(graph.operators):9}  {arena:5}  {plan['moved'] if plan else '-':>7}  {ours['seconds']:6.3f}  {best if best is not None else '-':>8}  "
              f"{bound if bound is not None else 0:11.1f}  {seconds:5.1f}  {ours['greedy']['moved'] if ours['greedy'] else 'none':>10}{'  WRONG' if wrong else ''}", flush=True)
    print(f"{agree} of {options.graphs} optima proven equal by HiGHS, {proven} by ours; wrong: {failures}")
    sys.exit(1 if failures else 0)


main()
