"""The progress of a training run: count and time its steps, save, resume, and stop when a loss is NaN."""
from __future__ import annotations

import math
import shutil
import sys
import time
import uuid
from argparse import Namespace
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from tqdm import tqdm

from compression import save_atomic
from compression.runtime import distributed
from compression.runtime.text import printable
from options.base_options import write_options
from options.ugc_options import checkpoint_tag

from .data_fingerprint import describe_change
from .entry import continue_command, kept_rng, rng_state, seed_everything, set_rng_state
from .run_folder import (
    STATE_FORMAT,
    cut_logs,
    drop_previous_run,
    folder_of,
    log_sizes,
    recover,
    stash_previous_run,
    state_path,
)
from .training_state import load_training_state
from .visualizer import duration

if TYPE_CHECKING:
    from .validation import Validation

# a checkpoint holds the networks four times: in their own files, in the state, and as the two moments of Adam
_COPIES = 4
_SEED_STEP = 1_000_003  # separates the seeds of epochs and of processes


class Progress:
    """Count epochs and iterations (images), and save the state from which a run continues exactly.

    Args:
        opt: parsed options of train.py.
        model: the model that is trained.
        images: images of an epoch.
        validation: its rows are saved with the state.
        fingerprint: that of the training images.

    Attributes:
        epoch: the current epoch; between epochs, the next one.
        epoch_iters: images of this epoch that have been processed. As upstream, the last batch of an epoch
            counts as full.
        total_iters: images since the run began.
        last: the last epoch.
    """

    def __init__(self, opt: Namespace, model, images: int, validation: Validation,
                 fingerprint: dict[str, Any] | None = None):
        self.opt = opt
        self.fingerprint = fingerprint
        self.model = model
        self.images = images
        self.validation = validation
        self.folder = folder_of(opt)
        model.run = uuid.uuid4().hex  # distinguishes this run from an earlier one in the same folder
        self.step = opt.batch_size * distributed.world_size()  # images of a step
        self.epoch = opt.epoch_count
        self.epoch_iters = 0
        self.total_iters = 0
        self.last = opt.n_epochs + opt.n_epochs_decay
        self.started = self.last_save = time.monotonic()
        self.seen = 0  # images that this process's run of the program has processed
        self.data_seconds = 0.0
        self.step_start = 0.0

    @property
    def finished(self) -> bool:
        """Whether all epochs have run."""
        return self.epoch > self.last

    def begin(self) -> None:
        """Continue the run (``--continue_train``), or start a new one.

        Raises:
            ValueError: if there is no run to continue, or its state does not fit the networks.
        """
        distributed.on_rank_zero(self._prepare)
        if self.opt.continue_train:
            self.restore()

    def _prepare(self) -> None:
        recover(self.folder)
        self._check_space()
        if not self.opt.continue_train:
            stash_previous_run(self.folder, self.model.run)

    def steps(self, dataset) -> Iterator[dict[str, Any]]:
        """Yield the remaining batches of this epoch, counted and timed; a terminal shows a progress bar."""
        # the workers have a generator of their own, so that the global one is in the same state after a
        # resume
        dataset.dataloader.generator = torch.Generator().manual_seed(self.opt.seed * _SEED_STEP + self.epoch)
        dataset.set_epoch(self.epoch, skip=self.epoch_iters)
        remaining = max(0, self.images - self.epoch_iters)
        hidden = not sys.stderr.isatty() or distributed.rank() > 0
        with tqdm(total=remaining, desc=f"epoch {self.epoch}/{self.last}", unit="img", leave=False,
                  dynamic_ncols=True, disable=hidden) as bar:
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

    def end_epoch(self) -> None:
        """Advance to the next epoch."""
        self.epoch += 1
        self.epoch_iters = 0

    def due(self, frequency: int) -> bool:
        """Return whether this step reached a multiple of `frequency` images."""
        return self.total_iters // frequency > (self.total_iters - self.step) // frequency

    def save_due(self) -> bool:
        """Return whether ``--save_latest_freq``, in images or minutes, requires a save after this step."""
        frequency = self.opt.save_latest_freq
        if isinstance(frequency, int):
            return self.due(frequency)
        seconds = 60 * float(frequency.removesuffix("m"))
        return bool(distributed.all_reduce_max(time.monotonic() - self.last_save >= seconds))

    def timing(self) -> tuple[float, float, float]:
        """Measure this step.

        Returns:
            Seconds of computing for one image, seconds of waiting for its data, and the estimated seconds
            until the run is finished.
        """
        now = time.monotonic()
        images_left = max(0, (self.last - self.epoch + 1) * self.images - self.epoch_iters)
        compute = (now - self.step_start) / self.step
        remaining = (now - self.started) / (self.seen + self.step) * images_left
        return compute, self.data_seconds / self.step, remaining

    def read_losses(self) -> dict[str, float]:
        """Return the losses of this step if they are due to be printed.

        Reading them would make the CPU wait for a GPU. Without a GPU, they are read in every step.

        Returns:
            Name -> value; empty in the steps whose losses stay on the GPU.

        Raises:
            FloatingPointError: if a loss is NaN or infinite.
        """
        if self.model.device.type != "cpu" and not self.due(self.opt.print_freq):
            return {}
        losses = self.model.get_current_losses()
        for name, value in losses.items():
            if not math.isfinite(value):
                raise FloatingPointError(f"loss {name} is {value} {self._position()}")
        return losses

    def save(self, *tags: str | int) -> None:
        """Save the state for an exact resume, then the networks under each of `tags`.

        A resume needs only the state, and writes the networks again: the run may be killed at any moment.

        Raises:
            FloatingPointError: if weights are NaN or infinite; nothing is overwritten.
        """
        rng_states = distributed.all_gather_objects(rng_state())
        distributed.on_rank_zero(lambda: self._write(tags, rng_states))
        self.last_save = time.monotonic()

    def _write(self, tags: Sequence[str | int], rng_states: list) -> None:
        not_finite = self.model.networks_not_finite()
        if not_finite:
            raise FloatingPointError(
                f"the weights of network {', '.join(not_finite)} are NaN or infinite {self._position()}")
        state = {"format": STATE_FORMAT, "run": self.model.run, "settings": self.opt.settings,
                 "tags": list(tags),
                 "epoch": self.epoch, "epoch_iters": self.epoch_iters, "total_iters": self.total_iters,
                 "epoch_count": self.opt.epoch_count, "validation": self.validation.rows,
                 "logs": log_sizes(self.folder), "model": self.model.state(), "rng": rng_states,
                 "data": self.fingerprint, "threads": torch.get_num_threads()}
        save_atomic(state, state_path(self.folder), self.model.run)
        drop_previous_run(self.folder, self.model.run)
        self._write_networks(tags)

    def _write_networks(self, tags: Sequence[str | int]) -> None:
        write_options(self.opt, self.model.run)
        with kept_rng():  # the number of saves does not influence training
            for tag in tags:
                self.model.save_networks(tag)

    def restore(self) -> None:
        """Continue exactly where the last save left the run.

        A run without a training state (upstream's, or one of another epoch) continues from its networks with
        fresh optimizers.
        """
        opt = self.opt
        if opt.epoch != "latest" or opt.load_iter > 0 or not state_path(self.folder).is_file():
            new = self.model.run
            self.model.load_networks(checkpoint_tag(opt))
            self.model.run = self.model.run or new
            print("continuing with these networks and fresh optimizers, at epoch "
                  f"{self.epoch} (--epoch_count)")
            if not state_path(self.folder).is_file():
                self.save()
            return
        state = load_training_state(self.folder)
        opt.epoch_count = state["epoch_count"]  # upstream's users give the epoch to continue with instead
        self.model.load_state(state["model"], state_path(self.folder))
        self.model.run = state["run"]
        self.epoch = state["epoch"]
        self.epoch_iters = state["epoch_iters"]
        self.total_iters = state["total_iters"]
        self.validation.rows = state["validation"]
        try:
            self._restore_rng(state["rng"])
        except (TypeError, ValueError, RuntimeError, OverflowError) as error:
            raise ValueError(f"{state_path(self.folder)}: 'rng' is not the state of random generators "
                             f"({error})") from None
        distributed.on_rank_zero(lambda: self._restore_files(state))
        change = describe_change(state.get("data"), self.fingerprint) if self.fingerprint else None
        if change and distributed.rank() == 0:
            print(printable(change), file=sys.stderr)
        threads = torch.get_num_threads()
        if state.get("threads") not in (None, threads):
            print(f"the run was saved with {state['threads']} CPU threads and continues with {threads}: its "
                  "results may differ in the last digits (--threads)")
        if self.finished:
            print(f"{printable(opt.name)} is finished: it has run all {self.last} epochs; "
                  "to train longer, raise --n_epochs")
        else:
            print(f"continuing at epoch {self.epoch}, after {self.epoch_iters} of its images")

    def _restore_rng(self, rng_states: list) -> None:
        """Restore the random state of each process; additional processes are seeded anew."""
        rank = distributed.rank()
        if rank < len(rng_states):
            set_rng_state(rng_states[rank])
        else:
            seed_everything(self.opt.seed + _SEED_STEP * rank + self.total_iters)

    def _restore_files(self, state: dict[str, Any]) -> None:
        self.validation.write()
        cut_logs(self.folder, state["logs"])
        self._write_networks(state["tags"])

    def _check_space(self) -> None:
        weights = (value for _, net in self.model.named_networks() for value in net.state_dict().values())
        need = _COPIES * sum(value.nbytes for value in weights)
        free = shutil.disk_usage(self.folder).free
        if free < need:
            print(f"warning: {printable(self.folder)} has {free / 2 ** 20:.0f} MiB free, a checkpoint needs "
                  f"about {need / 2 ** 20:.0f} MiB", file=sys.stderr)

    def _position(self) -> str:
        """Describe for an error message where the run is, and where its last checkpoint is."""
        epoch = self.epoch if self.epoch_iters else self.epoch - 1  # between epochs: the one that just ended
        saved = state_path(self.folder).is_file()
        kept = "the last good checkpoint stays in" if saved else "no checkpoint was saved yet in"
        return f"at epoch {epoch}, iteration {self.total_iters}; {kept} {self.folder}"

    def how_to_continue(self) -> str:
        """Return the message for a run that is stopped after a save."""
        return (f"saved at epoch {self.epoch} after {self.epoch_iters} of its images; continue with: "
                f"{continue_command(self.opt, 'train.py')}")

    def __str__(self) -> str:
        return f"{self.seen} images in {duration(time.monotonic() - self.started)}"
