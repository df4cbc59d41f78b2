"""Image files: unusual ones, which are read, and broken ones, which are refused by name."""
import os
import struct
import unicodedata
import zlib
from io import BytesIO

import numpy as np
from PIL import Image, TiffImagePlugin

from .harness import EITHER, HANDLED, Case

PHOTO = Image.fromarray((np.mgrid[:24, :32].sum(0)[..., None] * (1, 2, 4)).astype(np.uint8))
UNREADABLE = "cannot be read as an image"
BOMB = "pixels"


def encoded(image=PHOTO, kind="PNG", **settings):
    """The bytes of an image file. Images are copied because Pillow stores settings of a format in them."""
    buffer = BytesIO()
    if "append_images" in settings:
        settings["append_images"] = [frame.copy() for frame in settings["append_images"]]
    image.copy().save(buffer, kind, **settings)
    return buffer.getvalue()


def rotated(orientation=6):
    """Settings of Pillow that store an EXIF orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return {"exif": exif.tobytes()}


def chunk(name, data):
    """Build a chunk of a PNG file."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width, height, *chunks):
    """A PNG of that size, gray, that holds only these chunks."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks)


def cut(data, share=0.5):
    return data[:int(len(data) * share)]


def flipped(data, position):
    return data[:position] + bytes([data[position] ^ 0x10]) + data[position + 1:]


def deep_gray(mode="I;16"):
    values = np.arange(24 * 32).reshape(24, 32) * 80
    return Image.fromarray(values.astype(np.uint16 if mode == "I;16" else np.int32))


def palette(**settings):
    return encoded(PHOTO.quantize(8), **settings)


def bmp_that_claims(width, height):
    data = encoded(PHOTO, "BMP")
    return data[:18] + struct.pack("<ii", width, height) + data[26:]


def tiff_of_unknown_compression():
    data = encoded(PHOTO, "TIFF", tiffinfo=TiffImagePlugin.ImageFileDirectory_v2())
    tag, unknown = struct.pack("<HHIHH", 259, 3, 1, 1, 0), struct.pack("<HHIHH", 259, 3, 1, 999, 0)
    return data.replace(tag, unknown)


ANIMATION = {"save_all": True, "append_images": [PHOTO.rotate(90), PHOTO.rotate(180)]}
TEXT_BOMB = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(100_000_000), 9))
READ = {  # what is unusual -> name of the file, its bytes
    "CMYK JPEG": ("a.jpg", encoded(PHOTO.convert("CMYK"), "JPEG")),
    "CMYK TIFF": ("a.tif", encoded(PHOTO.convert("CMYK"), "TIFF")),
    "16-bit gray PNG": ("a.png", encoded(deep_gray())),
    "16-bit gray TIFF": ("a.tiff", encoded(deep_gray(), "TIFF")),
    "palette": ("a.png", palette()), "palette with a transparent color": ("a.png", palette(transparency=0)),
    "RGBA": ("a.png", encoded(PHOTO.convert("RGBA"))),
    "gray with alpha": ("a.png", encoded(PHOTO.convert("LA"))),
    "RGB with a transparent color": ("a.png", encoded(transparency=(0, 0, 0))),
    "one bit": ("a.png", encoded(PHOTO.convert("1"))), "gray": ("a.png", encoded(PHOTO.convert("L"))),
    "EXIF-rotated JPEG": ("a.jpg", encoded(PHOTO, "JPEG", **rotated())),
    "EXIF-rotated PNG": ("a.png", encoded(**rotated(8))),
    "EXIF-rotated WebP": ("a.webp", encoded(PHOTO, "WEBP", **rotated(5))),
    "unknown EXIF orientation": ("a.jpg", encoded(PHOTO, "JPEG", **rotated(77))),
    "broken EXIF block": ("a.jpg", encoded(PHOTO, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")),
    "GIF named PNG": ("a.png", encoded(PHOTO, "GIF")),
    "animated GIF": ("a.png", encoded(PHOTO, "GIF", **ANIMATION)),
    "animated PNG": ("a.png", encoded(PHOTO, "PNG", **ANIMATION)),
    "animated WebP": ("a.webp", encoded(PHOTO, "WEBP", **ANIMATION)),
    "multi-page TIFF": ("a.tif", encoded(PHOTO, "TIFF", **ANIMATION)),
    "two photos in one JPEG": ("a.jpg", encoded(PHOTO, "MPO", **ANIMATION)),
    "progressive JPEG": ("a.jpg", encoded(PHOTO, "JPEG", progressive=True)),
    "BMP": ("a.bmp", encoded(PHOTO, "BMP")),
    "JPEG named PNG": ("a.png", encoded(PHOTO, "JPEG")),
    "extension in capitals": ("a.JPG", encoded(PHOTO, "JPEG")),
    "extension in mixed case": ("a.Png", encoded()), "one pixel": ("a.png", encoded(PHOTO.resize((1, 1)))),
    "bytes after the end": ("a.png", encoded() + b"more"), "accents": ("ä é.png", encoded()),
    "decomposed accents": (unicodedata.normalize("NFD", "ä.png"), encoded()),
    "other scripts": ("写真 фото.png", encoded()),
    "very long name": ("x" * 250 + ".png", encoded()), "quotes and braces": ("a'{0}\"%s.png", encoded())}
REFUSED = {  # what is wrong -> name of the file, its bytes, the error message
    "zero bytes": ("a.png", b"", "it is empty"), "text": ("a.png", b"no image", "it is none of BMP"),
    "HTML": ("a.jpg", b"<html>404</html>", "it is none of BMP"),
    "SVG": ("a.png", b"<svg xmlns='x'/>", "it is none of BMP"),
    "EPS, which Pillow would run": ("a.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
                                    "it is none of BMP"),
    "PDF": ("a.jpg", b"%PDF-1.7\n", "it is none of BMP"),
    "program": ("a.png", b"\x7fELF\2\1\1" + bytes(60), "it is none of BMP"),
    "zip": ("a.png", b"PK\x03\x04" + bytes(60), "it is none of BMP"),
    **{f"half a {kind}": (f"a.{suffix}", cut(encoded(PHOTO, kind)), UNREADABLE) for kind, suffix in
       (("PNG", "png"), ("JPEG", "jpg"), ("TIFF", "tif"), ("WEBP", "webp"), ("BMP", "bmp"), ("PPM", "ppm"),
        ("GIF", "png"))},
    "PNG without its last bytes": ("a.png", cut(encoded(), 0.9), EITHER),
    "most of a JPEG": ("a.jpg", cut(encoded(PHOTO, "JPEG"), 0.95), UNREADABLE),
    "only the signature of PNG": ("a.png", encoded()[:8], UNREADABLE),
    "bit flipped in a PNG header": ("a.png", flipped(encoded(), 18), UNREADABLE),
    "PNG of no pixels": ("a.png", png(0, 0), UNREADABLE),
    "PNG without pixels": ("a.png", png(8, 8, chunk(b"IEND", b"")), UNREADABLE),
    "PNG that claims 50000x50000": ("a.png", png(50_000, 50_000, chunk(b"IDAT", zlib.compress(b"0"))), BOMB),
    "PNG with a text of 100 MB": ("a.png", png(8, 8, TEXT_BOMB, chunk(b"IDAT", zlib.compress(bytes(72)))),
                                  UNREADABLE),
    "PPM that claims 99999x99999": ("a.ppm", b"P6 99999 99999 255\n", BOMB),
    "BMP that claims 2 G pixels": ("a.bmp", bmp_that_claims(50_000, 50_000), BOMB),
    "TIFF that points outside": ("a.tif", b"II*\0\xff\xff\xff\x7f", UNREADABLE),
    "WebP of noise": ("a.webp", b"RIFF\x20\0\0\0WEBPVP8 " + bytes(range(40)), UNREADABLE),
    "JPEG of noise": ("a.jpg", b"\xff\xd8\xff\xe0" + bytes(range(200)), UNREADABLE),
    "floating-point TIFF": ("a.tif", encoded(Image.fromarray(np.ones((8, 8), np.float32)), "TIFF"),
                            "floating-point pixels"),
    "32-bit TIFF": ("a.tif", encoded(Image.fromarray(np.full((8, 8), 1 << 20, np.int32)), "TIFF"),
                    "expected 8 or 16 bits"),
    "negative pixels": ("a.tif", encoded(Image.fromarray(np.full((8, 8), -5, np.int32)), "TIFF"),
                        "expected 8 or 16 bits"),
    "LAB TIFF": ("a.tif", encoded(Image.new("LAB", (8, 8)), "TIFF"), EITHER),  # newer Pillows convert it
    "TIFF of an unknown compression": ("a.tif", tiff_of_unknown_compression(), UNREADABLE)}


def good(folder):
    (folder / "photos").mkdir()
    (folder / "photos" / "good.png").write_bytes(encoded())
    return folder / "photos"


def link_to_the_folder_itself(folder):
    good(folder)
    (folder / "photos" / "loop").symlink_to(folder / "photos", target_is_directory=True)


def two_links_in_a_circle(folder):
    for name, other in (("a", "b"), ("b", "a")):
        (good(folder) if name == "a" else folder / "photos").joinpath(name).mkdir()
        (folder / "photos" / name / "on").symlink_to(folder / "photos" / other, target_is_directory=True)


def link_to_another_folder(folder):
    good(folder).rename(folder / "elsewhere")
    (folder / "photos").symlink_to(folder / "elsewhere", target_is_directory=True)


def add_file(name, data=b"\0\5\x16\7"):
    def make(folder):
        path = good(folder) / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    return make


def folder_named_like_an_image(folder):
    (folder / "photos" / "x.png").mkdir(parents=True)
    (folder / "photos" / "x.png" / "1.png").write_bytes(encoded())


def empty_folder_named_like_an_image(folder):
    (folder / "photos" / "x.png").mkdir(parents=True)


def only_file(name):
    def make(folder):
        (folder / "photos").mkdir()
        (folder / "photos" / name).write_bytes(encoded())
    return make


def link(target):
    def make(folder):
        (good(folder) / "x.png").symlink_to(target)
    return make


def pipe(folder):
    os.mkfifo(good(folder) / "x.png")


def bad_name(folder):
    (good(folder) / os.fsdecode(b"\xff\xfe.png")).write_bytes(encoded())


PLACES = {"link to the folder itself": (link_to_the_folder_itself, HANDLED),
          "two links in a circle": (two_links_in_a_circle, HANDLED),
          "link to another folder": (link_to_another_folder, HANDLED),
          "macOS resource fork": (add_file("._good.png"), HANDLED),
          "Thumbs.db": (add_file("Thumbs.db"), HANDLED),
          "hidden file": (add_file(".x.png"), HANDLED),
          "hidden folder": (add_file(".cache/x.png"), HANDLED),
          "other files": (add_file("notes.txt"), HANDLED),
          "folder named like an image": (folder_named_like_an_image, HANDLED),
          "empty folder named like an image": (empty_folder_named_like_an_image, "holds no image"),
          "empty folder": (lambda folder: (folder / "photos").mkdir(), "holds no image"),
          "only hidden files": (only_file(".x.png"), "holds no image"),
          "no such extension": (only_file("x.psd"), "holds no image"),
          "no folder": (lambda folder: None, "is not a folder"),
          "file instead of a folder": (lambda folder: (folder / "photos").write_text(""), "is not a folder"),
          "broken link": (link("nowhere.png"), "broken link"), "link to itself": (link("x.png"), UNREADABLE),
          "link to a device": (link("/dev/zero"), "not a regular file"), "pipe": (pipe, "not a regular file"),
          "name that is no UTF-8": (bad_name, "not valid UTF-8")}


def _check(make, *flags):
    def case(folder):
        make(folder)
        return ["--check_data", "--dataroot", folder / "photos", "--checkpoints_dir", folder / "ck", *flags]
    return case


IMAGES = [*(Case("image", name, "test", _check(add_file(file, data)), HANDLED)
            for name, (file, data) in READ.items()),
          *(Case("image", name, "test", _check(add_file(file, data)), expected)
            for name, (file, data, expected) in REFUSED.items()),
          *(Case("folder of images", name, "test", _check(make), expected)
            for name, (make, expected) in PLACES.items()),
          Case("image", "smaller than the crop", "test",
               _check(good, "--preprocess", "crop", "--crop_size", "25"),
               "32x24 is smaller than --crop_size 25"),
          Case("image", "a line that would be scaled to gigapixels", "test",
               _check(add_file("a.png", encoded(PHOTO.resize((4000, 1)))), "--preprocess", "scale_shortside",
                      "--load_size", "512"), "4000x1 becomes one of 2048000x512")]
