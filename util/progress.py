"""Where a training run is: counting, timing, saving, resuming, and stopping at NaN."""
import math
import shutil
import sys
import time
import uuid

import torch
from tqdm import tqdm

from compression import save_atomic
from compression.runtime import distributed
from options.base_options import write_options
from options.ugc_options import checkpoint_tag

from .entry import continue_command, kept_rng, rng_state, seed_everything, set_rng_state
from .run_folder import (STATE_FORMAT, cut_logs, folder_of, drop_stash, load_state, log_sizes, stash_previous_run, recover, state_path)
from .visualizer import duration

_COPIES = 4  # of the networks in a checkpoint: their files, and in the state they and Adam's two moments


class Progress:
    """Counts epochs and iterations (images), and keeps ``latest_state.pth``, from which a run continues exactly.

    Attributes:
        epoch: the epoch that runs, or will run next.
        epoch_iters: images of this epoch that are done; as upstream, the last batch of an epoch counts as full.
        total_iters: images since the run began.
        last: the last epoch.
    """

    def __init__(self, opt, model, images, validation):
        self.opt, self.model, self.images, self.validation = opt, model, images, validation
        self.folder = folder_of(opt)
        self.run = uuid.uuid4().hex  # tells this run's state from an earlier run's in the same folder
        self.step = opt.batch_size * distributed.world_size()  # images of a step
        self.epoch, self.epoch_iters, self.total_iters = opt.epoch_count, 0, 0
        self.last = opt.n_epochs + opt.n_epochs_decay
        self.started = self.last_save = time.monotonic()
        self.seen, self.data_seconds, self.step_start = 0, 0.0, 0.0

    @property
    def finished(self):
        """Whether all epochs have run."""
        return self.epoch > self.last

    def begin(self):
        """Continue the run (``--continue_train``), or start a new one.

        Raises:
            ValueError: if there is nothing to continue, or it does not fit.
        """
        distributed.on_rank_zero(self._prepare)
        if self.opt.continue_train:
            self.restore()

    def _prepare(self):
        recover(self.folder)
        self._check_space()
        if not self.opt.continue_train:
            stash_previous_run(self.folder, self.run)

    def steps(self, dataset):
        """The rest of this epoch's batches; every one is counted, timed, and shown in a bar on a terminal."""
        # workers are seeded apart from the global generator, which stands after a resume where it stood before
        dataset.dataloader.generator = torch.Generator().manual_seed(self.opt.seed * 1_000_003 + self.epoch)
        dataset.set_epoch(self.epoch, skip=self.epoch_iters)
        left = max(0, self.images - self.epoch_iters)
        with tqdm(total=left, desc=f"epoch {self.epoch}/{self.last}", unit="img", leave=False, dynamic_ncols=True,
                  disable=not sys.stderr.isatty() or distributed.rank() > 0) as bar:
            begin = time.monotonic()
            for batch in dataset:
                self.step_start = time.monotonic()
                self.data_seconds = self.step_start - begin
                self.epoch_iters += self.step
                self.total_iters += self.step
                yield batch
                self.seen += self.step
                bar.update(self.step)
                begin = time.monotonic()

    def end_epoch(self):
        """Count the epoch as done."""
        self.epoch, self.epoch_iters = self.epoch + 1, 0

    def due(self, frequency):
        """Whether this step reached a multiple of `frequency` images."""
        return self.total_iters // frequency > (self.total_iters - self.step) // frequency

    def save_due(self):
        """Whether ``--save_latest_freq``, in images or minutes, asks for a save now."""
        frequency = self.opt.save_latest_freq
        if isinstance(frequency, int):
            return self.due(frequency)
        return bool(distributed.all_reduce_max(time.monotonic() - self.last_save >= 60 * float(frequency.removesuffix("m"))))

    def timing(self):
        """(seconds of computing, seconds of waiting for data) for one image of this step, and the seconds left."""
        now = time.monotonic()
        left = (self.last - self.epoch + 1) * self.images - self.epoch_iters
        return ((now - self.step_start) / self.step, self.data_seconds / self.step,
                (now - self.started) / (self.seen + self.step) * max(0, left))

    def check(self, losses):
        """The losses; FloatingPointError if one is NaN or infinite. What is saved stays."""
        for name, value in losses.items():
            if not math.isfinite(value):
                raise FloatingPointError(f"loss {name} is {value} {self._where()}")
        return losses

    def save(self, *tags):
        """Everything an exact resume needs, then the networks under `tags`; never over good ones when weights are NaN.

        Only the first counts for a resume, which also writes the networks again: it may be killed anywhere.
        """
        rng = distributed.all_gather_objects(rng_state())
        distributed.on_rank_zero(lambda: self._write(tags, rng))
        self.last_save = time.monotonic()

    def _write(self, tags, rng):
        bad = self.model.networks_not_finite()
        if bad:
            raise FloatingPointError(f"the weights of network {', '.join(bad)} are NaN or infinite {self._where()}")
        save_atomic({"format": STATE_FORMAT, "run": self.run, "settings": self.opt.settings, "tags": list(tags),
                     "epoch": self.epoch, "epoch_iters": self.epoch_iters, "total_iters": self.total_iters,
                     "epoch_count": self.opt.epoch_count, "validation": self.validation.rows,
                     "logs": log_sizes(self.folder), "model": self.model.state(), "rng": rng},
                    state_path(self.folder))
        drop_stash(self.folder, self.run)
        self._write_networks(tags)

    def _write_networks(self, tags):
        write_options(self.opt)
        with kept_rng():  # a save more or less changes no training
            for tag in tags:
                self.model.save_networks(tag)

    def restore(self):
        """Continue where the last save left the run; without its state (upstream's runs), with its networks alone."""
        if self.opt.epoch != "latest" or self.opt.load_iter > 0 or not state_path(self.folder).is_file():
            self.model.load_networks(checkpoint_tag(self.opt))
            print(f"continuing with these networks and fresh optimizers, at epoch {self.epoch} (--epoch_count)")
            if not state_path(self.folder).is_file():
                self.save()
            return
        state = load_state(self.folder)
        self.opt.epoch_count = state["epoch_count"]  # upstream's users give the epoch to go on with; the schedule knows
        self.model.load_state(state["model"], state_path(self.folder))
        self.run, self.epoch = state["run"], state["epoch"]
        self.epoch_iters, self.total_iters = state["epoch_iters"], state["total_iters"]
        self.validation.rows = state["validation"]
        self._restore_rng(state["rng"])
        distributed.on_rank_zero(lambda: self._restore_files(state))
        print(f"{self.opt.name} is finished: it has run all {self.last} epochs; more --n_epochs continue it"
              if self.finished else f"continuing at epoch {self.epoch}, after {self.epoch_iters} of its images")

    def _restore_rng(self, states):
        """Every process its own; those that there were not draw anew."""
        if distributed.rank() < len(states):
            set_rng_state(states[distributed.rank()])
        else:
            seed_everything(self.opt.seed + 1_000_003 * distributed.rank() + self.total_iters)

    def _restore_files(self, state):
        self.validation.write()
        cut_logs(self.folder, state["logs"])
        self._write_networks(state["tags"])

    def _check_space(self):
        need = _COPIES * sum(value.nbytes for _, net in self.model.named_networks() for value in net.state_dict().values())
        free = shutil.disk_usage(self.folder).free
        if free < need:
            print(f"warning: {self.folder} has {free / 2 ** 20:.0f} MiB free, a checkpoint needs about "
                  f"{need / 2 ** 20:.0f} MiB", file=sys.stderr)

    def _where(self):
        kept = "the last good checkpoint stays in" if state_path(self.folder).is_file() else "no checkpoint was saved yet in"
        epoch = self.epoch if self.epoch_iters else self.epoch - 1  # between epochs: the one just done
        return f"at epoch {epoch}, iteration {self.total_iters}; {kept} {self.folder}"

    def how_to_continue(self):
        """For a run that is stopped after a save."""
        return (f"saved at epoch {self.epoch} after {self.epoch_iters} of its images; continue with: "
                f"{continue_command(self.opt, 'train.py')}")

    def __str__(self):
        return f"{self.seen} images in {duration(time.monotonic() - self.started)}"
