#!/usr/bin/env python3
"""augmix.txt: the CRC-32 of what timm 0.9.16's AugMixAugment makes of parts of images, its draws set to given ones. Of
ops that leave pixels in place alone: warps are within a level of Pillow's (augments.txt).
Usage: make_augmix_fixture.py TESTS_DATA, where timm and Pillow are installed"""
import pathlib
import sys

import numpy as np
from timm.data import auto_augment

from make_image_fixtures import STILL, crc, upright

SEED, LINES = 7, 24
# timm's sum takes square images of three channels alone; blending takes any.
PARTS = [("exif/Landscape_1.jpg", 3, 10, 10, 64, 64), ("exif/Portrait_3.jpg", 3, 40, 20, 7, 7),
         ("exif/Landscape_1.jpg", 3, 0, 0, 1, 1), ("exif/Landscape_1.jpg", 3, 5, 8, 37, 23),
         ("exif/Portrait_3.jpg", 1, 4, 4, 23, 64)]


def make(image, blended, share, weights, chains):
    """chains: lists of (run, argument)."""
    depths, drawn = iter([len(c) for c in chains]), iter(chains)
    random = np.random
    random.dirichlet, random.beta = lambda a: np.array(weights, np.float64), lambda a, b: float(share)
    random.randint = lambda low, high: next(depths)
    random.choice = lambda ops, depth, replace: [lambda i, run=run, a=a: run(i, a) for run, a in next(drawn)]
    return auto_augment.AugMixAugment(None, width=len(weights), blended=blended)(image)


def main():
    out, rng, lines = pathlib.Path(sys.argv[1]), np.random.RandomState(SEED), []
    for name, channels, x, y, width, height in PARTS:
        image = upright(out / name, "L" if channels == 1 else "RGB").crop((x, y, x + width, y + height))
        square = width == height and channels == 3
        lines.append(f"{name} {channels} {x} {y} {width} {height}")
        for i in range(LINES if square else LINES // 3):
            blended = int(i % 2 == 1 or not square)
            weights = np.float32(rng.dirichlet([1.0] * (1 + i % 4)))
            share = np.float32([rng.beta(1, 1), rng.beta(1, 1), rng.beta(1, 1), 0, 1][i % 5])
            chains = []
            for _ in weights:
                ops = [STILL[rng.randint(len(STILL))] for _ in range(rng.randint(1, 4))]
                first = {"Posterize": 1}  # new Pillows refuse 0 bits
                chains.append([(op, run, a[rng.randint(first.get(op, 0), len(a))]) for op, run, a in ops])
            result = make(image, bool(blended), share, weights, [[(run, a) for _, run, a in c] for c in chains])
            words = [f"{w:.9g} {len(c)} " + " ".join(f"{op} {a!r}" for op, _, a in c) for w, c in zip(weights, chains)]
            lines.append(f"{blended} {share:.9g} {len(weights)} " + " ".join(words) + " " + crc(result))
    (out / "augmix.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
