"""Where a training run is: counting, timing, saving, resuming, and stopping at NaN."""
import math
import sys
import time
from pathlib import Path

import torch
from tqdm import tqdm

from compression import load_file, save_atomic

from .entry import rng_state, set_rng_state
from .visualizer import duration

STATE_FORMAT = "ugc-state-1"
# a run is continued exactly only if these are what they were
FIXED = ("model", "dataset_mode", "netG", "seed", "batch_size", "max_dataset_size", "serial_batches", "lr", "lr_policy")


class Progress:
    """Counts epochs and iterations (images), and keeps ``latest_state.pth``, from which a run continues exactly.

    Attributes:
        epoch: the epoch that runs, or will run next.
        total_iters: images since the run began; as upstream, the last batch of an epoch counts as full.
        batches: batches of this epoch that are done.
        last: the last epoch.
    """

    def __init__(self, opt, model, images):
        self.opt, self.model, self.images = opt, model, images
        self.path = Path(opt.checkpoints_dir) / opt.name / "latest_state.pth"
        self.epoch, self.total_iters, self.batches = opt.epoch_count, 0, 0
        self.last = opt.n_epochs + opt.n_epochs_decay
        self.started, self.seen = time.time(), 0
        self.data_seconds = self.step_start = 0.0

    @property
    def epoch_iters(self):
        """Images of this epoch that are done."""
        return self.batches * self.opt.batch_size

    def steps(self, dataset):
        """The rest of this epoch's batches; every one is counted, timed, and shown in a bar on a terminal."""
        # workers are seeded apart from the global generator, which stands after a resume where it stood before
        dataset.dataloader.generator = torch.Generator().manual_seed(self.opt.seed * 1_000_003 + self.epoch)
        dataset.set_epoch(self.epoch, skip=self.epoch_iters)
        left = max(0, self.images - self.epoch_iters)
        with tqdm(total=left, desc=f"epoch {self.epoch}/{self.last}", unit="img", leave=False, dynamic_ncols=True,
                  disable=not sys.stderr.isatty()) as bar:
            begin = time.time()
            for batch in dataset:
                self.step_start = time.time()
                self.data_seconds = self.step_start - begin
                self.batches += 1
                self.total_iters += self.opt.batch_size
                yield batch
                self.seen += self.opt.batch_size
                bar.update(self.opt.batch_size)
                begin = time.time()

    def end_epoch(self):
        """Count the epoch as done."""
        self.epoch, self.batches = self.epoch + 1, 0

    def due(self, frequency):
        """Whether this step reached a multiple of `frequency` images."""
        return self.total_iters // frequency > (self.total_iters - self.opt.batch_size) // frequency

    def timing(self):
        """(seconds of computing, seconds of waiting for data) for one image of this step, and the seconds left."""
        now, size = time.time(), self.opt.batch_size
        left = (self.last - self.epoch + 1) * self.images - self.epoch_iters
        return ((now - self.step_start) / size, self.data_seconds / size,
                (now - self.started) / (self.seen + size) * max(0, left))

    def check(self, losses):
        """The losses; FloatingPointError if one is NaN or infinite. What is saved stays."""
        for name, value in losses.items():
            if not math.isfinite(value):
                raise FloatingPointError(f"loss {name} is {value} {self._where()}")
        return losses

    def save(self, tag):
        """The networks under `tag`, and everything an exact resume needs; never over good ones when weights are NaN."""
        bad = self.model.networks_not_finite()
        if bad:
            raise FloatingPointError(f"the weights of network {', '.join(bad)} are NaN or infinite {self._where()}")
        self.model.save_networks(tag)
        save_atomic({"format": STATE_FORMAT, "epoch": self.epoch, "total_iters": self.total_iters,
                     "batches": self.batches, "epoch_count": self.opt.epoch_count,
                     "settings": {key: getattr(self.opt, key) for key in FIXED},
                     "model": self.model.state(), "rng": rng_state()}, self.path)

    def restore(self):
        """Continue where the last save left the run; without its state (upstream's runs), with its networks alone.

        Raises:
            ValueError: if there is nothing to continue, or it is another run.
        """
        if self.opt.epoch != "latest" or self.opt.load_iter > 0 or not self.path.is_file():
            self.model.load_networks(f"iter_{self.opt.load_iter}" if self.opt.load_iter > 0 else self.opt.epoch)
            print(f"continuing with these networks and fresh optimizers, at epoch {self.epoch} (--epoch_count)")
            return
        state = load_file(self.path)
        if not isinstance(state, dict) or state.get("format") != STATE_FORMAT:
            raise ValueError(f"{self.path}: is no training state of this project")
        changed = [f"--{key} was {old}, now {getattr(self.opt, key)}" for key, old in state["settings"].items()
                   if getattr(self.opt, key) != old]
        if changed:
            raise ValueError(f"--continue_train: {self.path} is of another run: {'; '.join(changed)}")
        self.opt.epoch_count = state["epoch_count"]  # upstream's users give the epoch to go on with; the schedule knows
        self.model.load_state(state["model"], self.path)
        self.epoch, self.total_iters, self.batches = state["epoch"], state["total_iters"], state["batches"]
        set_rng_state(state["rng"])
        print(f"{self.opt.name} is finished: it has run all {self.last} epochs; more --n_epochs continue it"
              if self.epoch > self.last else f"continuing at epoch {self.epoch}, after {self.batches} of its batches")

    def _where(self):
        kept = "the last good checkpoint stays in" if self.path.is_file() else "no checkpoint was saved yet in"
        epoch = self.epoch if self.batches else self.epoch - 1  # between epochs: the one just done
        return f"at epoch {epoch}, iteration {self.total_iters}; {kept} {self.path.parent}"

    def __str__(self):
        return f"{self.seen} images in {duration(time.time() - self.started)}"
