"""What the tests of vitc on the fake device share."""
import json
import os
import random
import struct
import subprocess

MODEL = ["--model", "deit_micro", "--depth", "1", "--embed-dim", "32", "--num-heads", "2", "--in-chans", "1",
         "--batch-size", "8", "--num-workers", "1"]


class Checks:
    """check(holds, what, more): prints, counts failures."""
    failures = 0

    def __call__(self, holds, what, more=""):
        print("ok  " if holds else "FAIL", what, flush=True)
        if not holds and more:
            print(more)
        self.failures += not holds


def run(command, **environment):
    """The finished process; VT_CACHE_DIR is empty unless given."""
    env = {**os.environ, "VT_CACHE_DIR": "", "VT_FAKE_REPORT": "1", **environment}
    return subprocess.run(command, capture_output=True, text=True, env=env)


def read(path):
    """A checkpoint's header, and its tensors' bytes."""
    with open(path, "rb") as f:
        data = f.read()
    size = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8:8 + size]), data[8 + size:]


def make_data(folder, train=64, val=16):
    """Three classes of noise with a bright band, as MNIST's files."""
    rng = random.Random(1)
    os.makedirs(folder)
    for name, n in (("train", train), ("t10k", val)):
        labels = bytes(rng.randrange(3) for _ in range(n))
        pixels = bytes(min(255, rng.randrange(120) + (100 if y // 10 == label else 0))
                       for label in labels for y in range(28) for x in range(28))
        with open(f"{folder}/{name}-images-idx3-ubyte", "wb") as f:
            f.write(struct.pack(">IIII", 2051, n, 28, 28) + pixels)
        with open(f"{folder}/{name}-labels-idx1-ubyte", "wb") as f:
            f.write(struct.pack(">II", 2049, n) + labels)
