"""Search a trained supernet for a student, a wide teacher and a deep teacher, each under a budget of MACs.

    python search.py --name exp --macs 1.3G --teacher_macs 6G
    python search.py --name exp --continue_train     # continue an interrupted search exactly

Writes checkpoints/exp/search/{student,teacher_wide,teacher_deep,pareto}.json and pareto.png, and the student
with the supernet's weights, checkpoints/exp/<epoch>_student.pth, which `test.py --model ugc_student --name
exp` runs.
"""
import shlex
from argparse import Namespace
from pathlib import Path

import util.before_torch
from compression.runtime.text import printable
from options.search_options import SearchOptions
from util.entry import run_main, seed_everything
from util.run_folder import run_folder
from util.signals import StopSignals


def main() -> None:
    """Parse the options and search in the run's folder."""
    opt = SearchOptions().parse()
    util.before_torch.use_threads(opt.threads)
    with run_folder(opt):
        search(opt)


def search(opt: Namespace) -> None:
    """Run the three searches."""
    from util.supernet_search import SupernetSearch  # here run_main reports a package that is missing

    seed_everything(opt.seed)
    searches = SupernetSearch(opt)
    if searches.finished:
        print(f"the search of {printable(opt.name)} is finished: its results are in "
              f"{printable(searches.folder)}")
        return
    with StopSignals() as stop:
        searches.run_all(stop)
    print(describe_end(opt, searches.folder))


def describe_end(opt: Namespace, folder: Path) -> str:
    """Describe what a finished search has written, and the commands that may follow."""
    flags = ["--checkpoints_dir", opt.checkpoints_dir] if opt.checkpoints_dir != "./checkpoints" else []
    test = ["python", "test.py", "--model", "ugc_student", "--name", opt.name, *flags]
    distill = ["python", "train.py", "--model", "ugc_distill", "--supernet", opt.name, "--name",
               f"{opt.name.removesuffix('_supernet')}_student", *flags]
    student = folder.parent / f"{opt.epoch}_student.pth"
    lines = (f"written: {student}, and the architectures and the Pareto front in {folder}",
             f"test the student: {shlex.join(test)}", f"distill it: {shlex.join(distill)}")
    return "\n".join(map(printable, lines))


if __name__ == "__main__":
    run_main(main)
