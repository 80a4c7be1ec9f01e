#!/usr/bin/env python3
"""`vitc bench`. Usage: bench.py PATH/TO/vitc"""
import json
import unittest

from support import TINY, Pictured, plan, vitc


class Bench(Pictured):
    def test_bench_step(self):
        done = vitc("bench", "step", *TINY, "--num-classes", 4, "--batch-size", 4, "--micro-batch-size", 2,
                    "--steps", 5, "--ledger", "--json", "-")
        b = json.loads(done.stdout)
        for key in ("images_per_second", "step_ms", "flops_per_image", "gflops", "peak_bytes", "sgemm_gflops",
                    "share_of_sgemm", "threads"):
            self.assertGreater(b[key], 0, key)
        self.assertEqual((b["model"], b["steps"], b["batch_size"], b["micro_batch_size"]), ("deit_micro", 5, 4, 2))
        p = plan(*TINY, "--num-classes", 4, "--batch-size", 4)
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


if __name__ == "__main__":
    unittest.main()
