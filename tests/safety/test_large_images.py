"""Images are opened by a closed list of formats, and refused by their number of pixels before decoding."""
import ast
import pickle
import struct
import threading
import zlib

import numpy as np
import pytest
from PIL import Image

from commands import train_here
from data.check import _Pixels, check_images
from data.image_folder import LARGEST_IMAGE, limit_pixels, open_image, open_photo
from data.loader import DatasetLoader
from data.single_dataset import SingleDataset
from data_options import data_options
from paths import ROOT
from util.report import embed

SOURCES = [path for path in ROOT.rglob("*.py") if not {"tests", ".venv", "build"} & set(path.parts)]
pytestmark = pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n%%EOF\n"


@pytest.fixture(autouse=True)
def usual_limit():
    yield
    limit_pixels(LARGEST_IMAGE)


def png_header(width, height):
    """A 16-bit gray PNG that claims a size; a decoder would allocate two bytes per pixel."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


def test_every_image_is_opened_with_a_list_of_formats():
    """Pillow would otherwise run Ghostscript for an EPS file, whatever its name."""
    calls = [(path, node) for path in SOURCES for node in ast.walk(ast.parse(path.read_text()))
             if isinstance(node, ast.Call) and ast.unparse(node.func) in ("Image.open", "PIL.Image.open")]
    assert len(calls) >= 2
    unlimited = [f"{path}:{node.lineno}" for path, node in calls
                 if "formats" not in [keyword.arg for keyword in node.keywords]]
    assert not unlimited
    readers = ("imread", "imdecode", "read_image", "decode_image", "ImageFolder(", "default_loader",
               "imageio")
    assert not [(path, name) for path in SOURCES for name in readers if name in path.read_text()]


@pytest.mark.parametrize("read", [open_photo, open_image, embed])
def test_an_eps_file_named_png_is_refused(tmp_path, read):
    (tmp_path / "x.png").write_bytes(EPS)
    with pytest.raises(ValueError, match="x.png: cannot be read as an image .it is none of BMP, GIF, JPEG"):
        read(tmp_path / "x.png")


@pytest.mark.parametrize("side", [9_500, 30_000, 300_000])  # Pillow warns, refuses, refuses
@pytest.mark.parametrize("read", [open_photo, open_image, embed, lambda path: check_images([path])])
def test_an_image_of_too_many_pixels_is_refused_before_it_is_decoded(tmp_path, read, side):
    (tmp_path / "x.png").write_bytes(png_header(side, side))
    with pytest.raises(ValueError, match="x.png: the image has more than 89,478,485 pixels.*--max_image_pix"):
        read(tmp_path / "x.png")


def test_the_flag_sets_the_limit(tmp_path):
    (tmp_path / "train").mkdir()
    Image.fromarray(np.zeros((32, 64, 3), np.uint8)).save(tmp_path / "train" / "a.png")
    at = ["--dataroot", tmp_path, "--checkpoints_dir", tmp_path / "runs", "--check_data", "--load_size", "32",
          "--crop_size", "32", "--netG", "resnet_6blocks", "--max_image_pixels"]
    _, err = train_here(*at, 32 * 64 - 1, status=2)
    assert "a.png: the image has more than 2,047 pixels" in err
    train_here(*at, 32 * 64)
    assert "--max_image_pixels must be an integer from 1" in train_here(*at, 0, status=2)[1]


def test_loader_processes_have_the_same_limit(tmp_path):
    """Processes that are spawned import everything anew."""
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "a.png")
    limit_pixels(63)
    loader = DatasetLoader(SingleDataset(data_options(tmp_path)), data_options(tmp_path))
    prepare = pickle.loads(pickle.dumps(loader.dataloader.worker_init_fn))
    limit_pixels(LARGEST_IMAGE)
    prepare(0)
    with pytest.raises(ValueError, match="more than 63 pixels"):
        open_image(tmp_path / "a.png")


def test_threads_together_hold_no_more_pixels_than_one_image_may_have():
    memory = _Pixels(10)
    first, release, order = threading.Event(), threading.Event(), []

    def hold(count, name):
        with memory.held(count):
            order.append(f"{name} starts")
            first.set()
            release.wait(10)
            order.append(f"{name} ends")

    threads = [threading.Thread(target=hold, args=(6, "a"))]
    threads[0].start()
    first.wait(10)
    threads.append(threading.Thread(target=hold, args=(5, "b")))
    threads[1].start()
    threads[1].join(0.1)
    release.set()
    for thread in threads:
        thread.join(10)
    assert order == ["a starts", "a ends", "b starts", "b ends"]
