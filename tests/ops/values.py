"""Prints the expected numbers of tests/ops/values.c: what PyTorch makes, in fp64, of the same inputs.

    python3 tests/ops/values.py
"""
import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)


def wave(phase, *shape):
    n = torch.Size(shape).numel()
    return torch.sin(0.7 * torch.arange(n, dtype=torch.float64) + phase).reshape(shape)


def digest(y):
    y = y.flatten()
    return (y * torch.cos(torch.arange(y.numel(), dtype=torch.float64))).sum().item()


def show(name, *tensors):
    print(name, *("%.17g" % digest(t) for t in tensors))


def f32(v):
    return torch.tensor(v, dtype=torch.float32).double()


pixels = ((torch.arange(105) * 37) % 256).reshape(1, 5, 7, 3).double() / 255
normal = (pixels - f32([0.4, 0.5, 0.6])) * f32([4.0, 5.0, 3.0])
patches = F.unfold(normal.permute(0, 3, 1, 2), (2, 3), stride=(2, 2))
show("patchify", patches.reshape(3, 2, 3, -1).permute(3, 1, 2, 0))

x, w, b = wave(0, 3, 4), wave(1, 5, 4), wave(2, 5)
show("linear", F.linear(x, w, b), F.linear(x, w))
show("activation", F.gelu(3 * wave(0, 20)), F.relu(wave(0, 20)), torch.tanh(wave(0, 20)))

cls, dist, pos = wave(1, 1, 1, 4), wave(2, 1, 1, 4), wave(3, 1, 5, 4)
x = wave(0, 2, 3, 4)
show("tokens", torch.cat([cls.expand(2, -1, -1), dist.expand(2, -1, -1), x], 1) + pos,
     torch.cat([dist.expand(2, -1, -1), x], 1) + pos[:, :4])
show("pool", x[:, 1:].mean(1), x[:, 2])

scale = torch.tensor([2.0, 0.0])
total = x + scale[:, None, None] * wave(4, 2, 3, 4)
show("layernorm", F.layer_norm(total, (4,), wave(5, 4), wave(6, 4), f32(1e-5).item()), total)

B, N, H, D = 2, 5, 3, 4
qkv, bias = wave(0, B, N, 3 * H * D), wave(1, H, N, N)
q, k, v = qkv.reshape(B, N, 3, H, D).permute(2, 0, 3, 1, 4)
scores = q @ k.transpose(-2, -1) * 0.5 + bias
show("attention", (scores.softmax(-1) @ v).transpose(1, 2).reshape(B, N, H * D), scores.logsumexp(-1))

logits, labels = 3 * wave(0, 4, 6), torch.tensor([5, 0, 2, 2])
show("cross_entropy", F.cross_entropy(logits, labels, label_smoothing=0.25))
show("bce", F.binary_cross_entropy_with_logits(logits, 0.5 + 0.5 * wave(1, 4, 6)))
targets, weights = 0.5 + 0.5 * wave(1, 4, 6), 1 + 0.5 * wave(3, 6)
show("weighted", F.cross_entropy(logits, targets, weight=weights),
     F.binary_cross_entropy_with_logits(logits, (targets > 0.625).double(), weight=weights))
teacher, T = 3 * wave(2, 4, 6), 3.0
soft = F.kl_div(F.log_softmax(logits / T, 1), F.log_softmax(teacher / T, 1), reduction="sum", log_target=True)
show("distill", soft * (T * T) / logits.numel(), F.cross_entropy(logits, teacher.argmax(1)))

params = [torch.nn.Parameter(wave(0, 7)), torch.nn.Parameter(wave(1, 3))]
groups = [{"params": params[:1], "weight_decay": 0.0625}, {"params": params[1:], "weight_decay": 0}]
optimizer = torch.optim.AdamW(groups, lr=0.03125, betas=(0.9, 0.999), eps=1e-8)
ema = [p.detach().clone() for p in params]
norms = []
for step in range(3):
    params[0].grad, params[1].grad = wave(2 + step, 7), wave(5 + step, 3)
    norms.append(torch.nn.utils.clip_grad_norm_(params, 0.5))
    optimizer.step()
    ema = [0.75 * e + 0.25 * p.detach() for e, p in zip(ema, params)]
show("adamw", params[0].detach(), params[1].detach(), torch.stack(norms))
show("ema", *ema)
