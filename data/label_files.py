"""List the files of label maps, and tell the kinds of files in a Cityscapes download apart."""
import re
from collections import Counter
from pathlib import Path

from compression.runtime.text import printable

from .image_folder import make_dataset
from .phase_folders import cityscapes_split, phase_folder

_KIND = re.compile(r"_(?:gtFine|gtCoarse)_(\w+)\.[^.]+$")


def label_files(root, phase, flag="--labels"):
    """List the label maps of a phase, in the root of a data set or in a folder of label maps.

    Returns:
        The folder of the phase, and the paths in it.

    Raises:
        ValueError: if there are none, or the data set has no such phase.
    """
    if not Path(root).is_dir():
        make_dataset(root, flag=flag)  # raises
    split = cityscapes_split(phase)
    layouts = (f"gtFine/{split}", f"{phase}_label", f"{phase}annot", phase)
    if Path(root).name in ("gtFine", "gtCoarse"):
        layouts = (split,)
    folder = phase_folder(root, phase, layouts, flag)
    return folder, of_kind(make_dataset(folder, flag=flag), "labelIds", flag, folder)


def of_kind(paths, kind, flag, folder):
    """Choose the files of one kind, such as ``labelIds``, where a folder holds several of Cityscapes' kinds.

    A message says which files are used. Files without such an ending are kept.

    Raises:
        ValueError: if all files are of other kinds.
    """
    kinds = {path: match[1] if (match := _KIND.search(str(path))) else None for path in paths}
    others = Counter(other for other in kinds.values() if other not in (None, kind))
    if not others:
        return list(paths)
    chosen = [path for path in paths if kinds[path] in (None, kind)]
    ignored = ", ".join(f"{count} {name}" for name, count in sorted(others.items()))
    if not chosen:
        raise ValueError(f"{flag} {folder}: holds no {kind} files of Cityscapes, but {ignored}; the ids in "
                         f"these are not those of {kind}. Give the folder of the *_{kind}.png files of the "
                         "download")
    print(f"{flag} {printable(folder)}: uses the {len(chosen)} {kind} files, not the others of Cityscapes "
          f"({ignored})")
    return chosen
