#!/usr/bin/env python3
"""`vitc train --device cuda` end to end on the fake device, beside the CPU backend: the same losses and checkpoints, in
fp32 to rounding and in bf16 within its tolerance; the same bits from a resumed run; a step that is not finite named.

usage: train.py build/vitc build/tests/simt/vitc-simt        (Python's standard library alone)
"""
import csv
import math
import os
import random
import struct
import subprocess
import sys
import tempfile

import simt

CPU, CUDA = (os.path.abspath(path) for path in sys.argv[1:3])
FLAGS = ["--model", "deit_micro", "--depth", "2", "--embed-dim", "32", "--num-heads", "2", "--img-size", "8",
         "--patch-size", "4", "--in-chans", "1", "--epochs", "2", "--batch-size", "16", "--micro-batch-size", "8",
         "--grad-accum-steps", "2", "--lr", "1e-2", "--clip-grad", "1", "--drop-path", "0.2", "--num-workers", "1",
         "--reprob", "0.5", "--mixup", "0.8", "--cutmix", "1"]
check = simt.Checks()


def make_data(root):
    """IDX files: two classes, bright above or below."""
    rng = random.Random(1)
    for name, count in ("train", 128), ("t10k", 16):
        labels = bytes(rng.randrange(2) for _ in range(count))
        pixels = bytes(rng.randrange(120) + (100 if (y >= 4) == bool(label) else 0)
                       for label in labels for y in range(8) for _ in range(8))
        with open(f"{root}/{name}-images-idx3-ubyte", "wb") as f:
            f.write(struct.pack(">IIII", 2051, count, 8, 8) + pixels)
        with open(f"{root}/{name}-labels-idx1-ubyte", "wb") as f:
            f.write(struct.pack(">II", 2049, count) + labels)


def run(program, out, *more, device="cuda", **env):
    return subprocess.run([program, "train", "--data-path", DATA, "--output_dir", out, "--device", device,
                           *FLAGS, *more], capture_output=True, text=True, env=dict(os.environ, **env))


def read(path):
    """name -> bytes of f32."""
    header, body = simt.read(path)
    header.pop("__metadata__")
    return {n: body[t["data_offsets"][0]:t["data_offsets"][1]] for n, t in header.items()}


def distance(a, b):
    """Relative L2 distance of two checkpoints' parameters, all together."""
    off = size = 0.0
    for name in a:
        if name.startswith("opt."):
            continue
        x, y = (struct.unpack(f"<{len(t[name]) // 4}f", t[name]) for t in (a, b))
        off += sum((p - q) ** 2 for p, q in zip(x, y))
        size += sum(p * p for p in x)
    return math.sqrt(off / size)


def losses(out):
    with open(f"{out}/summary.csv") as f:
        return [float(row["train_loss"]) for row in csv.DictReader(f)]


with tempfile.TemporaryDirectory() as work:
    DATA = f"{work}/data"
    os.makedirs(DATA)
    make_data(DATA)
    done = run(CPU, f"{work}/cpu", device="cpu")
    check(done.returncode == 0, "the CPU trains", done.stderr)
    expected = read(f"{work}/cpu/last.safetensors")
    # fp32: sums in another order, four steps of Adam; bf16: activations of 8 bits, 2^-9 of their size each.
    for precision, near in (["fp32"], 1e-5), (["bf16"], 3e-3), (["bf16", "--residual", "bf16"], 5e-3):
        out = f"{work}/{'-'.join(precision)}"
        done = run(CUDA, out, "--precision", *precision)
        if done.returncode:
            check(False, f"{precision}: {done.stderr}")
            continue
        far = distance(expected, read(f"{out}/last.safetensors"))
        check(far < near, f"{' '.join(precision)}: the checkpoint is within {far:.2g} of the CPU's ({near:g})")
        off = max(abs(a - b) for a, b in zip(losses(f"{work}/cpu"), losses(out)))
        check(off < near, f"{' '.join(precision)}: training losses within {off:.2g}")

    # GELU by a kernel behind the product, and by the product's own.
    for way in "apart", "fused":
        out = f"{work}/{way}"
        done = run(CUDA, out, "--precision", "bf16", VT_FAKE_ARCH="90", VT_GEMM_ACTIVATION=way)
        check(done.returncode == 0, f"sm_90, activation {way}", done.stderr)
        far = distance(expected, read(f"{out}/last.safetensors"))
        check(far < 3e-3, f"sm_90, activation {way}: the checkpoint is within {far:.2g}")
    check(read(f"{work}/apart/last.safetensors") != read(f"{work}/fused/last.safetensors"), "they are two kernels")

    taught = ["--teacher-path", f"{work}/cpu/last.safetensors", "--distillation-type", "soft",
              "--distillation-tau", "0.25", "--distillation-alpha", "1", "--class-weights", "auto", "--seed", "1"]
    done = run(CPU, f"{work}/taught", *taught, device="cpu")
    check(done.returncode == 0, "the CPU trains with a teacher", done.stderr)
    expected = read(f"{work}/taught/last.safetensors")
    for precision, near in ("fp32", 1e-5), ("bf16", 3e-3):
        done = run(CUDA, f"{work}/taught-{precision}", *taught, "--precision", precision)
        check(done.returncode == 0, f"{precision}, with a teacher", done.stderr)
        far = distance(expected, read(f"{work}/taught-{precision}/last.safetensors"))
        off = max(abs(a - b) for a, b in zip(losses(f"{work}/taught"), losses(f"{work}/taught-{precision}")))
        check(far < near, f"{precision}, with a teacher: the checkpoint is within {far:.2g}")
        check(off < near, f"{precision}, with a teacher: losses within {off:.2g}")

    half = run(CUDA, f"{work}/half", "--max-steps", "3", "--save-steps", "1")
    check(half.returncode == 0, "three steps", half.stderr)
    rest = run(CUDA, f"{work}/half", "--resume", "auto", "--max-steps", "0")
    check(rest.returncode == 0, "resumed", rest.stderr)
    check(read(f"{work}/half/last.safetensors") == read(f"{work}/bf16/last.safetensors"), "resumed to the same bits")

    wild = run(CUDA, f"{work}/wild", "--lr", "1e6", "--unscale-lr", "--warmup-epochs", "0", "--clip-grad", "0")
    check(wild.returncode == 1 and "is not finite and was not taken" in wild.stderr and "tensor" in wild.stderr,
          "a step that is not finite is named: " + wild.stderr.strip())

    none = subprocess.run([CUDA, "summary", "--model", "deit_micro"], capture_output=True, text=True)
    check(none.returncode == 0, "summary needs no device")
    absent = subprocess.run([CUDA, "selftest", "--device", "cuda"], capture_output=True, text=True,
                            env=dict(os.environ, VT_FAKE_DEVICES="0"))
    check(absent.returncode == 2 and absent.stderr.startswith("vitc: error: --device cuda: "),
          "no device: " + absent.stderr.strip())
sys.exit(check.failures > 0)
