#!/usr/bin/python3
"""`vitc trace` with class weights, BCE and a teacher against PyTorch in fp64: loss, gradients, parameters after steps.

usage: losses.py --vitc build/vitc [--device cpu|cuda] [--case NAME]...
exit status: 0 all agree, 1 some do not, 77 PyTorch is missing

The formulas are DeiT's losses.py and torch's own classes; the teacher is a file of timm's names alone.
"""
import os
import sys
import tempfile
import time

import trace  # leaves with 77 where there is no PyTorch

import torch
import torch.nn.functional as F

import common
import reference
import tensors
from cases import DEFAULTS, STEPS, vit

MICRO = dict(model="deit_micro", flags={})
PLAIN = dict(model="vit_tiny_patch16_224", flags=vit(img_size=(28, 28), patch_size=7))  # one head
TEACHERS = {
    "deit_micro": {},  # 28 px, two heads
    "deit_tiny_patch16_224": dict(img_size=(32, 32), num_classes=10),  # one head, other patches than the student's
}

# What a case may say: bce, threshold, weights; teacher (a name of TEACHERS), kind, alpha, tau.
CASES = {
    "weights": dict(MICRO, weights=True),
    "weights-labels": dict(PLAIN, weights=True, labels=True),
    "bce": dict(MICRO, bce=True),
    "bce-threshold": dict(PLAIN, bce=True, threshold=0.1),
    "bce-weights": dict(MICRO, bce=True, threshold=0.1, weights=True),
    "soft": dict(MICRO, teacher="deit_micro", kind="soft", alpha=0.3, tau=3.0, clip_grad=1.0,
                 activations=True),
    "hard": dict(MICRO, teacher="deit_micro", kind="hard", alpha=0.4, tau=3.0, ema_decay=0.9),
    "soft-one-head": dict(PLAIN, teacher="deit_micro", kind="soft", alpha=0.7, tau=0.5),
    "hard-one-head": dict(PLAIN, teacher="deit_micro", kind="hard", alpha=0.9, tau=1.0, labels=True),
    "teacher-alone": dict(MICRO, teacher="deit_micro", kind="hard", alpha=1.0, tau=1.0),
    "other-teacher": dict(model="deit_tiny_distilled_patch16_224", flags=vit(), teacher="deit_tiny_patch16_224",
                          kind="soft", alpha=0.5, tau=2.0),
    "all": dict(MICRO, bce=True, threshold=0.1, weights=True, teacher="deit_micro", kind="soft", alpha=0.5, tau=2.0,
                train=True, flags=dict(drop_path=0.1), batch=4),
}


def make_teacher(name):
    teacher = reference.VisionTransformer(reference.config(name, **TEACHERS[name]))
    reference.randomise(teacher, torch.Generator().manual_seed(2))
    return teacher


def make_weights(classes):
    return 0.1 + 2 * torch.rand(classes, generator=torch.Generator().manual_seed(3))


class Criterion:
    """The loss of a case, by DeiT's formulas; keeps the teacher's logits of its first call."""

    def __init__(self, case, classes):
        self.case = case
        self.weights = make_weights(classes).double() if case.get("weights") else None
        self.teacher = make_teacher(case["teacher"]).double().eval() if "teacher" in case else None
        self.seen = None

    def base(self, logits, targets):
        if not self.case.get("bce"):
            return torch.nn.CrossEntropyLoss(weight=self.weights)(logits, targets)
        if "threshold" in self.case:
            targets = targets.gt(self.case["threshold"]).to(targets.dtype)
        return torch.nn.BCEWithLogitsLoss(weight=self.weights)(logits, targets)

    def __call__(self, outputs, targets, images):
        if self.teacher is None:
            return sum(self.base(out, targets) for out in outputs) / len(outputs)
        student, alpha, tau = outputs[-1], self.case["alpha"], self.case["tau"]
        with torch.no_grad():
            heads = self.teacher(images)
            taught = sum(heads) / len(heads)
        self.seen = taught if self.seen is None else self.seen
        if self.case["kind"] == "soft":
            term = F.kl_div(F.log_softmax(student / tau, dim=1), F.log_softmax(taught / tau, dim=1), reduction="sum",
                            log_target=True) * (tau * tau) / student.numel()
        else:
            term = F.cross_entropy(student, taught.argmax(dim=1))
        return self.base(outputs[0], targets) * (1 - alpha) + term * alpha


def expect(case, config, weights, inputs):
    criterion = Criterion(case, config.num_classes)
    want = trace.expect(case, config, weights, inputs, criterion=criterion)
    if criterion.seen is not None:
        want["logits_teacher"] = criterion.seen.numpy()
    return want


def flags(case, config, folder):
    words = ["--bce-loss"] if case.get("bce") else []
    if "threshold" in case:
        words += ["--bce-target-thresh", case["threshold"]]
    if case.get("weights"):
        path = os.path.join(folder, "weights.txt")
        with open(path, "w") as file:
            file.write("\n".join("%.9g" % w for w in make_weights(config.num_classes)) + "\n")
        words += ["--class-weights", path]
    if "teacher" in case:
        path = os.path.join(folder, "teacher.safetensors")
        named = make_teacher(case["teacher"]).named_parameters()
        tensors.write(path, {name: p.detach().numpy() for name, p in named})
        words += ["--distillation-type", case["kind"], "--distillation-alpha", case["alpha"], "--distillation-tau",
                  case["tau"], "--teacher-model", case["teacher"], "--teacher-path", path]
    return words


def silent(case):
    """Gradients that are zero: AdamW's first steps make of their rounding what it likes. Heads that alpha omits."""
    return ("head.weight", "head.bias") if case.get("alpha") == 1.0 else ()


def run_case(name, args):
    start = time.monotonic()
    case = dict(DEFAULTS, **CASES[name])
    config = reference.config(case["model"], **case["flags"])
    weights, inputs = trace.make_inputs(case, config)
    with tempfile.TemporaryDirectory(prefix="vitc-losses-") as folder:
        got = trace.run_vitc(args, case, config, weights, inputs, folder, flags(case, config, folder))
    want = expect(case, config, weights, inputs)
    for tensor in silent(case):
        assert not got["grad." + tensor].any(), f"grad.{tensor} is not zero"
    return trace.check(name, case, start, got, want)


def main():
    args = common.parser_of_cases(__doc__, CASES).parse_args()
    print(f"PyTorch {torch.__version__} in fp64, {STEPS} steps; relative L2 error must stay under {trace.TOLERANCE}")
    return common.check_all(args.case or list(CASES), lambda name: run_case(name, args))


if __name__ == "__main__":
    sys.exit(main())
