"""Display a training run: losses on the console and in files, images on a page, both in visdom if asked."""
from __future__ import annotations

import json
import sys
import time
from argparse import Namespace
from pathlib import Path

from torch import Tensor
from tqdm import tqdm

from compression.runtime import distributed
from compression.runtime.text import printable

from .html import HTML
from .loggers import Loggers
from .util import append_text, save_image, tensor2im

_REFRESH = 10  # seconds after which a browser reloads the page during training


class Visualizer:
    """Write losses to the console, ``loss_log.txt`` (as upstream) and ``losses.jsonl``, and images to a page.

    Only rank 0 writes.

    Args:
        opt: parsed options of train.py.
        step: images since the run began.
    """

    def __init__(self, opt: Namespace, step: int = 0):
        self.opt = opt
        self.name = opt.name
        self.saved = False  # whether images of this epoch are on the page
        self.page: HTML | None = None
        self.vis = None
        self.loggers = Loggers(opt, Path(opt.checkpoints_dir) / opt.name, step)
        if distributed.rank():
            return
        folder = Path(opt.checkpoints_dir) / opt.name
        folder.mkdir(parents=True, exist_ok=True)
        self.web_dir = folder / "web"
        self.log_name = folder / "loss_log.txt"
        self.json_name = folder / "losses.jsonl"
        line = "=" * 16
        append_text(self.log_name, f"{line} Training Loss ({time.strftime('%c')}) {line}\n")
        if opt.display_id > 0:
            self.vis = self._visdom()

    def _visdom(self):
        """Connect to the visdom server; None, with a message, if that is not possible."""
        try:
            import visdom
        except ImportError:
            print("--display_id: visdom is not installed; training continues without it", file=sys.stderr)
            return None
        opt = self.opt
        server = visdom.Visdom(server=opt.display_server, port=opt.display_port, env=opt.display_env,
                               raise_exceptions=False)
        if not server.check_connection():
            print(f"--display_id: no visdom server at {printable(opt.display_server)}:{opt.display_port}; "
                  "training continues without it", file=sys.stderr)
            return None
        return server

    def reset(self) -> None:
        """Start an epoch: none of its images is on the page yet."""
        self.saved = False

    def display_current_results(self, visuals: dict[str, Tensor], epoch: int, save_result: bool,
                                step: int = 0) -> None:
        """Display the images of the model.

        Args:
            visuals: label -> images (N, C, H, W) in [-1, 1]; the first of a batch is displayed.
            epoch: the current epoch.
            save_result: save the images to the page even if some of this epoch are there already.
            step: images since the run began.
        """
        if distributed.rank():
            return
        images = {label: tensor2im(image) for label, image in visuals.items()}
        self.loggers.images(images, step)
        if self.vis is not None:
            for i, (label, image) in enumerate(images.items()):
                self.vis.image(image.transpose(2, 0, 1), win=self.opt.display_id + 1 + i,
                               opts={"title": label})
        if self.opt.no_html or (self.saved and not save_result):
            return
        self.saved = True
        page = HTML(self.web_dir, f"Experiment name = {self.name}", refresh=_REFRESH)
        for label, image in images.items():
            save_image(image, page.image_dir / f"epoch{epoch:03d}_{label}.png")
        for n in range(epoch, 0, -1):
            files = [f"epoch{n:03d}_{label}.png" for label in images]
            if all((page.image_dir / file).is_file() for file in files):
                page.add_header(f"epoch [{n}]")
                page.add_images(files, list(images), files, width=self.opt.display_winsize)
        page.save()
        self.page = page

    def print_current_losses(self, epoch: int, iters: int, losses: dict[str, float], t_comp: float,
                             t_data: float, eta: float | None = None, step: int = 0) -> None:
        """Log the losses.

        Args:
            epoch: the current epoch.
            iters: images of this epoch that have been processed.
            losses: name -> value.
            t_comp: seconds of computing for one image.
            t_data: seconds of waiting for the data of one image.
            eta: estimated seconds until the run is finished.
            step: images since the run began.
        """
        if distributed.rank():
            return
        message = f"(epoch: {epoch}, iters: {iters}, time: {t_comp:.3f}, data: {t_data:.3f}) "
        message += "".join(f"{name}: {value:.3f} " for name, value in losses.items())
        time_left = f"| {duration(eta)} left" if eta is not None else ""
        tqdm.write(message + time_left)  # does not break a progress bar
        sys.stdout.flush()
        append_text(self.log_name, message + "\n")
        append_text(self.json_name, json.dumps({"epoch": epoch, "iters": iters, **losses}) + "\n")
        self.loggers.scalars({f"loss/{name}": value for name, value in losses.items()}, step)
        if self.vis is not None:
            title = f"{self.name} losses"
            for name, value in losses.items():
                self.vis.line([value], [epoch + iters * 1e-9], win=title, name=name, update="append",
                              opts={"title": title, "showlegend": True})

    def log_epoch(self, values: dict[str, float], learning_rate: float, step: int) -> None:
        """Log the metrics of the validation after an epoch, by name, and the next learning rate.

        Args:
            values: metrics by name, empty without a validation.
            learning_rate: that of the first optimizer.
            step: images since the run began.
        """
        metrics = {f"validation/{name}": value for name, value in values.items()}
        self.loggers.scalars({"learning_rate": learning_rate, **metrics}, step)

    def close(self) -> None:
        """End the loggers, and the reloading of the page."""
        self.loggers.close()
        if self.page is not None:
            self.page.stop_refreshing()


def duration(seconds: float) -> str:
    """Format seconds as ``1:02:03``."""
    seconds = int(seconds)
    return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
