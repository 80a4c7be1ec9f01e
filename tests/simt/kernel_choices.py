#!/usr/bin/env python3
"""Which kernels sm_90a gets for attention and for a product with GELU: the defaults, and what VT_ATTENTION and
VT_GEMM_ACTIVATION ask for. On the fake device; kernels are told apart by the bits of a step.

usage: kernel_choices.py build/tests/simt/vitc-simt        (Python's standard library alone)
"""
import os
import sys
import tempfile

import simt

VITC = os.path.abspath(sys.argv[1])
WHOLE, LONG = ["--img-size", "14"], ["--img-size", "30"]  # 50 tokens, 226


def main():
    check = simt.Checks()
    with tempfile.TemporaryDirectory() as root:
        simt.make_data(f"{root}/data", train=8, val=3)

        def step(size, **environment):
            """The checkpoint's tensors after one step."""
            out = f"{root}/run"
            done = simt.run([VITC, "train", "--data-path", f"{root}/data", "--output_dir", out, "--overwrite",
                             *simt.MODEL, "--embed-dim", "64", "--num-heads", "1", "--patch-size", "2", *size,
                             "--epochs", "1", "--max-steps", "1", "--device", "cuda", "--precision", "bf16"],
                            VT_FAKE_ARCH="90", **environment)
            check(done.returncode == 0, f"{environment}: exit 0", done.stderr)
            return simt.read(f"{out}/last.safetensors")[1]

        for size, default, others in (WHOLE, "whole", ("stream", "mma", "plain")), (LONG, "stream", ("mma",)):
            first = step(size)
            check(step(size, VT_ATTENTION=default) == first, f"{size[1]} pixels: attention's default is {default}")
            for kernels in others:
                check(step(size, VT_ATTENTION=kernels) != first, f"{size[1]} pixels: {kernels} are other kernels")
        check(step(LONG, VT_ATTENTION="whole") == first, "what does not fit is not taken")

        first = step(WHOLE)
        check(step(WHOLE, VT_GEMM_ACTIVATION="fused") == first, "the faster one of the fake device is fused")
        check(step(WHOLE, VT_GEMM_ACTIVATION="apart") != first, "apart are other kernels")
        for what in "searched", "kept":
            check(step(WHOLE, VT_CACHE_DIR=f"{root}/cache") == first, f"it is fused where the choice was {what}")
        for variable, wants in ("VT_ATTENTION", "whole|stream|mma|plain"), ("VT_GEMM_ACTIVATION", "fused|apart"):
            done = simt.run([VITC, "selftest", "add", "--device", "cuda"], **{variable: "fuse"})
            check(done.returncode == 2 and f"{variable}=fuse: wants {wants}" in done.stderr, f"{variable}: other words",
                  done.stderr)
    return check.failures > 0


if __name__ == "__main__":
    sys.exit(main())
