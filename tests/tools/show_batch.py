#!/usr/bin/env python3
"""`vitc show-batch`: images, targets and masks are those of the step. Usage: show_batch.py PATH/TO/vitc"""
import os
import unittest

from support import TINY, Trained, png_size, tensors, vitc


class ShowBatch(Trained):
    def test_show_batch_is_what_the_step_used(self):
        with open(os.path.join(self.output, "summary.csv")) as f:
            rows = [line.split(",") for line in f.read().splitlines()]
        steps = 54 // 12  # a tenth of each class is held out
        for epoch in range(2):
            losses = []
            for step in range(steps):
                x, y = self.path("batch.safetensors"), self.path("loss.safetensors")
                vitc("show-batch", "--run", self.output, "--epoch", epoch, "--step", step, "--tensors", x)
                # --lr 0 leaves the weights as they were
                vitc("trace", *TINY, "--drop-path", 0.4, "--weights", self.last, "--inputs", x, "--output", y,
                     "--train")
                losses.append(tensors(y)["loss"][1][0])
            self.assertAlmostEqual(sum(losses) / steps, float(rows[1 + epoch][1]), delta=2e-6)

    def test_show_batch_of_mixed_steps(self):
        """Erased and mixed images, and their soft targets, give the loss that the run had."""
        run, x, y, picture = (self.path(name) for name in ("mixed", "mixed.st", "mixed-loss.st", "mixed.png"))
        vitc("train", *TINY, "--data-path", self.data, "--epochs", 2, "--batch-size", 12, "--micro-batch-size", 6,
             "--drop-path", 0.4, "--lr", 0, "--warmup-lr", 0, "--min-lr", 0, "--reprob", 0.7, "--recount", 2,
             "--mixup", 0.8, "--cutmix", 1, "--mixup-mode", "pair", "--output_dir", run)
        last = os.path.join(run, "last.safetensors")
        with open(os.path.join(run, "summary.csv")) as f:
            rows = [line.split(",") for line in f.read().splitlines()]
        losses, targets = [], set()
        for step in range(4):
            vitc("show-batch", "--run", run, "--epoch", 1, "--step", step, "--tensors", x, "--output", picture)
            vitc("trace", *TINY, "--drop-path", 0.4, "--weights", last, "--inputs", x, "--output", y, "--train")
            losses.append(tensors(y)["loss"][1][0])
            targets.update(round(v, 4) for v in tensors(x)["targets"][1])
        self.assertAlmostEqual(sum(losses) / 4, float(rows[2][1]), delta=2e-6)
        self.assertGreater(len(targets), 10)
        self.assertGreater(png_size(picture)[0], 84)

    def test_show_batch_micro(self):
        whole, part, picture = self.path("whole.st"), self.path("part.st"), self.path("batch.png")
        vitc("show-batch", "--run", self.output, "--epoch", 1, "--step", 2, "--output", picture, "--tensors", whole)
        vitc("show-batch", "--run", self.output, "--epoch", 1, "--step", 2, "--micro", 1, "--tensors", part)
        a, b = tensors(whole), tensors(part)
        self.assertEqual(sorted(a), ["images", "mask.blocks.1.drop_path1", "mask.blocks.1.drop_path2", "targets"])
        self.assertEqual((a["images"][0], b["images"][0]), ([12, 3, 16, 16], [6, 3, 16, 16]))
        for name in a:
            each = len(a[name][1]) // 12
            odd = [v for i in range(1, 12, 2) for v in a[name][1][i * each:(i + 1) * each]]
            self.assertEqual(odd, list(b[name][1]), name)
        self.assertTrue(set(a["mask.blocks.1.drop_path1"][1]) <= {0.0, 1.0})
        self.assertAlmostEqual(max(a["targets"][1]), 0.9 + 0.1 / 3, delta=1e-6)
        self.assertGreater(png_size(picture)[0], 84)

    def test_show_batch_errors(self):
        for flag, value in (("--step", 99), ("--epoch", 2), ("--micro", 2)):
            done = vitc("show-batch", "--run", self.output, flag, value, "--output", self.path("no.png"), expect=2)
            self.assertIn(flag, done.error)
        self.assertIn("nowhere", vitc("show-batch", "--run", "nowhere", "--output", "no.png", expect=2).error)
        best = os.path.join(self.output, "best.safetensors")
        self.assertIn(best, vitc("show-batch", "--run", best, "--output", self.path("no.png"), expect=2).error)


if __name__ == "__main__":
    unittest.main()
