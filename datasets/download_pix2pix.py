"""Download and unpack a data set of the Pix2Pix paper: aligned pairs, ready for --dataroot.

    python datasets/download_pix2pix.py facades            # -> datasets/facades/{train,val,test}
    python datasets/download_pix2pix.py edges2shoes --out /data

An interrupted download continues where it stopped; the archive is checked before it is unpacked, and the folder appears
whole or not at all. The checksums are those that other projects publish for these archives. Offline, fetch the archive
by other means and give it with --archive.
"""
import argparse
import hashlib
import shutil
import sys
import tarfile
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

URL = "https://efrosgans.eecs.berkeley.edu/pix2pix/datasets"
MD5 = {"facades": "e2e25dd517e9d15828416ab329da2854", "edges2shoes": "71da478b54fedde126e234a2a050bc15",
       "edges2handbags": "815592f22fa7f7534a286a25bb73bf03", "maps": "e5f65d26eb288457f5ac056deb94d154",
       "cityscapes": "32569df708076e427e9cd02abbca7748"}
_CHUNK = 1 << 20


def checksum(path):
    """The MD5 of a file, in hexadecimal."""
    digest = hashlib.md5()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def download(url, path):
    """Fetch `url` to `path`, going on after what is there already; shows the progress.

    Raises:
        ValueError: if the server cannot be reached or the transfer breaks off; what came stays for the next try.
    """
    done = path.stat().st_size if path.is_file() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={done}-"} if done else {})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer, \
                open(path, "ab" if done and answer.status == 206 else "wb") as file:
            done = file.tell()
            total = done + int(answer.headers.get("Content-Length") or 0)
            while chunk := answer.read(_CHUNK):
                file.write(chunk)
                print(f"\r{path.name}: {file.tell() / 1e6:.0f} of {total / 1e6:.0f} MB", end="", file=sys.stderr)
        print(file=sys.stderr)
    except urllib.error.HTTPError as error:
        if error.code != 416:  # the file is there as a whole already
            raise ValueError(f"{url}: the server says {error.code} {error.reason}") from None
    except OSError as error:
        raise ValueError(f"{url}: cannot be fetched ({getattr(error, 'reason', error)}); the same command goes on where it "
                         f"stopped, or fetch the file by other means and give it with --archive") from None


def unpack(archive, name, out):
    """Unpack the folder `name` of the archive into `out`, whole or not at all."""
    with tempfile.TemporaryDirectory(prefix=".unpack_", dir=out) as work:
        try:
            with tarfile.open(archive) as tar:
                tar.extractall(work, filter="data")  # refuses links and paths that lead outside
        except (tarfile.TarError, EOFError, OSError) as error:
            raise ValueError(f"{archive}: cannot be unpacked ({error})") from None
        if not (Path(work) / name).is_dir():
            raise ValueError(f"{archive}: holds no folder {name}")
        shutil.move(Path(work) / name, out / name)


def fetch(name, out, archive=None, url=URL, md5=MD5):
    """Download, check and unpack one data set; returns its folder.

    Raises:
        ValueError: unknown name, no connection, a damaged archive, or a folder that is there already.
    """
    if name not in md5:
        raise ValueError(f"unknown data set '{name}', known: {', '.join(md5)}")
    out = Path(out)
    if (out / name).exists():
        raise ValueError(f"{out / name} is there already; delete it to unpack it again")
    out.mkdir(parents=True, exist_ok=True)
    path = Path(archive) if archive else out / f"{name}.tar.gz"
    if not archive:
        if not (path.is_file() and checksum(path) == md5[name]):
            download(f"{url}/{name}.tar.gz", path)
    elif not path.is_file():
        raise ValueError(f"--archive {path}: no such file")
    found = checksum(path)
    if found != md5[name]:
        raise ValueError(f"{path}: its MD5 is {found}, wanted {md5[name]}; it is damaged or another file, delete it")
    unpack(path, name, out)
    if not archive:
        path.unlink()
    return out / name


def main(argv=None):
    """Fetch the data set, or print one line of error and return 2."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help=f"one of: {', '.join(MD5)}")
    parser.add_argument("--out", default="datasets", help="folder that the data set's folder goes into")
    parser.add_argument("--archive", help="the archive, if it is here already")
    args = parser.parse_args(argv)
    try:
        print(fetch(args.name, args.out, args.archive))
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
