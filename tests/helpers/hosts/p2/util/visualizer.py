"""Display and logs of the second generation: pages and loss_log.txt of the first process, wandb."""

from pathlib import Path

import torch.distributed as dist
import wandb  # noqa: F401  (imported whether it is used or not)

from .shared_visualizer import begin_log, save_epoch, save_rows


def save_images(webpage, visuals, image_path, aspect_ratio=1.0, width=256):
    """Write the images of one input to a page."""
    save_rows(webpage, visuals, image_path, aspect_ratio, width)


class Visualizer:
    """Shows images and losses of training."""

    def __init__(self, opt):
        self.opt, self.name, self.saved = opt, opt.name, False
        self.rank = dist.get_rank() if dist.is_initialized() else 0
        self.use_html = opt.isTrain and not opt.no_html
        self.web_dir = Path(opt.checkpoints_dir) / opt.name / "web"
        self.log_name = Path(opt.checkpoints_dir) / opt.name / "loss_log.txt"
        if not self.rank:
            begin_log(self.log_name)

    def reset(self):
        """At the start of an epoch."""
        self.saved = False

    def display_current_results(self, visuals, epoch, total_iters, save_result=False):
        """Images to the page."""
        if self.use_html and not self.rank and (save_result or not self.saved):
            self.saved = True
            save_epoch(self.web_dir, self.name, visuals, epoch, self.opt.display_winsize)

    def plot_current_losses(self, total_iters, losses):
        """Losses to wandb, if that is used."""

    def print_current_losses(self, epoch, iters, losses, t_comp, t_data):
        """Losses to the console, from every process, and to the log."""
        message = (
            f"[Rank {self.rank}] (epoch: {epoch}, iters: {iters}, time: {t_comp:.3f}, data: {t_data:.3f}) "
        )
        message += "".join(f", {name}: {value:.3f}" for name, value in losses.items())
        print(message)
        if not self.rank:
            with open(self.log_name, "a", encoding="utf-8") as file:
                file.write(f"{message}\n\n")
