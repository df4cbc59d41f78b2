#!/usr/bin/env python3
"""Fetch the runtime of pages that draw, and put it into a page.

    python scripts/fetch_runtime.py examples/draw                           # download 33 MB, once
    python scripts/fetch_runtime.py --file onnxruntime-web-1.30.0.tgz       # on a machine without network

The package onnxruntime-web (MIT license) comes from the npm registry; its SHA-512 is compared. The scripts
that pages load, 14 MB, are kept in ~/.cache/ugc (or $XDG_CACHE_HOME/ugc), from where export.py --format web
copies them, too. Without a page, only this cache is filled.
"""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from compression.deploy.web_runtime import TARBALL, VERSION, cache_folder, copy_runtime, fetch_runtime
from compression.runtime.text import printable
from data.pair_files import ScriptParser, run_script


def main(argv=None):
    """Fetch and copy; returns the exit status."""
    parser = ScriptParser(__doc__)
    parser.add_argument("page", nargs="?", help="folder of a page, such as examples/draw")
    parser.add_argument("--file", help=f"path of {TARBALL}, if it is already downloaded")
    args = parser.parse_args(argv)

    def run():
        page = Path(args.page) if args.page else None
        if page and not (page / "model.js").is_file():
            raise ValueError(f"{page}: is not a page of export.py --format web (it has no model.js)")
        files = fetch_runtime(args.file)
        if page:
            copy_runtime(page, files)
        print(printable(f"onnxruntime-web {VERSION}: {page / 'runtime' if page else cache_folder()}"))
        if page:
            print(printable(f"open in a browser: {page / 'index.html'}"))

    return run_script(run)


if __name__ == "__main__":
    sys.exit(main())
