#!/usr/bin/env python3
"""What is learned in a few epochs from scratch: vitc with the full recipe beside PyTorch with timm's transforms and
Mixup, and vitc with each ingredient alone beside a plain baseline, over seeds.

deit_micro (width 96, depth 6, the mean of two heads) on 10,000 images of Fashion-MNIST (28 px, patches of 7) and of
CIFAR-10 (32 px, patches of 8), and on 1,500 of the sign digits (64 px, patches of 16): 16 patches each, three channels.
Accuracy is that of the last epoch on the whole test set, of the weights and of their average (EMA). Batch 100, AdamW,
LR 1e-3 by cosine after 10 % of warm-up, weight decay 0.05, an average over about an epoch. Both sides take as many
steps from the same distribution of initial weights; learning_torch.py is PyTorch's side.

Runs are single-threaded processes, --jobs of them at a time; each that ends is written to --work/results.json, and what
is there is not run again. Wants a Python with torch, timm and torchvision, and zstd where a data set is so compressed.

  scripts/compare_learning.py --fashion-mnist DIR --cifar10 DIR|TAR --sign-digits DIR|TAR --work DIR --jobs 2
"""
import argparse
import concurrent.futures
import gzip
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TORCH_SIDE = os.path.join(ROOT, "scripts", "learning_torch.py")
CLASSES, BATCH, LR, WARMUP_LR, MIN_LR, DECAY, MEAN, STD = 10, 100, 1e-3, 1e-6, 1e-5, 0.05, 0.5, 0.25
DATA = {  # epochs: about as many samples each
    "fashion": dict(title="Fashion-MNIST", size=28, patch=7, epochs=10, images=10000),
    "cifar": dict(title="CIFAR-10", size=32, patch=8, epochs=10, images=10000),
    "signs": dict(title="sign digits", size=64, patch=16, epochs=40, images=1500),
}
PLAIN = {"hflip": 0, "scale": (1, 1), "ratio": (1, 1), "aa": "none", "color-jitter": 0, "reprob": 0, "mixup": 0,
         "cutmix": 0, "smoothing": 0, "drop-path": 0}
CROPS, RAND = {"scale": (0.6, 1), "ratio": (3 / 4, 4 / 3)}, {"aa": "rand-m9-mstd0.5-inc1"}
INGREDIENTS = {  # what differs from PLAIN
    "plain": {}, "flips": {"hflip": 0.5}, "crops": CROPS, "RandAugment": RAND, "ThreeAugment": {"aa": "3a"},
    "erasing": {"reprob": 0.25}, "mixup": {"mixup": 0.8}, "cutmix": {"cutmix": 1.0}, "smoothing": {"smoothing": 0.1},
    "drop-path": {"drop-path": 0.1},
}
FULL = {"hflip": 0.5, **CROPS, **RAND, "reprob": 0.25, "mixup": 0.8, "cutmix": 1.0, "smoothing": 0.1, "drop-path": 0.1}
TEACHER = {"hflip": 0.5, **CROPS}  # trained twice as long


def fail(message):
    raise SystemExit(f"compare_learning: error: {message}")


# ---- the data sets, cut down, in forms that vitc reads ---------------------------------------------------------------


def unpacked(path, folder):
    """The folder of a data set that is given as such or as an archive."""
    if os.path.isdir(path):
        return path
    if not os.path.isdir(folder):
        os.makedirs(folder + ".part", exist_ok=True)
        done = subprocess.run(["tar", "-xf", path, "-C", folder + ".part"], check=False)
        if done.returncode:
            fail(f"{path}: neither a folder nor an archive that tar reads")
        os.rename(folder + ".part", folder)
    inside = os.listdir(folder)
    return os.path.join(folder, inside[0]) if len(inside) == 1 else folder


def choose(labels, count):
    """`count` indices, seeded, in order."""
    return sorted(random.Random(0).sample(range(len(labels)), count))


def class_files(folder):
    """(path, class) of the images of class folders, sorted."""
    names = sorted(name for name in os.listdir(folder) if os.path.isdir(os.path.join(folder, name)))
    return [(os.path.join(folder, name, file), label) for label, name in enumerate(names)
            for file in sorted(os.listdir(os.path.join(folder, name)))]


def write_idx(path, array):
    import numpy as np
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    with open(path, "wb") as file:
        file.write(header + array.tobytes())


def make_fashion(source, folder, parts):
    import numpy as np

    def read(name):
        with gzip.open(os.path.join(source, name + ".gz")) as file:
            data = file.read()
        shape = tuple(np.frombuffer(data, ">u4", data[3], 4))
        return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(shape)
    for part, prefix in (("train", "train"), ("val", "t10k")):
        images, labels = read(f"{prefix}-images-idx3-ubyte"), read(f"{prefix}-labels-idx1-ubyte")
        at = choose(labels, parts[part] or len(labels))
        write_idx(os.path.join(folder, f"{prefix}-images-idx3-ubyte"), images[at])
        write_idx(os.path.join(folder, f"{prefix}-labels-idx1-ubyte"), labels[at])


def make_cifar(source, folder, parts):
    import numpy as np
    from PIL import Image
    for part, name in (("train", "data_batch_1.bin"), ("val", "test_batch.bin")):
        files = class_files(os.path.join(source, part))
        with open(os.path.join(folder, name), "wb") as out:
            for i in choose(files, parts[part] or len(files)):
                pixels = np.asarray(Image.open(files[i][0]).convert("RGB")).transpose(2, 0, 1)
                out.write(bytes([files[i][1]]) + pixels.tobytes())


def make_signs(source, folder, parts):
    """No split of its own: training images are drawn from all, the rest tests."""
    files = class_files(source)
    train = set(choose(files, DATA["signs"]["images"]))
    rest = [i for i in range(len(files)) if i not in train]
    some = rest[::len(rest) // parts["val"]] if parts["val"] else rest
    for part, chosen in (("train", sorted(train)), ("val", some)):
        for i in chosen:
            path, label = files[i]
            to = os.path.join(folder, part, str(label))
            os.makedirs(to, exist_ok=True)
            shutil.copy(path, to)


def make_data(name, source, work):
    """Two folders: to train on, with few images to validate on after each epoch, and to test with."""
    made = {}
    for use, val in (("train", 200), ("test", 0)):
        made[use] = os.path.join(work, "data", f"{name}-{use}")
        if not os.path.isdir(made[use]):
            part = made[use] + ".part"
            shutil.rmtree(part, ignore_errors=True)
            os.makedirs(part)
            folder = unpacked(source, os.path.join(work, "data", name + "-source"))
            {"fashion": make_fashion, "cifar": make_cifar, "signs": make_signs}[name](
                folder, part, {"train": DATA[name]["images"], "val": val})
            os.rename(part, made[use])
    return made


# ---- vitc ------------------------------------------------------------------------------------------------------------


def run(words, environment):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit {done.returncode}"]
        raise RuntimeError(f"{said[-1]}: {' '.join(map(str, words))}")
    return done.stdout


def ema_decay(steps_per_epoch):
    """Half of the average is of the last epoch."""
    return round(0.5 ** (1 / steps_per_epoch), 6)


def folder(args, job):
    return os.path.join(args.work, "runs", job["name"].replace("/", "-"))


def train_vitc(args, job):
    """Accuracies of the last epoch."""
    data, out, about = job["data"], folder(args, job), DATA[job["set"]]
    flags = [word for key, value in job["flags"].items()
             for word in ("--" + key, *(value if isinstance(value, tuple) else (value,)))]
    common = ["--data-path", data["train"], "--device", "cpu", "--num-workers", 1]
    run([args.vitc, "train", "--model", "deit_micro", "--img-size", about["size"], "--patch-size", about["patch"],
         "--in-chans", 3, *common, "--output_dir", out, "--overwrite", "--seed", job["seed"], "--epochs", job["epochs"],
         "--batch-size", BATCH, "--lr", LR, "--unscale-lr", "--warmup-epochs", 0.1 * job["epochs"], "--warmup-lr",
         WARMUP_LR, "--min-lr", MIN_LR, "--weight-decay", DECAY, "--model-ema-decay",
         ema_decay(about["images"] // BATCH), "--mean", *[MEAN] * 3, "--std", *[STD] * 3, "--crop-pct", 1,
         "--aug-repeats", 1, "--save-steps", 1 << 30, *flags], args.environment)
    last, result = os.path.join(out, "last.safetensors"), {}
    for key, more in (("acc1", []), ("ema_acc1", ["--ema"])):
        said = run([args.vitc, "eval", "--checkpoint", last, "--data-path", data["test"], "--device", "cpu",
                    "--num-workers", 1, "--json", *more], args.environment)
        result[key] = json.loads(said)["acc1"]
    return result


# ---- all of it -------------------------------------------------------------------------------------------------------


class Results:
    """What is known, by the run's name, kept in a file that is always whole."""

    def __init__(self, path):
        self.path, self.lock, self.known = path, threading.Lock(), {}
        if os.path.exists(path):
            with open(path, encoding="ascii") as file:
                self.known = json.load(file)

    def find(self, job):
        known = self.known.get(job["name"])
        return known if known and known["job"] == json.loads(json.dumps(job)) else None

    def add(self, job, result):
        with self.lock:
            self.known[job["name"]] = dict(result, job=job)
            with open(self.path + ".part", "w", encoding="ascii") as file:
                json.dump(self.known, file, indent=1)
            os.replace(self.path + ".part", self.path)


def plan(args, name, data):
    """The jobs of a data set; the teacher first."""
    epochs = max(1, round(DATA[name]["epochs"] * args.epochs_scale))

    def job(config, seed, flags, side="vitc", times=1):
        return dict(name=f"{name}/{side}-{config}/{seed}", set=name, side=side, config=config, seed=seed, data=data,
                    epochs=epochs * times, flags=dict(PLAIN, **flags))
    teacher, jobs = job("teacher", 1000, TEACHER, times=2), []
    taught = {"distillation-type": "hard", "teacher-path": os.path.join(folder(args, teacher), "last.safetensors")}
    for seed in range(args.seeds):
        jobs += [job("full", seed, FULL), job("full", seed, FULL, side="torch")]
        jobs += [job(config, seed, flags) for config, flags in INGREDIENTS.items()]
        jobs += [job("distillation", seed, taught)]
    return teacher, jobs


def do(args, results, job):
    if results.find(job):
        return
    begin = time.monotonic()
    if job["side"] == "vitc":
        result = train_vitc(args, job)
    else:
        said = run([sys.executable, "-W", "ignore", TORCH_SIDE, json.dumps(job)], args.environment)
        result = json.loads(said.strip().splitlines()[-1])
    result["seconds"] = round(time.monotonic() - begin, 1)
    results.add(job, result)
    print("%-32s %6.2f  EMA %6.2f  %6.1f s" % (job["name"], result["acc1"], result["ema_acc1"], result["seconds"]),
          flush=True)


def cell(results, name, row, seeds, key):
    """Mean and sample deviation of a row's accuracies."""
    known = [results.known.get(f"{name}/{row}/{seed}") for seed in range(seeds)]
    values = [one[key] for one in known if one]
    if not values:
        return "-"
    return f"{statistics.mean(values):.1f}" + (f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else "")


def table(results, names, rows, seeds):
    titles = [DATA[name]["title"] + more for name in names for more in ("", " EMA")]
    lines = ["| | " + " | ".join(titles) + " |", "|---|" + "---|" * len(titles)]
    for row, title in rows:
        cells = [cell(results, name, row, seeds, key) for name in names for key in ("acc1", "ema_acc1")]
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vitc", default=os.path.join(ROOT, "build", "vitc"))
    parser.add_argument("--fashion-mnist", metavar="DIR")
    parser.add_argument("--cifar10", metavar="DIR|TAR", help="train/ and val/ of class folders")
    parser.add_argument("--sign-digits", metavar="DIR|TAR", help="class folders")
    parser.add_argument("--work", metavar="DIR", help="for data, runs and results.json")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time, of one thread each")
    parser.add_argument("--epochs-scale", type=float, default=1.0, help="of the epochs; small to try the script")
    parser.add_argument("--only", action="append", metavar="CONFIG", help="full, plain, flips, …")
    parser.add_argument("--json", metavar="F", help="also write the results to F")
    return parser.parse_args()


def main():
    args = parse()
    sources = {"fashion": args.fashion_mnist, "cifar": args.cifar10, "signs": args.sign_digits}
    names = [name for name, source in sources.items() if source] or fail("no data set is given")
    args.work = os.path.abspath(args.work or fail("--work DIR is missing"))
    args.environment = dict(os.environ, OMP_NUM_THREADS="1")
    os.makedirs(os.path.join(args.work, "runs"), exist_ok=True)
    results = Results(os.path.join(args.work, "results.json"))
    plans = [plan(args, name, make_data(name, sources[name], args.work)) for name in names]
    waves = [[teacher for teacher, _ in plans], [job for _, jobs in plans for job in jobs]]
    if args.only:
        waves[0] = waves[0] if "distillation" in args.only else []
        waves[1] = [job for job in waves[1] if job["config"] in args.only]
    waves[1].sort(key=lambda job: job["side"] == "vitc")  # the longest first
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for wave in waves:
            for future in [pool.submit(do, args, results, job) for job in wave]:
                future.result()
    print(f"\nTop-1 in %, mean ± standard deviation over {args.seeds} seeds; EMA: of the average of the weights\n")
    sides = [("vitc-full", "vitc, full recipe"), ("torch-full", "PyTorch and timm, full recipe")]
    print(table(results, names, sides, args.seeds))
    print("\nvitc, plain and with one ingredient\n")
    print(table(results, names, [("vitc-" + config, config) for config in (*INGREDIENTS, "distillation")], args.seeds))
    if args.json:
        shutil.copy(results.path, args.json)


if __name__ == "__main__":
    main()
