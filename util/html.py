"""HTML pages with rows of images."""
from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import dominate
from dominate.tags import a, br, div, h3, img, meta, p, style, table, td, th, tr

from compression.checkpoints.files import write_text
from compression.runtime.text import printable

_ASSETS = Path(__file__).with_name("assets")


def asset(name: str) -> str:
    """Read a style sheet or script of ``util/assets``, which is packed into the pages."""
    return (_ASSETS / name).read_text(encoding="utf-8")


def page_text(doc: dominate.document) -> str:
    """Render a page; the control characters of names become escapes, as on a terminal."""
    return "\n".join(map(printable, doc.render().split("\n")))


class HTML:
    """A page ``index.html`` whose images are in the folder ``images`` next to it.

    Args:
        web_dir: the folder of the page.
        title: its title.
        refresh: seconds after which a browser reloads the page; 0 for never.
    """

    def __init__(self, web_dir: str | os.PathLike, title: str, refresh: int = 0):
        self.web_dir = Path(web_dir)
        self.image_dir = self.web_dir / "images"
        self.image_dir.mkdir(parents=True, exist_ok=True)
        self.doc = dominate.document(title=title)
        with self.doc.head:
            meta(charset="utf-8")
            meta(name="viewport", content="width=device-width, initial-scale=1")
            self._refresh = meta(http_equiv="refresh", content=str(refresh)) if refresh > 0 else None
            style(asset("page.css").rstrip("\n"))

    def get_image_dir(self) -> str:
        """Return the folder of the images."""
        return str(self.image_dir)

    def add_header(self, text: str) -> None:
        """Add a heading."""
        with self.doc:
            h3(text)

    def add_table(self, header: Sequence, rows: Sequence[Sequence]) -> None:
        """Add a table of text: the cells of its header and of its rows."""
        with self.doc, div(cls="scroll"), table():
            with tr():
                for cell in header:
                    th(cell)
            for row in rows:
                with tr():
                    for cell in row:
                        td(cell)

    def add_images(self, files: Sequence[str], texts: Sequence[str], links: Sequence[str],
                   width: int = 256) -> None:
        """Add one row of images from ``images/``.

        Args:
            files: paths of the images below ``images/``.
            texts: the text below each image.
            links: paths of the files that the images link to.
            width: width of an image in pixels.
        """
        with self.doc, table(cls="images"), tr():
            for file, text, link in zip(files, texts, links, strict=True):
                with td(style="word-wrap: break-word;"), p():
                    with a(href=f"images/{quote(os.fsencode(link))}"):
                        img(style=f"width:{width}px", src=f"images/{quote(os.fsencode(file))}", alt=text)
                    br()
                    p(text)

    def stop_refreshing(self) -> None:
        """Write the page for the last time: from now on a browser does not reload it."""
        if self._refresh is not None:
            self.doc.head.remove(self._refresh)
            self._refresh = None
        self.save()

    def save(self) -> None:
        """Write the page atomically."""
        write_text(self.web_dir / "index.html", page_text(self.doc))
