"""vitc's models and training step in plain PyTorch (1.13 or newer), written to be read beside timm's.

Module and parameter names are timm's, so state_dict() is the weights file. Nothing here depends on the dtype: the
parity checks run it in fp64, which is the specification.
"""
import re
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Optional, Tuple

import torch
import torch.nn.functional as F
from torch import nn


@dataclass(frozen=True)
class Config:
    img_size: Tuple[int, int] = (224, 224)  # H, W
    patch_size: int = 16
    patch_stride: Optional[int] = None  # patch_size where None; less makes patches overlap
    in_chans: int = 3
    num_classes: int = 1000
    embed_dim: int = 192
    depth: int = 12
    num_heads: int = 3
    mlp_ratio: float = 4.0
    qkv_bias: bool = True
    layer_norm_eps: float = 1e-6
    global_pool: str = "token"  # or avg: the mean of the patch tokens, `norm` replaced by `fc_norm` after it
    representation_size: int = 0  # 0: no pre-logits layer
    drop_path: float = 0.0  # of the last block; or of every block, where drop_path_mode is uniform
    drop_path_mode: str = "linear"
    distilled: bool = False
    init_values: float = 0.0  # LayerScale's gamma at the start; 0: none
    no_embed_class: bool = False  # positions of the patches alone


SIZES = {"tiny": (192, 12, 3), "small": (384, 12, 6), "medium": (512, 12, 8), "base": (768, 12, 12),
         "large": (1024, 24, 16)}


def config(name, **overrides):
    """The Config of a model's name, fields replaced by the overrides."""
    if name == "deit_micro":
        base = Config(img_size=(28, 28), patch_size=7, num_classes=10, embed_dim=96, depth=6, num_heads=4,
                      distilled=True)
    else:
        match = re.fullmatch(r"(vit|deit|deit3)_(tiny|small|medium|base|large)(_distilled)?_patch(\d+)_(\d+)", name)
        family, size, distilled, patch, image = match.groups()
        width, depth, heads = SIZES[size]
        base = Config(img_size=(int(image), int(image)), patch_size=int(patch), embed_dim=width, depth=depth,
                      num_heads=heads, distilled=distilled is not None)
        if family == "deit3":
            base = replace(base, init_values=1e-6, no_embed_class=True, drop_path_mode="uniform")
    return replace(base, **overrides)


class PatchEmbed(nn.Module):
    def __init__(self, c):
        super().__init__()
        stride = c.patch_stride or c.patch_size
        self.num_patches = 1
        for extent in c.img_size:
            self.num_patches *= (extent - c.patch_size) // stride + 1
        self.proj = nn.Conv2d(c.in_chans, c.embed_dim, c.patch_size, stride)

    def forward(self, x):  # [B, C, H, W] -> [B, N, D], patches row by row
        return self.proj(x).flatten(2).transpose(1, 2)


class Attention(nn.Module):
    fused = False  # PyTorch's own attention kernel, which 1.13 lacks; for timing only

    def __init__(self, c):
        super().__init__()
        self.heads = c.num_heads
        self.qkv = nn.Linear(c.embed_dim, 3 * c.embed_dim, bias=c.qkv_bias)
        self.proj = nn.Linear(c.embed_dim, c.embed_dim)

    def forward(self, x):
        b, n, d = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        if self.fused:
            x = F.scaled_dot_product_attention(q, k, v)
        else:
            x = ((q * (d // self.heads) ** -0.5) @ k.transpose(-2, -1)).softmax(-1) @ v
        return self.proj(x.transpose(1, 2).reshape(b, n, d))


class Mlp(nn.Module):
    def __init__(self, c):
        super().__init__()
        hidden = int(c.embed_dim * c.mlp_ratio)
        self.fc1 = nn.Linear(c.embed_dim, hidden)
        self.fc2 = nn.Linear(hidden, c.embed_dim)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))  # by erf


class DropPath(nn.Module):
    """Drops whole samples by a given mask: 1 is kept and divided by the probability of being kept."""

    def __init__(self, rate):
        super().__init__()
        self.rate = rate
        self.mask = None

    def forward(self, x):
        if not self.training or self.rate == 0.0:
            return x
        return x * (self.mask.to(x.dtype) / (1.0 - self.rate)).view(-1, 1, 1)


class LayerScale(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.gamma = nn.Parameter(torch.full((c.embed_dim,), c.init_values))

    def forward(self, x):
        return x * self.gamma


class Block(nn.Module):
    def __init__(self, c, rate):
        super().__init__()
        self.norm1 = nn.LayerNorm(c.embed_dim, eps=c.layer_norm_eps)
        self.attn = Attention(c)
        self.ls1 = LayerScale(c) if c.init_values else nn.Identity()
        self.drop_path1 = DropPath(rate)
        self.norm2 = nn.LayerNorm(c.embed_dim, eps=c.layer_norm_eps)
        self.mlp = Mlp(c)
        self.ls2 = LayerScale(c) if c.init_values else nn.Identity()
        self.drop_path2 = DropPath(rate)

    def forward(self, x):
        x = x + self.drop_path1(self.ls1(self.attn(self.norm1(x))))
        return x + self.drop_path2(self.ls2(self.mlp(self.norm2(x))))


class VisionTransformer(nn.Module):
    """forward() returns a list: the logits of the class head and, where distilled, of the distillation head."""

    def __init__(self, c):
        super().__init__()
        self.c = c
        average = c.global_pool == "avg"
        prefix = 2 if c.distilled else 1
        self.patch_embed = PatchEmbed(c)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, c.embed_dim))
        if c.distilled:
            self.dist_token = nn.Parameter(torch.zeros(1, 1, c.embed_dim))
        placed = self.patch_embed.num_patches + (0 if c.no_embed_class else prefix)
        self.pos_embed = nn.Parameter(torch.zeros(1, placed, c.embed_dim))
        uniform = c.drop_path_mode == "uniform"
        rates = [c.drop_path * (1 if uniform else i / max(c.depth - 1, 1)) for i in range(c.depth)]
        self.blocks = nn.Sequential(*[Block(c, rate) for rate in rates])
        norm = nn.LayerNorm(c.embed_dim, eps=c.layer_norm_eps)
        self.norm = nn.Identity() if average else norm
        self.fc_norm = norm if average else nn.Identity()
        width = c.representation_size or c.embed_dim
        self.pre_logits = nn.Identity()
        if c.representation_size:
            self.pre_logits = nn.Sequential(OrderedDict(fc=nn.Linear(c.embed_dim, width), act=nn.Tanh()))
        self.head = nn.Linear(width, c.num_classes)
        if c.distilled:
            self.head_dist = nn.Linear(width, c.num_classes)

    def forward(self, x):
        x = self.patch_embed(x)
        tokens = [self.cls_token] + ([self.dist_token] if self.c.distilled else [])
        if self.c.no_embed_class:
            x = x + self.pos_embed
        x = torch.cat([token.expand(len(x), -1, -1) for token in tokens] + [x], dim=1)
        if not self.c.no_embed_class:
            x = x + self.pos_embed
        x = self.norm(self.blocks(x))
        if self.c.global_pool == "avg":
            x = [x[:, len(tokens):].mean(dim=1)]
        else:
            x = [x[:, i] for i in range(len(tokens))]
        heads = [self.head] + ([self.head_dist] if self.c.distilled else [])
        return [head(self.pre_logits(self.fc_norm(pooled))) for head, pooled in zip(heads, x)]

    def set_masks(self, masks):
        for name, mask in masks.items():
            self.get_submodule(name).mask = mask


def randomise(model, generator):
    """Values at which every path matters: no zero bias, no unit scale, attention far from uniform."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.ndim == 1:
                scale, shift = 0.2, float("norm" in name and name.endswith("weight"))
            elif name in ("pos_embed", "cls_token", "dist_token"):
                scale, shift = 0.5, 0.0
            else:
                scale, shift = (p.numel() / len(p)) ** -0.5, 0.0
            p.copy_(torch.randn(p.shape, generator=generator) * scale + shift)


def loss_of(outputs, targets):
    """Soft-target cross-entropy, the mean over the batch; the mean of both heads' where there are two."""
    losses = [-(targets * out.log_softmax(-1)).sum(-1).mean() for out in outputs]
    return sum(losses) / len(losses)


def is_decayed(name, p):
    return p.ndim > 1 and not name.endswith(".bias") and name not in ("pos_embed", "cls_token")


def adamw(model, lr, weight_decay):
    named = list(model.named_parameters())
    groups = [{"params": [p for name, p in named if is_decayed(name, p)], "weight_decay": weight_decay},
              {"params": [p for name, p in named if not is_decayed(name, p)], "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.999), eps=1e-8)


def forward_with_activations(model, images):
    """The outputs, and what every submodule returned, by module path."""
    seen, hooks = {}, []
    for name, module in model.named_modules():
        def keep(_module, _inputs, output, name=name):
            if isinstance(output, torch.Tensor):
                seen[name] = output.detach()
        hooks.append(module.register_forward_hook(keep))
    outputs = model(images)
    for hook in hooks:
        hook.remove()
    return outputs, seen


def trace(model, images, targets, *, steps, make_optimizer, clip_grad=None, ema_decay=None, train=False, masks=None,
          criterion=None):
    """What `vitc trace --backward --all --steps N` writes: {name: tensor}. images [N, B, ...] or [B, ...];
    make_optimizer(model); ema_decay: of step 0, 1, ..., or None; criterion(outputs, targets, images) in place of
    loss_of."""
    model.train(train)
    model.set_masks(masks or {})
    batches = [(images[i], targets[i]) if images.ndim == 5 else (images, targets) for i in range(steps)]
    ema = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer, losses = make_optimizer(model), []
    for step, batch in enumerate(batches):
        optimizer.zero_grad()
        outputs, activations = forward_with_activations(model, batch[0])
        loss = criterion(outputs, batch[1], batch[0]) if criterion else loss_of(outputs, batch[1])
        loss.backward()
        losses.append(loss.detach())
        if step == 0:
            result = first_step(model, outputs, activations, loss)
        if clip_grad is not None:
            nn.utils.clip_grad_norm_(model.parameters(), clip_grad)
        optimizer.step()
        decay = ema_decay(step) if ema_decay else 0.0
        for name, p in model.named_parameters():
            ema[name] = decay * ema[name] + (1.0 - decay) * p.detach()
    result["losses"] = torch.stack(losses)
    result.update({"param." + name: p.detach() for name, p in model.named_parameters()})
    if ema_decay:
        result.update({"ema." + name: value for name, value in ema.items()})
    return result


def first_step(model, outputs, activations, loss):
    """What a trace holds of the weights as they were given."""
    result = dict(activations, logits=outputs[0].detach(), loss=loss.detach())
    if len(outputs) == 2:
        result.update(logits_dist=outputs[1].detach(), logits_eval=(outputs[0] + outputs[1]).detach() / 2)
    result.update({"grad." + name: p.grad.clone() for name, p in model.named_parameters() if p.requires_grad})
    return result
