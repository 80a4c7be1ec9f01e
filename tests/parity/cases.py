"""The models, shapes and settings at which `vitc trace` is held to PyTorch.

A case is a dict: `model` and `flags` (fields of reference.Config, which are also vitc's flags), `batch`, and what
differs from DEFAULTS. Every case runs some steps, so that it covers forward, backward and the optimizer.
"""

STEPS, LR, WEIGHT_DECAY = 4, 1e-3, 0.05

DEFAULTS = {
    "batch": 3,
    "labels": False,      # class indices in place of soft targets
    "leading": True,      # a batch of its own for each step, else the same one repeated
    "clip_grad": None,
    "ema_decay": None,
    "train": False,       # with drop-path by given masks
    "activations": False,
    "optimizer": {},      # of optimizers.create, which are also vitc's flags; AdamW where it says nothing
    "steps": STEPS,
    "lr": LR,
}


def vit(**flags):
    """A small plain ViT; what a case is about is said in its flags."""
    return dict(dict(img_size=(32, 32), patch_size=8, num_classes=10, embed_dim=48, depth=2, num_heads=3), **flags)


CASES = {
    "micro": dict(model="deit_micro", flags={}, clip_grad=1.0, ema_decay=0.9, activations=True),
    "micro-grey": dict(model="deit_micro", flags=dict(in_chans=1), labels=True, leading=False),
    "three-channels": dict(model="vit_tiny_patch16_224", flags=vit(), activations=True),
    "four-channels": dict(model="vit_tiny_patch16_224", flags=vit(in_chans=4), clip_grad=0.1),
    "five-heads": dict(model="deit_tiny_patch16_224", flags=vit(embed_dim=65, num_heads=5)),
    "one-head": dict(model="deit_tiny_patch16_224", flags=vit(num_heads=1), ema_decay=0.5),
    "patch-11": dict(model="vit_tiny_patch16_224", flags=vit(img_size=(33, 33), patch_size=11)),
    "tokens-900": dict(model="vit_tiny_patch16_224", batch=1,
                       flags=vit(img_size=(116, 124), patch_size=4, num_heads=2, embed_dim=32)),  # 29 * 31 + 1
    "depth-1": dict(model="deit_tiny_distilled_patch16_224", flags=vit(depth=1)),
    "batch-1": dict(model="deit_tiny_distilled_patch16_224", flags=vit(), batch=1, labels=True),
    "classes-1000": dict(model="vit_tiny_patch16_224", flags=vit(num_classes=1000), labels=True, clip_grad=1e6),
    "classes-2": dict(model="deit_tiny_distilled_patch16_224", flags=vit(num_classes=2), batch=5),
    "average-pool": dict(model="vit_tiny_patch16_224", flags=vit(global_pool="avg"), ema_decay=0.9, activations=True),
    "pre-logits": dict(model="vit_tiny_patch16_224", flags=vit(representation_size=20)),
    "average-pre-logits": dict(model="vit_tiny_patch16_224", flags=vit(global_pool="avg", representation_size=70)),
    "wide-image": dict(model="deit_tiny_distilled_patch16_224", flags=vit(img_size=(24, 56))),
    "overlap": dict(model="vit_tiny_patch16_224", flags=vit(img_size=(34, 28), patch_size=7, patch_stride=3)),
    "no-qkv-bias": dict(model="vit_tiny_patch16_224", flags=vit(qkv_bias=False), clip_grad=0.5),
    "mlp-ratio": dict(model="vit_tiny_patch16_224", flags=vit(mlp_ratio=2.7, layer_norm_eps=1e-3)),
    "drop-path": dict(model="vit_tiny_patch16_224", flags=vit(depth=3, drop_path=0.3), batch=4, train=True),
    "drop-path-distilled": dict(model="deit_micro", flags=dict(drop_path=0.1), batch=4, train=True, leading=False),
    "deit3": dict(model="deit3_small_patch16_224", flags=vit(depth=3, drop_path=0.2), batch=4, train=True,
                  clip_grad=1.0, ema_decay=0.9, activations=True),
    "layer-scale": dict(model="deit_tiny_distilled_patch16_224", flags=vit(init_values=0.1, no_embed_class=True)),
    "lamb": dict(model="deit_micro", flags={}, clip_grad=2.0, ema_decay=0.9, steps=8, optimizer=dict(opt="lamb")),
    "fusedlamb": dict(model="vit_tiny_patch16_224", flags=vit(), lr=0.02,
                      optimizer=dict(opt="fusedlamb", betas=(0.8, 0.95))),
    "sgd": dict(model="deit_micro", flags={}, clip_grad=1.0, ema_decay=0.9, steps=8, lr=0.02,
                optimizer=dict(opt="sgd")),
    "nesterov": dict(model="vit_tiny_patch16_224", flags=vit(), lr=0.02, optimizer=dict(opt="nesterov", momentum=0.5)),
    "momentum": dict(model="vit_tiny_patch16_224", flags=vit(), lr=0.02, steps=8, optimizer=dict(opt="momentum")),
    "lion": dict(model="deit_micro", flags={}, clip_grad=1.0, ema_decay=0.9, steps=8, lr=3e-5,
                 optimizer=dict(opt="lion")),
    "layer-decay": dict(model="deit_tiny_distilled_patch16_224", flags=vit(depth=3), optimizer=dict(layer_decay=0.65)),
    "layer-decay-average": dict(model="vit_tiny_patch16_224", flags=vit(global_pool="avg", representation_size=20),
                                optimizer=dict(layer_decay=0.5, opt="sgd"), lr=0.02),
    "frozen": dict(model="deit_tiny_distilled_patch16_224", flags=vit(depth=3), clip_grad=0.5, ema_decay=0.9,
                   optimizer=dict(freeze="patch_embed.*,blocks.0.*,*_token,blocks.2.norm?.bias,blocks.1.*.weight")),
    "undecayed": dict(model="deit_tiny_distilled_patch16_224", flags=vit(depth=2), steps=8,
                      optimizer=dict(no_decay="dist_token,*.fc?.weight")),
    "head-alone": dict(model="vit_tiny_patch16_224", flags=vit(), ema_decay=0.5, clip_grad=0.1,
                       optimizer=dict(freeze="[!h]*", opt="lamb", ema_warmup=True)),
    "attention-alone": dict(model="vit_tiny_patch16_224", flags=vit(), ema_decay=0.9, activations=True,
                            optimizer=dict(attn_only=True, layer_decay=0.8)),
    "ema-warmup": dict(model="vit_tiny_patch16_224", flags=vit(depth=1), ema_decay=0.97, steps=20,
                       optimizer=dict(ema_warmup=True, betas=(0.85, 0.98), eps=1e-6)),
    "deit-tiny": dict(model="deit_tiny_distilled_patch16_224", flags={}, batch=2, clip_grad=1.0, ema_decay=0.99996),
}
