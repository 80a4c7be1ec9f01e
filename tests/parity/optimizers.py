"""The optimizers of `vitc trace --opt`, as PyTorch has them or, where it has none, by their papers' formulas in
whatever precision the model is; timm_check.py holds the latter to timm's own. Also rates by depth, and what is
frozen."""
import fnmatch
import re

import torch

import reference


LAMB_NORM = 1.0  # of all gradients, at most


class Lamb(torch.optim.Optimizer):
    """You et al., 2020, with timm's choices: gradients scaled to a norm of at most 1 over all parameters, no trust
    ratio where there is no decay."""

    def __init__(self, groups, lr, betas, eps):
        super().__init__(groups, dict(lr=lr, betas=betas, eps=eps, weight_decay=0.0))
        self.t = 0

    @torch.no_grad()
    def step(self):
        self.t += 1
        given = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
        norm = torch.sqrt(sum((p.grad ** 2).sum() for p in given))
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                g = p.grad / max(float(norm) / LAMB_NORM, 1.0)
                state = self.state[p]
                m = state["m"] = beta1 * state.get("m", 0 * p) + (1 - beta1) * g
                v = state["v"] = beta2 * state.get("v", 0 * p) + (1 - beta2) * g * g
                u = m / (1 - beta1 ** self.t) / ((v / (1 - beta2 ** self.t)).sqrt() + group["eps"])
                u = u + group["weight_decay"] * p
                ratio = 1.0
                if group["weight_decay"] and p.norm() > 0 and u.norm() > 0:
                    ratio = p.norm() / u.norm()
                p -= group["lr"] * ratio * u


class Lion(torch.optim.Optimizer):
    """Chen et al., 2023, algorithm 2."""

    def __init__(self, groups, lr, betas):
        super().__init__(groups, dict(lr=lr, betas=betas, weight_decay=0.0))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                m = self.state[p].get("m", 0 * p)
                c = beta1 * m + (1 - beta1) * p.grad
                p -= group["lr"] * (torch.sign(c) + group["weight_decay"] * p)
                self.state[p]["m"] = beta2 * m + (1 - beta2) * p.grad


def layer_of(name, depth):
    """As timm groups a VisionTransformer: the last norm belongs to the last block, heads (and fc_norm) stand above."""
    block = re.match(r"blocks\.(\d+)\.", name)
    if block:
        return int(block[1]) + 1
    if name.startswith("norm."):
        return depth
    return depth + 1 if re.match(r"head|fc_norm|pre_logits", name) else 0


def is_frozen(name, freeze, attn_only):
    if any(fnmatch.fnmatchcase(name, glob) for glob in freeze.split(",") if glob):
        return True
    return attn_only and ".attn." not in name and name not in ("head.weight", "head.bias", "pos_embed")


def groups(model, lr, weight_decay, layer_decay=1.0, no_decay=""):
    """A group for each parameter that is trained."""
    def is_decayed(name, p):
        return reference.is_decayed(name, p) and not any(fnmatch.fnmatchcase(name, g) for g in no_decay.split(",") if g)

    depth = model.c.depth
    return [{"params": [p], "weight_decay": weight_decay if is_decayed(name, p) else 0.0,
             "lr": lr * layer_decay ** (depth + 1 - layer_of(name, depth))}
            for name, p in model.named_parameters() if p.requires_grad]


def create(model, lr, weight_decay, *, opt="adamw", betas=None, eps=1e-8, momentum=0.9, layer_decay=1.0, freeze="",
           attn_only=False, ema_warmup=False, no_decay=""):
    """Freezes what is to be frozen, too."""
    for name, p in model.named_parameters():
        p.requires_grad_(not is_frozen(name, freeze, attn_only))
    given = groups(model, lr, weight_decay, layer_decay, no_decay)
    if opt == "adamw":
        return torch.optim.AdamW(given, lr=lr, betas=betas or (0.9, 0.999), eps=eps)
    if opt in ("lamb", "fusedlamb"):
        return Lamb(given, lr, betas or (0.9, 0.999), eps)
    if opt == "lion":
        return Lion(given, lr, betas or (0.9, 0.99))
    return torch.optim.SGD(given, lr=lr, momentum=momentum, nesterov=opt in ("sgd", "nesterov"))


def ema_decay(decay, warmup, step):
    return min(decay, 1 - (step + 1) ** (-2 / 3)) if warmup else decay
