"""Training of the end of 2019: learning rates are stepped at the end of an epoch."""

import time

from data import create_dataset
from models import create_model
from options.train_options import TrainOptions
from util.visualizer import Visualizer

if __name__ == "__main__":
    opt = TrainOptions().parse()
    dataset = create_dataset(opt)
    dataset_size = len(dataset)
    print(f"The number of training images = {dataset_size}")
    model = create_model(opt)
    model.setup(opt)
    visualizer = Visualizer(opt)
    total_iters = 0

    for epoch in range(opt.epoch_count, opt.n_epochs + opt.n_epochs_decay + 1):
        epoch_start, data_start, epoch_iter = time.time(), time.time(), 0
        visualizer.reset()
        for batch in dataset:
            iter_start = time.time()
            total_iters += opt.batch_size
            epoch_iter += opt.batch_size
            model.set_input(batch)
            model.optimize_parameters()

            if total_iters % opt.display_freq == 0:
                model.compute_visuals()
                visualizer.display_current_results(
                    model.get_current_visuals(), epoch, total_iters % opt.update_html_freq == 0
                )
            if total_iters % opt.print_freq == 0:
                losses = model.get_current_losses()
                visualizer.print_current_losses(
                    epoch,
                    epoch_iter,
                    losses,
                    (time.time() - iter_start) / opt.batch_size,
                    iter_start - data_start,
                )
                if opt.display_id > 0:
                    visualizer.plot_current_losses(epoch, epoch_iter / dataset_size, losses)
            if total_iters % opt.save_latest_freq == 0:
                model.save_networks(f"iter_{total_iters}" if opt.save_by_iter else "latest")
            data_start = time.time()

        if epoch % opt.save_epoch_freq == 0:
            model.save_networks("latest")
            model.save_networks(epoch)
        print(
            f"End of epoch {epoch} / {opt.n_epochs + opt.n_epochs_decay} \t "
            f"Time Taken: {time.time() - epoch_start:.0f} sec"
        )
        model.update_learning_rate()
