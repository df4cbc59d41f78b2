"""The last choice of a search: the best students get a short distillation each and are compared again."""
from __future__ import annotations

import contextlib
import io
import shutil
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

from compression import Arch
from compression.checkpoints import read_json, write_json
from compression.elastic.generator import ElasticGenerator
from compression.metrics import better_sign
from compression.runtime import distributed
from compression.search.evolution import Evolution
from data import create_dataset
from models import create_model
from models.ugc_distill_model import UGCDistillModel
from options.search_split import SEARCH_SPLIT
from options.train_options import TrainOptions

from .entry import continue_command, kept_rng, seed_everything
from .progress import Progress
from .run_folder import state_path
from .signals import StopSignals
from .size_check import require_trainable_sizes
from .validation import Validation

FOLDER = "finalist"  # of the run in the folder of the search


class Finalists:
    """Short distillations of a search's best students, which rank them again.

    The teacher is the largest network, because the wide and the deep teacher are searched for the student
    that is chosen here. Every distillation starts from the supernet, with the same seed and data; in half of
    the epochs the learning rate decays. It is a run in the folder of the search, which continues exactly
    after an interruption and is deleted once its student has a score.

    Args:
        opt: parsed options of search.py.
        search_id: identifier of the search.
        folder: folder of the search.

    Attributes:
        scores: architecture -> score of its distilled student; lower is better.
        ranked: the finalists, in the order of the search; only some of them while they are distilled.

    Raises:
        ValueError: if no training images are held out to compare students on.
    """

    def __init__(self, opt: Namespace, search_id: str, folder: Path):
        if opt.phase != SEARCH_SPLIT:
            raise ValueError(f"--finalists {opt.finalists} trains students and compares them on training "
                             f"images that are held out, but candidates are scored on --phase {opt.phase}; "
                             "train the supernet with --search_split 0.1, and search without --phase")
        self.opt = opt
        self.search_id = search_id
        self.folder = folder / FOLDER
        self.scores: dict[Arch, float] = {}
        self.ranked: list[Arch] = []

    def rank(self, evolution: Evolution, score: Callable[[ElasticGenerator], float],
             save: Callable[[], None], stop: StopSignals) -> None:
        """Distill and score the finalists that have no score yet, and choose the best of all of them.

        Args:
            evolution: the finished search.
            score: computes the score of a network.
            save: saves the state of the search, after every score.
            stop: a signal that it has received ends the program after a save.
        """
        if len(self.ranked) != self.opt.finalists:
            self.ranked = evolution.ranking[:self.opt.finalists]
        finalists = self.ranked
        if len(finalists) < self.opt.finalists:
            print(f"the search has found only {len(finalists)} candidates for --finalists "
                  f"{self.opt.finalists}")
        for i, arch in enumerate(finalists, 1):
            if arch not in self.scores:
                model = self.distill(arch, stop)
                with kept_rng():  # every process has its own recent inputs, which calibrate the batch norms
                    self.scores[arch] = distributed.on_rank_zero(
                        lambda model=model: score(model.calibrated_student()))
                save()
                self.clear()
            sign = better_sign(self.opt.criterion)
            print(f"finalist {i} of {len(finalists)}: {self.opt.criterion} {sign * self.scores[arch]:.4f} "
                  f"after a short distillation, {sign * evolution.scores[arch]:.4f} before, {arch}")
        evolution.choose(min(finalists, key=self.scores.__getitem__))

    def results(self, evolution: Evolution) -> list[dict[str, Any]]:
        """List the finalists in the order of the search, with the scores before and after distillation."""
        return [{"arch": arch.to_json(), **evolution.cost_model.cost(arch), "score": evolution.scores[arch],
                 "distilled_score": self.scores[arch]} for arch in self.ranked]

    def state(self) -> list[list]:
        """Return the scores as plain data that JSON can hold."""
        return [[arch.to_json(), score] for arch, score in self.scores.items()]

    def load_state(self, state: list[list]) -> None:
        """Restore the result of :meth:`state`."""
        self.scores = {Arch.from_json(arch): float(score) for arch, score in state}
        self.ranked = list(self.scores)

    def check_data(self) -> None:
        """Check that there is training data for a distillation.

        Raises:
            ValueError: if there is none.
        """
        arguments = ["--supernet", self.opt.name, "--name", f"{self.opt.name}/check", *self._shared_flags()]
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                create_dataset(TrainOptions().parse(["--model", "ugc_distill", *arguments]))
        except ValueError as error:
            raise ValueError(f"--finalists {self.opt.finalists} trains on the images of the supernet: "
                             f"{error}") from None

    def distill(self, arch: Arch, stop: StopSignals) -> UGCDistillModel:
        """Distill a student.

        Args:
            arch: architecture of the student.
            stop: a signal that it has received ends the program after a save.

        Returns:
            The model after the distillation.
        """
        with kept_rng():
            distributed.on_rank_zero(lambda: self._prepare(arch))
            opt = self._train_options()
            seed_everything(opt.seed)
            with contextlib.redirect_stdout(io.StringIO()):
                dataset = create_dataset(opt)
                model = create_model(opt)
                model.setup(opt)
            require_trainable_sizes(opt, model, dataset)
            progress = Progress(opt, model, len(dataset), Validation(opt, model))
            progress.begin()
            for _ in range(progress.epoch, progress.last + 1):
                for batch in progress.steps(dataset):
                    model.train_step(batch)
                    progress.read_losses()
                    stop.synchronize()
                    if stop.received or progress.save_due():
                        progress.save("latest")
                    stop.exit_if_received(f"saved in {self.folder.parent}; continue with: "
                                          f"{continue_command(self.opt, 'search.py')}")
                with contextlib.redirect_stdout(io.StringIO()):
                    model.update_learning_rate()
                progress.end_epoch()
            return model

    def clear(self) -> None:
        """Delete the run of the last distillation."""
        if distributed.rank() == 0 and self.folder.is_dir():
            shutil.rmtree(self.folder)

    def _prepare(self, arch: Arch) -> None:
        """Keep the folder of an interrupted distillation of `arch`; otherwise begin a new one."""
        content = {"search": self.search_id, "arch": arch.to_json()}
        path = self._arch_path()
        if path.is_file() and read_json(path) == content:
            return
        self.clear()
        write_json(path, content)

    def _arch_path(self) -> Path:
        return self.folder / "arch.json"

    def _shared_flags(self) -> list[str]:
        """Return the flags of a distillation that the options of the search decide."""
        opt = self.opt
        flags = ["--checkpoints_dir", opt.checkpoints_dir, "--num_threads", str(opt.num_threads),
                 "--max_image_pixels", str(opt.max_image_pixels)]
        if distributed.world_size() == 1:  # otherwise torchrun assigns the devices
            flags += ["--gpu_ids", str(opt.gpu_ids[0]) if opt.gpu_ids else "-1"]
        return [*flags, "--dataroot", opt.dataroot] if opt.dataroot else flags

    def _train_options(self) -> Namespace:
        """Parse the options of the distillation, or those with which it is continued."""
        opt = self.opt
        decay = opt.finalist_epochs // 2
        name = f"{opt.name}/{self.folder.parent.name}/{self.folder.name}"
        arguments = ["--model", "ugc_distill", "--supernet", opt.name, "--supernet_epoch", opt.epoch,
                     "--name", name, "--student_arch", str(self._arch_path()), "--teachers", "largest",
                     "--n_epochs", str(opt.finalist_epochs - decay), "--n_epochs_decay", str(decay),
                     "--no_html", *self._shared_flags()]
        if state_path(self.folder).is_file():
            arguments.append("--continue_train")
        with contextlib.redirect_stdout(io.StringIO()):
            return TrainOptions().parse(arguments)
