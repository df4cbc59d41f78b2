"""Train a model: an original (pix2pix), a supernet (ugc_supernet) or a student (ugc_distill).

    python train.py --model ugc_supernet                                   # the built-in toy data set
    python train.py --model pix2pix --dataroot ./datasets/facades --name facades_pix2pix --direction BtoA
"""
import math
import time
from pathlib import Path

from compression import save_atomic
from data import create_dataset
from models import create_model
from models.base_model import load_training_state
from options.train_options import TrainOptions
from util.entry import rng_state, run_main, seed_everything, set_rng_state
from util.visualizer import Visualizer


class Progress:
    """Where the run is: epoch, iterations (images), position inside the epoch; saved with every checkpoint."""

    def __init__(self, opt, model, dataset):
        self.opt, self.model, self.dataset = opt, model, dataset
        self.path = Path(opt.checkpoints_dir) / opt.name / "latest_state.pth"
        self.epoch, self.total_iters, self.batches = opt.epoch_count, 0, 0

    def save(self, tag):
        """The networks under `tag`, and everything an exact resume needs."""
        self.model.save_networks(tag)
        save_atomic({"format": "ugc-state-1", "epoch": self.epoch, "total_iters": self.total_iters,
                     "batches": self.batches, "model": self.model.state(), "rng": rng_state()}, self.path)

    def restore(self):
        """Continue where the last save left the run."""
        state = load_training_state(self.path)
        self.epoch, self.total_iters, self.batches = state["epoch"], state["total_iters"], state["batches"]
        self.model.load_state(state["model"])
        set_rng_state(state["rng"])

    def check_finite(self, losses):
        """Stop at a loss that is NaN or infinite; what is saved stays."""
        for name, value in losses.items():
            if not math.isfinite(value):
                raise FloatingPointError(f"loss {name} is {value} at epoch {self.epoch}, iteration {self.total_iters}; "
                                         f"the last good checkpoint stays in {self.path.parent}")


def every(count, frequency, step):
    """Whether a multiple of `frequency` was reached by the last `step` images."""
    return count // frequency > (count - step) // frequency


def main():
    """Train for the epochs asked."""
    opt = TrainOptions().parse()
    seed_everything(opt.seed)
    dataset = create_dataset(opt)
    print(f"The number of training images = {len(dataset)}")
    model = create_model(opt)
    model.setup(opt)
    visualizer, progress, last = Visualizer(opt), Progress(opt, model, dataset), opt.n_epochs + opt.n_epochs_decay
    if opt.continue_train:
        progress.restore()
        if progress.epoch > last:
            print(f"{opt.name} is finished: it has run all {last} epochs; more --n_epochs continue it")
            return

    started = time.time()
    for epoch in range(progress.epoch, last + 1):
        progress.epoch, epoch_start = epoch, time.time()
        visualizer.reset()
        dataset.set_epoch(epoch, skip=progress.batches)
        seen, data_start = 0, time.time()
        for batch in dataset:
            step_start = time.time()
            progress.total_iters += opt.batch_size
            progress.batches += 1
            model.set_input(batch)
            model.optimize_parameters()
            seen += opt.batch_size
            losses = model.get_current_losses()
            progress.check_finite(losses)
            if every(progress.total_iters, opt.display_freq, opt.batch_size):
                model.compute_visuals()
                visualizer.display_current_results(model.get_current_visuals(), epoch,
                                                   every(progress.total_iters, opt.update_html_freq, opt.batch_size))
            if every(progress.total_iters, opt.print_freq, opt.batch_size):
                left = (last - epoch + 1) * len(dataset) - progress.batches * opt.batch_size
                pace = (time.time() - epoch_start) / seen
                visualizer.print_current_losses(epoch, progress.batches * opt.batch_size, losses,
                                                (time.time() - step_start) / opt.batch_size,
                                                (step_start - data_start) / opt.batch_size, pace * max(0, left))
            if every(progress.total_iters, opt.save_latest_freq, opt.batch_size):
                progress.save(f"iter_{progress.total_iters}" if opt.save_by_iter else "latest")
            data_start = time.time()
        model.update_learning_rate()
        progress.epoch, progress.batches = epoch + 1, 0
        if epoch % opt.save_epoch_freq == 0 or epoch == last:
            progress.save("latest")
            if epoch % opt.save_epoch_freq == 0:
                model.save_networks(epoch)
        print(f"End of epoch {epoch} / {last} \t Time Taken: {time.time() - epoch_start:.0f} sec")
    print(f"finished in {time.time() - started:.0f} s")


if __name__ == "__main__":
    run_main(main)
