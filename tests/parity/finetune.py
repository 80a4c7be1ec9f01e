#!/usr/bin/python3
"""Position embeddings that `vitc train --finetune` resizes, against PyTorch's interpolate (DeiT: plain; timm: with
antialiasing), and against timm's resample_abs_pos_embed where timm is there.

usage: finetune.py --vitc build/vitc
exit status: 0 all agree, 1 some do not, 77 PyTorch is missing
"""
import os
import struct
import sys
import tempfile

import numpy as np

import tensors
from common import parser, run, skip

try:
    import torch
except ImportError as missing:
    skip(missing)

WIDTH, PATCH = 8, 4
# Model, extra tokens, and the grids that positions come from and go to: larger, smaller, both, one row.
CASES = [("deit_tiny_patch16_224", 1, 7, (12, 12)), ("deit_tiny_distilled_patch16_224", 2, 14, (7, 7)),
         ("deit_tiny_patch16_224", 1, 9, (5, 16)), ("deit3_small_patch16_224", 0, 24, (14, 14)),
         ("deit_tiny_patch16_224", 1, 6, (1, 4)), ("deit_tiny_patch16_224", 1, 8, (16, 16))]
TOLERANCE = 1e-5  # absolute, of values about 1: both sides are fp32


def write_idx(folder):
    os.makedirs(folder)
    for part in ("train", "t10k"):
        with open(os.path.join(folder, part + "-images-idx3-ubyte"), "wb") as f:
            f.write(struct.pack(">4i", 0x803, 4, 4, 4) + bytes(64))
        with open(os.path.join(folder, part + "-labels-idx1-ubyte"), "wb") as f:
            f.write(struct.pack(">2i", 0x801, 4) + bytes((0, 1, 0, 1)))


def train(vitc, root, name, model, grid, *more):
    """A run that changes nothing; its weights."""
    words = [vitc, "train", "--model", model, "--data-path", f"{root}/data", "--output_dir", f"{root}/{name}",
             "--img-size", f"{grid[0] * PATCH}x{grid[1] * PATCH}", "--patch-size", PATCH, "--embed-dim", WIDTH,
             "--depth", 1, "--num-heads", 1, "--batch-size", 2, "--epochs", 1, "--max-steps", 1, "--lr", 0,
             "--warmup-lr", 0, "--min-lr", 0, "--num-workers", 1, "--device", "cpu", "--overwrite", *more]
    run(*words)
    return tensors.read(f"{root}/{name}/last.safetensors")


def theirs(positions, extra, old, grid, antialias):
    p = torch.from_numpy(positions.copy())
    kept, p = p[:, :extra], p[:, extra:].reshape(1, old, old, -1).permute(0, 3, 1, 2)
    p = torch.nn.functional.interpolate(p, size=grid, mode="bicubic", align_corners=False, antialias=antialias)
    return torch.cat([kept, p.permute(0, 2, 3, 1).flatten(1, 2)], 1).numpy()


def timms(positions, extra, old, grid):
    try:
        from timm.layers import resample_abs_pos_embed
    except ImportError:
        return None
    return resample_abs_pos_embed(torch.from_numpy(positions.copy()), list(grid), [old, old], extra).numpy()


def main():
    vitc, failed, seen = parser(__doc__).parse_args().vitc, 0, 0
    with tempfile.TemporaryDirectory(prefix="vitc-finetune-") as root:
        write_idx(f"{root}/data")
        for model, extra, old, grid in CASES:
            source = train(vitc, root, "source", model, (old, old))
            source = {k: v for k, v in source.items() if k[:4] not in ("ema.", "opt.")}
            shape = source["pos_embed"].shape
            source["pos_embed"] = np.random.default_rng(old).standard_normal(shape).astype(np.float32)
            tensors.write(f"{root}/source.safetensors", source)
            for compat, antialias in (("none", False), ("deit", False), ("timm", True)):
                got = train(vitc, root, "run", model, grid, "--finetune", f"{root}/source.safetensors",
                            "--compat", compat)
                wants = [theirs(source["pos_embed"], extra, old, grid, antialias)]
                wants += [timms(source["pos_embed"], extra, old, grid)] if antialias else []
                seen += sum(want is not None for want in wants[1:])
                worst = max(float(np.abs(got["pos_embed"] - want).max()) for want in wants if want is not None)
                kept = all(np.array_equal(got[k], v) for k, v in source.items() if k != "pos_embed")
                good = worst < TOLERANCE and kept
                failed += not good
                print(f"{model:32} {old}x{old} to {grid[0]}x{grid[1]}, --compat {compat:5} {worst:.1e} "
                      f"{'ok' if good else 'FAILED'}", flush=True)
    print(f"PyTorch {torch.__version__}; {seen} of {len(CASES)} against timm too")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
