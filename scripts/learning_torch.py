#!/usr/bin/env python3
"""PyTorch's side of compare_learning.py, which runs it: the model of tests/parity/reference.py, timm's transforms and
Mixup, AdamW, drop-path and the average of the weights, on one thread. usage: learning_torch.py JOB, in JSON
"""
import json
import math
import os
import random
import sys
import warnings

import numpy as np
import torch
from PIL import Image

from compare_augment import allow_no_bits
from compare_learning import (BATCH, CLASSES, DATA, DECAY, LR, MEAN, MIN_LR, ROOT, STD, WARMUP_LR, class_files,
                              ema_decay)

warnings.simplefilter("ignore")
from timm.data import Mixup, create_transform  # noqa: E402: it warns

sys.path.insert(0, os.path.join(ROOT, "tests", "parity"))
import reference  # noqa: E402


def read_data(folder, name, part):
    """PIL images and labels of what vitc reads."""
    if name == "signs":
        files = class_files(os.path.join(folder, part))
        return [(lambda path=path: Image.open(path).convert("RGB")) for path, _ in files], [label for _, label in files]
    if name == "fashion":
        prefix = os.path.join(folder, "train" if part == "train" else "t10k")
        labels = np.fromfile(prefix + "-labels-idx1-ubyte", np.uint8)[8:]
        images = np.fromfile(prefix + "-images-idx3-ubyte", np.uint8)[16:].reshape(-1, 28, 28)
    else:
        name = "data_batch_1.bin" if part == "train" else "test_batch.bin"
        records = np.fromfile(os.path.join(folder, name), np.uint8).reshape(-1, 3073)
        labels, images = records[:, 0], records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return [(lambda image=image: Image.fromarray(image).convert("RGB")) for image in images], labels.tolist()


def make_model(about, drop_path):
    """With the initial values that timm and vitc have."""
    model = reference.VisionTransformer(reference.config(
        "deit_micro", img_size=(about["size"], about["size"]), patch_size=about["patch"], drop_path=drop_path))
    for name, p in model.named_parameters():
        if p.ndim != 1 and not name.startswith("patch_embed"):
            torch.nn.init.trunc_normal_(p, std=0.02)
        elif name.endswith("bias") and not name.startswith("patch_embed"):
            torch.nn.init.zeros_(p)
    for module in model.modules():
        if isinstance(module, reference.Attention):
            module.fused = hasattr(torch.nn.functional, "scaled_dot_product_attention")
    return model


def rate(step, steps):
    if step < 0.1 * steps:
        return WARMUP_LR + (LR - WARMUP_LR) * step / (0.1 * steps)
    return MIN_LR + (LR - MIN_LR) * (1 + math.cos(math.pi * step / steps)) / 2


def accuracy(model, batches, labels):
    model.eval()
    with torch.no_grad():
        right = sum(int((sum(model(images)).argmax(1) == labels[at:at + len(images)]).sum()) for at, images in batches)
    model.train()
    return 100 * right / len(labels)


def train(job):
    """Prints the accuracies of the last epoch."""
    allow_no_bits()
    torch.set_num_threads(1)
    for seeded in (torch.manual_seed, random.seed, np.random.seed):
        seeded(job["seed"])
    about, flags = DATA[job["set"]], job["flags"]
    sized = dict(input_size=about["size"], interpolation="bicubic", mean=(MEAN,) * 3, std=(STD,) * 3)
    change = create_transform(**sized, is_training=True, scale=flags["scale"], ratio=flags["ratio"],
                              hflip=flags["hflip"], color_jitter=0.0, auto_augment=flags["aa"],
                              re_prob=flags["reprob"], re_mode="pixel")
    mixup = Mixup(mixup_alpha=flags["mixup"], cutmix_alpha=flags["cutmix"], label_smoothing=flags["smoothing"],
                  num_classes=CLASSES)
    images, labels = read_data(job["data"]["train"], job["set"], "train")
    labels = torch.tensor(labels)
    model = make_model(about, flags["drop-path"]).train()
    paths = {name: m for name, m in model.named_modules() if isinstance(m, reference.DropPath) and m.rate > 0}
    optimizer = reference.adamw(model, LR, DECAY)
    params, per_epoch = list(model.parameters()), len(images) // BATCH
    ema, decay, steps = [p.detach().clone() for p in params], ema_decay(per_epoch), job["epochs"] * per_epoch
    for step in range(steps):
        if step % per_epoch == 0:
            order = torch.randperm(len(images))
        at = order[step % per_epoch * BATCH:][:BATCH]
        x, targets = mixup(torch.stack([change(images[i]()) for i in at]), labels[at])
        model.set_masks({name: torch.rand(BATCH) >= m.rate for name, m in paths.items()})
        for group in optimizer.param_groups:
            group["lr"] = rate(step, steps)
        optimizer.zero_grad(set_to_none=True)
        reference.loss_of(model(x), targets).backward()
        optimizer.step()
        torch._foreach_mul_(ema, decay)
        torch._foreach_add_(ema, [p.detach() for p in params], alpha=1 - decay)
    images, labels = read_data(job["data"]["test"], job["set"], "val")
    upright = create_transform(**sized, crop_pct=1.0)
    batches = [(i, torch.stack([upright(image()) for image in images[i:i + 500]])) for i in range(0, len(images), 500)]
    result = {"acc1": accuracy(model, batches, torch.tensor(labels))}
    for p, average in zip(params, ema):
        p.data.copy_(average)
    result["ema_acc1"] = accuracy(model, batches, torch.tensor(labels))
    print(json.dumps(result))


if __name__ == "__main__":
    train(json.loads(sys.argv[1]))
