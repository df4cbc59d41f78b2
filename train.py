"""Train a model: an original (pix2pix), a supernet (ugc_supernet), a student (ugc_distill) or a segmenter.

    python train.py --model ugc_supernet                                   # the built-in toy data set
    python train.py --model pix2pix --dataroot ./datasets/facades --name facades_pix2pix --direction BtoA
    python train.py --name facades_pix2pix --continue_train                # continue a run exactly
"""
import time
from argparse import Namespace
from contextlib import closing

import util.before_torch
from compression.runtime import distributed
from data import create_dataset
from models import create_model
from options.train_options import TrainOptions
from util.data_fingerprint import fingerprint
from util.entry import kept_rng, run_main, seed_everything
from util.memory import report_memory
from util.progress import Progress
from util.run_folder import run_folder
from util.signals import StopSignals
from util.size_check import require_trainable_sizes
from util.validation import Validation
from util.visualizer import Visualizer


def main() -> None:
    """Parse the options and train in the run's folder."""
    opt = TrainOptions().parse()
    util.before_torch.use_threads(opt.threads)
    if opt.check_data:
        create_dataset(opt)  # ends the program
    with run_folder(opt):
        train(opt)


def train(opt: Namespace) -> None:
    """Train for all epochs, or until a signal asks to stop."""
    seed_everything(opt.seed)
    dataset = create_dataset(opt)
    print(f"The number of training images = {dataset.dataset.describe_count()}")
    images = fingerprint(dataset.dataset.input_paths())
    distributed.check_equal(images, "their training images")
    model = create_model(opt)
    model.setup(opt)
    require_trainable_sizes(opt, model, dataset)
    report_memory(model, dataset.dataset, opt.batch_size)
    validation = Validation(opt, model)
    progress = Progress(opt, model, len(dataset), validation, images)
    progress.begin()
    if progress.finished:
        return
    visualizer = Visualizer(opt, progress.total_iters)

    with StopSignals() as stop, closing(visualizer):
        for epoch in range(progress.epoch, progress.last + 1):
            epoch_start = time.monotonic()
            visualizer.reset()
            for batch in progress.steps(dataset):
                model.train_step(batch)
                losses = progress.read_losses()
                display(opt, model, progress, visualizer, losses)
                stop.synchronize()
                if stop.received or progress.save_due():
                    progress.save(f"iter_{progress.total_iters}" if opt.save_by_iter else "latest")
                stop.exit_if_received(progress.how_to_continue())

            model.metric = None
            values = validation.run(epoch) if validation.due(epoch) else {}
            model.update_learning_rate()
            visualizer.log_epoch(values, model.optimizers[0].param_groups[0]["lr"], progress.total_iters)
            progress.end_epoch()
            stop.synchronize()
            numbered = [epoch] if epoch % opt.save_epoch_freq == 0 else []
            if stop.received or numbered or progress.finished:
                progress.save("latest", *numbered)
            seconds = time.monotonic() - epoch_start
            print(f"End of epoch {epoch} / {progress.last} \t Time Taken: {seconds:.0f} sec")
            stop.exit_if_received(progress.how_to_continue())
    print(f"done: {progress}")


def display(opt: Namespace, model, progress: Progress, visualizer: Visualizer,
            losses: dict[str, float]) -> None:
    """Display images every ``--display_freq`` images, print losses every ``--print_freq`` images."""
    if progress.due(opt.display_freq):
        with kept_rng():
            model.compute_visuals()
        visualizer.display_current_results(model.get_current_visuals(), progress.epoch,
                                           progress.due(opt.update_html_freq), progress.total_iters)
    if progress.due(opt.print_freq):
        visualizer.print_current_losses(progress.epoch, progress.epoch_iters, losses, *progress.timing(),
                                        progress.total_iters)


if __name__ == "__main__":
    run_main(main)
