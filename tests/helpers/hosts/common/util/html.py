"""A page of images in rows."""

import os

import dominate
from dominate.tags import a, br, h3, img, meta, p, table, td, tr


class HTML:
    """``index.html`` in `web_dir`, with its images in ``images/``."""

    def __init__(self, web_dir, title, refresh=0):
        self.title, self.web_dir = title, web_dir
        self.img_dir = os.path.join(web_dir, "images")
        os.makedirs(self.img_dir, exist_ok=True)
        self.doc = dominate.document(title=title)
        if refresh > 0:
            with self.doc.head:
                meta(http_equiv="refresh", content=str(refresh))

    def get_image_dir(self):
        """Where the images go."""
        return self.img_dir

    def add_header(self, text):
        """A heading."""
        with self.doc:
            h3(text)

    def add_images(self, ims, txts, links, width=400):
        """A row of images above their texts."""
        with self.doc, table(border=1, style="table-layout: fixed;"), tr():
            for image, text, link in zip(ims, txts, links):
                with td(style="word-wrap: break-word;", halign="center", valign="top"), p():
                    with a(href=os.path.join("images", link)):
                        img(style=f"width:{width}px", src=os.path.join("images", image))
                    br()
                    p(text)

    def save(self):
        """Write the page."""
        with open(os.path.join(self.web_dir, "index.html"), "w", encoding="utf-8") as file:
            file.write(self.doc.render())
