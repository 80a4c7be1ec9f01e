#!/usr/bin/python3
"""`vitc trace` against PyTorch in fp64: logits, loss, every gradient, parameters, EMA and activations, over cases.py.

usage: trace.py --vitc build/vitc [--device cpu|cuda] [--case NAME]... [--keep DIR]
exit status: 0 all agree, 1 some do not, 77 PyTorch is missing
"""
import os
import re
import sys
import tempfile
import time

import common

try:
    import numpy as np
    import torch
except ImportError:
    common.skip("python3-torch is not installed")

import optimizers
import reference
import tensors
import timm_check
from cases import CASES, DEFAULTS, WEIGHT_DECAY

TOLERANCE = 5e-5  # relative L2 error of a tensor; PyTorch's own fp32 stays under 7e-6
ACTIVATION = re.compile(r"patch_embed|norm|blocks\.\d+(\.(norm[12]|attn|mlp|ls[12]))?")
UNSCALED, SCALED = re.compile(r".*\.(attn|mlp)"), re.compile(r".*\.ls[12]")  # vitc makes one of the two
OPTIONAL = re.compile(r"blocks\.\d+\.norm2")  # written or not, but right where written


def make_inputs(case, config):
    """The weights and inputs of a case, fp32, by the names that vitc takes; the same at each call."""
    generator = torch.Generator().manual_seed(1)
    model = reference.VisionTransformer(config)
    reference.randomise(model, generator)
    weights = {name: p.detach().numpy() for name, p in model.named_parameters()}
    lead = (case["steps"], case["batch"]) if case["leading"] else (case["batch"],)
    inputs = {"images": torch.randn(*lead, config.in_chans, *config.img_size, generator=generator).numpy()}
    if case["labels"]:
        inputs["labels"] = torch.randint(config.num_classes, lead, generator=generator).numpy()
    else:
        noise = torch.randn(*lead, config.num_classes, generator=generator)
        inputs["targets"] = torch.softmax(2 * noise, -1).numpy()
    if case["train"]:
        for i in range(config.drop_path_mode == "linear", config.depth):  # the first block's rate is zero then
            for half in ("drop_path1", "drop_path2"):
                kept = torch.rand(case["batch"], generator=generator) > 0.4
                kept[i % case["batch"]] = True  # an all-dropped branch has no gradient to compare
                inputs[f"mask.blocks.{i}.{half}"] = kept.float().numpy()
    return weights, inputs


def expect(case, config, weights, inputs, dtype=torch.float64, criterion=None):
    """What the trace must hold, by PyTorch; criterion as reference.trace has it."""
    model = reference.VisionTransformer(config).to(dtype)
    model.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    given = {name: torch.from_numpy(array.copy()) for name, array in inputs.items()}
    targets = given["targets"] if "targets" in given else torch.nn.functional.one_hot(given["labels"],
                                                                                      config.num_classes)
    masks = {name[len("mask."):]: mask for name, mask in given.items() if name.startswith("mask.")}
    flags = case["optimizer"]

    def make_optimizer(of):
        return optimizers.create(of, case["lr"], WEIGHT_DECAY, **flags)

    def ema_decay(step):
        return optimizers.ema_decay(case["ema_decay"], flags.get("ema_warmup", False), step)

    traced = reference.trace(model, given["images"].to(dtype), targets.to(dtype), steps=case["steps"],
                             make_optimizer=make_optimizer, clip_grad=case["clip_grad"],
                             ema_decay=ema_decay if case["ema_decay"] is not None else None, train=case["train"],
                             masks=masks, criterion=criterion)
    if config.global_pool == "avg":
        del traced["norm"]  # timm's is an identity there
    absent = UNSCALED if config.init_values else SCALED
    results = re.compile(r"logits(_dist|_eval)?|loss|losses|(grad|param|ema)\..*")
    return {name: value.numpy() for name, value in traced.items()
            if results.fullmatch(name) or
            case["activations"] and ACTIVATION.fullmatch(name) and not absent.fullmatch(name)}


def command(vitc, device, case, config, folder):
    """vitc's command line for a case whose weights.safetensors and inputs.safetensors are in the folder."""
    words = [vitc, "trace", "--model", case["model"], "--device", device, "--backward", "--steps", case["steps"],
             "--lr", case["lr"], "--weight-decay", WEIGHT_DECAY, "--num-classes", config.num_classes]
    for name, value in case["flags"].items():
        text = "%dx%d" % value if name == "img_size" else str(value).lower()
        words += ["--" + name.replace("_", "-"), text] if name != "num_classes" else []
    for name, value in case["optimizer"].items():
        flag = {"betas": "opt-betas", "eps": "opt-eps", "ema_warmup": "model-ema-warmup"}.get(name, name)
        flag = flag.replace("_", "-")
        text = ",".join(map(str, value)) if isinstance(value, tuple) else value
        words += ["--" + flag] + ([] if value is True else [text])
    for flag, value in (("--clip-grad", case["clip_grad"]), ("--model-ema-decay", case["ema_decay"])):
        words += [flag, value] if value is not None else []
    words += ["--train"] if case["train"] else []
    words += ["--all"] if case["activations"] else []
    for flag in ("weights", "inputs", "output"):
        words += ["--" + flag, os.path.join(folder, flag + ".safetensors")]
    return words


def run_vitc(args, case, config, weights, inputs, folder, more=()):
    os.makedirs(folder, exist_ok=True)
    tensors.write(os.path.join(folder, "weights.safetensors"), weights)
    tensors.write(os.path.join(folder, "inputs.safetensors"), inputs)
    common.run(*command(args.vitc, args.device, case, config, folder), *more)
    return tensors.read(os.path.join(folder, "output.safetensors"))


def relative(got, want):
    size = np.linalg.norm(want)
    return np.linalg.norm(got - want) / size if size > 0 else np.linalg.norm(got)


def error(name, got, want, most):
    """Relative L2 error. The key rows of qkv.bias count only where they exceed an absolute limit: shifting every key by
    the same vector changes no softmax, so their gradient is rounding, which AdamW blows up to steps of up to the
    learning rate, `most` in all."""
    got, want = got.astype(np.float64), want.astype(np.float64)
    if not np.isfinite(got).all():
        return np.inf
    if not name.endswith("attn.qkv.bias"):
        return relative(got.ravel(), want.ravel())
    d = len(want) // 3
    key, rest = slice(d, 2 * d), np.r_[0:d, 2 * d:3 * d]
    limit = TOLERANCE * np.abs(want).max() if name.startswith("grad.") else 1.05 * most
    off = np.abs(got[key] - want[key]).max() / limit
    return TOLERANCE * off if off > 1.0 else relative(got[rest], want[rest])


def moved(case):
    """By how much an element may differ whose gradient is rounding: Lion's sign is then either."""
    return case["lr"] * case["steps"] * (2 if case["optimizer"].get("opt") == "lion" else 1)


def compare(got, want, most):
    """The errors by tensor, and what is wrong, worst first. A missing or unknown tensor is wrong."""
    errors, wrong = {}, []
    for name in sorted(set(got) | set(want)):
        if name not in got:
            wrong += [] if OPTIONAL.fullmatch(name) else [(np.inf, f"{name}: missing")]
        elif name not in want:
            wrong.append((np.inf, f"{name}: not expected"))
        elif got[name].dtype != np.float32:
            wrong.append((np.inf, f"{name}: {got[name].dtype}, expected float32"))
        elif got[name].shape != want[name].shape and not (want[name].ndim == 0 and got[name].size == 1):
            wrong.append((np.inf, f"{name}: shape {got[name].shape}, expected {want[name].shape}"))
        else:
            errors[name] = error(name, got[name], want[name], most)
            if not errors[name] < TOLERANCE:
                wrong.append((errors[name], f"{name}: error {errors[name]:.1e}"))
    return errors, [text for _, text in sorted(wrong, reverse=True)]


def check(name, case, start, got, want):
    """Prints a case's line; true where it holds."""
    errors, wrong = compare(got, want, moved(case))
    worst = max(errors, key=errors.get) if errors else "-"
    print(f"{name:20} {len(errors):4} tensors  {worst:40} {errors.get(worst, float('nan')):8.1e}  "
          f"{time.monotonic() - start:5.1f} s  {'FAILED' if wrong else 'ok'}", flush=True)
    for text in wrong[:10]:
        print("    " + text)
    if len(wrong) > 10:
        print(f"    and {len(wrong) - 10} more")
    return not wrong


def run_case(name, args):
    start = time.monotonic()
    case = dict(DEFAULTS, **CASES[name])
    config = reference.config(case["model"], **case["flags"])
    weights, inputs = make_inputs(case, config)
    want = expect(case, config, weights, inputs)
    with tempfile.TemporaryDirectory(prefix="vitc-parity-") as temporary:
        folder = os.path.join(args.keep, name) if args.keep else temporary
        got = run_vitc(args, case, config, weights, inputs, folder)
    return check(name, case, start, got, want)


def main():
    parser = common.parser_of_cases(__doc__, CASES)
    parser.add_argument("--keep", metavar="DIR", help="leave each case's files in DIR/NAME")
    args = parser.parse_args()
    print(f"PyTorch {torch.__version__} in fp64; relative L2 error must stay under {TOLERANCE}")
    failed = common.check_all(args.case or list(CASES), lambda name: run_case(name, args))
    if args.case is None:
        failed |= timm_check.main()
    return failed


if __name__ == "__main__":
    sys.exit(main())
