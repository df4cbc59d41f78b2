"""Opt-in loggers: Weights & Biases (``--use_wandb``) and TensorBoard (``--use_tensorboard``).

A logger never stops a command: if its package is missing or it fails, one line is printed and the command
continues without it.
"""
from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from compression.runtime import distributed
from compression.runtime.text import printable

from .entry import kept_rng, one_line


class Logger(Protocol):
    """One logger; steps are images since the run began."""

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Log numbers by name."""

    def images(self, images: Mapping[str, np.ndarray], step: int) -> None:
        """Log images by name, (H, W, 3) uint8."""

    def close(self) -> None:
        """Write what is pending."""


class Wandb:
    """Weights & Biases, in the project ``--wandb_project_name``; a command starts a new run there."""

    def __init__(self, opt: Namespace, folder: Path, step: int):
        import wandb

        self.wandb = wandb
        config = {name: printable(value) if isinstance(value, str) else value
                  for name, value in opt.settings.items()}
        self.run = wandb.init(project=printable(opt.wandb_project_name), name=printable(opt.name),
                              dir=str(folder), config=config)

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        self.run.log(dict(values), step=step)

    def images(self, images: Mapping[str, np.ndarray], step: int) -> None:
        self.run.log({name: self.wandb.Image(image) for name, image in images.items()}, step=step)

    def close(self) -> None:
        self.run.finish()


class TensorBoard:
    """TensorBoard, in the folder ``tensorboard`` of the run; entries after `step` are discarded."""

    def __init__(self, opt: Namespace, folder: Path, step: int):
        from torch.utils.tensorboard import SummaryWriter

        self.writer: Any = SummaryWriter(str(folder / "tensorboard"), purge_step=step)

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def images(self, images: Mapping[str, np.ndarray], step: int) -> None:
        for name, image in images.items():
            self.writer.add_image(name, image, step, dataformats="HWC")

    def close(self) -> None:
        self.writer.close()


LOGGERS: dict[str, type] = {"wandb": Wandb, "tensorboard": TensorBoard}  # package, and part of the flag


class Loggers:
    """The loggers that the flags ask for, which only rank 0 has.

    Args:
        opt: parsed options; ``--use_wandb`` and ``--use_tensorboard`` select the loggers.
        folder: the folder of the run.
        step: images since the run began.
    """

    def __init__(self, opt: Namespace, folder: Path, step: int = 0):
        self.loggers: dict[str, Logger] = {}
        if distributed.rank():
            return
        for package, logger in LOGGERS.items():
            if getattr(opt, f"use_{package}"):
                self._guard(package, lambda package=package, logger=logger: self.loggers.update(
                    {package: logger(opt, folder, step)}))

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Log numbers by name."""
        self._each(lambda logger: logger.scalars(values, step))

    def images(self, images: Mapping[str, np.ndarray], step: int) -> None:
        """Log images by name, (H, W, 3) uint8."""
        self._each(lambda logger: logger.images(images, step))

    def close(self) -> None:
        """Write what is pending; nothing is logged afterwards."""
        self._each(lambda logger: logger.close())
        self.loggers.clear()

    def _each(self, action: Callable[[Logger], None]) -> None:
        for package, logger in list(self.loggers.items()):
            self._guard(package, lambda logger=logger: action(logger))

    def _guard(self, package: str, action: Callable[[], object]) -> None:
        """Run an action; if it fails, print one line and drop the logger. No random generator is touched."""
        try:
            with kept_rng():
                action()
        except (Exception, SystemExit) as error:  # whatever a foreign package raises
            self.loggers.pop(package, None)
            if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] == package:
                reason = f"the package {package} is not installed (pip install {package})"
            else:
                reason = f"{type(error).__name__}: {one_line(error)[:300]}"
            print(f"warning: --use_{package}: {printable(reason)}; continuing without it", file=sys.stderr)


def log_results(opt: Namespace, folder: Path, metrics: Mapping[str, Mapping[str, Any]]) -> None:
    """Log the metrics of test.py or evaluate.py: label of the images -> {metric: value}."""
    loggers = Loggers(opt, folder)
    loggers.scalars({printable(f"{opt.phase}/{label}/{name}"): value for label, values in metrics.items()
                     for name, value in values.items() if isinstance(value, (int, float))}, 0)
    loggers.close()
