#!/usr/bin/env python3
"""GEMM algorithms are searched once, kept in a file, and go with a run: on the fake device, whose algorithms differ in
their last bits.

usage: gemm_choices.py build/tests/simt/vitc-simt        (Python's standard library alone)
"""
import os
import re
import sys
import tempfile

import simt

VITC = os.path.abspath(sys.argv[1])


def main():
    check = simt.Checks()
    with tempfile.TemporaryDirectory() as root:
        simt.make_data(f"{root}/data")

        def train(name, *more, cache="", fastest=None):
            """Steps of a small model; what the fake device reports at exit, and all that was said."""
            done = simt.run([VITC, "train", "--data-path", f"{root}/data", "--output_dir", f"{root}/{name}",
                             *simt.MODEL, "--epochs", "4", "--device", "cuda", *more],
                            VT_CACHE_DIR=cache and f"{root}/{cache}",
                            VT_FAKE_FASTEST="" if fastest is None else str(fastest))
            check(done.returncode == 0, f"{name}: exit 0", done.stderr)
            return int(re.search(r"algorithms asked for (\d+) times", done.stderr).group(1)), done

        def bits(name):
            return simt.read(f"{root}/{name}/last.safetensors")[1]

        # The file.
        cold, _ = train("cold", "--max-steps", "1", cache="kept")
        check(cold > 0, "without a file there is a search")
        files = os.listdir(f"{root}/kept")
        check(len(files) == 1, f"one file: {files}")
        check("sm_80" in files[0] and "cuBLASLt" in files[0], f"named by its key: {files}")
        path = f"{root}/kept/{files[0]}"
        whole = open(path).read()
        warm, done = train("warm", "--max-steps", "1", cache="kept", fastest=2)
        check("note" not in done.stderr, "none of its algorithms is refused", done.stderr)
        check(warm == 0, f"with the file there is none ({warm})")
        check(bits("warm") == bits("cold"), "the same bits")
        check(open(path).read() == whole, "the file stays as it is")
        train("wider", "--max-steps", "1", "--mlp-ratio", "3", cache="kept")
        more = open(path).read()
        check(set(whole.split("\n")[:-2]) < set(more.split("\n")), "new shapes join it")
        off, _ = train("off", "--max-steps", "1")
        check(off == cold, "an empty VT_CACHE_DIR turns it off")

        # What is not understood.
        middle = len(whole) // 2
        for what, text in (("cut short", whole[:middle]),
                           ("a digit changed", whole.replace(" 1 0 BF16", " 0 1 BF16", 1)),
                           ("no such file", "something else\n"), ("empty", ""),
                           ("another key", whole.replace("driver 1", "driver 2")), ("bytes", "\0\xff" * 99)):
            with open(path, "w", encoding="latin-1") as f:
                f.write(text)
            asked, done = train("again", "--overwrite", "--max-steps", "1", cache="kept")
            notes = [line for line in done.stderr.split("\n") if files[0] in line]
            check(asked == cold and len(notes) == 1, f"{what}: told in a line, searched again", done.stderr)
            check(open(path).read() == whole, f"{what}: the file is whole again")
        # Algorithms that this cuBLASLt does not take: the sum is right, the algorithm's tag is not.
        lines = [re.sub(r"[0-9a-f]{128}", lambda hex: "f" * 128, line) for line in whole.split("\n")[:-2]]
        text = "\n".join(lines) + "\n"
        hash = 14695981039346656037
        for byte in text.encode():
            hash = (hash ^ byte) * 1099511628211 % 2**64
        with open(path, "w") as f:
            f.write(text + f"sum {hash:016x}\n")
        asked, done = train("refused", "--max-steps", "1", cache="kept")
        check(done.stderr.count("refuses") > 0, "refused algorithms are told", done.stderr)
        check(asked == cold and open(path).read() == whole, "refused algorithms are searched again")
        _, done = train("no-folder", "--max-steps", "1", cache="data/train-images-idx3-ubyte")
        check("are not kept" in done.stderr, "a file that cannot be written is told", done.stderr)

        # A run that goes on elsewhere.
        train("whole", "--max-steps", "6", cache="one", fastest=0)
        train("other", "--max-steps", "6", cache="two", fastest=2)
        metadata = simt.read(f"{root}/whole/last.safetensors")[0]["__metadata__"]
        check(metadata["vitc.gemm_algorithms"] == open(f"{root}/one/{files[0]}").read(),
              "the checkpoint names the algorithms, as the file does")
        check(bits("other") != bits("whole"), "and another outcome has other bits")
        train("parts", "--max-steps", "3", cache="three", fastest=0)
        asked, _ = train("parts", "--max-steps", "6", "--resume", "auto", cache="four", fastest=2)
        check(asked == 0, "a resumed run searches nothing")
        check(bits("parts") == bits("whole"), "and has the bits of one that was never stopped")
        # On another device it goes on, and says so.
        os.environ["VT_FAKE_ARCH"] = "90"
        _, done = train("parts", "--max-steps", "7", "--resume", "auto", cache="four")
        check("another device or library" in done.stdout, "algorithms of another device are told", done.stdout)
    return check.failures > 0


if __name__ == "__main__":
    sys.exit(main())
