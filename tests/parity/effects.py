#!/usr/bin/python3
"""Random erasing, mixup and cutmix of `vitc train`, as `vitc show-batch` shows them, against NumPy in fp64: the draws
from their keys (csrc/base/philox.h, csrc/data/erase.h, csrc/data/mixing.h), the pixels and the targets made of them.

A run without effects shows the plain images of a step; the same run with effects must then show what this file makes of
those. usage: effects.py --vitc build/vitc [--device cpu|cuda] [--case NAME]...
exit status: 0 all agree, 1 some do not, 77 NumPy is missing
"""
import math
import os
import sys
import tempfile

from common import check_all, parser_of_cases, run, skip, write_png

try:
    import numpy as np
except ImportError:
    skip("python3-numpy is not installed")

import effects_timm
import tensors

ERASE, MIX = 7, 8  # purposes of draws
HEIGHT, WIDTH, CLASSES, EACH = 24, 36, 3, 14
MEAN, STD, SEED, SMOOTHING = np.array([0.5, 0.4, 0.3]), np.array([0.2, 0.3, 0.25]), 7, 0.1
TOLERANCE = 1e-5  # of normalised pixels, up to 6; fp32
MASK32, MASK64 = 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF


def philox(key, counter):
    """Philox4x32-10 of arrays of counters; 4 arrays of uint64 that hold 32 bits."""
    low, half = np.uint64(MASK32), np.uint64(32)
    c = [np.asarray(x, dtype=np.uint64) & low for x in np.broadcast_arrays(*counter)]
    k0, k1 = key & MASK32, key >> 32
    for _ in range(10):
        p0, p1 = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        c = [(p1 >> half) ^ c[1] ^ np.uint64(k0), p1 & low, (p0 >> half) ^ c[3] ^ np.uint64(k1), p0 & low]
        k0, k1 = (k0 + 0x9E3779B9) & MASK32, (k1 + 0xBB67AE85) & MASK32
    return c


class Stream:
    """The draws under one data key, in order."""

    def __init__(self, seed, *counter):
        self.seed, self.counter, self.draw = seed, counter, 0

    def bits(self):
        block = philox(self.seed, (self.draw // 4, *self.counter))
        self.draw += 1
        return int(block[(self.draw - 1) % 4])

    def uniform(self):
        return (self.bits() >> 8) / 2 ** 24

    def open_uniform(self):
        return (self.bits() + 0.5) / 2 ** 32

    def below(self, n):
        return self.bits() * n >> 32


def key_of(seed, name):
    h = 0xCBF29CE484222325
    for byte in name.encode():
        h = (h ^ byte) * 0x100000001B3 & MASK64
    z = (seed * 0x9E3779B97F4A7C15 + h) & MASK64
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & MASK64
    z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK64
    return z ^ z >> 31


def normals(step, slot, count):
    """N(0, 1) of elements 0 .. count - 1 of a sample."""
    words = philox(key_of(SEED, "erase"), (np.arange((count + 3) // 4), slot, step, MASK32))
    u = [w >> np.uint64(8) for w in words]
    out = []
    for first, second in ((u[0], u[1]), (u[2], u[3])):
        radius, turn = np.sqrt(-2 * np.log((first + np.uint64(1)) / 2 ** 24)), 2 * math.pi * (second / 2 ** 24)
        out += [radius * np.cos(turn), radius * np.sin(turn)]
    return np.stack(out, 1).ravel()[:count]


def beta(stream, a):
    def log_gamma():
        d = a + 2 / 3
        while True:
            radius = math.sqrt(-2 * math.log(stream.open_uniform()))
            x = radius * math.cos(2 * math.pi * stream.open_uniform())
            v = (1 + x / math.sqrt(9 * d)) ** 3
            if v > 0 and math.log(stream.open_uniform()) < x * x / 2 + d - d * v + d * math.log(v):
                return math.log(d * v) + math.log(stream.open_uniform()) / a
    x = log_gamma()
    return 1 / (1 + math.exp(log_gamma() - x))


def erase_boxes(probability, most, epoch, sample):
    """(top, left, height, width) of each box, as timm's RandomErasing draws it."""
    s, boxes = Stream(SEED, epoch, sample, ERASE << 24), []
    if s.uniform() >= probability:
        return boxes
    count = 1 + s.below(most)
    for _ in range(count):
        for _ in range(10):
            area = (0.02 + (1 / 3 - 0.02) * s.uniform()) * HEIGHT * WIDTH / count
            aspect = math.exp(math.log(0.3) + (math.log(1 / 0.3) - math.log(0.3)) * s.uniform())
            h, w = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if h < HEIGHT and w < WIDTH:
                boxes.append((s.below(HEIGHT - h + 1), s.below(WIDTH - w + 1), h, w))
                break
    return boxes


def mix_draw(flags, step, slot):
    """(lambda, box or None) of a group whose first sample has this slot, as timm's Mixup draws it."""
    s = Stream(SEED, step, slot, MIX << 24)
    minmax = flags.get("cutmix-minmax")
    mixup, cutmix = flags["mixup"] > 0, flags["cutmix"] > 0 or minmax is not None
    if s.uniform() >= flags.get("mixup-prob", 1):
        return 1, None
    if mixup and cutmix:
        cutmix = s.uniform() < flags.get("mixup-switch-prob", 0.5)
    if not cutmix:
        return beta(s, flags["mixup"]), None
    ratio, box = math.sqrt(1 - beta(s, 1 if minmax else flags["cutmix"])), []
    for size in (HEIGHT, WIDTH):
        if minmax:
            low, high = int(size * minmax[0]), int(size * minmax[1])
            length = low + (s.below(high - low) if high > low else 0)
            box += [(s.below(size - length) if length < size else 0, length)]
        else:
            half, centre = int(size * ratio) // 2, s.below(size)
            low, high = max(centre - half, 0), min(centre + half, size)
            box += [(low, high - low)]
    (top, height), (left, width) = box
    return 1 - height * width / (HEIGHT * WIDTH), (top, left, height, width)


def erased(image, boxes, mode, step, slot):
    """A normalised image [C, H, W] with its boxes filled."""
    image, chans = image.copy(), image.shape[0]
    noise = normals(step, slot, image.size)
    for i, (top, left, height, width) in enumerate(boxes):
        at = np.s_[:, top:top + height, left:left + width]
        if mode == "const":
            image[at] = 0
        elif mode == "rand":
            image[at] = noise[i * chans:(i + 1) * chans, None, None]
        else:
            image[at] = noise.reshape(HEIGHT, WIDTH, chans).transpose(2, 0, 1)[at]
    return image


def mixed(images, targets, draws):
    """One micro-batch, sample i with B - 1 - i: images [B, C, H, W], targets [B, K], (lambda, box) of each."""
    out, out_targets = images.copy(), targets.copy()
    for i, (lam, box) in enumerate(draws):
        other = len(images) - 1 - i
        if box:
            at = np.s_[:, box[0]:box[0] + box[2], box[1]:box[1] + box[3]]
            out[i][at] = images[other][at]
        else:
            out[i] = lam * images[i] + (1 - lam) * images[other]
        out_targets[i] = lam * targets[i] + (1 - lam) * targets[other]
    return out, out_targets


# --- the runs ---

BASE = ["--model", "deit_micro", "--depth", "1", "--embed-dim", "16", "--num-heads", "1", "--patch-size", "4",
        "--img-size", f"{HEIGHT}x{WIDTH}", "--in-chans", "3", "--epochs", "2", "--max-steps", "1", "--scale", "1", "1",
        "--ratio", str(WIDTH / HEIGHT), str(WIDTH / HEIGHT), "--hflip", "0", "--aa", "none", "--color-jitter", "0",
        "--seed", str(SEED), "--mean", *map(str, MEAN), "--std", *map(str, STD), "--aug-repeats", "1",
        "--smoothing", str(SMOOTHING)]
OFF = {"reprob": 0, "mixup": 0, "cutmix": 0}
# what differs from OFF, the batch size, the micro-batch size
CASES = {
    "deit": ({"reprob": 0.6, "mixup": 0.8, "cutmix": 1.0}, 8, 2),
    "batch, odd, erased by channel": ({"reprob": 1, "remode": "rand", "recount": 3, "mixup": 0.2, "cutmix": 0.7},
                                      10, 5),
    "pair": ({"reprob": 0.5, "recount": 2, "mixup": 1, "cutmix": 1, "mixup-mode": "pair"}, 12, 6),
    "elem, half of them": ({"mixup": 2, "cutmix": 0.5, "mixup-mode": "elem", "mixup-prob": 0.5,
                            "mixup-switch-prob": 0.7}, 14, 7),
    "minmax, erased to 0": ({"reprob": 1, "remode": "const", "cutmix-minmax": (0.2, 0.8), "mixup-mode": "elem"}, 8, 8),
    "off in the second epoch": ({"reprob": 1, "mixup": 0.8, "mixup-mode": "elem", "mixup-off-epoch": 1}, 6, 6),
}


def make_data(root):
    """Noise; returns the images by their number in the data set, u8 [H, W, 3]."""
    rng, images = np.random.RandomState(1), []
    for part in "train", "val":
        for c in range(CLASSES):
            os.makedirs(f"{root}/{part}/class{c}")
            for i in range(EACH if part == "train" else 1):
                image = rng.randint(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
                rows = (row.tobytes() for row in image)
                write_png(f"{root}/{part}/class{c}/{i:02}.png", WIDTH, HEIGHT, 3, rows)
                images += [image] if part == "train" else []
    return np.stack(images)


def shown(args, root, flags, batch, micro, positions):
    """Images and targets of some steps (epoch, step), the whole of them and their last micro-batch."""
    words = [w for name, value in flags.items()
             for w in ("--" + name, *(value if isinstance(value, tuple) else (value,)))]
    run(args.vitc, "train", *BASE, "--data-path", f"{root}/data", "--output_dir", f"{root}/run", "--overwrite",
        "--batch-size", batch, "--micro-batch-size", micro, "--device", args.device, *words)
    out, device = [], ["--device", args.device]
    for epoch, step in positions:
        both = []
        for more in ([], ["--micro", batch // micro - 1]):
            run(args.vitc, "show-batch", "--run", f"{root}/run", "--epoch", epoch, "--step", step, "--tensors",
                f"{root}/shown.st", *device, *more)
            read = tensors.read(f"{root}/shown.st")
            both.append((read["images"].astype(np.float64), read["targets"].astype(np.float64)))
        out.append(both)
    return out


def expect(flags, plain, samples, epoch, step, micros):
    """What a whole step shows, given its plain images in the order of its global list, and which they are."""
    images, labels = plain, np.array(samples) // EACH
    targets = np.where(np.arange(CLASSES) == labels[:, None], 1 - SMOOTHING, 0) + SMOOTHING / CLASSES
    number = epoch * (EACH * CLASSES // len(images)) + step
    mode = flags.get("remode", "pixel")
    images = np.stack([
        erased(x, erase_boxes(flags["reprob"], flags.get("recount", 1), epoch, samples[i]), mode, number, i)
        for i, x in enumerate(images)])
    out, out_targets = images.copy(), targets.copy()
    off = flags.get("mixup-off-epoch", 0)
    for k in range(micros):
        slots = range(k, len(images), micros)
        group = {"batch": lambda i: 0, "pair": lambda i: min(i, len(slots) - 1 - i), "elem": lambda i: i}
        first = group[flags.get("mixup-mode", "batch")]
        draws = [mix_draw(flags, number, slots[first(i)]) if not off or epoch < off else (1, None)
                 for i in range(len(slots))]
        out[k::micros], out_targets[k::micros] = mixed(images[k::micros], targets[k::micros], draws)
    return out, out_targets


def check(args, name, root, data):
    changed, batch, micro = CASES[name]
    flags, positions, micros = {**OFF, **changed}, [(0, 0), (0, 1), (1, 0)], batch // micro
    plain = shown(args, root, OFF, batch, micro, positions)
    got = shown(args, root, flags, batch, micro, positions)
    worst, differ = 0, 0
    for (epoch, step), [before, _], [whole, part] in zip(positions, plain, got):
        levels = np.rint(255 * (before[0] * STD[:, None, None] + MEAN[:, None, None])).transpose(0, 2, 3, 1)
        samples = [int(np.flatnonzero((data == image).all((1, 2, 3)))[0]) for image in levels]
        want = expect(flags, before[0], samples, epoch, step, micros)
        for one, other in zip(whole, want):
            worst = max(worst, np.abs(one - other).max())
        for one, other in zip(part, whole):
            worst = max(worst, np.abs(one - other[micros - 1::micros]).max())
        differ += np.abs(whole[0] - before[0]).max() > 0.5
    wrong = not worst < TOLERANCE or differ < 2  # the steps must not be plain
    print(f"{name:32} {worst:8.1e}  {'FAILED' if wrong else 'ok'}", flush=True)
    return not wrong


def main():
    args = parser_of_cases(__doc__, CASES).parse_args()
    with tempfile.TemporaryDirectory(prefix="vitc-effects-") as root:
        data = make_data(f"{root}/data")
        failed = check_all(args.case or list(CASES), lambda name: check(args, name, root, data))
    if args.case is None:
        failed |= effects_timm.main()
    return failed


if __name__ == "__main__":
    sys.exit(main())
