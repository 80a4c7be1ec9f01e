#!/usr/bin/env python3
"""`vitc bench attention` on the fake device: every row is there, and vitc's and the chain's results are right.
Usage: bench_attention.py PATH/TO/vitc-simt"""
import json
import sys

from simt import run

# Few samples of many heads and the reverse: the chain's batch runs over heads, or over samples.
SHAPES = "2,3,37,16,3,2,21,32"
MOST = {"bf16": 1e-2, "fp32": 1e-5}


def rows(precision):
    done = run([sys.argv[1], "bench", "attention", "--device", "cuda", "--precision", precision, "--shapes", SHAPES,
                "--steps", "1", "--sets", "2", "--gemm-side", "64", "--json", "-"])
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["rows"]


for precision, most in MOST.items():
    found = rows(precision)
    assert len(found) == 2 * 3 * 3, found
    for r in found:
        if r["impl"] == "cudnn":
            assert r["status"] == "missing" and r["reason"], r
            continue
        assert r["status"] == "ok" and r["ms"] > 0 and 0 < r["error"] < most, r
