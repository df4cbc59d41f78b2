"""HTML pages of images in rows."""
from pathlib import Path

import dominate
from dominate.tags import a, br, h3, img, meta, p, style, table, td, th, tr

from compression.checkpoints.files import write_text


_STYLE = """body { font-family: sans-serif; margin: 1.5em; color: #1f2328; }
table { border-collapse: collapse; } td, th { border: 1px solid #d0d7de; padding: 6px; text-align: center; }
table.images { table-layout: fixed; } img { max-width: 100%; height: auto; } h3 { margin-bottom: .3em; }"""


class HTML:
    """A page ``index.html`` in `web_dir` with its images in ``images/``."""

    def __init__(self, web_dir, title, refresh=0):
        self.web_dir = Path(web_dir)
        self.image_dir = self.web_dir / "images"
        self.image_dir.mkdir(parents=True, exist_ok=True)
        self.doc = dominate.document(title=title)
        with self.doc.head:
            meta(charset="utf-8")
            meta(name="viewport", content="width=device-width, initial-scale=1")
            if refresh > 0:
                meta(http_equiv="refresh", content=str(refresh))
            style(_STYLE)

    def get_image_dir(self):
        """Where images go."""
        return str(self.image_dir)

    def add_header(self, text):
        """A heading."""
        with self.doc:
            h3(text)

    def add_table(self, header, rows):
        """A table of text: `header` and `rows` are sequences of cells."""
        with self.doc:
            with table():
                with tr():
                    for cell in header:
                        th(cell)
                for row in rows:
                    with tr():
                        for cell in row:
                            td(cell)

    def add_images(self, files, texts, links, width=256):
        """One row of images from ``images/``, each above its text and linking to a file."""
        with self.doc:
            with table(cls="images"):
                with tr():
                    for file, text, link in zip(files, texts, links):
                        with td(style="word-wrap: break-word;"):
                            with p():
                                with a(href=f"images/{link}"):
                                    img(style=f"width:{width}px", src=f"images/{file}", alt=text)
                                br()
                                p(text)

    def save(self):
        """Write the page, whole or not at all."""
        write_text(self.web_dir / "index.html", self.doc.render())
