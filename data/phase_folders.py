"""Find the folder of a phase in the root of a data set."""
import re
from pathlib import Path

from compression.runtime.text import did_you_mean, name_some

_USUAL = ("train", "val", "test", "trainval", "valid", "validation", "eval")
# suffixes of the folders of a phase that occur together with others, in the layouts of pix2pixHD and CamVid
_SUFFIXES = re.compile(r"(.+?)(?:_img|_label|_inst|annot)")
_SIDES = re.compile(r"(.+?)_?[AB]")


def phase_folder(root, phase, layouts, flag):
    """Choose the folder that holds the images of a phase.

    Args:
        root: the folder that the user named.
        phase: the phase.
        layouts: where known layouts of data sets have the images of the phase, as paths below `root`.
        flag: the flag that named `root`, for messages.

    Returns:
        The first of `layouts` that exists. `root` itself, if it is a plain folder of images.

    Raises:
        ValueError: if `root` is a data set that has other phases.
    """
    root = Path(root)
    for layout in layouts:
        if (root / layout).is_dir():
            return root / layout
    phases = phases_of(root)
    if phases:
        expected = name_some(dict.fromkeys(layouts), len(layouts), separator=" or ")
        raise ValueError(f"{flag} {root}: this data set has no images of --phase {phase} (expected a folder "
                         f"{expected}); its phases: {', '.join(phases)}. Give one of them as --phase, or "
                         f"the folder of the images itself as {flag}{did_you_mean(phase, phases)}")
    return root


def phases_of(root):
    """List the phases of a data set by its folders; none for a plain folder of images."""
    root = Path(root)
    for cityscapes in (root / "leftImg8bit", root / "gtFine"):
        if cityscapes.is_dir():
            return _folders(cityscapes)
    folders = _folders(root)
    with_suffix = {match[1] for match in map(_SUFFIXES.fullmatch, folders) if match}
    sides = [match[1] for match in map(_SIDES.fullmatch, folders) if match]
    with_suffix |= {phase for phase in sides if sides.count(phase) == 2 or phase.lower() in _USUAL}
    usual = {name for name in folders if name.lower() in _USUAL}
    if len(usual) > 1 or usual == set(folders):
        with_suffix |= usual
    return sorted(with_suffix)


def cityscapes_split(phase):
    """Return the split of Cityscapes for a phase: the labels of its test split are not public."""
    return "val" if phase == "test" else phase


def _folders(root):
    return sorted(path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
