"""What a run shows: losses to console and files, images to a page, both to visdom if asked."""
import json
import sys
import time
from pathlib import Path

from tqdm import tqdm

from compression.runtime import distributed

from .html import HTML
from .util import append_text, save_image, tensor2im


class Visualizer:
    """Losses go to the console, ``loss_log.txt`` (upstream's form), ``losses.jsonl``; images to ``web/index.html``."""

    def __init__(self, opt):
        self.opt, self.name, self.saved, self.vis = opt, opt.name, False, None
        if distributed.rank():  # the first process shows everything
            return
        folder = Path(opt.checkpoints_dir) / opt.name
        folder.mkdir(parents=True, exist_ok=True)
        self.web_dir, self.log_name, self.json_name = folder / "web", folder / "loss_log.txt", folder / "losses.jsonl"
        append_text(self.log_name, f"================ Training Loss ({time.strftime('%c')}) ================\n")
        self.vis = self._visdom() if opt.display_id > 0 else None

    def _visdom(self):
        try:
            import visdom
        except ImportError:
            print("--display_id: visdom is not installed, the run goes on without it", file=sys.stderr)
            return None
        server = visdom.Visdom(server=self.opt.display_server, port=self.opt.display_port, env=self.opt.display_env,
                               raise_exceptions=False)
        if not server.check_connection():
            print(f"--display_id: no visdom server at {self.opt.display_server}:{self.opt.display_port}, the run goes "
                  "on without it", file=sys.stderr)
            return None
        return server

    def reset(self):
        """At the start of an epoch: no image of it is saved yet."""
        self.saved = False

    def display_current_results(self, visuals, epoch, save_result):
        """Show the images of the model; save them to the page if asked or if none of this epoch are."""
        if distributed.rank():
            return
        images = {label: tensor2im(image) for label, image in visuals.items()}
        if self.vis is not None:
            for i, (label, image) in enumerate(images.items()):
                self.vis.image(image.transpose(2, 0, 1), win=self.opt.display_id + 1 + i, opts=dict(title=label))
        if self.opt.no_html or (self.saved and not save_result):
            return
        self.saved = True
        page = HTML(self.web_dir, f"Experiment name = {self.name}", refresh=1)
        for label, image in images.items():
            save_image(image, page.image_dir / f"epoch{epoch:03d}_{label}.png")
        for n in range(epoch, 0, -1):
            files = [f"epoch{n:03d}_{label}.png" for label in images]
            if all((page.image_dir / file).is_file() for file in files):
                page.add_header(f"epoch [{n}]")
                page.add_images(files, list(images), files, width=self.opt.display_winsize)
        page.save()

    def print_current_losses(self, epoch, iters, losses, t_comp, t_data, eta=None):
        """Log the losses; `t_comp` and `t_data` are seconds for one image, `eta` the seconds left."""
        if distributed.rank():
            return
        message = f"(epoch: {epoch}, iters: {iters}, time: {t_comp:.3f}, data: {t_data:.3f}) "
        message += "".join(f"{name}: {value:.3f} " for name, value in losses.items())
        tqdm.write(message + (f"| {duration(eta)} left" if eta is not None else ""))  # beside a progress bar
        sys.stdout.flush()
        append_text(self.log_name, message + "\n")
        append_text(self.json_name, json.dumps({"epoch": epoch, "iters": iters, **losses}) + "\n")
        if self.vis is not None:
            for name, value in losses.items():
                self.vis.line([value], [epoch + iters * 1e-9], win=f"{self.name} losses", name=name, update="append",
                              opts=dict(title=f"{self.name} losses", showlegend=True))


def duration(seconds):
    """Seconds -> ``1:02:03``."""
    seconds = int(seconds)
    return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
