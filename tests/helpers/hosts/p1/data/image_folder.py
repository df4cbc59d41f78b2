"""Images below a folder."""

import os

IMG_EXTENSIONS = [
    spelling
    for name in ("jpg", "jpeg", "png", "ppm", "bmp", "tif", "tiff")
    for spelling in (f".{name}", f".{name.upper()}")
]


def is_image_file(filename):
    """Whether a name ends as an image's."""
    return any(filename.endswith(extension) for extension in IMG_EXTENSIONS)


def make_dataset(dir, max_dataset_size=float("inf")):
    """Paths of at most so many images, in no order."""
    assert os.path.isdir(dir), f"{dir} is not a valid directory"
    images = [
        os.path.join(root, name)
        for root, _, names in sorted(os.walk(dir))
        for name in names
        if is_image_file(name)
    ]
    return images[: int(min(max_dataset_size, len(images)))]
