#!/usr/bin/env python3
"""`vitc plan`: its numbers, and what does not fit. Usage: plan.py PATH/TO/vitc"""
import json
import math
import unittest

from support import SANITIZED, TINY, Pictured, plan, vitc


class Plan(Pictured):
    def test_plan(self):
        p = plan("--model", "deit_tiny_patch16_224", "--batch-size", 8)
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
        whole = plan(*base)
        self.assertEqual(plan(*base, "--no-model-ema")["bytes"]["ema"], 0)
        recomputed = plan(*base, "--recompute")
        self.assertLess(recomputed["bytes"]["activations"], whole["bytes"]["activations"] / 2)
        self.assertEqual(recomputed["flops_step"], whole["flops_step"])
        self.assertGreater(recomputed["flops_recomputed"], 0)
        cut = plan(*base, "--micro-batch-size", 2)
        self.assertLess(cut["workspace_bytes"], whole["workspace_bytes"])
        self.assertEqual(cut["flops_step"], whole["flops_step"])
        accumulated = plan(*base, "--grad-accum-steps", 32)
        self.assertEqual(accumulated["flops_step"], 32 * whole["flops_step"])
        self.assertIn("--micro-batch-size", vitc("plan", *base, "--micro-batch-size", 3, expect=2).error)
        self.assertEqual(plan(*TINY, "--data-path", self.data, "--batch-size", 12)["params"],
                         plan(*TINY, "--num-classes", 3, "--batch-size", 12)["params"])

    def test_plan_fits(self):
        base = ["--model", "deit_tiny_patch16_224", "--batch-size", 64]
        previous = math.inf
        for budget in ("4GiB", "1GiB", "400MiB", "250MiB"):
            p = plan(*base, "--fit", budget)
            limit = int(budget[:-3]) << {"G": 30, "M": 20}[budget[-3]]
            self.assertLessEqual(p["peak_bytes"], limit)
            self.assertLessEqual(p["peak_bytes"], previous)
            previous = p["peak_bytes"]
            said = ["--micro-batch-size", p["micro_batch_size"]] + ["--recompute"] * p["recompute"]
            self.assertEqual(plan(*base, *said)["peak_bytes"], p["peak_bytes"])
        self.assertEqual(plan(*base, "--fit", "4GiB")["micro_batch_size"], 64)
        self.assertIn("nothing fits", vitc("plan", *base, "--fit", "10MiB", expect=1).error)

    def test_plan_counts_moments(self):
        def optimizer(*flags):
            return plan(*TINY, "--num-classes", 3, "--batch-size", 2, *flags)["bytes"]["optimizer"]
        adamw = optimizer()
        self.assertEqual(optimizer("--opt", "lamb"), adamw)
        for name in ("sgd", "momentum", "lion"):
            self.assertEqual(2 * optimizer("--opt", name), adamw)
        self.assertLess(optimizer("--freeze", "blocks.*"), 0.3 * adamw)

    @unittest.skipIf(SANITIZED, "a sanitizer's shadow memory is part of the resident set")
    def test_plan_is_what_a_step_takes(self):
        flags = ["--model", "deit_tiny_patch16_224", "--batch-size", 16]
        p = plan(*flags)
        planned = p["peak_bytes"] - p["bytes"]["loader"]
        step = json.loads(vitc("bench", "step", *flags, "--steps", 1, "--json", "-").stdout)
        self.assertLess(abs(step["peak_bytes"] - planned), max(0.05 * planned, 32 << 20))

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


if __name__ == "__main__":
    unittest.main()
