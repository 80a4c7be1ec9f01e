#!/usr/bin/python3
"""The rates of whole runs of `vitc train` against timm's schedulers, step by step; needs timm.

usage: schedules.py --vitc build/vitc
exit status: 0 all agree, 1 some do not, 77 timm is missing
"""
import json
import os
import random
import sys
import tempfile

from common import parser, run, skip, write_png

try:
    import torch
    from timm.scheduler import create_scheduler_v2
except ImportError as missing:
    skip(missing)

LR, WARMUP_LR, MIN_LR, EPOCHS = 0.02, 1e-4, 3e-4, 40
# What vitc calls it, timm's name and what else timm wants: power 1 makes its polynomial a line.
SCHEDULES = {"cosine": ("cosine", {}), "linear": ("poly", {"decay_rate": 1.0}),
             "step": ("step", {"decay_epochs": 7, "decay_rate": 0.5}), "constant": ("step", {"decay_rate": 1.0})}
# Steps of an epoch, warm-up epochs, and whose loop sets the rate once an epoch.
RUNS = [(1, 5, None), (3, 4, None), (3, 0, None), (3, 6, "deit"), (3, 6, "timm")]
TOLERANCE = 1e-7  # relative: the log has the rate as it is written for people


def make_data(root, images):
    rng = random.Random(0)
    for split, count in (("train", images), ("val", 1)):
        for c in range(2):
            os.makedirs(f"{root}/{split}/{c}")
            for i in range(count):
                rows = (bytes(rng.randrange(256) for _ in range(16)) for _ in range(16))
                write_png(f"{root}/{split}/{c}/{i}.png", 16, 16, 1, rows)


def theirs(sched, per_epoch, warmup, once):
    """The rate of each step, set after each (timm's --sched-on-updates), or after an epoch, by DeiT to that of the
    epoch's number, by timm to that of the next."""
    name, more = SCHEDULES[sched]
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=LR)
    scheduler, _ = create_scheduler_v2(optimizer, sched=name, num_epochs=EPOCHS, min_lr=MIN_LR, warmup_lr=WARMUP_LR,
                                       warmup_epochs=warmup, step_on_epochs=bool(once), updates_per_epoch=per_epoch,
                                       **dict({"decay_epochs": 30}, **more))
    rates = []
    for epoch in range(EPOCHS):
        for step in range(per_epoch):
            rates.append(optimizer.param_groups[0]["lr"])
            if not once:
                scheduler.step_update(epoch * per_epoch + step + 1)
        if once:
            scheduler.step(epoch + (once == "timm"))
    return rates


def ours(vitc, root, sched, per_epoch, warmup, once):
    """Of the last step of each epoch."""
    more = SCHEDULES[sched][1] if sched == "step" else {}
    words = [vitc, "train", "--data-path", f"{root}/{per_epoch}", "--output_dir", f"{root}/run", "--overwrite",
             "--model", "deit_micro", "--depth", 1, "--embed-dim", 8, "--num-heads", 1, "--img-size", 16, "--in-chans",
             1, "--device", "cpu", "--num-workers", 1, "--batch-size", 2, "--opt", "sgd", "--no-model-ema",
             "--save-steps", 1000000, "--unscale-lr", "--lr", LR, "--warmup-lr", WARMUP_LR, "--min-lr", MIN_LR,
             "--epochs", EPOCHS, "--sched", sched, "--warmup-epochs", warmup]
    words += ["--compat", once] if once else []
    for name, value in more.items():
        words += ["--" + name.replace("_", "-"), value]
    run(*words)
    with open(f"{root}/run/log.txt") as f:
        return [json.loads(line)["train_lr"] for line in f]


def main():
    vitc, failed = parser(__doc__).parse_args().vitc, 0
    with tempfile.TemporaryDirectory(prefix="vitc-schedules-") as root:
        for per_epoch in {one[0] for one in RUNS}:
            make_data(f"{root}/{per_epoch}", per_epoch)
        for sched in SCHEDULES:
            for per_epoch, warmup, once in RUNS:
                want = theirs(sched, per_epoch, warmup, once)[per_epoch - 1::per_epoch]
                got = ours(vitc, root, sched, per_epoch, warmup, once)
                worst = max(abs(a - b) / b for a, b in zip(got, want))
                good = len(got) == EPOCHS and worst < TOLERANCE
                failed += not good
                how = f", once an epoch, as {once}" if once else ""
                print(f"{sched:9} {per_epoch} steps an epoch, warm-up {warmup}{how:24} {worst:.1e} "
                      f"{'ok' if good else 'FAILED'}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
