#!/usr/bin/python3
"""reference.py against timm's own models: names, shapes, logits, every gradient and activation, in fp64."""
import sys

import torch

import reference

NAMES = {
    "vit_tiny_patch16_224": {},
    "deit_tiny_distilled_patch16_224": {},
    "deit_small_patch16_224": {},
    "deit3_small_patch16_224": {"depth": 2},
    "deit3_medium_patch16_224": {"depth": 1},
    "vit_base_patch32_224": {"global_pool": "avg", "depth": 2},
    "vit_small_patch32_224": {"img_size": (64, 96), "in_chans": 1, "num_classes": 7, "depth": 2, "qkv_bias": False},
}
TOLERANCE = 1e-12  # both sides are fp64


def difference(name, overrides):
    import timm
    torch.manual_seed(0)
    ours = reference.VisionTransformer(reference.config(name, **overrides)).double()
    reference.randomise(ours, torch.Generator().manual_seed(0))
    theirs = timm.create_model(name, pretrained=False, **overrides).double()
    theirs.load_state_dict(ours.state_dict())
    c = ours.c
    if c.distilled:
        theirs.set_distilled_training(True)
    for module in theirs.modules():
        if hasattr(module, "fused_attn"):
            module.fused_attn = False
    images = torch.randn(2, c.in_chans, *c.img_size, dtype=torch.float64)
    targets = torch.softmax(torch.randn(2, c.num_classes, dtype=torch.float64), 1)
    results = []
    for model in (ours, theirs):
        outputs, seen = reference.forward_with_activations(model.train(), images)
        outputs = list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
        loss = reference.loss_of(outputs, targets)
        loss.backward()
        results.append(reference.first_step(model, outputs, seen, loss))
    shared = [key for key in results[0] if key in results[1]]
    wanted = ["logits", "loss", "patch_embed", "norm", "blocks.0.attn"] + [k for k in results[0] if k[:5] == "grad."]
    assert not set(wanted) - set(shared), sorted(set(wanted) - set(shared))
    return max(float((results[0][k] - results[1][k]).norm() / results[1][k].norm().clamp_min(1e-9)) for k in shared)


def main():
    try:
        import timm
    except ImportError:
        print("timm: skipped, it is not installed (the reference stands on its own)")
        return 0
    failed = False
    for name, overrides in NAMES.items():
        error = difference(name, overrides)
        failed |= not error < TOLERANCE
        print(f"timm {timm.__version__}: {name:32} {error:.1e} {'ok' if error < TOLERANCE else 'FAILED'}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
