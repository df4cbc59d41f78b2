"""Download and unpack a data set of the Pix2Pix paper: image pairs for --dataroot.

    python datasets/download_pix2pix.py facades            # -> datasets/facades/{train,val,test}
    python datasets/download_pix2pix.py edges2shoes --out /data

An interrupted download continues where it stopped: NAME.tar.gz.part in the output folder has its bytes. The
archive is checked before it is unpacked, only files and folders below NAME are unpacked, and the folder
appears only when it is complete. The checksums are those that other projects publish for these archives. On a
machine without network, copy the archive there and pass it with --archive.
"""
import hashlib
import os
import sys
import tarfile
import urllib.error
import urllib.request
import zlib
from http.client import HTTPException
from pathlib import Path, PurePosixPath

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from compression.runtime.text import printable
from data.pair_files import ScriptParser, complete_folders, require_new_folders, run_script

URL = "https://efrosgans.eecs.berkeley.edu/pix2pix/datasets"
MD5 = {"facades": "e2e25dd517e9d15828416ab329da2854", "edges2shoes": "71da478b54fedde126e234a2a050bc15",
       "edges2handbags": "815592f22fa7f7534a286a25bb73bf03", "maps": "e5f65d26eb288457f5ac056deb94d154",
       "cityscapes": "32569df708076e427e9cd02abbca7748"}
_CHUNK = 1 << 20  # bytes


def checksum(path):
    """Compute the MD5 checksum of a file, in hexadecimal."""
    digest = hashlib.md5()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def download(url, path):
    """Download `url` to `path` and show the progress. If the file exists, continue at its end.

    Raises:
        ValueError: if the server cannot be reached or the connection breaks. The received part is kept.
    """
    size = path.stat().st_size if path.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={size}-"} if size else {})
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            continues = size and response.status == 206
            with open(path, "ab" if continues else "wb") as file:
                total = file.tell() + (response.length or 0)
                while chunk := response.read(_CHUNK):
                    file.write(chunk)
                    progress = f"{file.tell() / 1e6:.0f} of {total / 1e6:.0f} MB"
                    print(f"\r{printable(path.name)}: {progress}", end="", file=sys.stderr)
                print(file=sys.stderr)
                if file.tell() < total:
                    raise OSError("the connection broke")
    except urllib.error.HTTPError as error:
        if error.code != 416:  # 416: the file is already complete
            raise ValueError(f"{url}: the server answers {error.code} {error.reason}") from None
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise ValueError(f"{url}: cannot be downloaded ({reason}); run the command again to continue, or "
                         "download the file in another way and pass it with --archive") from None


def unpack(archive, name, out):
    """Unpack the folder `name` of an archive into `out`, where it appears only when it is complete.

    Raises:
        ValueError: if the archive is damaged, or has links or anything outside this folder.
    """
    def require_plain(member, folder):
        if not (member.isfile() or member.isdir()):
            raise ValueError(f"its member {member.name} is neither a file nor a folder")
        parts = PurePosixPath(member.name).parts
        if parts[:1] not in ((name,), ()) or ".." in parts:
            raise ValueError(f"its member {member.name} is not in the folder {name}")
        return tarfile.data_filter(member, folder)  # refuses paths that lead outside

    if not hasattr(tarfile, "data_filter"):
        raise ValueError("unpacking needs Python 3.10.12 or later, which checks the paths of an archive")
    with complete_folders(out) as temporary:
        try:
            with tarfile.open(archive) as tar:
                tar.extractall(temporary, filter=require_plain)
        except (tarfile.TarError, EOFError, OSError, ValueError, zlib.error) as error:
            raise ValueError(f"{archive}: cannot be unpacked ({error})") from None
        if not (temporary / name).is_dir():
            raise ValueError(f"{archive}: has no folder {name}")


def fetch(name, out, archive=None, url=URL, md5=MD5):
    """Download, check, and unpack a data set.

    Args:
        name: name of the data set, a key of `md5`.
        out: the folder for its folder.
        archive: path of the archive if it need not be downloaded.
        url: the folder of the archives on the server.
        md5: name -> checksum of the archive.

    Returns:
        The folder of the data set.

    Raises:
        ValueError: if the name is unknown, the folder exists, the server cannot be reached, or the archive is
            damaged.
    """
    if name not in md5:
        raise ValueError(f"unknown data set '{name}', known: {', '.join(md5)}")
    out = Path(out)
    require_new_folders(out, [name])
    out.mkdir(parents=True, exist_ok=True)
    path = Path(archive) if archive is not None else out / f"{name}.tar.gz.part"
    if archive is not None and not path.is_file():
        raise ValueError(f"--archive {path}: no such file")
    if archive is None:
        if os.path.lexists(path) and (path.is_symlink() or not path.is_file()):
            raise ValueError(f"{path}: is not a regular file, which a download could continue; remove it")
        is_complete = path.exists() and checksum(path) == md5[name]
        if not is_complete:
            download(f"{url}/{name}.tar.gz", path)
    actual = checksum(path)
    if actual != md5[name]:
        raise ValueError(f"{path}: its MD5 is {actual}, expected {md5[name]}; it is damaged or another file, "
                         "delete it")
    unpack(path, name, out)
    if archive is None:
        path.unlink()
    return out / name


def main(argv=None):
    """Fetch a data set; returns the exit status."""
    parser = ScriptParser(__doc__)
    parser.add_argument("name", help=f"one of: {', '.join(MD5)}")
    parser.add_argument("--out", default="datasets", help="folder for the folder of the data set")
    parser.add_argument("--archive", help="path of the archive if it is already downloaded")
    args = parser.parse_args(argv)
    return run_script(lambda: print(printable(fetch(args.name, args.out, args.archive))))


if __name__ == "__main__":
    sys.exit(main())
