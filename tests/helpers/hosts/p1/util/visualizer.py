"""Display and logs of the first generation: visdom, pages, loss_log.txt."""

import os

from .shared_visualizer import begin_log, save_epoch, save_rows


def save_images(webpage, visuals, image_path, aspect_ratio=1.0, width=256, use_wandb=False):
    """Write the images of one input to a page."""
    save_rows(webpage, visuals, image_path, aspect_ratio, width)


class Visualizer:
    """Shows images and losses of training."""

    def __init__(self, opt):
        self.opt, self.name, self.saved = opt, opt.name, False
        self.display_id, self.use_html = opt.display_id, opt.isTrain and not opt.no_html
        if self.display_id > 0:
            import visdom

            self.vis = visdom.Visdom(server=opt.display_server, port=opt.display_port, env=opt.display_env)
        self.web_dir = os.path.join(opt.checkpoints_dir, opt.name, "web")
        self.log_name = os.path.join(opt.checkpoints_dir, opt.name, "loss_log.txt")
        begin_log(self.log_name)

    def reset(self):
        """At the start of an epoch."""
        self.saved = False

    def display_current_results(self, visuals, epoch, save_result):
        """Images to the page."""
        if self.use_html and (save_result or not self.saved):
            self.saved = True
            save_epoch(self.web_dir, self.name, visuals, epoch, self.opt.display_winsize)

    def plot_current_losses(self, epoch, counter_ratio, losses):
        """Losses to visdom."""
        self.vis.line([list(losses.values())], [epoch + counter_ratio], update="append")

    def print_current_losses(self, epoch, iters, losses, t_comp, t_data):
        """Losses to the console and the log."""
        message = f"(epoch: {epoch}, iters: {iters}, time: {t_comp:.3f}, data: {t_data:.3f}) "
        message += "".join(f"{name}: {value:.3f} " for name, value in losses.items())
        print(message)
        with open(self.log_name, "a", encoding="utf-8") as file:
            file.write(f"{message}\n")
