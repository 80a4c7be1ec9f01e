#!/usr/bin/env python3
"""vitc check: what it says of a recipe is what a run does, and each of its warnings. Usage: check.py PATH/TO/vitc"""
import json
import math
import os
import re
import struct
import unittest

from support import Foldered, vitc

IMAGENET = 1281167  # images, here of a pixel
DEIT = ["--model", "deit_tiny_patch16_224", "--batch-size", 1024]
TINY = ["--model", "deit_micro", "--img-size", 16, "--patch-size", 4, "--embed-dim", 32, "--depth", 2, "--num-heads", 2,
        "--batch-size", 16, "--epochs", 10]
QUICKSTART = ["--model", "deit_micro", "--in-chans", 1, "--epochs", 5, "--batch-size", 128, "--lr", "2e-3",
              "--unscale-lr", "--scale", 1, 1, "--ratio", 1, 1]


def write_idx(folder, count, classes, side=1):
    """Labels go round."""
    os.makedirs(folder)
    for part, n in (("train", count), ("t10k", 100)):
        with open(os.path.join(folder, part + "-images-idx3-ubyte"), "wb") as f:
            f.write(struct.pack(">4i", 0x803, n, side, side) + bytes(n * side * side))
        with open(os.path.join(folder, part + "-labels-idx1-ubyte"), "wb") as f:
            f.write(struct.pack(">2i", 0x801, n) + bytes(i % classes for i in range(n)))


class Check(Foldered):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.data = {}
        for name, count, classes in (("large", IMAGENET, 250), ("small", 600, 3), ("two", 600, 2), ("one", 600, 1),
                                     ("medium", 60000, 10)):
            cls.data[name] = os.path.join(cls.dir, name)
            write_idx(cls.data[name], count, classes)

    def check(self, data, *flags):
        return json.loads(vitc("check", "--data-path", self.data[data], *flags, "--json", "-").stdout)

    def test_recipes_without_warnings(self):
        for data, flags in (("large", DEIT), ("medium", QUICKSTART), ("small", TINY)):
            self.assertEqual(self.check(data, *flags)["warnings"], [])
            self.assertIn("\nno warnings\n", vitc("check", "--data-path", self.data[data], *flags, "--strict").stdout)

    def warned(self, data, flags, part, of=TINY):
        found = self.check(data, *of, *flags)["warnings"]
        self.assertEqual([w for w in found if part in w][:1], found[:1], (flags, found))
        self.assertEqual(len(found), 1, (flags, found))
        self.assertIn(": ", found[0])

    def test_each_warning(self):
        """Alone: each of these flags is one mistake, and one line."""
        for flags, part in (
                (["--aa", "rand-m9", "--color-jitter", 0.4], "--color-jitter has no effect: --aa wins"),
                (["--bce-loss"], "--bce-loss with --smoothing 0.1"),
                (["--bce-loss", "--bce-target-thresh", 0], "all targets become 1"),
                (["--bce-loss", "--bce-target-thresh", 0.95, "--smoothing", 0.2], "all become 0"),
                (["--mixup", 0.8, "--micro-batch-size", 1], "an even --micro-batch-size"),
                (["--mixup", 0.8, "--batch-size", 17], "an even --batch-size"),
                (["--aug-repeats", 3], "--no-repeated-aug"),
                (["--model-ema-decay", 0.9999],
                 "initial weights are left in the average at the end: give --model-ema-decay 0.985"),
                (["--model-ema-decay", 1], "its half-life is inf steps, and 100 %"),
                (["--warmup-epochs", 3], "warm-up takes 111 of the run's 370 steps"),
                (["--max-steps", 10], "never reaches its peak"),
                (["--patch-size", 8], "--patch-size 4"),
                (["--depth", 1, "--drop-path", 0.2], "--drop-path has no effect"),
                (["--opt", "lamb", "--clip-grad", 1], "--clip-grad has no effect"),
                (["--distillation-alpha", 0.3], "--distillation-alpha has no effect"),
                (["--distillation-tau", 3], "--distillation-tau has no effect"),
                (["--mixup", 0.8, "--mixup-off-epoch", 10], "--mixup-off-epoch has no effect"),
                (["--min-lr", 1e-3], "--min-lr 0.001 is above the peak rate"),
                (["--warmup-lr", 1e-3], "--warmup-lr 0.001 is above the peak rate"),
                (["--unscale-lr"], "--unscale-lr with the default --lr"),
                (["--layer-decay", 0.7], "--layer-decay 0.7"),
                (["--lr", 0.01, "--unscale-lr"], "the peak rate 0.01 is high for adamw"),
                (["--lr", 0.002, "--unscale-lr", "--opt", "lion"], "the peak rate 0.002 is high for lion"),
                (["--opt", "sgd"], "--weight-decay 0.05 with --opt sgd"),
                (["--momentum", 0.8], "--momentum has no effect"),
                (["--opt", "momentum", "--weight-decay", 0, "--opt-betas", 0.9, 0.99], "--opt-betas has no effect"),
                (["--opt", "lion", "--opt-eps", 1e-6], "--opt-eps has no effect"),
                (["--sched-per-epoch", "--epochs", 9], "holds --warmup-lr 1e-06 for 2 of 9 epochs"),
                (["--compat", "timm", "--epochs", 4], "holds --warmup-lr 1e-06 for 1 of 4 epochs"),
                (["--sched-lag", 0], "--sched-lag has no effect"),
                (["--pos-embed-antialias"], "--pos-embed-antialias has no effect"),
                (["--decay-epochs", 10], "--decay-epochs has no effect"),
                (["--decay-rate", 0.5], "--decay-rate has no effect"),
                (["--sched", "constant", "--min-lr", 0], "--min-lr has no effect"),
                (["--warmup-epochs", 0, "--warmup-lr", 0], "--warmup-lr has no effect"),
                (["--no-model-ema", "--model-ema-decay", 0.9], "--model-ema-decay has no effect"),
                (["--no-model-ema", "--model-ema-warmup"], "--model-ema-warmup has no effect"),
                (["--remode", "rand"], "--remode has no effect"), (["--recount", 2], "--recount has no effect"),
                (["--mixup-mode", "pair"], "--mixup-mode has no effect"),
                (["--mixup-prob", 0.5], "--mixup-prob has no effect"),
                (["--mixup", 1, "--mixup-switch-prob", 0.3], "--mixup-switch-prob has no effect")):
            self.warned("small", flags, part)
        self.warned("two", [], "of 2 classes")
        self.warned("one", [], "1 class")
        self.warned("large", ["--batch-size", 200000, "--model-ema-decay", 0.99, "--unscale-lr", "--lr", 1e-3],
                    "an epoch has 6 steps and sees 400000 different images", DEIT)
        self.warned("large", ["--epochs", 30], "22.3 % of the initial weights are left in the average at the end: "
                    "give --model-ema-decay 0.99985", DEIT)

    def test_what_is_no_mistake(self):
        for data, flags in (
                ("small", ["--aa", "none", "--color-jitter", 0.4]), ("small", ["--bce-loss", "--smoothing", 0]),
                ("small", ["--bce-loss", "--smoothing", 0, "--compat", "deit"]), ("small", ["--drop-path", 0.2]),
                ("small", ["--bce-loss", "--bce-target-thresh", 0.2]), ("small", ["--batch-size", 17]),
                ("small", ["--model-ema-decay", 0.9999, "--model-ema-warmup"]),
                ("small", ["--opt", "lamb", "--clip-grad", 0.5]),
                ("small", ["--opt", "sgd", "--weight-decay", 1e-4, "--momentum", 0.8]), ("small", ["--depth", 1]),
                ("small", ["--depth", 1, "--drop-path", 0.2, "--drop-path-mode", "uniform"]),
                ("two", ["--smoothing", 0]),
                ("small", ["--sched-per-epoch", "--epochs", 5, "--warmup-epochs", 0]), ("small", ["--compat", "deit"]),
                ("small", ["--sched", "step", "--decay-epochs", 3]), ("small", ["--lr", 0.001, "--unscale-lr"]),
                ("small", ["--mixup", 0.8, "--cutmix", 1, "--mixup-switch-prob", 0.3, "--mixup-off-epoch", 9])):
            self.assertEqual(self.check(data, *TINY, *flags)["warnings"], [], flags)

    def test_deit_on_large_data(self):
        """The numbers by hand: DeiT-Ti, as many images as ImageNet has, batches of 1024."""
        c = self.check("large", *DEIT)
        self.assertEqual((c["steps_per_epoch"], c["steps"], c["images_seen"]), (1251, 375300, 375300 * 1024))
        self.assertEqual((c["lr"], c["global_batch"], c["patches"], c["preset"]), (1e-3, 1024, 196, {}))
        points = {p["at"]: p for p in c["schedule"]}
        self.assertEqual(points["start"]["lr"], 1e-6)
        self.assertEqual(points["end of the warm-up"]["step"], 6255)
        for at, step in (("end of the warm-up", 6255), ("25 %", 93825), ("50 %", 187650), ("75 %", 281475),
                         ("last", 375299)):
            self.assertAlmostEqual(points[at]["lr"], 1e-5 + 0.99e-3 * (1 + math.cos(math.pi * step / 375300)) / 2,
                                   delta=1e-12)
        groups = {g["group"]: (g["tensors"], g["elements"]) for g in c["parameters"]}
        self.assertEqual(groups["decayed"], (50, 192 * 768 + 12 * 12 * 192 * 192 + 250 * 192))
        self.assertEqual(groups["biases"], (75, 192 + 12 * (2 + 3 + 1 + 4 + 1) * 192 + 192 + 250))
        self.assertEqual(groups["1-D"], (25, 25 * 192))
        self.assertEqual(groups["pos_embed, cls_token"], (2, 198 * 192))
        self.assertEqual(sum(n for _, n in groups.values()), c["params"])
        self.assertEqual(sum(1 for s in c["layer_scales"] if s == 1), 14)
        self.assertAlmostEqual(c["ema"]["half_life_steps"], math.log(0.5) / math.log(0.99996), delta=1e-3)
        self.assertAlmostEqual(c["ema"]["half_life_epochs"], c["ema"]["half_life_steps"] / 1251, delta=1e-6)
        self.assertAlmostEqual(c["ema"]["initial_share"], 0.99996 ** 375300, delta=1e-12)
        self.assertEqual([s["stage"] for s in c["sample"]],
                         ["repeat", "crop", "flip", "augment", "normalise", "erase", "mix"])

    def test_small_data_and_flags(self):
        c = self.check("small", *TINY, "--freeze", "blocks.0.*", "--layer-decay", 0.5, "--grad-accum-steps", 2,
                       "--bce-loss", "--smoothing", 0, "--opt", "sgd", "--no-decay", "head.weight,*.qkv.*",
                       "--no-model-ema")
        self.assertEqual((c["global_batch"], c["steps_per_epoch"], c["images"], c["ema"]), (32, 18, 600, None))
        self.assertEqual((c["preset"]["aug_repeats"], c["preset"]["mixup"]), ("1", "0.0"))
        groups = {g["group"]: g["tensors"] for g in c["parameters"]}
        self.assertEqual((groups["frozen"], groups["--no-decay"]), (12, 2))
        self.assertEqual(c["layer_scales"], [0.125, 0.25, 0.5, 1])
        self.assertIn("sgd, momentum 0.9 (Nesterov)", c["optimizer"])
        self.assertIn("binary cross-entropy", c["loss"])

    def test_compat(self):
        """What each name sets; explicit flags win; it is recorded, and what it sets too."""
        flags = [*TINY, "--model", "deit_tiny_distilled_patch16_224", "--warmup-epochs", 2]
        def of(*more):
            c = self.check("small", *flags, *more)
            dist = {g["group"]: g["elements"] for g in c["parameters"]}
            return c["compat"], c["lr"], dist["pos_embed, cls_token"], dist.get("--no-decay", 0), c["schedule"]
        compat, lr, tokens, spared, points = of()
        self.assertEqual((compat, tokens, spared), ({}, 19 * 32, 0))
        compat, lr_deit, tokens, spared, deit = of("--compat", "deit", "--lr", 1e-3)
        self.assertEqual(compat, {"sched_per_epoch": "true", "sched_lag": "1"})
        self.assertEqual((spared, lr_deit), (0, 1e-3 * 16 / 512))
        compat, lr_timm, tokens, spared, timm = of("--compat", "timm", "--lr", 1e-3)
        self.assertEqual(compat, {"sched_per_epoch": "true", "sched_lag": "0", "no_decay": "dist_token",
                                  "unscale_lr": "true"})
        self.assertEqual((spared, lr_timm), (32, 1e-3))
        self.assertNotIn("unscale_lr", of("--compat", "timm")[0])
        # 37 steps an epoch; the end of the warm-up is step 74, the first of epoch 2: DeiT has epoch 1's rate there.
        self.assertEqual([p["step"] for p in deit[:2]], [0, 74])
        self.assertAlmostEqual(deit[1]["lr"], 1e-6 + (lr_deit - 1e-6) / 2, delta=1e-15)
        self.assertAlmostEqual(timm[1]["lr"], 1e-5 + (lr_timm - 1e-5) * (1 + math.cos(math.pi * 2 / 10)) / 2,
                               delta=1e-15)
        compat, _, _, spared, steps = of("--compat", "timm", "--no-sched-per-epoch", "--no-decay", "none")
        self.assertEqual((compat, spared, steps[1]["lr"]), ({"sched_lag": "0"}, 0, points[1]["lr"]))
        bce = ["--bce-loss", "--smoothing", 0]
        self.assertEqual(of("--compat", "deit", *bce)[0]["bce_target_thresh"], "0.0")
        self.assertNotIn("bce_target_thresh", of("--compat", "timm", *bce)[0])
        self.assertNotIn("bce_target_thresh", of("--compat", "deit", *bce, "--bce-target-thresh", -1)[0])
        run = os.path.join(self.dir, "compat")
        done = vitc("train", *flags, "--epochs", 3, "--data-path", self.data["small"], "--compat", "timm",
                    "--output_dir", run, "--device", "cpu", "--max-steps", 2)
        self.assertIn("--compat timm: --sched-per-epoch true --sched-lag 0 --no-decay dist_token\n", done.stdout)
        with open(os.path.join(run, "args.yaml")) as f:
            args = f.read()
        for line in ("compat: timm", "sched_per_epoch: true", "sched_lag: 0", "no_decay: dist_token"):
            self.assertIn("\n%s\n" % line, args)
        resume = ["--resume", "auto", "--data-path", self.data["small"], "--output_dir", run, "--device", "cpu"]
        self.assertIn("--compat", vitc("train", *resume, "--compat", "deit", expect=2).stderr)
        self.assertNotIn("--compat", vitc("train", *resume, "--max-steps", 3).stdout)

    def test_finetune_table(self):
        run = os.path.join(self.dir, "source")
        vitc("train", *TINY, "--epochs", 1, "--data-path", self.data["small"], "--output_dir", run, "--device", "cpu",
             "--max-steps", 1)
        source, rows = os.path.join(run, "last.safetensors"), []
        flags = [*TINY, "--img-size", 24, "--data-path", self.data["two"], "--finetune", source]
        text = vitc("check", *flags, "--compat", "timm").stdout
        at = text.index("\nfinetune: %s\n" % source)
        rows = [line.split() for line in text[at:].splitlines()[2:7]]
        self.assertEqual(rows[0][:3], ["kept", "30", "tensors,"])
        self.assertEqual(" ".join(rows[1]), "resized pos_embed: from 4x4 to 6x6, bicubic with antialiasing")
        self.assertEqual(" ".join(rows[2]), "initialised head.weight: the file's is [3, 32]")
        self.assertIn("to 6x6, bicubic\n", vitc("check", *flags, "--compat", "timm", "--no-pos-embed-antialias").stdout)
        self.assertIn("blocks.2.norm1.weight is missing", vitc("check", *flags, "--depth", 3, expect=2).stderr)
        text = vitc("check", *flags, "--depth", 1).stdout
        self.assertEqual(text.count("  dropped "), 5)
        self.assertIn("  dropped      8 more that the model does not have\n", text)
        self.assertNotIn("--layer-decay 0.7", vitc("check", *flags, "--layer-decay", 0.7).stdout)
        self.warned("small", ["--distillation-type", "hard", "--teacher-path", source, "--distillation-tau", 2],
                    "--distillation-tau has no effect")
        self.assertEqual(self.check("small", *TINY, "--distillation-type", "soft", "--teacher-path", source,
                                    "--distillation-tau", 2)["warnings"], [])
        flags += ["--epochs", 1, "--max-steps", 1, "--overwrite", "--device", "cpu", "--output_dir"]
        self.assertIn("--overwrite would remove it", vitc("train", *flags, run, expect=2).stderr)
        self.assertIn("\n  kept         30 tensors", vitc("train", *flags, run + "-tuned").stdout)

    def test_docs(self):
        """docs/recipe.md has every flag of the recipe, with the default that --help has; its commands give no
        warning."""
        path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../docs/recipe.md")
        with open(path) as f:
            page = f.read()
        rows = re.findall(r"^\| `--([^`]*)` \| (.*?) ?\| .* \|$", page.split("## `--compat")[0], re.M)
        said, known, group = dict(rows), {}, ""
        self.assertEqual(len(said), len(rows))
        for part in re.split(r"\n(?=\S|  (?:-\w, |    )--)", vitc("train", "--help").stdout):
            flag = re.match(r"  (?:-\w, |    )--([-\w]+)", part)
            if flag:
                default = re.search(r"\[([^\]]*)\]", " ".join(part.split()))
                on = flag[1].startswith("no-") and flag[1] not in ("no-decay", "no-embed-class")
                known[flag[1][3:] if on else flag[1]] = (group, "on" if on else default[1] if default else "")
            else:
                group = part.strip().split("\n")[0]
        wanted = {name for name, (group, _) in known.items()
                  if group in ("Batches", "Schedule", "Optimizer", "Augmentation", "Loss")}
        self.assertGreater(len(wanted), 50)
        self.assertEqual(wanted - set(said), set())
        for name, default in said.items():
            self.assertEqual((name, default), (name, known[name][1]))
        commands = re.findall(r"^vitc train((?:.*\\\n)*.*)$", page, re.M)
        self.assertEqual(len(commands), 3)
        tuned = os.path.join(self.dir, "deit3", "last.safetensors")
        small = ["--embed-dim", 32, "--depth", 2, "--num-heads", 2]
        vitc("train", "--model", "deit3_base_patch16_224", "--img-size", 192, *small, "--data-path", self.data["two"],
             "--device", "cpu", "--max-steps", 1, "--batch-size", 2, "--epochs", 1,
             "--output_dir", os.path.dirname(tuned))
        for command in commands:
            command = re.sub(r"--(data-path|output_dir) \S+", "", command.replace("\\\n", " "))
            words = re.sub(r"(--finetune) \S+", r"\1 " + tuned, command).split()
            self.assertEqual(self.check("large", *words, *small)["warnings"], [])

    def test_strict_and_files(self):
        out = os.path.join(self.dir, "check.json")
        done = vitc("check", *TINY, "--data-path", self.data["small"], "--momentum", 0.5, "--json", out)
        self.assertIn("\nwarnings\n  --momentum has no effect", done.stdout)
        self.assertEqual(done.stderr, "")
        with open(out) as f:
            self.assertEqual(len(json.load(f)["warnings"]), 1)
        done = vitc("check", *TINY, "--data-path", self.data["small"], "--momentum", 0.5, "--strict", expect=1)
        self.assertEqual(done.stderr, "vitc: error: 1 warning, and --strict allows none\n")
        self.assertIn("--data-path is missing", vitc("check", *TINY, expect=2).stderr)

    def test_train_says_the_same_first(self):
        """On stderr, before the first step; a run goes by the curve that was shown."""
        run = os.path.join(self.dir, "run")
        flags = [*TINY, "--data-path", self.data["small"], "--momentum", 0.5, "--epochs", 2]
        said = self.check("small", *flags[:-2], "--epochs", 2)
        done = vitc("train", *flags, "--output_dir", run, "--device", "cpu")
        self.assertEqual([line for line in done.stderr.splitlines() if line.startswith("warning: ")],
                         ["warning: " + w for w in said["warnings"]])
        self.assertEqual(len(said["warnings"]), 1)
        with open(os.path.join(run, "log.txt")) as f:
            log = [json.loads(line) for line in f]
        self.assertAlmostEqual(log[-1]["train_lr"], said["schedule"][-1]["lr"], delta=1e-9)
        again = self.check("small", "--config", os.path.join(run, "args.yaml"))
        self.assertEqual((again["warnings"], again["schedule"]), ([], said["schedule"]))
        again = json.loads(vitc("check", "--data-path", self.data["small"], "--resume",
                                os.path.join(run, "last.safetensors"), "--json", "-", "--model", "deit_micro").stdout)
        self.assertEqual(again["schedule"], said["schedule"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
