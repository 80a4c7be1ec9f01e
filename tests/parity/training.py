#!/usr/bin/python3
"""`vitc train` with all of DeiT's recipe on against PyTorch in fp64: the loss of each step, the parameters and their
average after the last.

vitc trains with RandAugment, erasing, mixup and cutmix, smoothing, drop-path, AdamW, clipping, warm-up, cosine and EMA
on noisy pictures of the labels. PyTorch trains on the pixels, soft targets and drop-path masks that `vitc show-batch`
gives for each step, from the same weights.

usage: training.py --vitc build/vitc [--device cpu|cuda] [--case NAME]...
exit status: 0 all agree, 1 some do not, 77 PyTorch is missing
"""
import json
import math
import os
import sys
import tempfile
import time

import trace  # leaves with 77 where there is no PyTorch

import numpy as np
import torch

import reference
import tensors
from common import check_all, parser_of_cases, run

TOLERANCE = 1e-5  # of losses, absolute; of a tensor, relative L2. fp32 stays under 1e-6
SIDE, CLASSES, CLIP, EMA, DECAY = 32, 10, 1.0, 0.9, 0.05
LR, WARMUP_LR, MIN_LR = 2e-3, 1e-5, 1e-4

# An epoch's log has the mean over its steps: with one step an epoch, each step's own.
CASES = {
    "steps": dict(epochs=20, steps=1, batch=32, micro=32, repeats=1),
    "micro-batches": dict(epochs=5, steps=4, batch=24, micro=8, repeats=3),
}
MODEL = dict(img_size=(SIDE, SIDE), patch_size=8, depth=3, embed_dim=48, num_heads=3, drop_path=0.3)


def write_data(folder, count):
    """CIFAR-10's binary files: `count` images to train on and a few more, a bright bar for each class in noise."""
    rng = np.random.RandomState(3)
    for name, n in (("data_batch_1.bin", count), ("test_batch.bin", 10)):
        labels = rng.randint(0, CLASSES, n).astype(np.uint8)
        images = rng.randint(0, 160, (n, 3, SIDE, SIDE)).astype(np.uint8)
        for image, label in zip(images, labels):
            image[label % 3, 3 * label:3 * label + 3] = 255
        records = np.concatenate([labels[:, None], images.reshape(n, -1)], 1)
        records.tofile(os.path.join(folder, name))


def rates(total, warmup):
    """recipe: linear from WARMUP_LR, then the cosine's own value at that step."""
    for step in range(total):
        if step < warmup:
            yield WARMUP_LR + (LR - WARMUP_LR) * step / warmup
        else:
            yield MIN_LR + (LR - MIN_LR) * (1 + math.cos(math.pi * step / total)) / 2


def train_vitc(args, case, folder):
    """The run in folder/run, from folder/weights.safetensors on the data in folder/data."""
    device = ["--device", args.device] + (["--precision", "fp32"] if args.device == "cuda" else [])
    shape = [word for name, value in MODEL.items()
             for word in ("--" + name.replace("_", "-"), SIDE if name == "img_size" else value)]
    run(args.vitc, "train", "--model", "deit_micro", *shape, "--data-path", f"{folder}/data", "--output_dir",
        f"{folder}/run", "--finetune", f"{folder}/weights.safetensors", *device, "--seed", 5, "--epochs",
        case["epochs"], "--batch-size", case["batch"], "--micro-batch-size", case["micro"], "--lr", LR, "--unscale-lr",
        "--warmup-epochs", case["epochs"] // 4, "--warmup-lr", WARMUP_LR, "--min-lr", MIN_LR, "--weight-decay", DECAY,
        "--clip-grad", CLIP, "--model-ema-decay", EMA, "--aug-repeats", case["repeats"], "--scale", 0.3, 1,
        "--aa", "rand-m9-mstd0.5-inc1", "--reprob", 0.5, "--mixup", 0.8, "--cutmix", 1.0, "--smoothing", 0.1)


def batches(args, case, folder):
    """images, targets and masks of each step, as vitc shows them."""
    for epoch in range(case["epochs"]):
        for step in range(case["steps"]):
            path = f"{folder}/batch.safetensors"
            run(args.vitc, "show-batch", "--run", f"{folder}/run", "--epoch", epoch, "--step", step, "--tensors", path,
                "--device", args.device)
            read = {name: torch.from_numpy(array.copy()).double() for name, array in tensors.read(path).items()}
            yield read.pop("images"), read.pop("targets"), {n[len("mask."):]: m for n, m in read.items()}


def train_torch(model, case, given):
    """The loss of each step, and the average of the parameters."""
    model.double().train()
    optimizer, losses = reference.adamw(model, LR, DECAY), []
    ema = {name: p.detach().clone() for name, p in model.named_parameters()}
    total = case["epochs"] * case["steps"]
    for rate, (images, targets, masks) in zip(rates(total, case["epochs"] // 4 * case["steps"]), given):
        model.set_masks(masks)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad()
        loss = reference.loss_of(model(images), targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        losses.append(loss.item())
        for name, p in model.named_parameters():
            ema[name] = EMA * ema[name] + (1 - EMA) * p.detach()
    return losses, ema


def worst_parameter(got, want):
    """Relative error and name. The keys' bias changes no softmax: its gradient is rounding, and is left out."""
    errors = {}
    for name, value in want.items():
        ours, theirs = got[name].astype(np.float64), value.detach().numpy()
        if name.endswith("attn.qkv.bias"):
            rest = np.r_[0:len(theirs) // 3, 2 * len(theirs) // 3:len(theirs)]
            ours, theirs = ours[rest], theirs[rest]
        errors[name] = trace.relative(ours.ravel(), theirs.ravel())
    name = max(errors, key=lambda n: errors[n] if np.isfinite(errors[n]) else np.inf)
    return errors[name], name


def check(args, name):
    start, case = time.monotonic(), CASES[name]
    model = reference.VisionTransformer(reference.config("deit_micro", **MODEL))
    reference.randomise(model, torch.Generator().manual_seed(1))
    with tempfile.TemporaryDirectory(prefix="vitc-training-") as folder:
        os.mkdir(f"{folder}/data")
        write_data(f"{folder}/data", case["batch"] * case["steps"])
        tensors.write(f"{folder}/weights.safetensors", {n: p.detach().numpy() for n, p in model.named_parameters()})
        train_vitc(args, case, folder)
        losses, ema = train_torch(model, case, batches(args, case, folder))
        with open(f"{folder}/run/log.txt", encoding="ascii") as log:
            logged = np.array([json.loads(line)["train_loss"] for line in log])
        saved = tensors.read(f"{folder}/run/last.safetensors")
    curve = np.array(losses).reshape(case["epochs"], case["steps"]).mean(1)
    if logged.shape != curve.shape:
        raise RuntimeError(f"log.txt has {len(logged)} epochs, expected {len(curve)}")
    off = np.abs(logged - curve).max()
    raw = worst_parameter(saved, dict(model.named_parameters()))
    average = worst_parameter({n[len("ema."):]: a for n, a in saved.items() if n.startswith("ema.")}, ema)
    good = off < TOLERANCE and raw[0] < TOLERANCE and average[0] < TOLERANCE
    print(f"{name:14} {case['epochs'] * case['steps']:3} steps  loss {losses[0]:.3f} to {losses[-1]:.3f}, off by "
          f"{off:.1e}  parameters {raw[0]:.1e} ({raw[1]})  average {average[0]:.1e}  "
          f"{time.monotonic() - start:5.1f} s  {'ok' if good else 'FAILED'}", flush=True)
    return good


def main():
    args = parser_of_cases(__doc__, CASES).parse_args()
    print(f"PyTorch {torch.__version__} in fp64; losses and parameters within {TOLERANCE}")
    return check_all(args.case or list(CASES), lambda name: check(args, name))


if __name__ == "__main__":
    sys.exit(main())
