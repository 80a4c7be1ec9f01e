#!/usr/bin/python3
"""Can trace.py fail? PyTorch in fp32 stands in for vitc: it must pass as it is, and with each planted mistake fail."""
import contextlib
import sys
from unittest import mock

import common

try:
    import numpy as np
    import torch
except ImportError:
    common.skip("python3-torch is not installed")

import optimizers
import reference
import trace
from cases import CASES, DEFAULTS


def patched(target, name, value):
    return lambda: mock.patch.object(target, name, value)


def setting(**changes):
    return lambda: mock.patch.dict(CASES["micro"], changes)


CREATE, LAYER_OF, LOSS = optimizers.create, optimizers.layer_of, reference.loss_of

def flags(name, **optimizer):
    return lambda: mock.patch.dict(CASES[name], optimizer=optimizer)


# Mistakes in the arithmetic: a context in which the stand-in computes something else; in the case micro, or a named
# one.
ARITHMETIC = {
    "tanh GELU": patched(torch.nn.functional, "gelu",
                         lambda x: 0.5 * x * (1 + torch.tanh(0.7978845608 * (x + 0.044715 * x ** 3)))),
    "no clipping": setting(clip_grad=None),
    "EMA decay off by 0.001": setting(ema_decay=0.901),
    "dist_token not decayed": patched(reference, "is_decayed", lambda name, p: p.ndim > 1 and "token" not in name
                                      and name != "pos_embed"),
    "cls_token decayed": patched(reference, "is_decayed", lambda name, p: p.ndim > 1 and name != "pos_embed"),
    "learning rate off by 0.1 %": patched(optimizers, "create",
                                          lambda m, lr, wd, **given: CREATE(m, 1.001 * lr, wd, **given)),
    "LAMB that never scales down": ("fusedlamb", patched(optimizers, "LAMB_NORM", 1e9)),
    "momentum without Nesterov": ("sgd", flags("sgd", opt="momentum")),
    "Lion's two betas swapped": ("lion", flags("lion", opt="lion", betas=(0.99, 0.9))),
    "the last norm grouped with the head": ("layer-decay", patched(optimizers, "layer_of", lambda name, depth: LAYER_OF(
        name, depth) + name.startswith("norm."))),
    "a frozen parameter that is trained": ("frozen", flags("frozen", freeze="patch_embed.*,blocks.0.*,*_token")),
    "an average without warm-up": ("ema-warmup", flags("ema-warmup", betas=(0.85, 0.98), eps=1e-6)),
    "loss of one head": patched(reference, "loss_of", lambda outputs, t: LOSS(outputs[:1], t) + 0.0 * outputs[1].sum()),
}


def scale(name, factor):
    def plant(got):
        got[name] = got[name] * np.float32(factor)
    return plant


def keys(name, shift):
    def plant(got):
        got[name] = got[name].copy()
        got[name][len(got[name]) // 3] += shift
    return plant


# Mistakes in the file: a function that spoils the stand-in's tensors.
FILE = {
    "a gradient off by 1e-4": scale("grad.blocks.3.mlp.fc1.weight", 1.0001),
    "a NaN": scale("param.norm.bias", np.nan),
    "an activation off": scale("blocks.2.attn", 1.001),
    "a tensor missing": lambda got: got.pop("grad.cls_token"),
    "a tensor too many": lambda got: got.update({"grad.extra": np.zeros(3, np.float32)}),
    "a wrong shape": lambda got: got.update(logits=got["logits"].reshape(-1)),
    "double precision": lambda got: got.update(logits=got["logits"].astype(np.float64)),
    "a gradient of the key bias": keys("grad.blocks.0.attn.qkv.bias", 1e-2),
    "a key bias that ran away": keys("param.blocks.0.attn.qkv.bias", 1e-2),
    "losses in another order": lambda got: got.update(losses=got["losses"][::-1]),
}


def stand_in(name, context=contextlib.nullcontext):
    """The tensors that a correct vitc would write, computed in fp32 within the context."""
    with context():
        case = dict(DEFAULTS, **CASES[name])
        config = reference.config(case["model"], **case["flags"])
        got = trace.expect(case, config, *trace.make_inputs(case, config), dtype=torch.float32)
    return got


def wrongs(name, got):
    case = dict(DEFAULTS, **CASES[name])
    config = reference.config(case["model"], **case["flags"])
    errors, wrong = trace.compare(got, trace.expect(case, config, *trace.make_inputs(case, config)),
                                  trace.moved(case))
    return max(errors.values()), wrong


def main():
    failed = 0

    def report(text, good, detail):
        nonlocal failed
        failed += not good
        print(f"{'ok    ' if good else 'FAILED'} {text:36} {detail}", flush=True)

    for name in [name for name in CASES if name != "deit-tiny"]:
        worst, wrong = wrongs(name, stand_in(name))
        report(f"fp32 passes: {name}", not wrong, f"{worst:.1e} " + "; ".join(wrong[:2]))
    for text, planted in ARITHMETIC.items():
        name, context = planted if isinstance(planted, tuple) else ("micro", planted)
        wrong = wrongs(name, stand_in(name, context))[1]
        report(f"is seen: {text}", wrong, wrong[0] if wrong else "passed")
    good = stand_in("micro")
    for text, plant in FILE.items():
        got = dict(good)
        plant(got)
        wrong = wrongs("micro", got)[1]
        report(f"is seen: {text}", len(wrong) == 1, wrong[0] if wrong else "passed")
    print(f"{failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
