#!/usr/bin/env python3
"""Install UGC into a checkout of pytorch-CycleGAN-and-pix2pix, or uninstall it.

    python scripts/install_plugin.py TARGET               # copy the plugin's files, or update them
    python scripts/install_plugin.py TARGET --dry-run     # print what would be done
    python scripts/install_plugin.py TARGET --uninstall   # restore the checkout as it was before

No file of the checkout is changed. TARGET/.ugc_plugin.json records the path and the SHA-256 of every
installed file; a file that is not recorded there, or was edited after the installation, is neither
overwritten nor removed. If a file cannot be written, the installation is rolled back. Requires Python 3.10+.
"""
import argparse
import os
import runpy
import shlex
import signal
import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

sys.path.insert(0, str(Path(__file__).resolve().parent))
import rollback
from host_checkout import check_generation, check_target
from plugin_record import RECORD, Record, content_of, read_record, sha256

ROOT = Path(__file__).resolve().parents[1]
# without the package, which needs torch
printable = runpy.run_path(str(ROOT / "compression" / "runtime" / "text.py"))["printable"]
FILES = ("compression/**/*.py",
         "models/builders.py", "models/training.py", "models/stepping.py", "models/checkpointing.py",
         "models/measuring.py", "models/conditional_gan.py", "models/ugc_base.py",
         "models/ugc_supernet_model.py", "models/ugc_distill_model.py", "models/ugc_student_model.py",
         "models/distill_checks.py", "models/online_teachers.py", "models/recent_inputs.py",
         "models/intermediate_distillation.py",
         "models/supernet_budgets.py", "data/adf_dataset.py", "data/held_out.py", "data/label_split.py",
         "options/ugc_options.py", "options/gan_options.py", "options/original_options.py",
         "options/budget.py", "options/metric_options.py", "options/precedence.py", "options/earlier_runs.py",
         "options/student_settings.py", "options/whole_images.py", "options/run_checks.py",
         "options/search_options.py", "options/search_split.py",
         "options/precision_options.py",
         "util/before_torch.py", "util/candidate_scores.py", "util/cores.py", "util/entry.py",
         "util/evolution_run.py", "util/host_errors.py",
         "util/latency_budget.py", "util/lock.py", "util/memory.py", "util/plots.py", "util/run_folder.py",
         "util/scoring_processes.py", "util/search_budgets.py", "util/search_images.py",
         "util/search_plan.py", "util/search_results.py",
         "util/search_state.py", "util/signals.py", "util/size_check.py", "util/supernet_search.py",
         "search.py")
NEXT = ("train.py --model ugc_supernet --dataroot ./datasets/mine --name mine_supernet --label_ratio 0.25 "
        "--restore_G checkpoints/mine/latest_net_G.pth --restore_D checkpoints/mine/latest_net_D.pth",
        "search.py --name mine_supernet",
        "train.py --model ugc_distill --supernet mine_supernet --dataroot ./datasets/mine "
        "--name mine_student",
        "test.py --model ugc_student --dataroot ./datasets/mine --name mine_student")


def plugin_files(root=ROOT, patterns=FILES):
    """List the plugin's files in the repository `root` as relative paths.

    Raises:
        ValueError: if files of the list are missing; the message names them.
    """
    files, missing = set(), []
    for pattern in patterns:
        if "*" in pattern:
            files |= {path.relative_to(root).as_posix() for path in root.glob(pattern)
                      if path.is_file() and not path.name.startswith(".") and "__pycache__" not in path.parts}
        elif (root / pattern).is_file():
            files.add(pattern)
        else:
            missing.append(pattern)
    if missing:
        raise ValueError(f"{root}: files of the plugin are missing: {', '.join(missing)}")
    return sorted(files)


@dataclass
class Plan:
    """What an installation does.

    Attributes:
        new: path -> content of the files to add.
        replaced: path -> content of the files to replace.
        dropped: paths of installed files that this version does not have; they are removed.
        unchanged: paths of installed files that stay as they are.
    """

    new: dict[str, bytes] = field(default_factory=dict)
    replaced: dict[str, bytes] = field(default_factory=dict)
    dropped: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)


def make_plan(root, target, names, record):
    """Plan the installation of the files `names` of the repository into the checkout.

    Raises:
        ValueError: if files of the checkout are in the way; the message names all of them.
    """
    plan, unknown, edited = Plan(), [], []
    for name in names:
        content = (root / name).read_bytes()
        blocking = rollback.blocking_folder(target, name)
        if blocking:
            unknown.append(blocking)
        elif not os.path.lexists(target / name):
            plan.new[name] = content
        elif not record.owns(target, name):
            (edited if name in record.paths else unknown).append(name)
        elif (target / name).read_bytes() == content:
            plan.unchanged.append(name)
        else:
            plan.replaced[name] = content
    for name in sorted({*record.paths} - {*names}):
        if os.path.lexists(target / name):
            (plan.dropped if record.owns(target, name) else edited).append(name)
    reasons = []
    if unknown:
        reasons.append(f"not installed by this script: {', '.join(dict.fromkeys(unknown))}")
    if edited:
        reasons.append(f"edited since they were installed: {', '.join(dict.fromkeys(edited))}")
    if reasons:
        raise ValueError(f"{target}: nothing was copied, because files are in the way ({'; '.join(reasons)})")
    return plan


def install(root, target, names, dry_run=False):
    """Copy or update the plugin's files; if that fails, restore everything as it was before.

    Returns:
        The Plan that was carried out or, with `dry_run`, would be.
    """
    record = read_record(target)
    plan = make_plan(root, target, names, record or Record())
    if dry_run:
        return plan
    if record is None:
        caches = (path for path in caches_of(target, names) if path.is_dir())
        record = Record(caches=sorted({path.relative_to(target).as_posix() for path in caches}))
    folders = missing_folders(target, names)
    updated = Record(files={name: sha256((root / name).read_bytes()) for name in names},
                     previous={name: sha256((target / name).read_bytes())
                               for name in (*plan.replaced, *plan.dropped)},
                     folders=list(dict.fromkeys([*record.folders, *folders])),
                     caches=record.caches)
    with ExitStack() as undo:  # in the case of an error, its steps are executed in reverse order
        rollback.swap(target / RECORD, content_of(updated), undo)  # first, to uninstall also after a kill
        for folder in folders:
            (target / folder).mkdir()
            undo.callback((target / folder).rmdir)
        contents = {**plan.new, **plan.replaced}
        for name, content in contents.items():
            rollback.stage(target / name, content, undo)
        for name in contents:
            rollback.swap_staged(target / name, undo)
        for name in plan.dropped:
            rollback.back_up(target / name, undo)
        updated.previous = {}
        updated.folders = [folder for folder in updated.folders
                           if any(name.startswith(folder + "/") for name in names)]
        rollback.stage(target / RECORD, content_of(updated), undo)
        os.replace(rollback.new_name(target / RECORD), target / RECORD)
        undo.pop_all()
    rollback.remove_left_overs(target, {*names, *plan.dropped, RECORD})
    remove_caches(target, plan.dropped, record.caches)
    remove_empty(target, set(record.folders) - set(updated.folders))
    return plan


def uninstall(target, record):
    """Remove the recorded files that were not edited, their compiled forms, and the record.

    Returns:
        The removed files, and the files that are kept because they were edited.
    """
    removed = [path for path in record.paths if record.owns(target, path)]
    kept = [path for path in record.paths if path not in removed and os.path.lexists(target / path)]
    for path in removed:
        (target / path).unlink()
    rollback.remove_left_overs(target, {*record.paths, RECORD})
    remove_caches(target, [path for path in record.paths if path not in kept], record.caches)
    remove_empty(target, record.folders)
    (target / RECORD).unlink(missing_ok=True)
    return removed, kept


def missing_folders(target, names):
    """List the folders of the files that the checkout does not have, outer ones first."""
    needed = {str(parent) for name in names for parent in PurePosixPath(name).parents} - {"."}
    return sorted(folder for folder in needed if not (target / folder).exists())


def caches_of(target, names):
    """Return the ``__pycache__`` folders of the modules."""
    return {(target / name).parent / "__pycache__" for name in names}


def remove_caches(target, names, kept):
    """Remove the compiled forms of modules, and empty ``__pycache__`` folders except `kept`."""
    for name in names:
        if name.endswith(".py") and not rollback.blocking_folder(target, name):
            for path in ((target / name).parent / "__pycache__").glob(f"{Path(name).stem}.*.pyc"):
                path.unlink()
    folders = {path.relative_to(target).as_posix() for path in caches_of(target, names)}
    remove_empty(target, folders - set(kept))


def remove_empty(target, folders):
    """Remove those of the folders that are empty, inner ones first."""
    for folder in sorted(folders, reverse=True):
        at = target / folder
        if at.is_dir() and not at.is_symlink() and not any(at.iterdir()):
            at.rmdir()


def report_installation(target, plan, dry_run):
    """Print what was done or would be done, and the next commands."""
    parts = {"new": plan.new, "replaced": plan.replaced, "removed": plan.dropped, "unchanged": plan.unchanged}
    counts = ", ".join(f"{len(names)} {kind}" for kind, names in parts.items() if names)
    if dry_run:
        for verb, names in (("copy", plan.new), ("replace", plan.replaced), ("remove", plan.dropped)):
            for name in names:
                print(f"would {verb} {printable(name)}")
        print(f"dry run, nothing was changed: {counts} files in {printable(target)}")
        return
    print(f"UGC is installed in {printable(target)} ({counts} files, listed in {RECORD}); the checkout's own "
          "files are unchanged")
    print("next, in the checkout:")
    for command in NEXT:
        print(f"  python {command}")
    uninstall_command = shlex.join(["python", str(Path(sys.argv[0])), str(target), "--uninstall"])
    print(f"to uninstall it, in this folder: {printable(uninstall_command)}")


class Parser(argparse.ArgumentParser):
    """A parser that prints errors as one line."""

    def error(self, message):
        """Print one line on stderr and exit with status 2."""
        self.exit(2, f"error: {printable(message)}\n")


def main(arguments=None, root=ROOT):
    """Install, update or uninstall the plugin; returns the exit status."""
    parser = Parser(description=__doc__.partition("\n")[0], allow_abbrev=False)
    parser.add_argument("target", metavar="TARGET", type=Path,
                        help="the checkout of pytorch-CycleGAN-and-pix2pix")
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--dry-run", action="store_true", help="print what would be done, and do nothing")
    action.add_argument("--uninstall", action="store_true", help="remove the installed files")
    opt = parser.parse_args(arguments)
    try:
        check_target(opt.target, root)
        if opt.uninstall:
            record = read_record(opt.target)
            if record is None:
                raise ValueError(f"{opt.target}: UGC is not installed there ({RECORD} is missing)")
            removed, kept = uninstall(opt.target, record)
            edited = f"; these were edited and are kept: {', '.join(kept)}" if kept else ""
            print(printable(f"UGC is removed from {opt.target} ({len(removed)} files){edited}"))
        else:
            check_generation(opt.target, FILES)
            plan = install(root, opt.target, plugin_files(root), opt.dry_run)
            report_installation(opt.target, plan, opt.dry_run)
    except BrokenPipeError:
        raise
    except (ValueError, OSError) as error:
        parser.error(" ".join(str(error).split()))
    return 0


if __name__ == "__main__":
    for number in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
        signal.signal(number, lambda number, frame: sys.exit(128 + number))  # rolls the installation back
    try:
        status = main()
        sys.stdout.flush()
        sys.exit(status)
    except BrokenPipeError:  # the reader, such as head, has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
