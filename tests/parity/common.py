"""What the comparisons share: arguments, skips, runs of vitc, images to train on, and the end. No PyTorch in here."""
import argparse
import os
import struct
import subprocess
import sys
import zlib

PROBLEMS = (RuntimeError, OSError, ValueError, KeyError, IndexError, AssertionError)  # of one case; others may hold


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(77)


def parser(doc):
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--vitc", required=True, type=os.path.abspath)
    return made


def parser_of_cases(doc, cases):
    """The same with a device and names of cases; all where none is given."""
    made = parser(doc)
    made.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    made.add_argument("--case", action="append", choices=list(cases), metavar="NAME", help=", ".join(cases))
    return made


def run(*words):
    words = [str(word) for word in words]
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"exit {done.returncode}: {done.stdout.strip()[-300:]}\n    {' '.join(words)}")


def write_png(path, width, height, channels, rows):
    """Eight bits a channel, 1 or 3 of them; rows are bytes."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    header = struct.pack(">IIBBBBB", width, height, 8, 2 if channels == 3 else 0, 0, 0, 0)
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header))
        file.write(chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows))) + chunk(b"IEND", b""))


def check_all(names, check):
    """The exit status of check(name), true where it holds, for all names; says which do not."""
    failed = []
    for name in names:
        try:
            good = check(name)
        except PROBLEMS as problem:
            print(f"{name}: {problem}", flush=True)
            good = False
        failed += [] if good else [name]
    print(f"{len(failed)} of {len(names)} cases failed" + (": " + ", ".join(failed) if failed else ""))
    return 1 if failed else 0
