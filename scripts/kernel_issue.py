#!/usr/bin/env python3
"""What each kernel issues for the bytes that it moves, from its SASS: for scripts/kernel-resources.sh --issue.

A line for a kernel's straight path, and one for a pass of each loop that touches global memory: warp instructions by
unit, the bytes that a thread loads and stores (what L1 and L2 answer too), thread instructions a byte, and how many
bytes a clock a multiprocessor could move if nothing but the unit named last held it up. It issues 128 thread
instructions a clock, 64 for ALU or integer multiplies, 16 for MUFU and conversions; an H100's memory brings it 13 bytes
in that time.

Of the ways through branches that with most bytes in accesses of 8 and more is taken, of these the shortest.
"""
import argparse
import collections
import re
import subprocess
import sys

UNITS = [  # first that matches; "fma" is fp32, "imad" shares its pipe at half the rate
    ("lsu", r"LDG|STG|LDS|STS|LDL|STL|LD\b|ST\b|SHFL|ATOM|RED|LDSM|LDGSTS"), ("fp64", r"D(FMA|ADD|MUL|SETP)"),
    ("xu", r"MUFU|I2F|F2I|F2F\b|FRND|POPC|FLO"), ("imad", r"IMAD"), ("fma", r"F(FMA|MUL|ADD)|HFMA2|HADD2|HMUL2"),
    ("other", r"U[A-Z]|R2UR|S2|CS2R|LDC|B[A-Z]|EXIT|RET|CALL|WARPSYNC|NOP|BAR|DEPBAR|ERRBAR|MEMBAR|CCTL|VOTE"),
    ("alu", r"")]
LANES = {"lsu": 32, "fp64": 64, "xu": 16, "imad": 64, "fma": 128, "alu": 64}
WIDTH = {"128": 16, "64": 8, "U16": 2, "S16": 2, "U8": 1, "S8": 1}
ENDS = r"EXIT|RET|BRA|BRX|BRK"


def unit(op):
    return next(name for name, names in UNITS if re.match(names, op))


class Block:
    def __init__(self):
        self.ops, self.next, self.ends = [], [], False

    def bytes(self, name, least=1):
        widths = (next((WIDTH[w] for w in op.split(".") if w in WIDTH), 4) for op in self.ops if op.startswith(name))
        return sum(w for w in widths if w >= least)


def blocks_of(lines):
    """Blocks in order, with the numbers of those that follow."""
    blocks, labels, jumps = [Block()], {}, []
    for line in lines:
        label = re.match(r"\s*(\.L_\w+):", line)
        found = re.match(r"\s*/\*[0-9a-f]+\*/\s+(?:(@!?U?P\w+)\s+)?([A-Z][\w.]*)(.*?);", line)
        if label:
            if blocks[-1].ops:
                blocks.append(Block())
                jumps.append((len(blocks) - 2, len(blocks) - 1))
            labels[label[1]] = len(blocks) - 1
        if not found:
            continue
        guard, op, rest = found.groups()
        blocks[-1].ops.append(op)
        if not re.match(ENDS, op):
            continue
        at = len(blocks) - 1
        blocks[at].ends = bool(re.match("EXIT|RET", op))
        if re.match("BR[AX]", op):
            jumps += [(at, to) for to in re.findall(r"\.L_\w+", rest)]
        if guard or op.startswith("BRA.DIV") or re.search(r"P\d.*`", rest):
            jumps.append((at, at + 1))
        blocks.append(Block())
    for at, to in jumps:
        to = labels.get(to, to)
        if isinstance(to, int) and to < len(blocks):
            blocks[at].next.append(to)
    return blocks


def back_edges(blocks):
    edges, state, stack = set(), {0: 1}, [(0, iter(blocks[0].next))]
    while stack:
        at, follow = stack[-1]
        to = next(follow, None)
        if to is None:
            state[at] = 2
            stack.pop()
        elif state.get(to) == 1:
            edges.add((at, to))
        elif to not in state:
            state[to] = 1
            stack.append((to, iter(blocks[to].next)))
    return edges


def path(blocks, start, end, back):
    """The way from block `start` to `end` (None: any last one), without back edges; None where there is none."""
    best = {}

    def score(i):
        if i not in best:
            best[i] = None
            own = blocks[i]
            mine = (own.bytes("LDG", 8) + own.bytes("STG", 8), -len(own.ops))
            ways = [(score(n), n) for n in set(own.next) if (i, n) not in back]
            ways = [(s[0], n) for s, n in ways if s]
            if i == end or (end is None and own.ends):
                ways.append(((0, 0), None))
            if i == end:
                best[i] = (mine, None)
            elif ways:
                total, to = max(ways, key=lambda w: w[0])
                best[i] = (tuple(a + b for a, b in zip(mine, total)), to)
        return best[i]

    if not score(start):
        return None
    way = [start]
    while best[way[-1]][1] is not None:
        way.append(best[way[-1]][1])
    return [blocks[i] for i in way]


COLUMNS = ["fma", "alu", "imad", "xu", "fp64", "lsu", "other"]
FORMAT = "{:58.58s} {:6s} {:>5s}" + " {:>5s}" * (len(COLUMNS) + 2) + " {:>7s} {:>7s} {}"


def show(kernel, part, way):
    ops = [op for b in way for op in b.ops]
    count = collections.Counter(unit(op) for op in ops)
    load, store = (sum(b.bytes(name) for b in way) for name in ("LDG", "STG"))
    clocks = {name: count[name] * 32 / lanes for name, lanes in LANES.items()}
    clocks["issue"] = len(ops) / 4
    binds = max(clocks, key=clocks.get)
    if load + store:
        numbers = [len(ops)] + [count[name] for name in COLUMNS] + [load, store]
        rates = [f"{len(ops) / (load + store):.2f}", f"{32 * (load + store) / clocks[binds]:.1f}"]
        print(FORMAT.format(kernel, part, *map(str, numbers), *rates, binds))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nvdisasm", default="nvdisasm")
    parser.add_argument("cubin", nargs="+")
    args = parser.parse_args()
    sys.setrecursionlimit(100000)
    print(FORMAT.format("kernel", "part", "all", *COLUMNS, "load", "store", "a byte", "B/clock", "bound"))
    for cubin in args.cubin:
        text = subprocess.run([args.nvdisasm, "-c", cubin], check=True, capture_output=True, text=True).stdout
        for section in re.split(r"\n(?=\t\.section\t\.text\.)", text)[1:]:
            name = re.match(r"\t\.section\t\.text\.(.*?),", section)[1]
            name = subprocess.run(["c++filt", name], check=True, capture_output=True, text=True).stdout
            name = re.sub(r"^void ", "", name).split("(")[0].strip()
            blocks = blocks_of(section.splitlines())
            back = back_edges(blocks)
            show(name, "path", path(blocks, 0, None, back))
            for latch, header in sorted(back, key=lambda edge: (edge[1], edge[0])):
                way = path(blocks, header, latch, back)
                if way:
                    show(name, "loop", way)


main()
