#!/usr/bin/env python3
"""`vitc predict`. Usage: predict.py PATH/TO/vitc"""
import gzip
import json
import math
import os
import struct
import unittest

from support import TINY, Trained, png_colours, png_size, tensors, vitc


class Predict(Trained):
    def test_predict(self):
        done = vitc("predict", "--checkpoint", self.last, *self.images, "--json")
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual([line["file"] for line in lines], self.images)
        for line in lines:
            self.assertEqual(sorted((t["index"], t["class"]) for t in line["top"]),
                             [(0, "blue sky"), (1, "green"), (2, "red")])
            probs = [t["prob"] for t in line["top"]]
            self.assertEqual(probs, sorted(probs, reverse=True))
            self.assertAlmostEqual(sum(probs), 1, delta=1e-5)
        text = vitc("predict", "--checkpoint", self.last, *self.images).stdout
        self.assertEqual(len(text.splitlines()), 12)
        self.assertIn("%  blue sky", text)

    def test_predictions_do_not_depend_on_the_batch(self):
        files = [os.path.join(self.data, c, "%02d.png" % i) for i in range(7) for c in ("red", "green", "blue sky")]
        together = vitc("predict", "--checkpoint", self.last, *files, "--json").stdout.splitlines()
        for i in (0, 8, 16, 20):
            alone = json.loads(vitc("predict", "--checkpoint", self.last, files[i], "--json").stdout)
            with_others = json.loads(together[i])
            self.assertEqual([t["index"] for t in alone["top"]], [t["index"] for t in with_others["top"]])
            for a, b in zip(alone["top"], with_others["top"]):
                self.assertAlmostEqual(a["prob"], b["prob"], delta=1e-5)

    def test_predict_tensors_are_what_trace_takes(self):
        x, y = self.path("x.safetensors"), self.path("y.safetensors")
        out = vitc("predict", "--checkpoint", self.last, *self.images, "--json", "--tensors", x, "--crop-pct", 1).stdout
        vitc("trace", *TINY, "--weights", self.last, "--inputs", x, "--output", y)
        shape, values = tensors(x)["images"]
        self.assertEqual(shape, [3, 3, 16, 16])
        # image 0 is 20 x 16: its middle 16 columns, as they are
        mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
        for channel in range(3):
            for u, v in ((0, 0), (5, 9), (15, 15)):
                pixel = ((30, 200, 50)[channel] + 5 * (u + 2) + 3 * v) % 256
                found = values[channel * 256 + v * 16 + u]
                self.assertAlmostEqual(found, (pixel / 255 - mean[channel]) / std[channel], delta=1e-5)
        logits = tensors(y)["logits_eval"][1]
        for i, line in enumerate(out.splitlines()):
            row = logits[3 * i:3 * i + 3]
            total = sum(math.exp(v) for v in row)
            for t in json.loads(line)["top"]:
                self.assertAlmostEqual(t["prob"], math.exp(row[t["index"]]) / total, delta=1e-5)

    def test_predict_bad_images(self):
        broken = self.path("broken.png")
        with open(self.images[0], "rb") as f:
            start = f.read()[:90]
        with open(broken, "wb") as f:
            f.write(start)
        for bad in (broken, self.data, self.path("absent.png"), os.path.join(self.output, "summary.csv"), os.devnull):
            done = vitc("predict", "--checkpoint", self.last, self.images[0], bad, self.images[1], "--json", expect=2)
            self.assertIn(bad, done.error)
            self.assertEqual([json.loads(line)["file"] for line in done.stdout.splitlines()], self.images[:2])
        done = vitc("predict", "--checkpoint", self.last, broken, self.data, expect=2)
        self.assertIn("1 more", done.error)
        self.assertIn(self.data, done.stderr)

    def test_predict_grid(self):
        grid = self.path("grid.png")
        base = ["predict", "--checkpoint", self.last, "--data-path", self.data]
        done = vitc(*base, "--split", "all", "--count", 12, "--grid", grid, "--json")
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual(len(lines), 12)
        self.assertEqual({line["true"] for line in lines}, {"blue sky", "green", "red"})
        width, height = png_size(grid)
        self.assertGreater(width, 3 * 84)
        colours = png_colours(grid)
        right = {line["top"][0]["class"] == line["true"] for line in lines}
        self.assertEqual((0x1A, 0x7F, 0x37) in colours, True in right)
        self.assertEqual((0xCF, 0x22, 0x2E) in colours, False in right)
        self.assertIn("(is b)", vitc(*base, "--class-names", "a", "b", "c").stdout)
        self.assertIn("--class-names", vitc(*base, "--class-names", "a", expect=2).error)
        self.assertIn("no/such", vitc(*base, "--grid", "no/such/g.png", expect=1).error)

    def test_idx_data(self):
        """Grey images without class names, from gzip."""
        folder = self.path("idx")
        os.makedirs(folder)
        for part, n in (("train", 30), ("t10k", 10)):
            with gzip.open(os.path.join(folder, part + "-images-idx3-ubyte.gz"), "wb") as f:
                f.write(struct.pack(">IIII", 2051, n, 16, 16) + bytes(i * 7 % 256 for i in range(n * 256)))
            with gzip.open(os.path.join(folder, part + "-labels-idx1-ubyte.gz"), "wb") as f:
                f.write(struct.pack(">II", 2049, n) + bytes(i % 3 for i in range(n)))
        grid = self.path("idx.png")
        done = vitc("predict", "--checkpoint", self.last, "--data-path", folder, "--count", 99, "--grid", grid,
                    "--json")
        self.assertEqual(len(done.stdout.splitlines()), 10)
        self.assertGreater(png_size(grid)[1], 84)


if __name__ == "__main__":
    unittest.main()
