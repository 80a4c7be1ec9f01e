#!/usr/bin/env python3
"""`vitc show-batch --draws`: from what it says was drawn, the pixels and targets that the step saw are made again.
Usage: show_draws.py PATH/TO/vitc"""
import json
import os
import unittest

from support import TINY, Foldered, png, tensors, vitc

SIDE, STEPS = 16, 3
POINTWISE = {
    "Invert": lambda v, _: 255 - v,
    "Solarize": lambda v, threshold: v if v < threshold else 255 - v,
    "SolarizeAdd": lambda v, add: min(255, v + add) if v < 128 else v,
    "Posterize": lambda v, bits: v & (255 << (8 - bits) & 255),
    "Brightness": lambda v, factor: max(0, min(255, v * factor)),
}
WARPS = "Rotate ShearX ShearY TranslateXRel TranslateYRel".split()  # of few pixels in AugMix: they leave the middle
RUN = [*TINY, "--epochs", 1, "--batch-size", 12, "--micro-batch-size", 6, "--mean", 0, 0, 0, "--std", 1, 1, 1,
       "--scale", 1, 1, "--ratio", 1, 1, "--remode", "const", "--smoothing", 0, "--device", "cpu"]


def within(box, y, x):
    top, left, height, width = box
    return top <= y < top + height and left <= x < left + width


def luma(colour):
    return (19595 * colour[0] + 38470 * colour[1] + 7471 * colour[2] + 32768) >> 16


def mixed_chain(colour, ops):
    """What a chain makes of the middle of an image of one colour; None where its border would matter."""
    warped = False
    for one in ops:
        op, argument = one["op"], one["argument"]
        if op in WARPS:
            warped = True
        elif op in POINTWISE:
            colour = [int(POINTWISE[op](v, argument if op == "Brightness" else int(argument))) for v in colour]
        elif op == "Color" or op == "Contrast" and not warped:
            grey = luma(colour)
            colour = [max(0, min(255, int(grey + argument * (v - grey)))) for v in colour]
        elif warped or op not in ("AutoContrast", "Equalize", "Sharpness"):
            return None
    return colour


class Draws(Foldered):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.data, cls.colours, cls.classes = cls.path("data"), {}, ["dark", "light", "mid"]
        for number, name in enumerate(cls.classes):
            os.makedirs(os.path.join(cls.data, "train", name))
            os.makedirs(os.path.join(cls.data, "val", name))
            for i in range(12):  # one colour each, so that flips change nothing
                colour = [10 + 20 * i, 250 - 15 * i, 40 * number + 3 * i]
                file = f"train/{name}/{i:02d}.png"
                png(os.path.join(cls.data, file), SIDE, SIDE, lambda x, y, c=colour: c)
                cls.colours[file] = colour
            png(os.path.join(cls.data, "val", name, "0.png"), SIDE, SIDE, lambda x, y: (1, 2, 3))

    def steps(self, name, *flags):
        """(drawn, images, targets) of each step of a run."""
        run, x = self.path(name), self.path(name + ".st")
        vitc("train", *RUN, "--data-path", self.data, "--output_dir", run, *flags)
        for step in range(STEPS):
            said = vitc("show-batch", "--run", run, "--epoch", 0, "--step", step, "--tensors", x, "--draws", "-").stdout
            drawn = [json.loads(line) for line in said.splitlines()]
            self.assertEqual([one["at"] for one in drawn], list(range(12)))
            shown = tensors(x)
            yield drawn, shown["images"][1], shown["targets"][1]

    def pixel(self, images, i, c, y, x):
        return 255 * images[((i * 3 + c) * SIDE + y) * SIDE + x]

    def test_erased_and_mixed(self):
        erased = mixed = 0
        for drawn, images, targets in self.steps("mixed", "--reprob", 0.7, "--recount", 2, "--mixup", 0.8,
                                                 "--cutmix", 1, "--mixup-mode", "elem"):
            for i, one in enumerate(drawn):
                other, (inside, outside, target) = drawn[one["partner"]], one["weights"]
                self.assertEqual((one["crop"], one["ops"]), ([0, 0, SIDE, SIDE], []))
                erased += len(one["erase"])
                mixed += target < 1
                for y in range(SIDE):
                    for x in range(SIDE):
                        w = inside if within(one["box"], y, x) else outside
                        for c in range(3):
                            own, its = (0 if any(within(box, y, x) for box in s["erase"])
                                        else self.colours[s["file"]][c] for s in (one, other))
                            self.assertAlmostEqual(self.pixel(images, i, c, y, x), w * own + (1 - w) * its, delta=1e-3)
                wanted = [0.0] * 3
                wanted[self.classes.index(one["class"])] += target
                wanted[self.classes.index(other["class"])] += 1 - target
                for got, want in zip(targets[3 * i:3 * i + 3], wanted):
                    self.assertAlmostEqual(got, want, delta=1e-6)
        self.assertGreater(erased, 10)
        self.assertGreater(mixed, 20)

    def test_ops(self):
        """Of a policy's ops those that change a pixel by its value alone are done again here."""
        known, names = 0, set()
        for drawn, images, _ in self.steps("policy", "--aa", "rand-m7-mstd1-n1-p1", "--reprob", 0, "--mixup", 0,
                                           "--cutmix", 0, "--aug-repeats", 3):
            for i, one in enumerate(drawn):
                self.assertEqual(len(one["ops"]), 1)
                op, argument = one["ops"][0]["op"], one["ops"][0]["argument"]
                names.add(op)
                self.assertIn(one["repeat"], (0, 1, 2))
                if op not in POINTWISE:
                    continue
                known += 1
                for c in range(3):
                    bright = op == "Brightness"
                    want = POINTWISE[op](self.colours[one["file"]][c], argument if bright else int(argument))
                    self.assertAlmostEqual(self.pixel(images, i, c, 5, 7), want, delta=1.0 if bright else 1e-3)
        self.assertGreater(known, 3)
        self.assertGreater(len(names), 6)

    def test_augmix(self):
        for blended in 0, 1:
            known = changed = 0
            names, depths = set(), set()
            for drawn, images, _ in self.steps(f"augmix{blended}", "--aa", f"augmix-m4-w2-b{blended}", "--reprob", 0,
                                               "--mixup", 0, "--cutmix", 0):
                for i, one in enumerate(drawn):
                    self.assertEqual((len(one["chains"]), one["blended"], "ops" in one), (2, bool(blended), False))
                    self.assertAlmostEqual(sum(chain["weight"] for chain in one["chains"]), 1, delta=1e-6)
                    names |= {op["op"] for chain in one["chains"] for op in chain["ops"]}
                    depths |= {len(chain["ops"]) for chain in one["chains"]}
                    colour = self.colours[one["file"]]
                    made = [mixed_chain(colour, chain["ops"]) for chain in one["chains"]]
                    if None in made:
                        continue
                    known += 1
                    for c in range(3):
                        mix = sum(chain["weight"] * m[c] for chain, m in zip(one["chains"], made))
                        want = (1 - one["share"]) * colour[c] + one["share"] * mix
                        self.assertAlmostEqual(self.pixel(images, i, c, 8, 8), want, delta=2.5)
                        changed += abs(want - colour[c]) > 5
            self.assertGreater(known, 12)
            self.assertGreater(changed, 12)
            self.assertGreater(len(names), 9)
            self.assertEqual(depths, {1, 2, 3})


if __name__ == "__main__":
    unittest.main()
