#!/usr/bin/env python3
"""Every command's help, what it says of mistakes, and the small commands. Usage: commands.py PATH/TO/vitc"""
import json
import os
import struct
import subprocess
import unittest

from support import TINY, VITC, Trained, vitc

COMMANDS = "train eval predict plan check summary trace bench selftest show-batch models".split()


class Commands(Trained):
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

    @unittest.skipUnless(os.path.exists("/dev/full"), "no /dev/full")
    def test_a_full_stdout_is_an_error(self):
        for args in (["predict", "--checkpoint", self.last, *self.images], ["summary", *TINY], ["models"],
                     ["plan", *TINY, "--batch-size", 2], ["selftest", "add"]):
            with open("/dev/full", "w") as full:
                done = subprocess.run([VITC, *map(str, args)], stdout=full, stderr=subprocess.PIPE, text=True,
                                      timeout=300)
            self.assertEqual(done.returncode, 1, args)
            self.assertIn("stdout cannot be written", done.stderr)

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

    def test_models(self):
        names = vitc("models").stdout.split()
        self.assertIn("deit_base_distilled_patch16_384", names)
        for name in ("deit_micro", "vit_large_patch32_224"):
            self.assertIn(name, names)
            self.assertGreater(json.loads(vitc("summary", "--model", name, "--json").stdout)["params"], 0)

    def test_selftest(self):
        s = json.loads(vitc("selftest", "linear", "--json").stdout)
        self.assertEqual([op["op"] for op in s["ops"]], ["linear"])
        self.assertEqual(s["failed"], 0)
        self.assertGreater(s["cases"], 1)
        self.assertIn("0 failed", vitc("selftest", "add", "--cpu", "reference").stdout)
        self.assertIn("nosuchop", vitc("selftest", "nosuchop", expect=2).error)
        self.assertIn("--cpu", vitc("selftest", "--cpu", "z80", expect=2).error)
        self.assertIn("--device", vitc("selftest", "--device", "cuda", expect=2).error)


if __name__ == "__main__":
    unittest.main()
