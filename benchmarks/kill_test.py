"""Kill training and search at random moments, continue them, and compare with runs that nobody killed; prints JSON.

    python benchmarks/kill_test.py --kills 20 --seed 0

Stage 1, search and stage 2 run on the toy data set with tiny networks, once as they are, and once with SIGKILL at random
moments, each time continued with ``--continue_train --name NAME`` alone. Training saves after every batch. In turn a kill
comes while a save is under way (`inside_a_save`: a temporary file was left), a while after a save, and at any moment. The
runs that are killed work on a slow disk, as it were: every fsync takes 0.1 s longer, so that saves can be hit. After every
kill all files are read. At the end networks, optimizers and logs must be equal bit for bit. Needs a POSIX system.
"""
import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from compression import load_file  # noqa: E402
from util.entry import run_main  # noqa: E402

TINY = ("--netG resnet_6blocks --norm batch --ngf 8 --ndf 4 --load_size 32 --crop_size 32 --toy_train_images 12 "
        "--toy_test_images 4 --batch_size 2 --label_ratio 0.5").split()
SAVING = ("--num_threads 0 --gpu_ids -1 --print_freq 2 --save_latest_freq 2 --save_epoch_freq 1 --eval_every 1 "
          "--eval_images 2").split()
STAGES = {  # script, run, the command's own flags
    "supernet": ("train.py", "net", ["--model", "ugc_supernet", *TINY, *SAVING]),
    "search": ("search.py", "net", "--population 4 --search_images 4 --calibration_images 4 --front_metrics L1".split()),
    "distill": ("train.py", "student", ["--model", "ugc_distill", "--supernet", "net", *SAVING]),
}

MOMENTS = ("in a save", "after a save", "any")
SLOW_DISK = """
import os, runpy, sys, time
fsync = os.fsync
os.fsync = lambda file: (time.sleep(0.1), fsync(file))
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


class Stage:
    """One stage in a folder of checkpoints, run and killed."""

    def __init__(self, name, folder, length):
        self.script, self.run, flags = STAGES[name]
        self.folder = folder / self.run
        self.result = self.folder / ("search" if name == "search" else "")
        self.flags = [*flags, *(["--generations", str(2 * length)] if name == "search" else
                                ["--n_epochs", str(length), "--n_epochs_decay", "1"])]
        self.log = folder / f"{name}.log"

    def start(self, resume=False, slow_disk=False):
        """Start the process; continuing takes nothing but the name."""
        command = [sys.executable, *(["-c", SLOW_DISK] if slow_disk else []), self.script,
                   "--checkpoints_dir", self.folder.parent, "--name", self.run,
                   *(["--continue_train"] if resume else self.flags)]
        with open(self.log, "a", encoding="utf-8") as log:
            return subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1"})

    def finish(self, process):
        """Wait for a good end; returns the seconds from its lock to its end."""
        began = self.wait_until_at_work(process)
        if process.wait() != 0:
            raise RuntimeError(f"{self.script} --name {self.run} failed:\n{self.log.read_text(encoding='utf-8')[-3000:]}")
        return time.monotonic() - began

    def wait_until_at_work(self, process):
        """Wait until the process holds the folder; returns the time."""
        lock, holder = self.folder / ".lock", f'"pid": {process.pid},'
        self.wait_for(lambda: lock.is_file() and holder in lock.read_text(encoding="utf-8"), process)
        return time.monotonic()

    def saved(self):
        """What tells one saved state from the next; None if there is nothing to continue."""
        path = self.result / "state.json" if self.script == "search.py" else self.folder / "latest_state.pth"
        return (path.stat().st_ino, path.stat().st_mtime_ns) if path.is_file() else None

    def is_saving(self):
        """Whether a temporary file is being written, or was left by a kill."""
        return any(self.result.glob(".*.tmp"))

    def kill(self, moment, rng, seconds):
        """Start or continue, and kill at a random moment of :data:`MOMENTS`; whether it was still running.

        "any" is up to `seconds` after the start of the work, the others up to a fourth of them after a save.
        """
        before = self.saved()
        process = self.start(resume=before is not None, slow_disk=True)
        self.wait_until_at_work(process)
        if moment != "any":
            self.wait_for(lambda: self.saved() != before, process)
        end = time.monotonic() + rng.uniform(0, seconds if moment == "any" else seconds / 4)
        self.wait_for(lambda: time.monotonic() >= end, process)
        if moment == "in a save":
            self.wait_for(self.is_saving, process)
        process.kill()
        if process.wait() == 0:
            return False
        if process.returncode != -signal.SIGKILL:
            self.finish(process)  # says why it failed
        return True

    @staticmethod
    def wait_for(condition, process):
        """Wait until a condition holds or the process ends."""
        while process.poll() is None and not condition():
            time.sleep(0.001)


def read_everything(folder):
    """Read all checkpoints and JSON files of a run as a resume or a test would; an unreadable one raises. How many."""
    files = [p for p in folder.rglob("*") if p.suffix in (".pth", ".json", ".jsonl")]
    for path in files:
        if path.suffix == ".pth":
            load_file(path)
        else:
            lines = path.read_text(encoding="utf-8")
            [json.loads(text) for text in ([lines] if path.suffix == ".json" else lines.splitlines())]
    return len(files)


def differences(a, b, at=""):
    """Paths at which two nested values differ, tensors bit for bit."""
    if isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
        return [path for key in a for path in differences(a[key], b[key], f"{at}/{key}")]
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)) and len(a) == len(b):
        return [path for i, pair in enumerate(zip(a, b)) for path in differences(*pair, f"{at}/{i}")]
    same = torch.equal(a, b) if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor) else a == b
    return [] if same else [at]


def compare(whole, killed):
    """What differs between a stage's results in two folders."""
    if whole.script == "search.py":
        found = [{path.name: json.loads(path.read_text(encoding="utf-8")) for path in stage.result.glob("*.json")}
                 for stage in (whole, killed)]
        for results in found:
            results["state.json"]["settings"].pop("checkpoints_dir")
        return differences(*found)
    states = [load_file(stage.folder / "latest_state.pth") for stage in (whole, killed)]
    keys = ("model", "rng", "epoch", "epoch_iters", "total_iters", "validation")
    found = differences(*({key: state[key] for key in keys} for state in states))
    names = {p.name for stage in (whole, killed) for p in stage.folder.glob("*.pth")} - {"latest_state.pth"}
    for name in sorted(names):  # a student's file holds the path of its original
        found += differences(*({k: v for k, v in load_file(stage.folder / name).items() if k != "meta"}
                               for stage in (whole, killed)), name)
    return found + [name for name in ("losses.jsonl", "validation.jsonl")
                    if (whole.folder / name).read_bytes() != (killed.folder / name).read_bytes()]


def kill_stage(name, folder, moments, length, rng):
    """Run a stage whole, and killed at the given moments; a row of the report."""
    whole, killed = (Stage(name, folder / part, length) for part in ("whole", "killed"))
    for stage in (whole, killed):
        stage.folder.mkdir(parents=True, exist_ok=True)
    seconds = whole.finish(whole.start())
    row = {"seconds": round(seconds, 1), "kills": 0, "before_the_first_save": 0, "inside_a_save": 0, "files_read": 0}
    for moment in moments:
        if not killed.kill(moment, rng, seconds / 3):
            break  # done before all kills: told by the figure
        row["kills"] += 1
        row["before_the_first_save"] += killed.saved() is None
        row["inside_a_save"] += killed.is_saving()
        row["files_read"] += read_everything(killed.folder)
    killed.finish(killed.start(resume=killed.saved() is not None))
    left = [p.name for p in killed.folder.rglob(".*.tmp")]
    return {**row, "different": compare(whole, killed) + left}


def main():
    """Kill all stages."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20, help="in all stages together")
    parser.add_argument("--length", type=int, default=6, help="epochs of training, half the generations of the search")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    opt = parser.parse_args()
    rng, report = random.Random(opt.seed), {}
    with tempfile.TemporaryDirectory() as folder:
        for i, name in enumerate(STAGES):
            kills = opt.kills // len(STAGES) + (i < opt.kills % len(STAGES))
            moments = [MOMENTS[(i + k) % len(MOMENTS)] for k in range(kills)]  # each stage begins with another one
            report[name] = kill_stage(name, Path(folder), moments, opt.length, rng)
    print(json.dumps({"seed": opt.seed, "kills": sum(row["kills"] for row in report.values()),
                      "identical": not any(row["different"] for row in report.values()), "stages": report}, indent=1))


if __name__ == "__main__":
    run_main(main)
