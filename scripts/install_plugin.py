#!/usr/bin/env python3
"""Put UGC into a checkout of pytorch-CycleGAN-and-pix2pix, or take it out again. Needs Python alone, 3.10 or later.

    python scripts/install_plugin.py TARGET               # copy the plugin's files, or update them
    python scripts/install_plugin.py TARGET --dry-run     # tell what would be done
    python scripts/install_plugin.py TARGET --uninstall   # the checkout is then as it was before

No file of the checkout is changed. What was put there is recorded in TARGET/.ugc_plugin.json, path and sha256; a file
that is not in this record, or was edited since, is neither overwritten nor removed. Files are written whole or not at
all, and if one cannot be written everything is as before.
"""
import argparse
import hashlib
import json
import os
import shlex
import signal
import sys
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[1]
RECORD = ".ugc_plugin.json"
CHECKOUT = ("train.py", "test.py", "models/base_model.py", "data/base_dataset.py", "options/base_options.py")
FILES = ("compression/**/*.py",
         "models/builders.py", "models/training.py", "models/ugc_base.py", "models/ugc_supernet_model.py",
         "models/ugc_distill_model.py", "models/ugc_student_model.py",
         "data/adf_dataset.py", "data/held_out.py",
         "options/ugc_options.py", "options/original_options.py", "options/metric_options.py",
         "options/precedence.py", "options/earlier_runs.py", "options/search_options.py",
         "util/entry.py", "util/lock.py", "util/plots.py", "util/run_folder.py", "util/signals.py",
         "util/supernet_search.py",
         "search.py")
NEXT = ("train.py --model ugc_supernet --dataroot ./datasets/mine --name mine_supernet --label_ratio 0.25 "
        "--restore_G checkpoints/mine/latest_net_G.pth --restore_D checkpoints/mine/latest_net_D.pth",
        "search.py --name mine_supernet",
        "train.py --model ugc_distill --supernet mine_supernet --dataroot ./datasets/mine --name mine_student",
        "test.py --model ugc_student --dataroot ./datasets/mine --name mine_student")


@dataclass
class Record:
    """What was put into a checkout.

    Attributes:
        files: path -> sha256.
        previous: those of the version that an update replaces, while it is under way.
        folders: that were made for the files, the outer ones first.
        caches: ``__pycache__`` folders that were there before.
    """

    files: dict = field(default_factory=dict)
    previous: dict = field(default_factory=dict)
    folders: list = field(default_factory=list)
    caches: list = field(default_factory=list)

    @property
    def paths(self):
        """All files that may be there."""
        return sorted({*self.files, *self.previous})

    def owns(self, target, path):
        """Whether the file at `path` is one that was put there, unchanged."""
        if in_the_way(target, path) or not (target / path).is_file() or (target / path).is_symlink():
            return False
        return sha256((target / path).read_bytes()) in (self.files.get(path), self.previous.get(path))


def sha256(content):
    """The checksum of bytes, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def plugin_files(root=ROOT, patterns=FILES):
    """The plugin's files in the repository `root`, relative paths.

    Raises:
        ValueError: names the listed ones that are not there.
    """
    found, missing = set(), []
    for pattern in patterns:
        if "*" in pattern:
            found |= {path.relative_to(root).as_posix() for path in root.glob(pattern)
                      if path.is_file() and not path.name.startswith(".") and "__pycache__" not in path.parts}
        elif (root / pattern).is_file():
            found.add(pattern)
        else:
            missing.append(pattern)
    if missing:
        raise ValueError(f"{root}: files of the plugin are missing: {', '.join(missing)}")
    return sorted(found)


def check_target(target, root=ROOT):
    """ValueError unless `target` is a checkout of the host."""
    if not target.exists():
        raise ValueError(f"{target}: there is no such folder")
    if not target.is_dir():
        raise ValueError(f"{target}: is no folder")
    if target.resolve() == root.resolve():
        raise ValueError(f"{target}: is this repository itself, which needs no plugin; wanted a checkout of "
                         "pytorch-CycleGAN-and-pix2pix")
    missing = [path for path in CHECKOUT if not (target / path).is_file()]
    if missing:
        raise ValueError(f"{target}: is no checkout of pytorch-CycleGAN-and-pix2pix, it has no {', '.join(missing)}")


def read_record(target):
    """The checkout's Record, or None where nothing is installed; ValueError if it is damaged."""
    path = next((p for p in (target / RECORD, old_name(target / RECORD)) if os.path.lexists(p)), None)
    if path is None:
        return None
    try:
        record = Record(**json.loads(path.read_text(encoding="utf-8")))
        paths = [*record.files, *record.previous, *record.folders, *record.caches]
        sound = isinstance(record.files, dict) and isinstance(record.previous, dict) and all(
            isinstance(p, str) and p and not p.startswith("/") and ".." not in p.split("/") for p in paths)
    except (ValueError, TypeError):
        sound = False
    if not sound:
        raise ValueError(f"{path}: is damaged, so that it is not known which files are the plugin's; remove it and them by hand")
    return record


def in_the_way(target, path):
    """The first of the folders of `path` that is a link or no folder, or None."""
    for folder in reversed([str(p) for p in PurePosixPath(path).parents][:-1]):
        at = target / folder
        if os.path.lexists(at) and (at.is_symlink() or not at.is_dir()):
            return folder
    return None


@dataclass
class Plan:
    """What an installation does: path -> content of new and of replaced files, and paths that a new version dropped."""

    new: dict
    replaced: dict
    dropped: list
    unchanged: list


def plan(root, target, names, record):
    """The Plan that brings the files `names` of the repository into the checkout.

    Raises:
        ValueError: names all files of the checkout that are in the way.
    """
    found, unknown, edited = Plan({}, {}, [], []), [], []
    for name in names:
        content = (root / name).read_bytes()
        blocked = in_the_way(target, name)
        if blocked:
            unknown.append(blocked)
        elif not os.path.lexists(target / name):
            found.new[name] = content
        elif record.owns(target, name):
            same = sha256((target / name).read_bytes()) == sha256(content)
            found.unchanged.append(name) if same else found.replaced.update({name: content})
        else:
            (edited if name in record.paths else unknown).append(name)
    for name in sorted({*record.paths} - {*names}):
        if os.path.lexists(target / name):
            (found.dropped if record.owns(target, name) else edited).append(name)
    reasons = [f"{what}: {', '.join(dict.fromkeys(which))}" for what, which in
               (("not put there by this installer", unknown), ("edited since they were installed", edited)) if which]
    if reasons:
        raise ValueError(f"{target}: nothing is copied, since files are in the way ({'; '.join(reasons)})")
    return found


def install(root, target, names, dry_run=False):
    """Copy or update the plugin's files; everything is as before if that fails.

    Returns:
        The Plan that was carried out, or with `dry_run` would be.
    """
    record = read_record(target)
    planned = plan(root, target, names, record or Record())
    if dry_run:
        return planned
    folders = missing_folders(target, names)
    caches = record.caches if record else sorted({path.relative_to(target).as_posix() for path in caches_of(target, names)
                                                  if path.is_dir()})
    previous = {name: sha256((target / name).read_bytes()) for name in (*planned.replaced, *planned.dropped)}
    known = Record({name: sha256((root / name).read_bytes()) for name in names}, previous,
                   list(dict.fromkeys([*(record.folders if record else []), *folders])), caches)
    with ExitStack() as undo:  # its steps are taken, the last one first, unless all went well
        swap(target / RECORD, content_of(known), undo)  # first, so that also a killed installation can be undone
        for folder in folders:
            (target / folder).mkdir()
            undo.callback((target / folder).rmdir)
        contents = {**planned.new, **planned.replaced}
        for name, content in contents.items():
            stage(target / name, content, undo)
        for name in contents:
            swap_staged(target / name, undo)
        for name in planned.dropped:
            put_aside(target / name, undo)
        known.previous, known.folders = {}, [f for f in known.folders if any(n.startswith(f + "/") for n in names)]
        stage(target / RECORD, content_of(known), undo)
        os.replace(new_name(target / RECORD), target / RECORD)
        undo.pop_all()
    remove_left_overs(target, {*names, *planned.dropped, RECORD})
    remove_caches(target, planned.dropped, caches)
    remove_empty(target, set(record.folders if record else ()) - set(known.folders))
    return planned


def uninstall(target, record):
    """Remove the recorded files that nobody changed, what Python made of them, and the record.

    Returns:
        The removed files, and those that are kept because they were edited.
    """
    removed = [path for path in record.paths if record.owns(target, path)]
    kept = [path for path in record.paths if path not in removed and os.path.lexists(target / path)]
    for path in removed:
        (target / path).unlink()
    remove_left_overs(target, {*record.paths, RECORD})
    remove_caches(target, [path for path in record.paths if path not in kept], record.caches)
    remove_empty(target, record.folders)
    (target / RECORD).unlink(missing_ok=True)
    return removed, kept


def content_of(record):
    """A Record as it is stored."""
    return (json.dumps(asdict(record), indent=1) + "\n").encode()


def new_name(path):
    """Where the content of `path` is written before it takes its place."""
    return path.with_name(f".{path.name}.ugc_new")


def old_name(path):
    """Where the file that `path` was is kept until all is done."""
    return path.with_name(f".{path.name}.ugc_old")


def stage(path, content, undo):
    """Write the content that `path` will have."""
    undo.callback(new_name(path).unlink, missing_ok=True)
    with open(new_name(path), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def put_aside(path, undo):
    """Rename a file, so that it can be put back."""
    os.replace(path, old_name(path))
    undo.callback(os.replace, old_name(path), path)


def swap_staged(path, undo):
    """Let the staged content take its place."""
    if path.exists():
        put_aside(path, undo)
    undo.callback(path.unlink, missing_ok=True)
    os.replace(new_name(path), path)


def swap(path, content, undo):
    """Write a file, whole or not at all."""
    stage(path, content, undo)
    swap_staged(path, undo)


def missing_folders(target, names):
    """Folders that files need and the checkout has not, the outer ones first."""
    needed = {str(parent) for name in names for parent in PurePosixPath(name).parents} - {"."}
    return sorted(folder for folder in needed if not (target / folder).exists())


def caches_of(target, names):
    """The folders where Python keeps the compiled forms of modules."""
    return {(target / name).parent / "__pycache__" for name in names}


def remove_left_overs(target, names):
    """Remove what a killed installation left beside the files."""
    for name in names:
        if not in_the_way(target, name):
            for path in (new_name(target / name), old_name(target / name)):
                path.unlink(missing_ok=True)


def remove_caches(target, names, kept):
    """Remove the compiled forms of modules, and the folders ``__pycache__`` that are then empty, except `kept`."""
    for name in names:
        if name.endswith(".py") and not in_the_way(target, name):
            for path in ((target / name).parent / "__pycache__").glob(f"{Path(name).stem}.*.pyc"):
                path.unlink()
    remove_empty(target, {path.relative_to(target).as_posix() for path in caches_of(target, names)} - set(kept))


def remove_empty(target, folders):
    """Remove those of the folders that are empty, the inner ones first."""
    for folder in sorted(folders, reverse=True):
        at = target / folder
        if at.is_dir() and not at.is_symlink() and not any(at.iterdir()):
            at.rmdir()


def told_install(target, planned, dry_run):
    """Print what was done, or would be, and what to type next."""
    parts = (("new", planned.new), ("replaced", planned.replaced), ("removed", planned.dropped), ("unchanged", planned.unchanged))
    counted = ", ".join(f"{len(names)} {what}" for what, names in parts if names)
    if dry_run:
        for what, names in (("copy", planned.new), ("replace", planned.replaced), ("remove", planned.dropped)):
            print("".join(f"would {what} {name}\n" for name in names), end="")
        return print(f"dry run, nothing is changed: {counted} files in {target}")
    print(f"UGC is installed in {target} ({counted}; files are listed in {RECORD}); none of the checkout's own is changed")
    print("next, there:")
    print("".join(f"  python {command}\n" for command in NEXT), end="")
    print(f"and to take it out again, here: {shlex.join(['python', str(Path(sys.argv[0])), str(target), '--uninstall'])}")
    if sys.version_info >= (3, 14):
        print("note: run it there with Python 3.10 to 3.13; later ones have a standard-library package named compression")


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message):
        """One line on stderr and exit status 2."""
        print(f"error: {message}", file=sys.stderr)
        sys.exit(2)


def main(arguments=None, root=ROOT):
    """Install, update or uninstall as the command line says; returns the exit status."""
    parser = Parser(description=__doc__.partition("\n")[0], allow_abbrev=False)
    parser.add_argument("target", metavar="TARGET", type=Path, help="the checkout of pytorch-CycleGAN-and-pix2pix")
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--dry-run", action="store_true", help="tell what would be done, and do nothing")
    action.add_argument("--uninstall", action="store_true", help="remove what was installed")
    opt = parser.parse_args(arguments)
    try:
        check_target(opt.target, root)
        if opt.uninstall:
            record = read_record(opt.target)
            if record is None:
                raise ValueError(f"{opt.target}: UGC is not installed there, {RECORD} is missing")
            removed, kept = uninstall(opt.target, record)
            print(f"UGC is removed from {opt.target} ({len(removed)} files)" +
                  (f"; kept, since edited: {', '.join(kept)}" if kept else ""))
        else:
            told_install(opt.target, install(root, opt.target, plugin_files(root), opt.dry_run), opt.dry_run)
    except (ValueError, OSError) as error:
        parser.error(" ".join(str(error).split()))
    return 0


if __name__ == "__main__":
    for number in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
        signal.signal(number, lambda number, frame: sys.exit(128 + number))  # which undoes what was begun
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
