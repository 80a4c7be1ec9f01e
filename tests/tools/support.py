"""What the tests of the commands are written with: the program, image files made with the standard library alone,
tensors, and what classes of tests begin with."""
import json
import os
import struct
import subprocess
import sys
import tempfile
import unittest
import zlib

VITC = os.path.abspath(sys.argv.pop(1)) if len(sys.argv) > 1 and not sys.argv[1].startswith("-") else "build/vitc"
TINY = "--model deit_micro --img-size 16 --patch-size 8 --embed-dim 32 --depth 2 --num-heads 2".split()
with open(VITC, "rb") as binary:
    content = binary.read()
SANITIZED = b"__asan_init" in content or b"__tsan_init" in content


def png(path, width, height, pixel):
    """An 8-bit RGB file; pixel(x, y) -> (r, g, b)."""
    rows = b"".join(b"\0" + bytes(v for x in range(width) for v in pixel(x, y)) for y in range(height))

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    with open(path, "wb") as f:
        f.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)))
        f.write(chunk(b"IEND", b""))


def picture(path, number, i, width, height):
    """The i-th image of class `number` of three: mostly of its colour, with a gradient."""
    colour = [30 + 7 * i, 40, 50]
    colour[2 - number] = 200
    png(path, width, height, lambda x, y: [(v + 5 * x + 3 * y) % 256 for v in colour])


def png_size(path):
    with open(path, "rb") as f:
        start = f.read(24)
    assert start[:8] == b"\x89PNG\r\n\x1a\n", path
    return struct.unpack(">II", start[16:24])


def png_colours(path):
    """The set of colours of an RGB file whose rows use any filter."""
    with open(path, "rb") as f:
        data = f.read()
    at, packed, (width, height) = 8, b"", png_size(path)
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at:at + 8])
        if kind == b"IDAT":
            packed += data[at + 8:at + 8 + size]
        at += 12 + size
    raw, above, colours = zlib.decompress(packed), bytearray(3 * width), set()
    for y in range(height):
        kind, row = raw[y * (3 * width + 1)], bytearray(raw[y * (3 * width + 1) + 1:(y + 1) * (3 * width + 1)])
        for i in range(3 * width):
            a, b, c = row[i - 3] if i > 2 else 0, above[i], above[i - 3] if i > 2 else 0
            p = a + b - c
            paeth = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]
            row[i] = (row[i] + (0, a, b, (a + b) // 2, paeth)[kind]) & 255
        colours.update(tuple(row[i:i + 3]) for i in range(0, 3 * width, 3))
        above = row
    return colours


def tensors(path):
    """{name: (shape, values)} of a safetensors file of f32."""
    with open(path, "rb") as f:
        data = f.read()
    size = struct.unpack("<Q", data[:8])[0]
    found = {}
    for name, t in json.loads(data[8:8 + size]).items():
        if name != "__metadata__":
            begin, end = t["data_offsets"]
            values = data[8 + size + begin:8 + size + end]
            found[name] = (t["shape"], struct.unpack("<%df" % (len(values) // 4), values))
    return found


def vitc(*args, expect=0):
    """Runs the program; a failure is one line on stderr that begins as it must."""
    done = subprocess.run([VITC, *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=300)
    assert done.returncode == expect, (args, done.returncode, done.stdout[-2000:], done.stderr[-2000:])
    errors = [line for line in done.stderr.splitlines() if line.startswith("vitc: error: ")]
    assert len(errors) == (1 if expect else 0), (args, done.stderr)
    done.error = errors[0] if errors else ""
    return done


def plan(*args):
    return json.loads(vitc("plan", *args, "--json").stdout)


class Foldered(unittest.TestCase):
    """Tests with a folder of their own, self.dir."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.dir = cls.folder.name

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    @classmethod
    def path(cls, name):
        return os.path.join(cls.dir, name)


class Pictured(Foldered):
    """The same with 20 images of each of three classes, in self.data."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.data = cls.path("data")
        for number, name in enumerate(("blue sky", "green", "red")):
            os.makedirs(os.path.join(cls.data, name))
            for i in range(20):
                picture(os.path.join(cls.data, name, "%02d.png" % i), number, i, 20, 16 + i % 3)


class Trained(Pictured):
    """The same with a run on them, self.output, whose weights stay as they began; its last checkpoint, some images."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.output = cls.path("run")
        vitc("train", *TINY, "--data-path", cls.data, "--epochs", 2, "--batch-size", 12, "--micro-batch-size", 6,
             "--drop-path", 0.4, "--lr", 0, "--warmup-lr", 0, "--min-lr", 0, "--aa", "rand-m9-mstd0.5-inc1",
             "--output_dir", cls.output)
        cls.last = os.path.join(cls.output, "last.safetensors")
        cls.images = [os.path.join(cls.data, "green", "%02d.png" % i) for i in range(3)]
