#!/usr/bin/python3
"""reference.py against timm's own models: names, shapes, logits, every gradient and activation, in fp64; and
optimizers.py against its optimizers."""
import sys

import torch

import optimizers
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


def optimizer_difference(opt, layer_decay, no_decay=""):
    """Ten steps by ours and by what timm's factory makes of the same flags, on a distilled model with decay."""
    import timm
    from timm.optim import create_optimizer_v2
    torch.manual_seed(0)
    ours = reference.VisionTransformer(reference.config("deit_tiny_distilled_patch16_224", img_size=(32, 32), depth=2,
                                                        embed_dim=48, num_heads=3, num_classes=5)).double()
    reference.randomise(ours, torch.Generator().manual_seed(0))
    theirs = timm.create_model("deit_tiny_distilled_patch16_224", img_size=32, depth=2, embed_dim=48, num_heads=3,
                               num_classes=5).double()
    theirs.load_state_dict(ours.state_dict())
    if not no_decay:  # of DeiT, which decays dist_token
        theirs.no_weight_decay = lambda: {"pos_embed", "cls_token"}
    kwargs = {} if opt in ("sgd", "momentum", "lion") else {"eps": 1e-8}
    given = [optimizers.create(ours, 1e-2, 0.05, opt=opt, layer_decay=layer_decay, no_decay=no_decay),
             create_optimizer_v2(theirs, opt=opt, lr=1e-2, weight_decay=0.05, layer_decay=layer_decay, **kwargs)]
    for group in given[1].param_groups:
        group["lr"] *= group.get("lr_scale", 1.0)  # what timm's schedulers do
    for step in range(10):
        generator = torch.Generator().manual_seed(step)
        grads = {name: torch.randn(p.shape, generator=generator, dtype=p.dtype) * 0.01 * (step + 1)
                 for name, p in ours.named_parameters()}
        for model, optimizer in zip((ours, theirs), given):
            for name, p in model.named_parameters():
                p.grad = grads[name].clone()
            optimizer.step()
    theirs = dict(theirs.named_parameters())
    return max(float((p - theirs[name]).norm().detach() / p.norm().detach()) for name, p in ours.named_parameters())


def ema_difference():
    from timm.utils import ModelEmaV3
    theirs = ModelEmaV3(torch.nn.Linear(1, 1), decay=0.99, use_warmup=True)
    return max(abs(theirs.get_decay(step + 1) - optimizers.ema_decay(0.99, True, step)) for step in range(2000))


def main():
    try:
        import timm
    except ImportError:
        print("timm: skipped, it is not installed (the reference stands on its own)")
        return 0
    failed = False
    for opt in ("adamw", "lamb", "sgd", "momentum", "lion"):
        error = optimizer_difference(opt, 0.7)
        good = error < (1e-6 if opt == "lamb" else TOLERANCE)  # timm sums LAMB's norm in fp32
        failed |= not good
        print(f"timm {timm.__version__}: --opt {opt:26} {error:.1e} {'ok' if good else 'FAILED'}", flush=True)
    error = optimizer_difference("adamw", 1.0, "dist_token")
    failed |= not error < TOLERANCE
    print(f"timm {timm.__version__}: --compat timm's decay {error:21.1e} {'ok' if error < TOLERANCE else 'FAILED'}",
          flush=True)
    error = ema_difference()
    failed |= not error < TOLERANCE
    print(f"timm {timm.__version__}: --model-ema-warmup {error:21.1e} {'ok' if error < TOLERANCE else 'FAILED'}",
          flush=True)
    for name, overrides in NAMES.items():
        error = difference(name, overrides)
        failed |= not error < TOLERANCE
        print(f"timm {timm.__version__}: {name:32} {error:.1e} {'ok' if error < TOLERANCE else 'FAILED'}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
