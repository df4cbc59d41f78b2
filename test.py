"""Run a model on a data set, or on single images, and report.

    python test.py --model ugc_student --name exp_s --dataroot D   # -> results/exp_s/test_latest/
    python test.py --model ugc_student --name exp_s --input photo.png --output out.png
"""
from collections import Counter
from pathlib import Path

import numpy as np
import torch

from compression import to_tensor
from compression.runtime.text import name_some
from data import create_dataset
from data.check import check_images
from data.image_folder import IMG_EXTENSIONS, make_dataset, open_photo
from data.label_dataset import class_ids, read_ids
from models import create_model
from options.test_options import TestOptions
from util.entry import run_main, seed_everything
from util.results import make_results, print_table, results_table
from util.util import save_image, tensor2im


def inputs(opt):
    """The files of ``--input``."""
    source = Path(opt.input)
    return [Path(path) for path in make_dataset(source, flag="--input")] if source.is_dir() else [source]


def check_inputs(opt, paths):
    """What was found in the files of ``--input``.

    Raises:
        ValueError: if one cannot be read, or holds ids that are no classes; no image is made then.
    """
    labels = bool(getattr(opt, "label_nc", 0))

    def look(path, size):
        if labels:
            read_maps(opt, path)

    return check_images(paths, look, full=opt.check_data, ids=paths if labels else ())


def outputs(opt, paths):
    """Where the image of each input goes; ValueError if that would overwrite an input or another's image."""
    source, target = Path(opt.input), Path(opt.output)
    if source.is_dir():
        found = [target / path.relative_to(source).with_suffix(".png") for path in paths]
    elif target.suffix.lower() in IMG_EXTENSIONS:
        found = [target]
    else:
        raise ValueError(f"--output {target} must end in one of {', '.join(IMG_EXTENSIONS)}")
    taken = Counter(path.resolve() for path in [*found, *paths])
    clash = [f"{path} -> {out}" for path, out in zip(paths, found) if taken[out.resolve()] > 1]
    if clash:
        raise ValueError(f"--output {target}: {len(clash)} images would overwrite an input or each other: "
                         f"{name_some(sorted(clash), 10)}")
    return found


def translate_files(opt, model, pairs):
    """``--input`` to ``--output``, pairs of files: one image of any size, or every image of a folder."""
    for path, out in pairs:
        image = read_input(opt, model, path)
        save_image(tensor2im(model.translate(image)), out)
        print(f"{path} -> {out} ({image.shape[-1]}x{image.shape[-2]})")


def read_input(opt, model, path):
    """What the generator takes, (1, C, H, W), of an image file or of a label map (with ``--input_instance``)."""
    if not getattr(opt, "label_nc", 0):
        return to_tensor(open_photo(path), model.netG.config["input_nc"])
    return model.encoding(torch.from_numpy(read_maps(opt, path))[None])


def read_maps(opt, path):
    """Class ids of a label map, and the instance ids that ``--input_instance`` has for it, (1 or 2, H, W)."""
    maps = [class_ids(path, opt)]
    if not opt.no_instance:
        if not opt.input_instance:
            raise ValueError(f"--input {opt.input}: this generator takes instance maps too, give --input_instance")
        folder = Path(opt.input_instance)
        maps.append(read_ids(folder / Path(path).name if folder.is_dir() else folder))
        if maps[0].shape != maps[1].shape:
            raise ValueError(f"--input_instance: {path} and its instance map differ in size")
    return np.stack(maps)


def main():
    """Test the model of the options."""
    opt = TestOptions().parse()
    opt.num_threads, opt.batch_size, opt.serial_batches, opt.no_flip = 0, 1, True, True
    seed_everything(opt.seed)
    if opt.input:
        paths = inputs(opt)
        if not (opt.output or opt.check_data):
            raise ValueError(f"--input {opt.input} needs --output, a file (or a folder if the input is one)")
        targets = outputs(opt, paths) if opt.output else []
        found = check_inputs(opt, paths)
        if opt.check_data:
            return print(f"checked {opt.input}: all usable\n{found}")
    elif opt.check_data:
        create_dataset(opt)  # which ends the program
    model = create_model(opt)  # before the data: a checkpoint may say how many channels it takes
    model.setup(opt)
    if opt.input:
        return translate_files(opt, model, zip(paths, targets))
    folder, found = make_results(opt, model)
    print_table(*results_table(found["networks"], found["metrics"]))
    print(f"page: {folder / 'index.html'}")


if __name__ == "__main__":
    run_main(main)
