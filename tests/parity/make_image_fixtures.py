#!/usr/bin/env python3
"""Writes what tests/data/{image,resize,transform,augment_ops}.c compare with: images, and the CRC-32 of the pixels
that PIL makes of them.

    make_image_fixtures.py PNGSUITE EXIF tests/data

PNGSUITE: the folder of PngSuite's PNG files and their LICENSE above it; EXIF: a copy of exif-orientation-examples.
PIL must use the libjpeg-turbo that vitc is built with: another one may round differently.
"""

import pathlib
import random
import shutil
import sys
import warnings
import zlib

import numpy
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

FILTERS = [("nearest", Image.NEAREST), ("bilinear", Image.BILINEAR), ("bicubic", Image.BICUBIC)]
warnings.simplefilter("ignore")


def upright(path, mode):
    image = Image.open(path)
    if image.mode == "I":  # 16 bits grey, which PIL's convert would clip to white: the high byte
        image = Image.fromarray((numpy.asarray(image) >> 8).astype(numpy.uint8))
    return ImageOps.exif_transpose(image).convert(mode)


def crc(image):
    return f"{zlib.crc32(image.tobytes()):08x}"


def copy_images(pngsuite, exif, out):
    (out / "pngsuite").mkdir(parents=True, exist_ok=True)
    (out / "exif").mkdir(exist_ok=True)
    (out / "made").mkdir(exist_ok=True)
    for path in sorted(pngsuite.glob("*.png")):
        shutil.copyfile(path, out / "pngsuite" / path.name)
    shutil.copyfile(pngsuite.parent / "LICENSE", out / "pngsuite" / "LICENSE")
    shutil.copyfile(exif / "LICENSE", out / "exif" / "LICENSE")
    shutil.copyfile(exif / "LICENSE", out / "made" / "LICENSE")
    for path in sorted(exif.glob("*.jpg")):
        image = Image.open(path)
        tags = Image.Exif()
        tags[0x0112] = image.getexif().get(0x0112, 0)
        small = image.resize((image.width // 8, image.height // 8), Image.BICUBIC)
        small.save(out / "exif" / path.name, quality=85, exif=tags)


def encode(photo, out):
    photo.save(out / "420.jpg", quality=90, subsampling="4:2:0")
    photo.save(out / "422.jpg", quality=90, subsampling="4:2:2")
    photo.save(out / "444.jpg", quality=90, subsampling="4:4:4")
    photo.save(out / "progressive.jpg", quality=85, progressive=True)
    photo.convert("L").save(out / "grey.jpg", quality=90)
    photo.convert("L").save(out / "grey_progressive.jpg", quality=90, progressive=True)
    photo.convert("CMYK").save(out / "cmyk.jpg", quality=90)
    photo.crop((3, 5, 20, 12)).save(out / "tiny.jpg", quality=95)
    photo.crop((3, 5, 4, 6)).save(out / "one.jpg", quality=95)
    tags = Image.Exif()
    tags[0x0112] = 6
    photo.crop((3, 5, 20, 12)).save(out / "turned.png", exif=tags)


def list_images(out):
    lines = []
    for path in sorted(out.glob("*/*.png")) + sorted(out.glob("*/*.jpg")):
        name = path.relative_to(out)
        if name.match("pngsuite/x*"):
            lines.append(f"{name} 0 0 0 0")
            continue
        rgb, grey = upright(path, "RGB"), upright(path, "L")
        lines.append(f"{name} {rgb.width} {rgb.height} {crc(rgb)} {crc(grey)}")
    (out / "images.txt").write_text("\n".join(lines) + "\n")


def list_resizes(out):
    """name channels filter width height x0 y0 x1 y1 crc"""
    random.seed(3)
    lines = []
    for i in range(120):
        name = random.choice(["made/444.jpg", "exif/Portrait_1.jpg", "pngsuite/basn2c08.png", "made/tiny.jpg",
                              "made/one.jpg"])
        channels = random.choice([1, 3])
        image = upright(out / name, "L" if channels == 1 else "RGB")
        width, height = random.randint(1, 300), random.randint(1, 300)
        width = image.width if i % 7 == 0 else width
        height = image.height if i % 11 == 0 else height
        box = [0, 0, image.width, image.height]
        if i % 3:
            xs = sorted(random.randint(0, 8 * image.width) / 8 for _ in range(2))
            ys = sorted(random.randint(0, 8 * image.height) / 8 for _ in range(2))
            if xs[0] < xs[1] and ys[0] < ys[1]:
                box = [xs[0], ys[0], xs[1], ys[1]]
        k = i % 3 if i % 5 else 2
        result = image.resize((width, height), FILTERS[k][1], box=tuple(box))
        lines.append(f"{name} {channels} {k} {width} {height} " + " ".join(f"{b:g}" for b in box) + " " + crc(result))
    (out / "resizes.txt").write_text("\n".join(lines) + "\n")


def evaluate(image, height, width, pct, method):
    """torchvision's Resize and CenterCrop with timm's sizes."""
    w, h = int(width / pct), int(height / pct)
    if width == height:
        if image.width <= image.height:
            h = int(w * image.height / image.width)
        else:
            w = int(h * image.width / image.height)
    image = image.resize((w, h), method)
    x, y = int(round((w - width) / 2.0)), int(round((h - height) / 2.0))
    return image.crop((x, y, x + width, y + height))


def list_evaluations(out):
    """name channels filter height width crop_pct crc"""
    lines = []
    names = ["exif/Landscape_6.jpg", "exif/Portrait_3.jpg", "made/progressive.jpg", "made/grey.jpg", "made/tiny.jpg",
             "pngsuite/basi6a08.png", "pngsuite/basn3p04.png"]
    for name in names:
        for height, width, pct in [(224, 224, 0.875), (32, 32, 0.9), (31, 31, 0.875), (28, 28, 1.0), (40, 64, 0.875),
                                   (33, 20, 0.95)]:
            for k in (1, 2):
                channels = 1 if height == 28 else 3
                image = upright(out / name, "L" if channels == 1 else "RGB")
                result = evaluate(image, height, width, pct, FILTERS[k][1])
                lines.append(f"{name} {channels} {k} {height} {width} {pct} {crc(result)}")
    (out / "evaluations.txt").write_text("\n".join(lines) + "\n")


def solarize_add(image, add):
    """timm's solarize_add."""
    table = [min(255, i + add) if i < 128 else i for i in range(256)]
    return image.point(table * len(image.getbands()))


def warp(image, matrix, method):
    return image.transform(image.size, Image.AFFINE, matrix, resample=method, fillcolor=fill(image))


def fill(image):
    return (124, 116, 104) if image.mode == "RGB" else 124


ENHANCE = [0.0, 0.19, 0.5, 1.0, 1.7, 1.9]
SHIFTS = [0.0, 0.27, -0.27, 0.013, -0.1]
STILL = [  # timm's name, the op, its arguments
    ("AutoContrast", lambda i, a: ImageOps.autocontrast(i), [0]),
    ("Equalize", lambda i, a: ImageOps.equalize(i), [0]),
    ("Invert", lambda i, a: ImageOps.invert(i), [0]),
    ("Posterize", ImageOps.posterize, [0, 1, 2, 3, 4, 6, 8]),
    ("Solarize", ImageOps.solarize, [0, 26, 128, 200, 256]),
    ("SolarizeAdd", solarize_add, [0, 33, 99, 110]),
    ("Color", lambda i, a: ImageEnhance.Color(i).enhance(a), ENHANCE),
    ("Contrast", lambda i, a: ImageEnhance.Contrast(i).enhance(a), ENHANCE),
    ("Brightness", lambda i, a: ImageEnhance.Brightness(i).enhance(a), ENHANCE),
    ("Sharpness", lambda i, a: ImageEnhance.Sharpness(i).enhance(a), ENHANCE),
    ("Grey", lambda i, a: i.convert("L").convert(i.mode), [0]),
    ("Blur", lambda i, a: i.filter(ImageFilter.GaussianBlur(a)), [0.1, 0.3, 0.7, 1.1, 1.5, 2.0]),
]
MOVING = [
    ("Rotate", lambda i, a, m: i.rotate(a, resample=m, fillcolor=fill(i)), [0.0, 27.0, -27.0, 3.3, -11.0, 30.0]),
    ("ShearX", lambda i, a, m: warp(i, (1, a, 0, 0, 1, 0), m), SHIFTS),
    ("ShearY", lambda i, a, m: warp(i, (1, 0, 0, a, 1, 0), m), SHIFTS),
    ("TranslateXRel", lambda i, a, m: warp(i, (1, 0, a * i.width, 0, 1, 0), m), SHIFTS + [0.405]),
    ("TranslateYRel", lambda i, a, m: warp(i, (1, 0, 0, 0, 1, a * i.height), m), SHIFTS + [0.405]),
]


def list_augments(out):
    """name channels x y width height (a part of an image), then for that part: op argument filter crc"""
    lines = []
    sizes = [(64, 64), (37, 23), (5, 3), (3, 7), (2, 4), (1, 9), (9, 1), (1, 1)]
    parts = [("exif/Landscape_1.jpg", 3, 10, 10, w, h) for w, h in sizes]
    parts += [("exif/Portrait_3.jpg", 1, 40, 20, w, h) for w, h in sizes[1::3]]
    parts += [("exif/Landscape_1.jpg", 3, 0, 0, 225, 150), ("exif/Portrait_3.jpg", 3, 0, 0, 150, 225),
              ("exif/Landscape_6.jpg", 1, 0, 0, 224, 150)]
    for name, channels, x, y, width, height in parts:
        image = upright(out / name, "L" if channels == 1 else "RGB").crop((x, y, x + width, y + height))
        lines.append(f"{name} {channels} {x} {y} {width} {height}")
        for op, run, arguments in STILL:
            lines += [f"{op} {a!r} 0 {crc(run(image, a))}" for a in arguments]
        for op, run, arguments in MOVING:
            for k in (1, 2):
                lines += [f"{op} {a!r} {k} {crc(run(image, a, FILTERS[k][1]))}" for a in arguments]
    (out / "augments.txt").write_text("\n".join(lines) + "\n")


def main():
    pngsuite, exif, out = (pathlib.Path(a) for a in sys.argv[1:])
    copy_images(pngsuite, exif, out)
    encode(Image.open(out / "exif" / "Landscape_1.jpg").convert("RGB"), out / "made")
    list_images(out)
    list_resizes(out)
    list_evaluations(out)
    list_augments(out)


if __name__ == "__main__":
    main()
