"""Testing of the end of 2019, without wandb."""

import os

from data import create_dataset
from models import create_model
from options.test_options import TestOptions
from util import html
from util.visualizer import save_images

if __name__ == "__main__":
    opt = TestOptions().parse()
    opt.num_threads, opt.batch_size, opt.serial_batches, opt.no_flip = 0, 1, True, True
    opt.display_id = -1
    dataset = create_dataset(opt)
    model = create_model(opt)
    model.setup(opt)
    tag = f"{opt.phase}_{opt.epoch}" + (f"_iter{opt.load_iter}" if opt.load_iter > 0 else "")
    web_dir = os.path.join(opt.results_dir, opt.name, tag)
    webpage = html.HTML(web_dir, f"Experiment = {opt.name}, Phase = {opt.phase}, Epoch = {opt.epoch}")
    if opt.eval:
        model.eval()
    for i, batch in enumerate(dataset):
        if i >= opt.num_test:
            break
        model.set_input(batch)
        model.test()
        save_images(
            webpage,
            model.get_current_visuals(),
            model.get_image_paths(),
            aspect_ratio=opt.aspect_ratio,
            width=opt.display_winsize,
        )
    webpage.save()
