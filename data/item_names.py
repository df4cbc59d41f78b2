"""Names of items: the paths of their files below one folder, without the extension of the file."""
import os
import re
import unicodedata
from pathlib import Path

from compression.runtime.text import name_some

_NAMED = 10  # the maximum number of files that an error message names
_CITYSCAPES = re.compile(r"_(gtFine|gtCoarse|leftImg8bit)(_[^/]*)?$")


def common_folder(paths):
    """Return the innermost folder that holds all files."""
    return os.path.commonpath([os.path.dirname(path) for path in paths])


def item_name(path, folder):
    """Return the name of a file's item, such as ``clip0/frame1`` for ``<folder>/clip0/frame1.png``."""
    relative = Path(path).relative_to(folder)
    return relative.with_name(relative.stem).as_posix()


def files_by_name(paths, folder, flag):
    """Map the names of items to their files.

    Args:
        paths: the files.
        folder: the folder that names are relative to.
        flag: the flag that named the folder, for messages.

    Raises:
        ValueError: if several files have the same name, as ``p0.jpg`` and ``p0.png`` have.
    """
    files = {}
    for path in paths:
        files.setdefault(item_name(path, folder), []).append(Path(path))
    clashes = [f"{', '.join(path.name for path in same)} in {same[0].parent}"
               for same in files.values() if len(same) > 1]
    if clashes:
        raise ValueError(f"{flag} {folder}: {len(clashes)} names belong to several files, so that it is not "
                         f"clear which is meant: {name_some(clashes, _NAMED, separator='; ')}; rename or "
                         "move the others")
    return {name: path for name, (path,) in files.items()}


def pairing_key(name):
    """Return what the names of the files of one item share.

    These are the names without Cityscapes' endings, such as ``_gtFine_labelIds`` and ``_leftImg8bit``, and
    with accents in one encoding, because macOS and Linux encode them differently.
    """
    return _CITYSCAPES.sub("", unicodedata.normalize("NFC", name))


def find_partners(names, candidates, flag):
    """Find for each name the candidate that belongs to the same item.

    Two names belong to the same item if they are equal, or if one is the other in a sub-folder: the partner
    of ``city0/frame1`` may be ``val/city0/frame1`` or ``frame1``, but not ``city1/frame1``.

    Args:
        names: names of items.
        candidates: names of the items of another folder.
        flag: the flag of the other folder, for messages.

    Returns:
        name -> candidate, for the names that have a partner.

    Raises:
        ValueError: if a name has several partners, or several names have the same one.
    """
    exact = {}
    endings = {}
    for candidate in candidates:
        key = pairing_key(candidate)
        exact.setdefault(key, []).append(candidate)
        for ending in _shorter_endings(key):
            endings.setdefault(ending, []).append(candidate)
    partners = {}
    used = {}
    ambiguous = []
    for name in names:
        key = pairing_key(name)
        found = exact.get(key) or endings.get(key) or next(
            (exact[ending] for ending in _shorter_endings(key) if ending in exact), [])
        if len(found) > 1:
            ambiguous.append(f"{name} ({name_some(found, 3)})")
        for candidate in found:
            partners[name] = candidate
            used.setdefault(candidate, []).append(name)
    ambiguous += [f"{name_some(several, 3)} ({candidate})" for candidate, several in used.items()
                  if len(several) > 1 and partners[several[0]] == candidate]
    if ambiguous:
        raise ValueError(f"{flag}: the file is not clear for {len(ambiguous)} names: "
                         f"{name_some(ambiguous, _NAMED, separator='; ')}; use the same sub-folders on both "
                         "sides, or names that differ")
    return partners


def _shorter_endings(key):
    """List the endings of a name that start after one of its folders, the longest first."""
    parts = key.split("/")
    return ["/".join(parts[i:]) for i in range(1, len(parts))]
