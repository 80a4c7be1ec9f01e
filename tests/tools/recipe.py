#!/usr/bin/env python3
"""The recipe's flags of `vitc train`: what is used, recorded and refused. Usage: recipe.py PATH/TO/vitc"""
import os
import unittest

from support import TINY, Pictured, tensors, vitc


class Recipe(Pictured):
    def test_augmentation_flags(self):
        """What is used, recorded and shown; small data has none unless it is asked for."""
        def images(*flags):
            run, x = self.path("augment"), self.path("augment.st")
            done = vitc("train", *TINY, "--data-path", self.data, "--epochs", 1, "--max-steps", 1, "--batch-size", 12,
                        "--output_dir", run, "--overwrite", *flags)
            vitc("show-batch", "--run", run, "--epoch", 0, "--step", 0, "--tensors", x)
            with open(os.path.join(run, "args.yaml")) as f:
                args = dict(line.split(": ", 1) for line in f.read().splitlines() if ": " in line)
            return done.stdout, args, tensors(x)["images"][1]
        text, args, plain = images()
        self.assertIn(" --aa none --color-jitter 0 --reprob 0 --mixup 0 --cutmix 0 ", text)
        self.assertEqual((args["aa"], args["color_jitter"], args["ThreeAugment"]), ("none", "0.0", "false"))
        text, args, rand = images("--aa", "rand-m9-mstd0.5-inc1")
        self.assertNotIn("--aa", text)
        self.assertEqual(args["aa"], "rand-m9-mstd0.5-inc1")
        text, args, three = images("--ThreeAugment")
        self.assertNotIn("--aa", text)
        self.assertEqual((args["aa"], args["color_jitter"], args["ThreeAugment"]), ("3a", "0.3", "true"))
        jitter = images("--color-jitter", 0.3)[2]
        seen = [plain, rand, three, jitter]
        self.assertEqual(len(set(seen)), 4)
        self.assertEqual(images("--aa", "3a")[2], three)
        self.assertEqual(images("--aa", "none", "--color-jitter", 0)[2], plain)
        text, args, erased = images("--reprob", 1, "--mixup", 0.8, "--cutmix_minmax", 0.2, 0.8)
        self.assertNotIn("--reprob", text)
        self.assertEqual((args["reprob"], args["mixup"], args["cutmix"]), ("1.0", "0.8", "0.0"))
        self.assertEqual((args["mixup_mode"], args["remode"]), ("batch", "pixel"))
        self.assertNotEqual(erased, plain)

    def test_augmentation_errors(self):
        for flags, part in ((("--aa", "rand-m9-q1"), '"q1"'),
                            (("--aa", "none", "--color-jitter", -1), "--color-jitter"),
                            (("--aa", "v0", "--ThreeAugment"), "--ThreeAugment"), (("--reprob", 1.1), "--reprob"),
                            (("--remode", "grey"), "--remode"), (("--recount", 0), "--recount"),
                            (("--mixup", -1), "--mixup"), (("--cutmix", "much"), "--cutmix"),
                            (("--cutmix-minmax", 0.8, 0.2), "--cutmix-minmax"),
                            (("--cutmix-minmax", 0.5, 0.5), "--cutmix-minmax"),
                            (("--cutmix-minmax", 0.5, 1.5), "--cutmix-minmax"),
                            (("--cutmix-minmax", 0.5), "--cutmix-minmax"), (("--mixup-prob", 2), "--mixup-prob"),
                            (("--mixup-switch-prob", -0.1), "--mixup-switch-prob"),
                            (("--mixup-mode", "all"), "--mixup-mode"),
                            (("--mixup-off-epoch", -1), "--mixup-off-epoch")):
            for command in (("train", "--output_dir", self.path("no")), ("bench", "loader")):
                self.assertIn(part, vitc(*command, *flags, *TINY, "--data-path", self.data, expect=2).error)

    def test_optimizer_errors(self):
        run = ["train", *TINY, "--data-path", self.data, "--epochs", 1, "--batch-size", 12, "--output_dir",
               self.path("optimizers")]
        for flags, parts in ((["--opt", "lam"], ["did you mean lamb", "lion"]),
                             (["--opt", "adam8bit"], ["adamw, lamb"]),
                             (["--opt-betas", "0.9", "1"], ["--opt-betas", "out of range"]),
                             (["--opt-betas", "0", "0"], ["--opt-betas"]), (["--momentum", "1"], ["--momentum"]),
                             (["--layer-decay", "0"], ["--layer-decay", "to 1"]),
                             (["--layer-decay", "1.01"], ["--layer-decay"]),
                             (["--freeze", "blocks.0.*,blocks.7.*"], ["--freeze blocks.7.*", "no parameter"]),
                             (["--freeze", "*"], ["--freeze"]), (["--sched", "poly"], ["--sched", "linear"]),
                             (["--decay-rate", "2"], ["--decay-rate"]), (["--decay-epochs", "0"], ["--decay-epochs"])):
            error = vitc(*run, *flags, expect=2).error
            for part in parts:
                self.assertIn(part, error)
        self.assertIn("--freeze nothing", vitc("plan", *TINY, "--batch-size", 2, "--freeze", "nothing", expect=2).error)


if __name__ == "__main__":
    unittest.main()
