"""Names of the classes of known data sets, for pages on which label maps are painted."""
from .toy_world import CLASSES as TOY

# Names and colors of the CamVid papers. The position is the label id of the edition with 11 classes; the last
# is void.
CAMVID = (
    ("Sky", (128, 128, 128)),
    ("Building", (128, 0, 0)),
    ("Pole", (192, 192, 128)),
    ("Road", (128, 64, 128)),
    ("Pavement", (0, 0, 192)),
    ("Tree", (128, 128, 0)),
    ("SignSymbol", (192, 128, 128)),
    ("Fence", (64, 64, 128)),
    ("Car", (64, 0, 128)),
    ("Pedestrian", (64, 64, 0)),
    ("Bicyclist", (0, 128, 192)),
    ("Void", (0, 0, 0)),
)
# the label ids of Cityscapes, as used by --label_nc 35
CITYSCAPES = (
    "unlabeled", "ego vehicle", "rectification border", "out of region", "static", "dynamic", "ground",
    "road", "sidewalk", "parking", "rail track", "building", "wall", "fence", "guard rail", "bridge",
    "tunnel", "pole", "pole group", "traffic light", "traffic sign", "vegetation", "terrain", "sky",
    "person", "rider", "car", "truck", "bus", "caravan", "trailer", "train", "motorcycle", "bicycle",
    "license plate")


def names_of_colors(is_toy):
    """Map the colors of label maps of the toy data set, or of CamVid, to the names of their classes."""
    return {color: name for name, color in (TOY if is_toy else CAMVID)}


def names_of_ids(label_nc, is_toy):
    """List the names of class ids; empty where they are unknown."""
    if is_toy:
        return [name for name, _ in TOY]
    return list(CITYSCAPES) if label_nc == len(CITYSCAPES) else []


def read_names(path):
    """Read the file of ``--class_names``: one name per line, in the order of the ids.

    Raises:
        ValueError: if the file cannot be read, or is empty.
    """
    try:
        with open(path, encoding="utf-8") as file:
            names = [line.strip() for line in file.read().splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"--class_names {path}: cannot be read as text ({error})") from None
    if not any(names):
        raise ValueError(f"--class_names {path}: holds no names; it needs one per line, in the order of the "
                         "ids")
    return names
