#!/usr/bin/env python3
"""The commands of vitc as a user meets them: output, exit status, one-line errors. Usage: commands.py PATH/TO/vitc

Every file it works on is made here, with the standard library alone."""
import gzip
import json
import math
import os
import struct
import subprocess
import tempfile
import unittest

from support import SANITIZED, TINY, VITC, png, png_colours, png_size, tensors, vitc

COMMANDS = "train eval predict plan check summary trace bench selftest show-batch models".split()


class Commands(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.dir = cls.folder.name
        cls.data = os.path.join(cls.dir, "data")
        for number, name in enumerate(("blue sky", "green", "red")):
            os.makedirs(os.path.join(cls.data, name))
            for i in range(20):
                colour = [30 + 7 * i, 40, 50]
                colour[2 - number] = 200
                png(os.path.join(cls.data, name, "%02d.png" % i), 20, 16 + i % 3,
                    lambda x, y, c=colour: [(v + 5 * x + 3 * y) % 256 for v in c])
        cls.output = os.path.join(cls.dir, "run")
        cls.trained = vitc("train", *TINY, "--data-path", cls.data, "--epochs", 2, "--batch-size", 12,
                           "--micro-batch-size", 6, "--drop-path", 0.4, "--lr", 0, "--warmup-lr", 0, "--min-lr", 0,
                           "--aa", "rand-m9-mstd0.5-inc1", "--output_dir", cls.output)
        cls.last = os.path.join(cls.output, "last.safetensors")
        cls.images = [os.path.join(cls.data, "green", "%02d.png" % i) for i in range(3)]

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def path(self, name):
        return os.path.join(self.dir, name)

    # --- help and usage ---

    def test_help_of_every_command(self):
        listed = vitc("--help").stdout
        for command in COMMANDS:
            self.assertIn("\n  %s " % command, listed)
            text = vitc(command, "--help").stdout
            self.assertTrue(text.startswith("usage: vitc " + command), command)
            if command != "models":
                self.assertIn("example: vitc " + command, text)
        self.assertEqual([line.split()[0] for line in listed.splitlines() if line.startswith("  ")], COMMANDS)

    def test_unknown_names_have_a_suggestion(self):
        self.assertIn("did you mean predict", vitc("predcit", expect=2).error)
        for command, flag, meant in (("plan", "--batchsize", "--batch-size"), ("selftest", "--thread", "--threads"),
                                     ("predict", "--chekpoint", "--checkpoint"), ("summary", "--dept", "--depth"),
                                     ("bench", "--leger", "--ledger"), ("show-batch", "--epok", "--epoch")):
            error = vitc(command, flag, 1, expect=2).error
            self.assertIn(flag, error)
            self.assertIn(meant, error)
        for command in ("plan", "summary"):
            self.assertIn("deit_tiny_patch16_22", vitc(command, "--model", "deit_tiny_patch16_22", expect=2).error)

    def test_what_is_missing_is_named(self):
        for command, flag in (("predict", "--checkpoint"), ("plan", "--model"), ("summary", "--model"),
                              ("show-batch", "--run"), ("bench", "step")):
            self.assertIn(flag, vitc(command, expect=2).error)
        self.assertIn("no images", vitc("predict", "--checkpoint", self.last, expect=2).error)
        self.assertIn("--output", vitc("show-batch", "--run", self.output, expect=2).error)

    def test_bad_checkpoints(self):
        with open(self.last, "rb") as f:
            whole = f.read()
        header = 8 + struct.unpack("<Q", whole[:8])[0]
        bad = {"empty": b"", "text": b"not a checkpoint at all", "cut header": whole[:header // 2],
               "cut data": whole[:-1], "long": whole + b"\0", "huge header": struct.pack("<Q", 1 << 62) + whole[8:]}
        for name, content in bad.items():
            path = self.path(name)
            with open(path, "wb") as f:
                f.write(content)
            self.assertIn(path, vitc("predict", "--checkpoint", path, self.images[0], expect=2).error, name)
        self.assertIn("nowhere", vitc("predict", "--checkpoint", "nowhere", self.images[0], expect=2).error)

    # --- summary ---

    def test_summary(self):
        flags = ["--model", "deit_tiny_distilled_patch16_224"]
        self.assertIn("5910800 parameters", vitc("summary", *flags).stdout)
        s = json.loads(vitc("summary", *flags, "--batch-size", 3, "--json").stdout)
        layers = {layer["layer"]: layer for layer in s["layers"]}
        qkv = layers["blocks.11.attn.qkv"]
        self.assertEqual((qkv["input"], qkv["output"], qkv["params"]), ([3, 198, 192], [3, 198, 576], 576 * 193))
        self.assertEqual(qkv["flops"], 2 * 3 * 198 * 192 * 576)
        self.assertEqual(layers["patch_embed.proj"]["params"], 192 * (3 * 16 * 16 + 1))
        self.assertEqual(sum(layer["params"] for layer in s["layers"]), 5910800)
        self.assertEqual(s["params"], 5910800)
        self.assertIn("--num-heads", vitc("summary", *flags, "--num-heads", 5, expect=2).error)

    # --- plan ---

    def plan(self, *args):
        return json.loads(vitc("plan", *args, "--json").stdout)

    def test_plan(self):
        p = self.plan("--model", "deit_tiny_patch16_224", "--batch-size", 8)
        self.assertEqual(p["params"], 5717416)
        self.assertEqual(sum(p["bytes"].values()), p["peak_bytes"])
        self.assertEqual(p["bytes"]["activations"] + p["bytes"]["gradients"] + p["bytes"]["gaps"], p["workspace_bytes"])
        tokens, width = 197, 192
        block = 2 * tokens * width * width * 12 + 4 * tokens * tokens * width
        forward = 12 * block + 2 * 196 * 768 * width + 2 * width * 1000
        self.assertEqual(p["flops_forward"], 8 * forward)
        self.assertEqual(p["flops_step"], 8 * (3 * forward - 2 * 196 * 768 * width))  # pixels have no gradient
        text = vitc("plan", "--model", "deit_tiny_patch16_224", "--batch-size", 8).stdout
        self.assertIn(str(p["peak_bytes"]), text)

    def test_plan_follows_flags(self):
        base = ["--model", "deit_tiny_patch16_224", "--batch-size", 8]
        whole = self.plan(*base)
        self.assertEqual(self.plan(*base, "--no-model-ema")["bytes"]["ema"], 0)
        recomputed = self.plan(*base, "--recompute")
        self.assertLess(recomputed["bytes"]["activations"], whole["bytes"]["activations"] / 2)
        self.assertEqual(recomputed["flops_step"], whole["flops_step"])
        self.assertGreater(recomputed["flops_recomputed"], 0)
        cut = self.plan(*base, "--micro-batch-size", 2)
        self.assertLess(cut["workspace_bytes"], whole["workspace_bytes"])
        self.assertEqual(cut["flops_step"], whole["flops_step"])
        accumulated = self.plan(*base, "--grad-accum-steps", 32)
        self.assertEqual(accumulated["flops_step"], 32 * whole["flops_step"])
        self.assertIn("--micro-batch-size", vitc("plan", *base, "--micro-batch-size", 3, expect=2).error)
        self.assertEqual(self.plan(*TINY, "--data-path", self.data, "--batch-size", 12)["params"],
                         self.plan(*TINY, "--num-classes", 3, "--batch-size", 12)["params"])

    def test_sizes_out_of_reach(self):
        """Refused by flag, or by tensor where no one flag is to blame; never computed with numbers that overflowed."""
        base = ["plan", *TINY]
        for flag, *more in (("--img-size", 0), ("--img-size", "0x16"), ("--img-size", 1000000),
                            ("--img-size", 100000, "--patch-size", 1), ("--fit", 0), ("--mean", "nan"),
                            ("--mean", "1e300"), ("--std", 0), ("--std", -1), ("--batch-size", 0),
                            ("--micro-batch-size", 1, "--batch-size", 1 << 20),
                            ("--grad-accum-steps", 65536, "--batch-size", 1 << 20, "--micro-batch-size", 1)):
            self.assertIn(flag, vitc(*base, flag, *more, expect=2).error)
        self.assertIn("--std", vitc("bench", "step", *TINY, "--batch-size", 2, "--std", 0, expect=2).error)
        huge = ["--model", "deit_micro", "--img-size", 50000, "--patch-size", 16, "--embed-dim", 65536,
                "--mlp-ratio", 64, "--batch-size", 1 << 20]
        self.assertIn("tensor blocks.0.mlp.fc1", vitc("plan", *huge, expect=2).error)
        cut = ["--batch-size", 1 << 18, "--grad-accum-steps", 1024]
        self.assertIn("nothing fits", vitc(*base, *cut, "--fit", "1MiB", expect=1).error)  # not 2^28 micro-batches

    def test_flags_that_are_not_the_checkpoints(self):
        for command in (["eval", "--data-path", self.data], ["predict", self.images[0]]):
            run = [*command, "--checkpoint", self.last]
            for flag, value in (("--model", "deit_tiny_patch16_224"), ("--num-classes", 5), ("--img-size", 32),
                                ("--depth", 3)):
                self.assertIn(flag + " %s: " % value, vitc(*run, flag, value, expect=2).error)
            vitc(*run, *TINY)
        x = self.path("images.safetensors")
        vitc("predict", "--checkpoint", self.last, self.images[0], "--tensors", x)
        error = vitc("trace", *TINY, "--weights", x, "--inputs", x, "--output", self.path("y"), expect=2).error
        self.assertIn(x, error)
        self.assertIn("head.weight", error)

    def test_plan_fits(self):
        base = ["--model", "deit_tiny_patch16_224", "--batch-size", 64]
        previous = math.inf
        for budget in ("4GiB", "1GiB", "400MiB", "250MiB"):
            p = self.plan(*base, "--fit", budget)
            limit = int(budget[:-3]) << {"G": 30, "M": 20}[budget[-3]]
            self.assertLessEqual(p["peak_bytes"], limit)
            self.assertLessEqual(p["peak_bytes"], previous)
            previous = p["peak_bytes"]
            said = ["--micro-batch-size", p["micro_batch_size"]] + ["--recompute"] * p["recompute"]
            self.assertEqual(self.plan(*base, *said)["peak_bytes"], p["peak_bytes"])
        self.assertEqual(self.plan(*base, "--fit", "4GiB")["micro_batch_size"], 64)
        self.assertIn("nothing fits", vitc("plan", *base, "--fit", "10MiB", expect=1).error)

    @unittest.skipIf(SANITIZED, "a sanitizer's shadow memory is part of the resident set")
    def test_plan_is_what_a_step_takes(self):
        flags = ["--model", "deit_tiny_patch16_224", "--batch-size", 16]
        p = self.plan(*flags)
        planned = p["peak_bytes"] - p["bytes"]["loader"]
        step = json.loads(vitc("bench", "step", *flags, "--steps", 1, "--json", "-").stdout)
        self.assertLess(abs(step["peak_bytes"] - planned), max(0.05 * planned, 32 << 20))

    # --- bench ---

    def test_bench_step(self):
        done = vitc("bench", "step", *TINY, "--num-classes", 4, "--batch-size", 4, "--micro-batch-size", 2,
                    "--steps", 5, "--ledger", "--json", "-")
        b = json.loads(done.stdout)
        for key in ("images_per_second", "step_ms", "flops_per_image", "gflops", "peak_bytes", "sgemm_gflops",
                    "share_of_sgemm", "threads"):
            self.assertGreater(b[key], 0, key)
        self.assertEqual((b["model"], b["steps"], b["batch_size"], b["micro_batch_size"]), ("deit_micro", 5, 4, 2))
        p = self.plan(*TINY, "--num-classes", 4, "--batch-size", 4)
        self.assertEqual(b["flops_per_image"], p["flops_step"] / 4)
        self.assertAlmostEqual(b["images_per_second"], 4000 / b["step_ms"], delta=1e-6 * b["images_per_second"])
        self.assertAlmostEqual(b["share_of_sgemm"], b["gflops"] / b["sgemm_gflops"], delta=1e-6)
        self.assertAlmostEqual(sum(op["flops"] for op in b["ops"]), p["flops_step"], delta=1)

    def test_bench_to_a_file(self):
        out = self.path("bench.json")
        text = vitc("bench", "kernels,loader", *TINY, "--num-classes", 4, "--batch-size", 2, "--steps", 2,
                    "--seconds", 0.1, "--data-path", self.data, "--json", out).stdout
        with open(out) as f:
            b = json.load(f)
        self.assertEqual(sorted(b), ["kernels", "loader"])
        self.assertTrue(all(op["ms"] >= 0 and op["shape"] for op in b["kernels"]))
        self.assertTrue(any(op.get("reference_ms", 0) > 0 for op in b["kernels"]))
        self.assertGreater(b["loader"]["share_of_decode"], 0)
        self.assertGreater(b["loader"]["loader_images_per_second"], 0)
        self.assertTrue(b["loader"]["made_up"])
        self.assertIn("made-up", text)
        self.assertIn("loader", vitc("bench", "loaders", expect=2).error)
        for flag, value in (("--json", "/nowhere/b.json"), ("--data-path", "/nowhere")):  # said before the minutes pass
            self.assertIn("/nowhere", vitc("bench", "loader", *TINY, "--seconds", 500, flag, value, expect=2).error)

    def test_bench_attention(self):
        out = self.path("attention.json")
        text = vitc("bench", "attention", "--device", "cpu", "--shapes", "2,3,37,16,1,1,65,64", "--steps", 2,
                    "--sets", 2, "--gemm-side", 128, "--json", out).stdout
        with open(out) as f:
            b = json.load(f)
        self.assertGreater(b["copy_gbps"], 0)
        self.assertGreater(b["gemm_tflops"], 0)
        self.assertEqual(len(b["rows"]), 2 * 3 * 3)  # none is left out
        for r in b["rows"]:
            if r["impl"] == "cudnn":
                self.assertEqual(r["status"], "missing")
                self.assertIn("cpu", r["reason"])
                continue
            self.assertEqual((r["status"], r["reason"]), ("ok", None))
            self.assertEqual((r["runs"], r["sets"]), (2, 2))
            forward = 4 * r["batch"] * r["heads"] * r["tokens"] ** 2 * r["dim"]
            self.assertEqual(r["flops"], forward * {"fwd": 1, "bwd": 2.5, "both": 3.5}[r["direction"]])
            row = 4 * r["batch"] * r["heads"] * r["tokens"]  # bytes of a float a row
            moved = {"fwd": 4 * r["dim"] + 1, "bwd": 8 * r["dim"] + 1, "both": 12 * r["dim"] + 2}[r["direction"]]
            self.assertEqual(r["bytes"], row * moved)
            tensors = {"fwd": ["out"], "bwd": ["dk", "dq", "dv"], "both": ["dk", "dq", "dv", "out"]}[r["direction"]]
            self.assertEqual(sorted(r["errors"]), tensors)
            self.assertEqual(r["error"], max(r["errors"].values()))
            self.assertLess(r["error"], 1e-5)
            self.assertAlmostEqual(r["roofline_share"], r["floor_ms"] / r["ms"], delta=1e-6 * r["roofline_share"])
            floor = 1e3 * max(r["bytes"] / b["copy_gbps"] * 1e-9, r["flops"] / b["gemm_tflops"] * 1e-12)
            if r["direction"] != "both":
                self.assertAlmostEqual(r["floor_ms"], floor, delta=1e-6 * floor)
        self.assertIn("missing: not in this build", text)
        for wrong in ("2,3,37", "2,3,37,0", "2,x,3,4", "2,3,4,5,"):
            self.assertIn("--shapes " + wrong, vitc("bench", "attention", "--shapes", wrong, expect=2).error)
        self.assertIn("--impl", vitc("bench", "attention", "--impl", "flash", expect=2).error)

    # --- predict ---

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

    @unittest.skipUnless(os.path.exists("/dev/full"), "no /dev/full")
    def test_a_full_stdout_is_an_error(self):
        for args in (["predict", "--checkpoint", self.last, *self.images], ["summary", *TINY], ["models"],
                     ["plan", *TINY, "--batch-size", 2], ["selftest", "add"]):
            with open("/dev/full", "w") as full:
                done = subprocess.run([VITC, *map(str, args)], stdout=full, stderr=subprocess.PIPE, text=True,
                                      timeout=300)
            self.assertEqual(done.returncode, 1, args)
            self.assertIn("stdout cannot be written", done.stderr)

    # --- show-batch ---

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

    # --- augmentation ---

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

    # --- selftest, models ---

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

    def test_plan_counts_moments(self):
        def optimizer(*flags):
            plan = vitc("plan", *TINY, "--num-classes", 3, "--batch-size", 2, "--json", *flags)
            return json.loads(plan.stdout)["bytes"]["optimizer"]
        adamw = optimizer()
        self.assertEqual(optimizer("--opt", "lamb"), adamw)
        for name in ("sgd", "momentum", "lion"):
            self.assertEqual(2 * optimizer("--opt", name), adamw)
        self.assertLess(optimizer("--freeze", "blocks.*"), 0.3 * adamw)

    def test_selftest(self):
        s = json.loads(vitc("selftest", "linear", "--json").stdout)
        self.assertEqual([op["op"] for op in s["ops"]], ["linear"])
        self.assertEqual(s["failed"], 0)
        self.assertGreater(s["cases"], 1)
        self.assertIn("0 failed", vitc("selftest", "add", "--cpu", "reference").stdout)
        self.assertIn("nosuchop", vitc("selftest", "nosuchop", expect=2).error)
        self.assertIn("--cpu", vitc("selftest", "--cpu", "z80", expect=2).error)
        self.assertIn("--device", vitc("selftest", "--device", "cuda", expect=2).error)

    def test_models(self):
        names = vitc("models").stdout.split()
        self.assertIn("deit_base_distilled_patch16_384", names)
        for name in ("deit_micro", "vit_large_patch32_224"):
            self.assertIn(name, names)
            self.assertGreater(json.loads(vitc("summary", "--model", name, "--json").stdout)["params"], 0)

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
