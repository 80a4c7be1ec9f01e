#!/usr/bin/python3
"""effects.py against timm's own RandomErasing and Mixup: the same pixels and targets from the same lambda and box, and
the same distributions of what is drawn (4 standard errors of both samples)."""
import sys

import numpy as np

DRAWS = 4000


def near(name, ours, theirs):
    ours, theirs = np.asarray(ours, float), np.asarray(theirs, float)
    allowed = 4 * np.sqrt(ours.var() / len(ours) + theirs.var() / len(theirs)) + 1e-9
    off = abs(ours.mean() - theirs.mean())
    print(f"timm: {name:28} {ours.mean():8.4f} and {theirs.mean():8.4f}  {'ok' if off <= allowed else 'FAILED'}",
          flush=True)
    return off <= allowed


def mixing_values(effects, mixup, torch):
    """Mixup's three modes, its draws replaced by ours."""
    good, rng = True, np.random.RandomState(2)
    images, labels = rng.randn(6, 3, effects.HEIGHT, effects.WIDTH), rng.randint(0, 3, 6)
    on, off = 1 - 0.1 + 0.1 / 3, 0.1 / 3
    targets = np.where(np.arange(3) == labels[:, None], on, off)
    for mode in "batch", "pair", "elem":
        flags = {"mixup": 0.8, "cutmix": 1.0}
        drawn = [effects.mix_draw(flags, 5, slot) for slot in range(6)]
        groups = {"batch": [0] * 6, "pair": [0, 1, 2, 2, 1, 0], "elem": list(range(6))}[mode]
        want = effects.mixed(images, targets, [drawn[g] for g in groups])
        m = mixup.Mixup(mixup_alpha=0.8, cutmix_alpha=1.0, label_smoothing=0.1, num_classes=3, mode=mode)
        lams = np.array([lam for lam, _ in drawn], dtype=np.float64)
        cut = np.array([box is not None for _, box in drawn])
        m._params_per_batch = lambda: (drawn[0][0], drawn[0][1] is not None)
        m._params_per_elem = lambda n: (lams[:n].copy(), cut[:n])
        boxes = iter([d for d in drawn if d[1]])

        def bbox(*args, **kwargs):
            lam, (top, left, height, width) = next(boxes)
            return (top, top + height, left, left + width), lam
        kept, mixup.cutmix_bbox_and_lam = mixup.cutmix_bbox_and_lam, bbox
        x, y = m(torch.from_numpy(images.copy()), torch.from_numpy(labels))
        mixup.cutmix_bbox_and_lam = kept
        error = max(np.abs(x.numpy() - want[0]).max(), np.abs(y.numpy() - want[1]).max())
        good &= error < 1e-6  # timm's targets are fp32
        print(f"timm: {'mixing, ' + mode:28} {error:8.1e}  {'ok' if error < 1e-6 else 'FAILED'}", flush=True)
    return good


def mixing_draws(effects, mixup):
    flags, good = {"mixup": 0.8, "cutmix": 1.0}, True
    for minmax in None, (0.3, 0.8):
        m = mixup.Mixup(mixup_alpha=0.8, cutmix_alpha=1.0, cutmix_minmax=minmax)
        ours = [effects.mix_draw(dict(flags, **{"cutmix-minmax": minmax}), i, 0) for i in range(DRAWS)]
        theirs = []
        for _ in range(DRAWS):
            lam, cut = m._params_per_batch()
            box = None
            if cut:
                (top, bottom, left, right), lam = mixup.cutmix_bbox_and_lam(
                    (1, 3, effects.HEIGHT, effects.WIDTH), lam, ratio_minmax=minmax)
                box = (top, left, bottom - top, right - left)
            theirs.append((lam, box))
        for name, value in (("cutmix", lambda d: d[1] is not None), ("lambda", lambda d: d[0]),
                            ("lambda's spread", lambda d: (d[0] - 0.5) ** 2)):
            good &= near(name + (", minmax" if minmax else ""), [value(d) for d in ours], [value(d) for d in theirs])
        for k, name in enumerate(("top", "left", "height", "width")):
            good &= near(f"cutmix's {name}" + (", minmax" if minmax else ""), [d[1][k] for d in ours if d[1]],
                         [d[1][k] for d in theirs if d[1]])
    return good


def erasing_draws(effects, random_erasing, torch):
    good, most = True, 3
    eraser = random_erasing.RandomErasing(0.7, max_count=most, device="cpu")
    calls = []
    random_erasing._get_pixels, kept = lambda per_pixel, rand, size, **more: calls[-1].append(size[1:]) or torch.ones(
        size), random_erasing._get_pixels
    for _ in range(DRAWS):
        calls.append([])
        eraser(torch.zeros(3, effects.HEIGHT, effects.WIDTH))
    random_erasing._get_pixels = kept
    ours = [[b[2:] for b in effects.erase_boxes(0.7, most, 0, i)] for i in range(DRAWS)]
    for name, value in (("boxes", len), ("erased", lambda b: len(b) > 0),
                        ("erased area", lambda b: sum(h * w for h, w in b)),
                        ("box height", lambda b: sum(h for h, _ in b)), ("box width", lambda b: sum(w for _, w in b)),
                        ("area's spread", lambda b: sum(h * w for h, w in b) ** 2)):
        good &= near(name, [value(b) for b in ours], [value(b) for b in calls])
    return good


def main():
    try:
        import torch
        from timm.data import mixup, random_erasing
    except ImportError:
        print("timm: skipped, it is not installed (effects.py stands on its own)")
        return 0
    import random

    import effects
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    good = mixing_values(effects, mixup, torch)
    good &= mixing_draws(effects, mixup)
    good &= erasing_draws(effects, random_erasing, torch)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
