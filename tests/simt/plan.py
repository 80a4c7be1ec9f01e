#!/usr/bin/env python3
"""`vitc plan --device cuda` tells to the byte what training then takes of the fake device.

usage: plan.py build/tests/simt/vitc-simt        (Python's standard library alone)
"""
import json
import os
import re
import sys
import tempfile

import simt

VITC = os.path.abspath(sys.argv[1])


def main():
    check = simt.Checks()
    with tempfile.TemporaryDirectory() as root:
        simt.make_data(f"{root}/data", train=160)

        def plan(*more):
            done = simt.run([VITC, "plan", "--data-path", f"{root}/data", "--device", "cuda", "--json", *simt.MODEL,
                             *more])
            check(done.returncode == 0, f"plan {' '.join(more)}", done.stderr)
            return json.loads(done.stdout)

        def taken(*more):
            done = simt.run([VITC, "train", "--data-path", f"{root}/data", "--output_dir", f"{root}/run", "--overwrite",
                             "--device", "cuda", "--max-steps", "1", "--epochs", "1", *simt.MODEL, *more])
            check(done.returncode == 0, f"train {' '.join(more)}", done.stderr)
            return int(re.search(r"at most (\d+) bytes in use", done.stderr).group(1))

        cases = ([], ["--no-model-ema"], ["--precision", "fp32"], ["--recompute", "--depth", "2"],
                 ["--micro-batch-size", "4"], ["--micro-batch-size", "2", "--grad-accum-steps", "3"],
                 ["--micro-batch-size", "2", "--grad-accum-steps", "5", "--lanes", "1"], ["--batch-size", "80"],
                 ["--batch-size", "1", "--aug-repeats", "1"],
                 ["--residual", "bf16", "--drop-path", "0.1", "--drop", "0.1"],
                 ["--batch-size", "1", "--aug-repeats", "1", "--freeze", "[!h]*", "--embed-dim", "96"])
        for flags in cases:
            p = plan(*flags)
            check(p["peak_bytes"] == sum(p["bytes"].values()), "the classes add up")
            check((p["bytes"]["copies"] > 0) == ("fp32" not in flags), "copies of the weights in bf16 alone")
            for told in p["bytes"]["inputs"], p["bytes"]["evaluation"], p["host_bytes"]:
                check(told > 0, "what lies beside the workspace is told")
            used = taken(*flags)
            check(p["peak_bytes"] == used, f"planned {p['peak_bytes']} bytes, used {used}", p)

        # Fitting: what is proposed fits, and the device's memory can be just that.
        whole = plan("--batch-size", "32")["peak_bytes"]
        fitted = plan("--batch-size", "32", "--fit", str(whole - 1))
        check(fitted["peak_bytes"] < whole and fitted["micro_batch_size"] < 32, "--fit cuts the micro-batch", fitted)
        flags = ["--batch-size", "32", "--micro-batch-size", str(fitted["micro_batch_size"])]
        flags += ["--recompute"] if fitted["recompute"] else []
        check(taken(*flags) == fitted["peak_bytes"], "and what it proposes takes what it says")
        text = simt.run([VITC, "plan", "--device", "cuda", *simt.MODEL, "--num-classes", "3"]).stdout
        for part in ("copies", "inputs", "evaluation", "driver", "on the host", "peak"):
            check(part in text, f"the table has {part}", text)
    return check.failures > 0


if __name__ == "__main__":
    sys.exit(main())
