#!/usr/bin/env python3
"""`vitc bench step` and `bench kernels` on the fake device: what they tell is there and adds up; times are made up.

usage: bench.py build/tests/simt/vitc-simt        (Python's standard library alone)
"""
import json
import os
import sys

import simt

VITC = os.path.abspath(sys.argv[1])
FLAGS = [*simt.MODEL, "--num-classes", "3", "--device", "cuda"]


def main():
    check = simt.Checks()

    def bench(what, *more):
        done = simt.run([VITC, "bench", what, *FLAGS, "--gemm-side", "64", "--json", "-", *more])
        check(done.returncode == 0, f"bench {what} {' '.join(more)}", done.stderr)
        return json.loads(done.stdout)

    def check_ops(ops):
        for op in ops:
            keys = {"op", "calls", "ms", "flops", "bytes", "gflops", "gbytes_per_second", "bandwidth_share", "floor_ms",
                    "roofline_share"}
            if not keys <= op.keys() or op["ms"] <= 0 or op["bytes"] <= 0:
                check(False, f"op {op}")
        names = {op["op"] for op in ops}
        check({"linear", "linear_dw", "attention", "attention_grad", "layernorm_grad", "adamw"} <= names,
              "all ops are there")

    def near(a, b, share):
        return abs(a - b) <= share * max(a, b)

    for more in ([], ["--precision", "fp32"], ["--micro-batch-size", "4"]):
        b = bench("step", "--steps", "4", "--ledger", *more)
        for key in ("images_per_second", "step_ms", "flops_per_image", "gflops", "peak_bytes", "roofline_share",
                    "floor_ms", "wall_step_ms", "copy_gbytes_per_second", "gemm_gflops"):
            check(b.get(key, 0) > 0, f"{key} is told")
        check(not [key for key in b if "sgemm" in key], "nothing of the CPU's ceiling")
        precision = more[1] if "fp32" in more else "bf16"
        check(b["device"] == "cuda" and b["precision"] == precision, "device and precision")
        check(b["steps"] == 4, "so many steps")
        check(near(b["images_per_second"], 8e3 / b["step_ms"], 1e-6), "images a second at the median")
        check(near(b["gflops"], 8e-6 * b["flops_per_image"] / b["step_ms"], 1e-6), "GFLOP/s")
        check(near(b["roofline_share"], b["floor_ms"] / b["step_ms"], 1e-6), "the share of the roofline")
        check_ops(b["ops"])
        check(near(sum(op["ms"] for op in b["ops"]), b["ops_ms"], 1e-6), "the ops add up")
        check(near(b["ops_ms"], b["step_ms"], 0.05), f"to the step: {b['ops_ms']} ms of {b['step_ms']}")
        check(near(sum(op["floor_ms"] for op in b["ops"]), b["floor_ms"], 1e-6), "so do their floors")
        plan = json.loads(simt.run([VITC, "plan", "--json", *FLAGS, *more]).stdout)
        training = plan["peak_bytes"] - plan["bytes"]["evaluation"]
        check(b["peak_bytes"] == training, "bytes as planned, without evaluation")
    some = bench("step", "--seconds", "0.01")
    check(some["steps"] >= 3, "as long as --seconds says, three steps at least")
    check_ops(bench("kernels", "--steps", "2"))
    text = simt.run([VITC, "bench", "step,kernels", *FLAGS, "--gemm-side", "64", "--steps", "2", "--ledger"]).stdout
    for part in ("images/s", "roofline, kernel by kernel", "device memory", "of floor", "of copy", "ops of a step"):
        check(part in text, f"the table has: {part}", text)
    return check.failures > 0


if __name__ == "__main__":
    sys.exit(main())
