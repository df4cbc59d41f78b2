"""Run a model on a data set, or on single images, and report.

    python test.py --model ugc_student --name exp_s --dataroot D   # -> results/exp_s/test_latest/
    python test.py --model ugc_student --name exp_s --input photo.png --output out.png
"""
from pathlib import Path

import numpy as np
import torch

from data.image_folder import IMG_EXTENSIONS, make_dataset, open_image
from data.label_dataset import class_ids, read_ids
from models import create_model
from options.test_options import TestOptions
from util.entry import run_main, seed_everything
from util.results import make_results, print_table, results_table
from util.util import image2tensor, save_image, tensor2im


def translate_files(opt, model):
    """``--input`` to ``--output``: one image of any size, or every image of a folder."""
    if not opt.output:
        raise ValueError(f"--input {opt.input} needs --output, a file (or a folder if the input is one)")
    source, target = Path(opt.input), Path(opt.output)
    if source.is_dir():
        pairs = [(Path(p), target / Path(p).relative_to(source).with_suffix(".png")) for p in make_dataset(source)]
    elif target.suffix.lower() in IMG_EXTENSIONS:
        pairs = [(source, target)]
    else:
        raise ValueError(f"--output {target} must end in one of {', '.join(IMG_EXTENSIONS)}")
    for path, out in pairs:
        image = read_input(opt, model, path)
        save_image(tensor2im(model.translate(image)), out)
        print(f"{path} -> {out} ({image.shape[-1]}x{image.shape[-2]})")


def read_input(opt, model, path):
    """What the generator takes, (1, C, H, W), of an image file or of a label map (with ``--input_instance``)."""
    if not getattr(opt, "label_nc", 0):
        return image2tensor(open_image(path), model.netG.config["input_nc"])[None]
    maps = [class_ids(path, opt)]
    if not opt.no_instance:
        if not opt.input_instance:
            raise ValueError(f"--input {opt.input}: this generator takes instance maps too, give --input_instance")
        folder = Path(opt.input_instance)
        maps.append(read_ids(folder / Path(path).name if folder.is_dir() else folder))
        if maps[0].shape != maps[1].shape:
            raise ValueError(f"--input_instance: {path} and its instance map differ in size")
    return model.encoding(torch.from_numpy(np.stack(maps))[None])


def main():
    """Test the model of the options."""
    opt = TestOptions().parse()
    opt.num_threads, opt.batch_size, opt.serial_batches, opt.no_flip = 0, 1, True, True
    seed_everything(opt.seed)
    model = create_model(opt)  # before the data: a checkpoint may say how many channels it takes
    model.setup(opt)
    if opt.input:
        return translate_files(opt, model)
    folder, found = make_results(opt, model)
    print_table(*results_table(found["networks"], found["metrics"]))
    print(f"page: {folder / 'index.html'}")


if __name__ == "__main__":
    run_main(main)
