#!/usr/bin/env python3
"""A run that is killed and resumed ends with the same bits as one that never was; thread and worker counts change none.

usage: resume.py build/vitc        (Python's standard library alone)
"""
import json
import os
import random
import signal
import struct
import subprocess
import sys
import tempfile
import time
import zlib

VITC = os.path.abspath(sys.argv[1])
FLAGS = ["--model", "deit_micro", "--depth", "2", "--embed-dim", "32", "--num-heads", "2", "--in-chans", "1",
         "--epochs", "10", "--batch-size", "8", "--micro-batch-size", "4", "--grad-accum-steps", "2", "--clip-grad",
         "1", "--drop", "0.1", "--num-workers", "2", "--device", "cpu", "--aa", "rand-m9-mstd0.5-inc1", "--reprob",
         "0.5", "--recount", "2", "--mixup", "0.8", "--cutmix", "1", "--mixup-mode", "elem", "--mixup-off-epoch", "8"]
failures = 0


def check(ok, what):
    global failures
    print("ok  " if ok else "FAIL", what, flush=True)
    failures += not ok


def write_png(path, pixels, size):
    rows = b"".join(b"\0" + bytes(pixels[y * size:(y + 1) * size]) for y in range(size))
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    with open(path, "wb") as f:
        f.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", size, size, 8, 0, 0, 0, 0)) +
                chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def make_data(root):
    """Three classes of noise with a bright band, 40 images each, as one flat set of class folders."""
    rng = random.Random(1)
    for c in range(3):
        os.makedirs(f"{root}/class{c}")
        for i in range(40):
            pixels = [min(255, rng.randrange(120) + (100 if y // 10 == c else 0)) for y in range(30) for _ in range(30)]
            write_png(f"{root}/class{c}/{i}.png", pixels, 30)


def read(path):
    """name -> bytes, and the metadata."""
    with open(path, "rb") as f:
        data = f.read()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    meta = header.pop("__metadata__")
    body = data[8 + size:]
    return {n: body[t["data_offsets"][0]:t["data_offsets"][1]] for n, t in header.items()}, meta


def command(data, out, *more):
    return [VITC, "train", "--data-path", data, "--output_dir", out, *FLAGS, *more]


def train(data, out, *more):
    done = subprocess.run(command(data, out, *more), capture_output=True, text=True)
    if done.returncode:
        print(done.stdout[-2000:], done.stderr)
    check(done.returncode == 0, f"exit 0: {' '.join(more) or 'plain run'}")
    return done


def same(a, b, what):
    (x, mx), (y, my) = read(a), read(b)
    check(x.keys() == y.keys() and all(x[n] == y[n] for n in x), what + ": the same tensors")
    px, py = json.loads(mx["vitc.progress"]), json.loads(my["vitc.progress"])
    check(px["step"] == py["step"] and px["epoch"] == py["epoch"], what + ": the same position")


def losses(run):
    keep = ("epoch", "train_loss", "test_loss", "test_acc1", "test_ema_acc1", "train_lr")
    with open(f"{run}/log.txt") as f:
        return [{k: v for k, v in json.loads(line).items() if k in keep} for line in f]


def epochs_logged(run):
    try:
        with open(f"{run}/log.txt") as f:
            return len(f.readlines())
    except OSError:
        return 0


def kill_and_resume(data, out, rng, epoch):
    """Kills three times, each at a random moment of the epoch (of so many seconds) behind a new one, then lets the run
    end. False where it ended by itself before it was killed, as on a busy machine it may: nothing is shown then."""
    for kills in range(4):
        process = subprocess.Popen(command(data, out, "--resume", "auto", "--save-steps", "2"), stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        if kills < 3:
            before = epochs_logged(out)
            while process.poll() is None and epochs_logged(out) <= before:
                time.sleep(0.001)
            time.sleep(rng.uniform(0, epoch))
            process.send_signal(signal.SIGKILL)
        text, errors = process.communicate()
        for name in os.listdir(out):
            if name.endswith(".safetensors") and not name.startswith("."):
                read(f"{out}/{name}")  # raises where a file was left cut off
        if kills < 3 and process.returncode == 0:
            return False
        want = -signal.SIGKILL if kills < 3 else 0
        check(process.returncode == want,
              f"exit status {process.returncode} of run {kills}, at epoch {epochs_logged(out)}: {errors.strip()}")
    return True


def killed_run(data, root, epoch):
    """The folder of a run that was killed three times."""
    for attempt in range(5):
        seed = int.from_bytes(os.urandom(4), "little")
        print(f"kill moments by seed {seed}")
        out = f"{root}/killed-{attempt}"
        os.makedirs(out)  # as a run leaves it that was killed before its first checkpoint
        open(f"{out}/args.yaml", "w").close()
        if kill_and_resume(data, out, random.Random(seed), epoch):
            return out
    check(False, "five runs ended before they were killed")
    return out


# Flags, and the roles that moments have in checkpoints.
OPTIMIZERS = [(["--opt", "adamw", "--layer-decay", "0.7", "--freeze", "blocks.0.*,patch_embed.proj.bias"],
               ["exp_avg", "exp_avg_sq"]),
              (["--opt", "lamb", "--model-ema-warmup"], ["exp_avg", "exp_avg_sq"]),
              (["--opt", "sgd", "--attn-only", "--sched", "linear"], ["momentum_buffer"]),
              (["--opt", "lion", "--opt-betas", "0.8,0.9", "--sched", "step", "--decay-epochs", "1"], ["exp_avg"])]


def check_moments(path, flags, roles):
    tensors = read(path)[0]
    params = [name for name in tensors if not name.startswith(("opt.", "ema."))]
    trained = [name for name in params if "--freeze" not in flags or not name.startswith("blocks.0.") and
               name != "patch_embed.proj.bias"]
    if "--attn-only" in flags:
        trained = [name for name in params if ".attn." in name or name in ("head.weight", "head.bias", "pos_embed")]
    want = sorted(f"opt.{role}.{name}" for role in roles for name in trained)
    check(sorted(name for name in tensors if name.startswith("opt.")) == want,
          f"{flags[1]}: moments of what is trained")
    check(sum(name.startswith("ema.") for name in tensors) == len(params), f"{flags[1]}: an average of everything")


def refused(data, out, flags, part, what):
    done = subprocess.run(command(data, out, *flags), capture_output=True, text=True)
    check(done.returncode == 2 and part in done.stderr, what)


def optimizers(data, root):
    """Each ends after 13 steps and goes on, with the flags that are recorded alone."""
    for flags, roles in OPTIMIZERS:
        whole, parts = (f"{root}/{flags[1]}-{name}" for name in ("whole", "parts"))
        train(data, whole, *flags, "--max-steps", "20")
        train(data, parts, *flags, "--max-steps", "13")
        train(data, parts, "--resume", "auto", "--max-steps", "20")
        same(f"{whole}/last.safetensors", f"{parts}/last.safetensors", f"{flags[1]} resumed")
        check_moments(f"{whole}/last.safetensors", flags, roles)
    refused(data, parts, ["--resume", "auto", "--opt", "sgd"], "--opt", "another optimizer is refused on resume")


def main():
    with tempfile.TemporaryDirectory() as root:
        data = f"{root}/data"
        make_data(data)
        start = time.monotonic()
        train(data, f"{root}/whole")
        epoch = (time.monotonic() - start) / len(losses(f"{root}/whole"))

        train(data, f"{root}/threads", "--threads", "1", "--num-workers", "0")
        same(f"{root}/whole/last.safetensors", f"{root}/threads/last.safetensors", "1 thread, no workers")
        train(data, f"{root}/recompute", "--recompute")
        same(f"{root}/whole/last.safetensors", f"{root}/recompute/last.safetensors", "recomputed activations")

        optimizers(data, root)

        killed = killed_run(data, root, epoch)
        same(f"{root}/whole/last.safetensors", f"{killed}/last.safetensors", "killed and resumed")
        check(losses(f"{root}/whole") == losses(killed), "killed and resumed: the same log")

        process = subprocess.Popen(command(data, f"{root}/stopped"), stdout=subprocess.PIPE, text=True)
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        text = process.communicate()[0]
        check(process.returncode == 0 and "stopped after step" in text, "SIGTERM finishes the step, saves and exits 0")
        train(data, f"{root}/stopped", "--resume", "auto")
        same(f"{root}/whole/last.safetensors", f"{root}/stopped/last.safetensors", "stopped and resumed")

        refused(data, f"{root}/whole", [], "--overwrite", "a used folder is refused")
        again = ["--resume", "auto"]
        refused(data, f"{root}/whole", [*again, "--mixup", "0.5"], "--mixup", "another mixup is refused on resume")
        refused(data, f"{root}/whole", [*again, "--lr", "0.1"], "--lr", "a changed setting is refused on resume")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
