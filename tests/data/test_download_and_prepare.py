"""The scripts in datasets/ download, resume, check, and convert; those in scripts/ build commands."""
import hashlib
import io
import re
import subprocess
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest
from PIL import Image

from modules import load_module
from paths import ROOT

download_pix2pix = load_module(ROOT / "datasets" / "download_pix2pix.py")
prepare_cityscapes = load_module(ROOT / "datasets" / "prepare_cityscapes.py")


@pytest.fixture
def server():
    """A server of one archive that supports ranges: (address, archive, the starts of requested ranges)."""
    buffer, asked = io.BytesIO(), []
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        data = np.random.default_rng(0).bytes(200_000)
        info = tarfile.TarInfo("toy/train/1.jpg")
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
    archive = buffer.getvalue()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            start = int((re.search(r"bytes=(\d+)-", self.headers.get("Range", "")) or [0, 0])[1])
            asked.append(start)
            if self.path != "/toy.tar.gz" or start >= len(archive):
                return self.send_error(416 if start else 404)
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(archive) - start))
            self.end_headers()
            self.wfile.write(archive[start:])

        def log_message(self, *args):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}", archive, asked
        http.shutdown()


def test_an_archive_is_downloaded_checked_unpacked_and_resumed(server, tmp_path):
    url, archive, asked = server
    md5 = {"toy": hashlib.md5(archive).hexdigest()}
    folder = download_pix2pix.fetch("toy", tmp_path, url=url, md5=md5)
    assert (folder / "train" / "1.jpg").stat().st_size == 200_000
    assert not (tmp_path / "toy.tar.gz").exists()
    with pytest.raises(ValueError, match="toy already exists"):
        download_pix2pix.fetch("toy", tmp_path, url=url, md5=md5)
    other = tmp_path / "other"
    other.mkdir()
    (other / "toy.tar.gz").write_bytes(archive[:70_000])  # an interrupted download
    assert (download_pix2pix.fetch("toy", other, url=url, md5=md5) / "train" / "1.jpg").is_file()
    assert asked == [0, 70_000]


def test_damaged_archives_and_no_connection_leave_nothing_behind(server, tmp_path):
    url, archive, _ = server
    with pytest.raises(ValueError, match="its MD5 is .*, expected 0000; it is damaged"):
        download_pix2pix.fetch("toy", tmp_path, url=url, md5={"toy": "0000"})
    cut = tmp_path / "cut.tar.gz"
    cut.write_bytes(archive[:100_000])
    with pytest.raises(ValueError, match="cannot be unpacked"):
        download_pix2pix.fetch("toy", tmp_path, archive=cut,
                               md5={"toy": hashlib.md5(archive[:100_000]).hexdigest()})
    assert not (tmp_path / "toy").exists()
    with pytest.raises(ValueError, match="http://127.0.0.1:9/toy.tar.gz: cannot be downloaded .*--archive"):
        download_pix2pix.fetch("toy", tmp_path / "offline", url="http://127.0.0.1:9", md5={"toy": "1"})
    with pytest.raises(ValueError, match="404"):
        download_pix2pix.fetch("none", tmp_path / "x", url=url, md5={"none": "1"})


def test_an_unknown_data_set_is_one_error_line(capsys, tmp_path):
    assert download_pix2pix.main(["shoes", "--out", str(tmp_path)]) == 2
    assert "error: unknown data set 'shoes', known: facades, edges2shoes" in capsys.readouterr().err


@pytest.fixture
def cityscapes(tmp_path):
    for phase in ("train", "val"):
        for i in range(2):
            for kind, name, value in (("leftImg8bit", f"aachen_{i}_leftImg8bit.png", 50),
                                      ("gtFine", f"aachen_{i}_gtFine_color.png", 200)):
                path = tmp_path / "city" / kind / phase / "aachen" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(np.full((20, 40, 3), value + i, np.uint8)).save(path)
    return tmp_path / "city"


def test_cityscapes_becomes_photo_and_label_side_by_side(cityscapes, tmp_path):
    assert prepare_cityscapes.main(["--source", str(cityscapes), "--out", str(tmp_path / "out"),
                                    "--size", "16"]) == 0
    pair = np.array(Image.open(tmp_path / "out" / "train" / "aachen_1.png"))
    assert pair.shape == (16, 32, 3)
    assert (pair[:, :16] == 51).all()
    assert (pair[:, 16:] == 201).all()
    assert len(list((tmp_path / "out" / "val").iterdir())) == 2


@pytest.mark.parametrize(("spoil", "message"), [
    (lambda root: (root / "gtFine" / "val" / "aachen" / "aachen_1_gtFine_color.png").unlink(),
     "1 of phase val have no partner: aachen_1"),
    (lambda root: (root / "leftImg8bit").rename(root / "left"), "no photos .leftImg8bit. of phase train"),
    (lambda root: (root / "gtFine" / "train" / "aachen" / "aachen_0_gtFine_color.png").write_text("x"),
     "aachen_0_gtFine_color.png: cannot be read as an image")])
def test_an_incomplete_cityscapes_is_refused(cityscapes, tmp_path, capsys, spoil, message):
    spoil(cityscapes)
    assert prepare_cityscapes.main(["--source", str(cityscapes), "--out", str(tmp_path / "out"),
                                    "--size", "8"]) == 2
    assert re.search(message, capsys.readouterr().err)
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


SCRIPTS = sorted((ROOT / "scripts").glob("*/*.sh"), key=str)
ROWS = {("cityscapes", "pix2pix_resnet", "0.5", "large"): "1.447G",
        ("cityscapes", "gaugan", "0.1", "small"): "8.823G",
        ("edges2shoes", "pix2pix_unet", "0.5", "large"): "1.206G",
        ("cityscapes", "pix2pixhd", "0.25", "large"): "13.348G"}


def commands(path, folder, *stages, **variables):
    """Run a script with echo instead of python, so that it prints its commands."""
    environment = {"PATH": "/usr/bin:/bin", "DATAROOT": str(folder), "PYTHON": "echo", **variables}
    return subprocess.run(["bash", str(path), *stages], capture_output=True, text=True, env=environment,
                          timeout=60)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_scripts_run_all_stages(path, tmp_path):
    done = commands(path, tmp_path)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("+ ")]
    assert [line.split()[2] for line in lines] == ["train.py", "train.py", "search.py", "train.py", "test.py",
                                                   "test.py"]
    assert "--model ugc_supernet" in lines[1]
    assert "latest_net_D.pth" in lines[1]
    assert len(commands(path, tmp_path, "search", "test").stdout.splitlines()) == 6
    assert commands(path, tmp_path / "nothing").returncode == 2
    assert "the stages are: original supernet" in commands(path, tmp_path, "train").stderr


@pytest.mark.parametrize("row", list(ROWS), ids=" ".join)
def test_scripts_have_the_budgets_of_the_paper(row, tmp_path):
    dataset, name, ratio, budget = row
    done = commands(ROOT / "scripts" / dataset / f"{name}.sh", tmp_path, "search", "supernet",
                    LABEL_RATIO=ratio, BUDGET=budget)
    assert f"--macs {ROWS[row]} " in done.stdout
    assert f"--label_ratio {ratio}" in done.stdout
    assert "set MACS" in commands(ROOT / "scripts" / dataset / f"{name}.sh", tmp_path,
                                  LABEL_RATIO="0.3").stderr
