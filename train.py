"""Train a model: an original (pix2pix), a supernet (ugc_supernet) or a student (ugc_distill).

    python train.py --model ugc_supernet                                   # the built-in toy data set
    python train.py --model pix2pix --dataroot ./datasets/facades --name facades_pix2pix --direction BtoA

An interrupted run continues, exactly, when its command is given again with --continue_train.
"""
import time

from data import create_dataset
from models import create_model
from options.train_options import TrainOptions
from util.entry import run_main, seed_everything
from util.evaluation import Validation
from util.progress import Progress
from util.visualizer import Visualizer


def main():
    """Train for the epochs asked."""
    opt = TrainOptions().parse()
    seed_everything(opt.seed)
    dataset = create_dataset(opt)
    print(f"The number of training images = {len(dataset)}")
    model = create_model(opt)
    model.setup(opt)
    progress = Progress(opt, model, len(dataset))
    if opt.continue_train:
        progress.restore()
    validation = Validation(opt, model)
    visualizer = Visualizer(opt)

    for epoch in range(progress.epoch, progress.last + 1):
        epoch_start = time.time()
        visualizer.reset()
        for batch in progress.steps(dataset):
            model.train_step(batch)
            losses = progress.check(model.get_current_losses())

            if progress.due(opt.display_freq):
                model.compute_visuals()
                visualizer.display_current_results(model.get_current_visuals(), epoch,
                                                   progress.due(opt.update_html_freq))
            if progress.due(opt.print_freq):
                visualizer.print_current_losses(epoch, progress.epoch_iters, losses, *progress.timing())
            if progress.due(opt.save_latest_freq):
                progress.save(f"iter_{progress.total_iters}" if opt.save_by_iter else "latest")

        model.update_learning_rate()
        progress.end_epoch()
        if validation.due(epoch):
            validation.run(epoch)
        if epoch % opt.save_epoch_freq == 0 or epoch == progress.last:
            progress.save("latest")
        if epoch % opt.save_epoch_freq == 0:
            model.save_networks(epoch)
        print(f"End of epoch {epoch} / {progress.last} \t Time Taken: {time.time() - epoch_start:.0f} sec")
    print(f"done: {progress}")


if __name__ == "__main__":
    run_main(main)
