"""Train a model: an original (pix2pix), a supernet (ugc_supernet) or a student (ugc_distill).

    python train.py --model ugc_supernet                                   # the built-in toy data set
    python train.py --model pix2pix --dataroot ./datasets/facades --name facades_pix2pix --direction BtoA
    python train.py --name facades_pix2pix --continue_train                # an interrupted run, exactly
"""
import time

from data import create_dataset
from models import create_model
from options.train_options import TrainOptions
from util.entry import kept_rng, run_main, seed_everything
from util.evaluation import Validation
from util.memory import tell_memory
from util.progress import Progress
from util.run_folder import run_folder
from util.signals import StopSignals
from util.visualizer import Visualizer


def main():
    """Train for the epochs asked."""
    opt = TrainOptions().parse()
    if opt.check_data:
        create_dataset(opt)  # and the program ends
    with run_folder(opt):
        train(opt)


def train(opt):
    """Train in a folder that is this process's alone."""
    seed_everything(opt.seed)
    dataset = create_dataset(opt)
    print(f"The number of training images = {len(dataset)}")
    model = create_model(opt)
    model.setup(opt)
    tell_memory(model, dataset.dataset, opt.batch_size)
    validation = Validation(opt, model)
    progress = Progress(opt, model, len(dataset), validation)
    progress.begin()
    if progress.finished:
        return
    visualizer = Visualizer(opt)

    with StopSignals() as stop:
        for epoch in range(progress.epoch, progress.last + 1):
            epoch_start = time.monotonic()
            visualizer.reset()
            for batch in progress.steps(dataset):
                model.train_step(batch)
                losses = progress.check(model.get_current_losses())

                if progress.due(opt.display_freq):
                    with kept_rng():
                        model.compute_visuals()
                    visualizer.display_current_results(model.get_current_visuals(), epoch,
                                                       progress.due(opt.update_html_freq))
                if progress.due(opt.print_freq):
                    visualizer.print_current_losses(epoch, progress.epoch_iters, losses, *progress.timing())
                stop.share()
                if stop.received or progress.save_due():
                    progress.save(f"iter_{progress.total_iters}" if opt.save_by_iter else "latest")
                stop.leave(progress.how_to_continue())

            model.update_learning_rate()
            progress.end_epoch()
            if validation.due(epoch):
                validation.run(epoch)
            stop.share()
            numbered = [epoch] if epoch % opt.save_epoch_freq == 0 else []
            if stop.received or numbered or progress.finished:
                progress.save("latest", *numbered)
            print(f"End of epoch {epoch} / {progress.last} \t Time Taken: {time.monotonic() - epoch_start:.0f} sec")
            stop.leave(progress.how_to_continue())
    print(f"done: {progress}")


if __name__ == "__main__":
    run_main(main)
