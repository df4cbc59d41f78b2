"""Data sets of pairs and of label maps whose files do not match."""
import unicodedata

import numpy as np
from PIL import Image

from .harness import HANDLED, Case
from .images import PHOTO, cut, encoded, rotated

WIDE = Image.fromarray(np.hstack([np.asarray(PHOTO)] * 2))
SIDEWAYS = PHOTO.transpose(Image.Transpose.ROTATE_90)


def _written(folder, files):
    for name, data in files.items():
        path = folder / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else encoded(data))


def _case(kind, name, files, expected, *flags):
    def make(folder):
        _written(folder, files)
        return ["--check_data", "--dataroot", folder / "data", "--checkpoints_dir", folder / "ck",
                "--name", "run", "--gpu_ids", "-1",
                *(str(flag).replace("{folder}", str(folder)) for flag in flags)]
    return Case(kind, name, "train", make, expected)


def _pair(name, files, expected, *flags):
    return _case("pair", name, files, expected, *(("--model", "pix2pix") if "--model" not in flags else ()),
                 *flags)


ONE = {"train/1.png": WIDE}
TWO = {"trainA/1.png": PHOTO, "trainB/1.png": PHOTO}
NONE = ("--preprocess", "none")
SEMI = ("--model", "ugc_supernet", "--netG", "resnet_6blocks", "--unlabeled_dir")
PAIRS = [
    _pair("one pair", ONE, HANDLED), _pair("two folders", TWO, HANDLED),
    _pair("other extension and case", {"trainA/1.JPG": encoded(PHOTO, "JPEG"), "trainB/1.Png": PHOTO},
          HANDLED),
    _pair("accents spelled apart", {f"train{side}/{unicodedata.normalize(form, 'ä')}.png": PHOTO
                                    for side, form in (("A", "NFC"), ("B", "NFD"))}, HANDLED),
    _pair("other size, resized to squares", {**TWO, "trainB/1.png": PHOTO.resize((64, 48))}, HANDLED),
    _pair("target with transparency", {**TWO, "trainB/1.png": PHOTO.convert("RGBA")}, HANDLED),
    _pair("CMYK pair", {"train/1.jpg": encoded(WIDE.convert("CMYK"), "JPEG")}, HANDLED),
    _pair("photo turned by EXIF, its target upright",
          {"trainA/1.jpg": encoded(SIDEWAYS, "JPEG", **rotated(6)), "trainB/1.png": PHOTO},
          HANDLED, *NONE, "--netG", "resnet_6blocks"),
    _pair("pair file with an EXIF orientation", {"train/1.jpg": encoded(WIDE, "JPEG", **rotated(6))},
          HANDLED),
    _pair("photo turned by EXIF, its target not",
          {"trainA/1.jpg": encoded(PHOTO, "JPEG", **rotated(6)), "trainB/1.png": PHOTO},
          "1 pairs differ in size"),
    _pair("odd width", {"train/1.png": PHOTO.resize((31, 24))}, "an even width, got 31x24"),
    _pair("one pixel", {"train/1.png": PHOTO.resize((1, 1))}, "an even width, got 1x1"),
    _pair("half is smaller than the crop", ONE, "32x24 is smaller than --crop_size 30",
          "--preprocess", "crop", "--crop_size", "30"),
    _pair("no partner", {**TWO, "trainA/2.png": PHOTO}, "have no partner of equal stem: 2"),
    _pair("no partner at all", {"trainA/1.png": PHOTO, "trainB/2.png": PHOTO},
          "have no partner of equal stem: 1, 2"),
    _pair("two files of one stem", {**TWO, "trainA/1.jpg": encoded(PHOTO, "JPEG")},
          "1 names belong to several files"),
    _pair("one stem in two folders", {**TWO, "trainB/more/1.png": PHOTO}, "no partner of equal stem: more/1"),
    _pair("other size", {**TWO, "trainB/1.png": PHOTO.resize((64, 48))}, "1 pairs differ in size", *NONE),
    _pair("input cut", {**TWO, "trainA/1.png": cut(encoded())}, "1 of 2 images are unusable"),
    _pair("target cut", {**TWO, "trainB/1.png": cut(encoded())}, "1 of 2 images are unusable"),
    _pair("target of zero bytes", {**TWO, "trainB/1.png": b""}, "it is empty"),
    _pair("target is text", {**TWO, "trainB/1.png": b"text"}, "it is none of"),
    _pair("targets missing", {"trainA/1.png": PHOTO}, "is not a folder; folders in"),
    _pair("targets empty", {"trainA/1.png": PHOTO, "trainB/readme.txt": b"soon"}, "trainB holds no image"),
    _pair("other phase", {"test/1.png": WIDE}, "train is not a folder"),
    _pair("no images", {"train/readme.txt": b"soon"}, "holds no image"),
    _pair("unlabeled folder missing", ONE, "none is not a folder", *SEMI, "{folder}/none"),
    _pair("unlabeled folder empty", {**ONE, "more/readme.txt": b""}, "--unlabeled_dir: ", *SEMI,
          "{folder}/data/more"),
    _pair("unlabeled image cut", {**ONE, "more/1.png": cut(encoded())}, "1 of 1 images are unusable", *SEMI,
          "{folder}/data/more"),
    _pair("unlabeled image fine", {**ONE, "more/1.png": PHOTO}, HANDLED, *SEMI, "{folder}/data/more")]

IDS = (np.mgrid[:24, :32][1] % 5).astype(np.uint8)


def _ids(array=IDS, dtype=np.uint8):
    return Image.fromarray(np.asarray(array).astype(dtype))


def _label(name, changes, expected, *flags):
    files = {"train_label/1.png": _ids(), "train_img/1.png": PHOTO, "train_inst/1.png": _ids(), **changes}
    files = {path: data for path, data in files.items() if data is not None}
    return _case("label map", name, files, expected, "--model", "spade", "--label_nc", "5", *flags)


COLORED = _ids()
COLORED.putpalette([30, 60, 90] * 256)
LABELS = [
    _label("complete", {}, HANDLED), _label("palette", {"train_label/1.png": COLORED}, HANDLED),
    _label("palette with a transparent entry", {"train_label/1.png": encoded(COLORED, transparency=0)},
           HANDLED),
    _label("16 bits in range", {"train_label/1.png": _ids(dtype=np.uint16)}, HANDLED),
    _label("16-bit instances", {"train_inst/1.png": _ids(IDS * np.int32(13_000), np.uint16)}, HANDLED),
    _label("one bit", {"train_label/1.png": _ids(IDS % 2).point(lambda v: 255 * v).convert("1")}, HANDLED),
    _label("255 where it is unknown", {"train_label/1.png": _ids(np.full((24, 32), 255))}, HANDLED,
           "--contain_dontcare_label"),
    _label("CMYK photo", {"train_img/1.png": None, "train_img/1.jpg": encoded(PHOTO.convert("CMYK"), "JPEG")},
           HANDLED),
    _label("photo turned by EXIF",
           {"train_img/1.png": None, "train_img/1.jpg": encoded(SIDEWAYS, "JPEG", **rotated(6))}, HANDLED),
    _label("id out of range", {"train_label/1.png": _ids(IDS + 1)}, "class id 5, --label_nc 5 allows 0 to 4"),
    _label("255 without --contain_dontcare_label", {"train_label/1.png": _ids(np.full((24, 32), 255))},
           "class id 255"),
    _label("16-bit id out of range", {"train_label/1.png": _ids(IDS + np.int32(300), np.uint16)},
           "class id 304"),
    _label("negative id",
           {"train_label/1.png": None,
            "train_label/1.tif": encoded(_ids(IDS - np.int32(2), np.int32), "TIFF")},
           "class id -2"),
    _label("colors", {"train_label/1.png": PHOTO}, "has one channel, got 3"),
    _label("colors with alpha", {"train_label/1.png": PHOTO.convert("RGBA")}, "has one channel, got 4"),
    _label("floating point",
           {"train_label/1.png": None, "train_label/1.tif": encoded(_ids(dtype=np.float32), "TIFF")},
           "floating-point values"),
    _label("instances in colors", {"train_inst/1.png": PHOTO}, "has one channel, got 3"),
    _label("other size than the photo", {"train_img/1.png": PHOTO.resize((30, 24))},
           "not of their partner's size"),
    _label("other size than the instances", {"train_inst/1.png": _ids(IDS[:20])},
           "not of their partner's size"),
    _label("photo turned by EXIF, labels not",
           {"train_img/1.png": None, "train_img/1.jpg": encoded(PHOTO, "JPEG", **rotated(6))},
           "not of their partner's size"),
    _label("label map cut", {"train_label/1.png": cut(encoded(_ids()))}, "cannot be read as an image"),
    _label("label map is text", {"train_label/1.png": b"0 1 2"}, "it is none of"),
    _label("instance map of zero bytes", {"train_inst/1.png": b""}, "it is empty"),
    _label("one photo more", {"train_img/2.png": PHOTO}, "of 1 label maps and 2 photos, 1 have no partner"),
    _label("other name", {"train_img/1.png": None, "train_img/2.png": PHOTO}, "no partner of their name"),
    _label("no instances", {"train_inst/1.png": None}, "no instance maps"),
    _label("no photos", {"train_img/1.png": None}, "train_img"),
    _label("smaller than the crop", {}, "is smaller than --crop_size 25", "--preprocess", "crop",
           "--crop_size", "25"),
    _label("no classes", {}, "--label_nc", "--label_nc", "0")]
