#!/usr/bin/env python3
"""Class weights, BCE's threshold and distillation as a user meets them: runs, resuming, errors. Usage: losses.py
PATH/TO/vitc"""
import json
import os
import shutil
import struct
import unittest

from support import TINY, Foldered, picture, vitc

COUNTS = (24, 12, 6)  # training images of each class
FLAGS = ["--epochs", 2, "--batch-size", 8, "--micro-batch-size", 4, "--drop-path", 0.2, "--lr", 0.01]


def read(path):
    """({name: bytes}, metadata) of a safetensors file."""
    with open(path, "rb") as f:
        data = f.read()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    meta = header.pop("__metadata__", {})
    return {name: data[8 + size + t["data_offsets"][0]:8 + size + t["data_offsets"][1]]
            for name, t in header.items()}, meta


def make_bare(path, checkpoint):
    """The same tensors without metadata, as timm's files have them."""
    with open(checkpoint, "rb") as f:
        data = f.read()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    header["__metadata__"] = {"format": "pt"}
    text = json.dumps(header).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data[8 + size:])


class Losses(Foldered):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.data = cls.path("data")
        for number, name in enumerate(("blue", "green", "red")):
            for part, count in ("train", COUNTS[number]), ("val", 4):
                os.makedirs(os.path.join(cls.data, part, name))
                for i in range(count):
                    picture(os.path.join(cls.data, part, name, "%02d.png" % i), number, i, 16, 16)
        cls.teacher = cls.run_of("teacher") + "/best.safetensors"
        cls.plain = cls.run_of("plain", "--seed", 1)

    @classmethod
    def run_of(cls, name, *more, model=TINY):
        vitc("train", *model, "--data-path", cls.data, "--output_dir", cls.path(name), *FLAGS, *more)
        return cls.path(name)

    def text(self, name, content):
        with open(self.path(name), "w") as f:
            f.write(content)
        return self.path(name)

    def same(self, a, b):
        x, y = read(a + "/last.safetensors")[0], read(b + "/last.safetensors")[0]
        self.assertEqual(x.keys(), y.keys())
        self.assertEqual([name for name in x if x[name] != y[name]], [])

    def refused(self, *args, says):
        error = vitc("train", *TINY, "--data-path", self.data, "--output_dir", self.path("refused"), *FLAGS, *args,
                     expect=2).error
        for text in says:
            self.assertIn(text, error)
        self.assertFalse(os.path.exists(self.path("refused")), error)

    # --- class weights ---

    def test_automatic_weights_balance_the_classes(self):
        auto = self.run_of("auto", "--seed", 1, "--class-weights", "auto")
        meta = read(auto + "/last.safetensors")[1]
        n, k = sum(COUNTS), len(COUNTS)
        weights = json.loads(meta["vitc.class_weights"])
        self.assertEqual(["%.6f" % w for w in weights], ["%.6f" % (n / (k * count)) for count in COUNTS])
        given = self.run_of("given", "--seed", 1, "--class-weights",
                            self.text("w.txt", "".join("%.9g\n" % w for w in weights)))
        self.same(auto, given)
        ones = self.run_of("ones", "--seed", 1, "--class-weights", self.text("ones.txt", "1, 1,1"))
        self.same(self.plain, ones)
        with self.assertRaises(AssertionError):
            self.same(self.plain, auto)

    def test_a_run_goes_on_with_the_weights_it_had(self):
        file = self.text("gone.txt", "1\n2\n3\n")
        flags = ["--seed", 1, "--class-weights", file]
        whole = self.run_of("weighted", *flags)
        part = self.run_of("weighted-part", *flags, "--max-steps", 4)
        os.remove(file)
        self.run_of("weighted-part", "--seed", 1, "--resume", "auto", "--max-steps", 0)
        self.same(whole, part)

    def test_bad_weights_are_refused(self):
        for content, says in (("1\n2\n", ["2 numbers", "3 classes"]), ("1,2,3,4", ["4 numbers"]), ("", ["0 numbers"]),
                              ("1\n-2\n3\n", ["line 2", "-2"]), ("1\n2\nnan\n", ["line 3", "nan"]),
                              ("1\n\n1e99 3", ["line 3", "1e+99"]), ("1\ntwo\n3\n", ["line 2", "two is not a number"]),
                              ("1\0 2 3", ["not a text file"])):
            file = self.text("bad.txt", content)
            self.refused("--class-weights", file, says=["--class-weights " + file, *says])
        self.refused("--class-weights", self.path("absent"), says=["--class-weights", self.path("absent")])
        self.refused("--class-weights", "auto", "--num-classes", 4, says=["--class-weights auto", "class 3"])
        error = vitc("plan", *TINY, "--num-classes", 3, "--class-weights", "auto", expect=2).error
        self.assertIn("--data-path", error)

    # --- BCE ---

    def test_a_threshold_undoes_smoothing(self):
        hard = self.run_of("hard", "--bce-loss", "--smoothing", 0.2, "--bce-target-thresh", 0.3)
        plain = self.run_of("unsmoothed", "--bce-loss", "--smoothing", 0)
        self.same(hard, plain)
        self.refused("--bce-target-thresh", 0.2, says=["--bce-target-thresh 0.2", "--bce-loss"])

    # --- a teacher ---

    def test_distillation_changes_the_student_alone(self):
        flags = ["--seed", 1, "--teacher-path", self.teacher, "--distillation-type"]
        soft, hard = self.run_of("soft", *flags, "soft", "--distillation-tau", 2), self.run_of("hard-t", *flags, "hard")
        tensors = [read(run + "/last.safetensors")[0] for run in (self.plain, soft, hard)]
        self.assertEqual(tensors[0].keys(), tensors[1].keys())
        self.assertEqual(len({t["head_dist.weight"] for t in tensors}), 3)
        recipe = json.loads(read(hard + "/last.safetensors")[1]["vitc.recipe"])
        self.assertEqual((recipe["teacher_path"], recipe["distillation_type"]), (self.teacher, "hard"))
        self.same(soft, self.run_of("soft-recomputed", *flags, "soft", "--distillation-tau", 2, "--recompute"))
        with self.assertRaises(AssertionError):
            self.same(soft, self.run_of("soft-cold", *flags, "soft", "--distillation-tau", 1))

    def test_without_a_share_the_teacher_says_nothing_to_a_student_of_one_head(self):
        model = [*TINY, "--model", "vit_tiny_patch16_224"]
        flags = ["--teacher-path", self.teacher, "--distillation-type", "soft", "--distillation-alpha"]
        plain = self.run_of("one-head", model=model)
        self.same(plain, self.run_of("one-head-0", *flags, 0, model=model))
        with self.assertRaises(AssertionError):
            self.same(plain, self.run_of("one-head-1", *flags, 0.5, model=model))

    def test_a_distilled_run_goes_on_to_the_same_bits(self):
        teacher = self.path("moved.safetensors")
        shutil.copy(self.teacher, teacher)
        flags = ["--seed", 1, "--class-weights", "auto", "--teacher-path", teacher, "--distillation-type", "hard"]
        whole = self.run_of("whole", *flags)
        part = self.run_of("part", *flags, "--max-steps", 3)
        os.remove(teacher)
        going_on = ["train", *TINY, "--data-path", self.data, "--output_dir", part, "--resume", "auto", "--max-steps",
                    0]
        self.assertIn(teacher, vitc(*going_on, expect=2).error)
        self.assertIn("--distillation-type", vitc(*going_on, "--distillation-type", "soft", expect=2).error)
        vitc(*going_on, "--teacher-path", self.teacher)
        self.same(whole, part)

    def test_a_bare_teacher_is_named(self):
        micro = ["--model", "deit_micro", "--img-size", 28, "--depth", 6]
        full = self.run_of("micro", "--max-steps", 1, "--in-chans", 1, model=micro) + "/best.safetensors"
        bare = self.path("bare.safetensors")
        make_bare(bare, full)
        flags = ["--max-steps", 2, "--in-chans", 1, "--distillation-type", "soft"]
        model = [*TINY, "--img-size", 28, "--patch-size", 4]
        a = self.run_of("of-checkpoint", *flags, "--teacher-path", full, model=model)
        b = self.run_of("of-bare", *flags, "--teacher-path", bare, "--teacher-model", "deit_micro", model=model)
        self.same(a, b)
        for more, says in ((["--teacher-path", bare], ["--teacher-model"]),
                           (["--teacher-path", bare, "--teacher-model", "deit_macro"], ["--teacher-model deit_macro"]),
                           (["--teacher-path", bare, "--teacher-model", "deit_tiny_patch16_224"],
                            ["--teacher-model deit_tiny_patch16_224", "width 96"]),
                           (["--teacher-path", full, "--teacher-model", "deit_tiny_patch16_224"],
                            ["--teacher-model deit_tiny_patch16_224", "holds a deit_micro"])):
            self.refused(*model[len(TINY):], *flags, *more, says=says)

    def test_what_does_not_fit_together_is_refused(self):
        teach = ["--distillation-type", "hard", "--teacher-path"]
        self.refused("--distillation-type", "hard", says=["--distillation-type hard", "--teacher-path"])
        self.refused("--teacher-path", "t", says=["--teacher-path t", "--distillation-type"])
        self.refused("--teacher-model", "deit_micro", says=["--teacher-model deit_micro", "--distillation-type"])
        self.refused("--distillation-type", "mild", says=["--distillation-type", "mild", "soft"])
        self.refused(*teach, self.teacher, "--distillation-alpha", 1.5, says=["--distillation-alpha"])
        self.refused(*teach, self.teacher, "--distillation-tau", 0, says=["--distillation-tau"])
        self.refused(*teach, self.path("absent"), says=["--teacher-path", self.path("absent")])
        self.refused(*teach, self.text("no.safetensors", "no"), says=["--teacher-path", "no.safetensors"])
        self.refused(*teach, self.teacher, "--img-size", 24,
                     says=["--teacher-path " + self.teacher, "16x16", "24x24", "--img-size 16x16"])
        self.refused(*teach, self.teacher, "--in-chans", 1, says=["--teacher-path " + self.teacher, "--in-chans 3"])
        self.refused(*teach, self.teacher, "--num-classes", 4, says=["--teacher-path " + self.teacher, "3 classes"])
        other = self.path("other")
        shutil.copytree(self.data, other)
        for part in "train", "val":
            os.rename(os.path.join(other, part, "green"), os.path.join(other, part, "mauve"))
        self.refused("--data-path", other, *teach, self.teacher,
                     says=["--teacher-path " + self.teacher, '"green"', '"mauve"'])

    # --- other commands ---

    def test_the_plan_counts_the_teacher(self):
        plan = ["plan", *TINY, "--num-classes", 3, "--json"]
        alone = json.loads(vitc(*plan).stdout)
        flags = ["--distillation-type", "soft", "--teacher-path", self.teacher]
        taught = json.loads(vitc(*plan, *flags).stdout)
        self.assertEqual(alone["bytes"]["teacher"], 0)
        self.assertEqual(taught["bytes"]["teacher"], alone["bytes"]["parameters"])
        self.assertEqual(taught["flops_step"] - alone["flops_step"], alone["flops_forward"])
        bench = json.loads(vitc("bench", "step", *TINY, "--num-classes", 3, *flags, "--steps", 2, "--json", "-").stdout)
        self.assertGreater(bench["images_per_second"], 0)


if __name__ == "__main__":
    unittest.main()
