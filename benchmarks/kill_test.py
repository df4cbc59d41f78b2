"""Kill training and search at random moments, continue them, and compare with undisturbed runs; prints JSON.

    python benchmarks/kill_test.py --kills 20 --seed 0

Stage 1, search and stage 2 run on the toy data set with tiny networks: once undisturbed, and once with
SIGKILL at random moments. After each kill the run is continued with only ``--continue_train --name NAME``.
Training saves after every batch. The kills alternate between three moments: during a save (`inside_a_save`: a
temporary file was left), some time after a save, and any time. In the killed runs every fsync takes 0.1 s
longer, as on a slow disk, so that kills can hit saves. After every kill all files are read. At the end
networks, optimizers and logs must be equal bit for bit. Needs a POSIX system.
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
from compression.runtime.numbers import SEED, integer  # noqa: E402
from util.entry import run_main  # noqa: E402

TINY = ["--netG", "resnet_6blocks", "--norm", "batch", "--ngf", "8", "--ndf", "4", "--load_size", "32",
        "--crop_size", "32", "--toy_train_images", "12", "--toy_test_images", "4", "--batch_size", "2",
        "--label_ratio", "0.5"]
SAVING = ["--num_threads", "0", "--gpu_ids", "-1", "--print_freq", "2", "--save_latest_freq", "2",
          "--save_epoch_freq", "1", "--eval_every", "1", "--eval_images", "2"]
SEARCH = ["--population", "4", "--search_images", "4", "--calibration_images", "4", "--front_metrics", "L1"]
STAGES = {  # stage: script, name of the run, flags
    "supernet": ("train.py", "net", ["--model", "ugc_supernet", *TINY, *SAVING]),
    "search": ("search.py", "net", SEARCH),
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
    """One stage of the pipeline in a folder of checkpoints, to be run, killed and continued.

    Args:
        name: a key of :data:`STAGES`.
        folder: the folder of checkpoints.
        length: epochs with a constant learning rate (one more decays), or half the generations of the search.
    """

    def __init__(self, name, folder, length):
        self.script, self.run, flags = STAGES[name]
        self.folder = folder / self.run
        self.result = self.folder / ("search" if name == "search" else "")
        if name == "search":
            self.flags = [*flags, "--generations", str(2 * length)]
        else:
            self.flags = [*flags, "--n_epochs", str(length), "--n_epochs_decay", "1"]
        self.log = folder / f"{name}.log"

    def start(self, resume=False, slow_disk=False):
        """Start the process; to continue a run, only its name is given."""
        python = [sys.executable, "-c", SLOW_DISK] if slow_disk else [sys.executable]
        flags = ["--continue_train"] if resume else self.flags
        command = [*python, self.script, "--checkpoints_dir", self.folder.parent, "--name", self.run, *flags]
        with open(self.log, "a", encoding="utf-8") as log:
            return subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log,
                                    env={**os.environ, "OMP_NUM_THREADS": "1"})

    def finish(self, process):
        """Wait until the process ends, and return the seconds since it locked the folder.

        Raises:
            RuntimeError: if it fails.
        """
        began = self.wait_for_lock(process)
        if process.wait() != 0:
            log = self.log.read_text(encoding="utf-8")
            raise RuntimeError(f"{self.script} --name {self.run} failed:\n{log[-3000:]}")
        return time.monotonic() - began

    def wait_for_lock(self, process):
        """Wait until the process has locked the folder; returns the time."""
        lock, holder = self.folder / ".lock", f'"pid": {process.pid},'
        self.wait_for(lambda: lock.is_file() and holder in lock.read_text(encoding="utf-8"), process)
        return time.monotonic()

    def saved(self):
        """Return a value that differs between saved states, or None if there is no run to continue."""
        path = self.result / "state.json" if self.script == "search.py" else self.folder / "latest_state.pth"
        return (path.stat().st_ino, path.stat().st_mtime_ns) if path.is_file() else None

    def is_saving(self):
        """Return whether a temporary file is being written, or was left by a kill."""
        return any(self.result.glob(".*.tmp"))

    def kill(self, moment, rng, seconds):
        """Start or continue the run and kill it at a random moment; return whether it was still running.

        Args:
            moment: one of :data:`MOMENTS`.
            rng: draws the moment.
            seconds: "any" is up to so long after the process has locked the folder, the others up to a
                quarter of it after a save.
        """
        before = self.saved()
        process = self.start(resume=before is not None, slow_disk=True)
        self.wait_for_lock(process)
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
            self.finish(process)  # raises with the log
        return True

    @staticmethod
    def wait_for(condition, process):
        """Wait until a condition holds or the process ends."""
        while process.poll() is None and not condition():
            time.sleep(0.001)


def read_everything(folder):
    """Read all checkpoints and JSON files of a run; an unreadable file raises.

    Returns:
        The number of files.
    """
    files = [p for p in folder.rglob("*") if p.suffix in (".pth", ".json", ".jsonl")]
    for path in files:
        if path.suffix == ".pth":
            load_file(path)
            continue
        text = path.read_text(encoding="utf-8")
        for part in [text] if path.suffix == ".json" else text.splitlines():
            json.loads(part)
    return len(files)


def differences(a, b, at=""):
    """List the paths at which two nested values differ; tensors are compared bit for bit."""
    if isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
        return [path for key in a for path in differences(a[key], b[key], f"{at}/{key}")]
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)) and len(a) == len(b):
        return [path for i in range(len(a)) for path in differences(a[i], b[i], f"{at}/{i}")]
    are_tensors = isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor)
    are_equal = torch.equal(a, b) if are_tensors else a == b
    return [] if are_equal else [at]


def search_results(stage):
    """Read the JSON files of a search, without the folder of checkpoints and the random identifiers."""
    files = stage.result.glob("*.json")
    results = {path.name: json.loads(path.read_text(encoding="utf-8")) for path in files}
    results["state.json"]["settings"].pop("checkpoints_dir")
    for result in results.values():
        for name in ("run", "search", "supernet"):  # the last one: checksum of a file with its run
            result.pop(name, None)
    return results


def training_state(stage):
    """Load the entries of a training state that must not depend on kills."""
    state = load_file(stage.folder / "latest_state.pth")
    return {key: state[key] for key in ("model", "rng", "epoch", "epoch_iters", "total_iters", "validation")}


def network_file(path):
    """Load a checkpoint without the metadata of a student, which has the path of its original."""
    return {key: value for key, value in load_file(path).items() if key != "meta"}


def compare(undisturbed, killed):
    """List what differs between the results of a stage in two folders."""
    if undisturbed.script == "search.py":
        return differences(search_results(undisturbed), search_results(killed))
    different = differences(training_state(undisturbed), training_state(killed))
    names = {path.name for stage in (undisturbed, killed) for path in stage.folder.glob("*.pth")}
    for name in sorted(names - {"latest_state.pth"}):
        networks = [network_file(stage.folder / name) for stage in (undisturbed, killed)]
        different += differences(*networks, name)
    for name in ("losses.jsonl", "validation.jsonl"):
        if (undisturbed.folder / name).read_bytes() != (killed.folder / name).read_bytes():
            different.append(name)
    return different


def kill_stage(name, folder, moments, length, rng):
    """Run a stage undisturbed and with kills at the given moments; return its row of the report."""
    undisturbed, killed = (Stage(name, folder / part, length) for part in ("undisturbed", "killed"))
    for stage in (undisturbed, killed):
        stage.folder.mkdir(parents=True, exist_ok=True)
    seconds = undisturbed.finish(undisturbed.start())
    row = {"seconds": round(seconds, 1), "kills": 0, "before_the_first_save": 0, "inside_a_save": 0,
           "files_read": 0}
    for moment in moments:
        if not killed.kill(moment, rng, seconds / 3):
            break  # it has finished before the last kill; the report has the number of kills
        row["kills"] += 1
        row["before_the_first_save"] += killed.saved() is None
        row["inside_a_save"] += killed.is_saving()
        row["files_read"] += read_everything(killed.folder)
    killed.finish(killed.start(resume=killed.saved() is not None))
    left_over = [path.name for path in killed.folder.rglob(".*.tmp")]
    return {**row, "different": compare(undisturbed, killed) + left_over}


def main():
    """Kill the runs of all stages and print the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--kills", type=integer(1), default=20, help="number of kills in all stages together")
    parser.add_argument("--length", type=integer(1), default=6,
                        help="epochs of training, and half the generations of the search")
    parser.add_argument("--seed", type=SEED, default=0, help="seed of the random moments")
    opt = parser.parse_args()
    rng = random.Random(opt.seed)
    report = {}
    with tempfile.TemporaryDirectory() as folder:
        for i, name in enumerate(STAGES):
            kills = opt.kills // len(STAGES) + (i < opt.kills % len(STAGES))
            # each stage begins with another moment
            moments = [MOMENTS[(i + k) % len(MOMENTS)] for k in range(kills)]
            report[name] = kill_stage(name, Path(folder), moments, opt.length, rng)
    kills = sum(row["kills"] for row in report.values())
    identical = not any(row["different"] for row in report.values())
    print(json.dumps({"seed": opt.seed, "kills": kills, "identical": identical, "stages": report}, indent=1))


if __name__ == "__main__":
    run_main(main)
