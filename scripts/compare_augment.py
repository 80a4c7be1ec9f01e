#!/usr/bin/env python3
"""vitc beside timm, torchvision and Pillow: JPEG files to augmented training samples, on one core, in one run.

Both decode files of about 500 x 333 pixels (made from --images, quality 90), take a random resized crop of 224, flip
and augment as --aa says. Two comparisons: to bytes, as timm's prefetching loader and vitc's have it, the device doing
the rest; and to normalised, erased numbers (--reprob), which timm does image by image and vitc in the first op of its
step, timed here by `vitc bench kernels`. vitc may decode JPEG at a reduced scale where a crop allows it; --jpeg-scale
full forbids it. Rounds alternate, all times are the CPU's of one thread, medians are compared.

  scripts/compare_augment.py --images PHOTO... --json F      run by a Python that has timm and torchvision
"""
import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LONG, SHORT, QUALITY, SIZE, BATCH = 500, 333, 90, 224, 64


def fail(message):
    raise SystemExit(f"compare_augment: error: {message}")


def photos(paths):
    """Paths of the files named, and of all in the folders named."""
    found = []
    for path in paths:
        inside = [os.path.join(path, name) for name in sorted(os.listdir(path))] if os.path.isdir(path) else [path]
        found += [name for name in inside if name.lower().endswith((".jpg", ".jpeg", ".png"))]
    return found or fail("--images: no photographs there")


def make_files(image, paths, folder, count):
    """`count` JPEG files of the photographs in turn; their bytes."""
    from PIL import ImageOps
    smaller, files = [], []
    for path in paths[:count]:
        photo = ImageOps.exif_transpose(image.open(path)).convert("RGB")
        size = (LONG, SHORT) if photo.width >= photo.height else (SHORT, LONG)
        buffer = io.BytesIO()
        photo.resize(size, image.BICUBIC).save(buffer, "JPEG", quality=QUALITY)
        smaller.append(buffer.getvalue())
    for i in range(count):
        files.append(smaller[i % len(smaller)])
        with open(os.path.join(folder, f"{i:04}.jpg"), "wb") as file:
            file.write(files[-1])
    return files


def allow_no_bits():
    """timm posterizes to 0 bits at magnitude 10, which Pillow took for black until it became an error."""
    from PIL import ImageOps
    posterize = ImageOps.posterize
    ImageOps.posterize = lambda img, bits: posterize(img, bits) if bits else img.point(lambda _: 0)


def time_timm(image, transform, files, repeats):
    """Images a second."""
    begin = time.thread_time()
    for _ in range(repeats):
        for data in files:
            transform(image.open(io.BytesIO(data)).convert("RGB"))
    return repeats * len(files) / (time.thread_time() - begin)


def time_vitc(args, folder):
    """Images a second to bytes, and to normalised, erased numbers."""
    command = [args.vitc, "bench", "loader,kernels", "--json", "-", "--images", folder, "--aa", args.aa, "--jpeg-scale",
               args.jpeg_scale, "--reprob", args.reprob, "--mixup", 0, "--cutmix", 0, "--device", "cpu", "--model",
               "deit_tiny_patch16_224", "--depth", 1, "--batch-size", BATCH, "--steps", 5, "--no-reference"]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False,
                          env=dict(os.environ, OMP_NUM_THREADS="1"))
    if done.returncode != 0:
        fail((done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1])
    result = json.loads(done.stdout)
    bytes_speed = result["loader"].get("augmented_images_per_second", result["loader"]["sample_images_per_second"])
    ms = sum(row["ms"] for row in result["kernels"] if row["op"].startswith("patchify"))
    return bytes_speed, 1 / (1 / bytes_speed + 1e-3 * ms / BATCH)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vitc", default=os.path.join(ROOT, "build", "vitc"))
    parser.add_argument("--images", nargs="+", required=True, help="photographs, or folders of them")
    parser.add_argument("--aa", default="rand-m9-mstd0.5-inc1")
    parser.add_argument("--reprob", type=float, default=0.25)
    parser.add_argument("--jpeg-scale", choices=["auto", "full"], default="auto")
    parser.add_argument("--files", type=int, default=72, help="JPEG files that each round goes through")
    parser.add_argument("--repeats", type=int, default=5, help="of timm's, in a round; vitc makes 15")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", metavar="F", help="write every measurement to F")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    try:
        import PIL
        import timm
        import torch
        import torchvision
        from PIL import Image
        from timm.data import create_transform
    except ImportError as missing:
        fail(f"{sys.executable}: {missing}")
    torch.set_num_threads(1)
    allow_no_bits()
    made = dict(input_size=SIZE, is_training=True, auto_augment=None if args.aa == "none" else args.aa,
                color_jitter=0.0, interpolation="bicubic", re_prob=args.reprob, re_mode="pixel", re_count=1)
    theirs = {"bytes": create_transform(**made, use_prefetcher=True), "numbers": create_transform(**made)}
    speeds = {name: {"vitc": [], "timm": []} for name in theirs}
    with tempfile.TemporaryDirectory(prefix="vitc-augment-") as folder:
        files = make_files(Image, photos(args.images), folder, args.files)
        for _ in range(args.rounds):
            to_bytes, to_numbers = time_vitc(args, folder)
            speeds["bytes"]["vitc"].append(to_bytes)
            speeds["numbers"]["vitc"].append(to_numbers)
            for name, transform in theirs.items():
                speeds[name]["timm"].append(time_timm(Image, transform, files, args.repeats))
    print(f"--aa {args.aa}, {SIZE} px, --jpeg-scale {args.jpeg_scale}, {len(files)} files of "
          f"{sum(map(len, files)) / len(files):.0f} bytes, one core; timm {timm.__version__}, torchvision "
          f"{torchvision.__version__}, Pillow {PIL.__version__}; medians of {args.rounds} rounds")
    result = {"aa": args.aa, "reprob": args.reprob, "jpeg_scale": args.jpeg_scale, "timm": timm.__version__,
              "pillow": PIL.__version__, "torchvision": torchvision.__version__, "images_per_second": speeds,
              "ratio": {}}
    for name, by in speeds.items():
        median = {who: statistics.median(values) for who, values in by.items()}
        result["ratio"][name] = median["vitc"] / median["timm"]
        what = "to bytes" if name == "bytes" else f"normalised, erased with {args.reprob:g}"
        print(f"  {what:28} vitc {median['vitc']:8.1f} images/s   timm {median['timm']:8.1f}   "
              f"{result['ratio'][name]:.2f} times", flush=True)
    if args.json:
        with open(args.json, "w", encoding="ascii") as file:
            json.dump(result, file, indent=1)


if __name__ == "__main__":
    main()
