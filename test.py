"""Run a model on a data set or on single images, and write the images and a report.

    python test.py --model ugc_student --name exp_s --dataroot D   # -> results/exp_s/test_latest/
    python test.py --model ugc_student --name exp_s --input photo.png --output out.png
"""
from argparse import Namespace
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from compression import encode_input
from compression.runtime.text import name_some, printable
from data import create_dataset
from data.check import CheckReport, check_images
from data.ids import class_ids, first_class_of, read_ids
from data.image_folder import IMG_EXTENSIONS, make_dataset, open_photo
from models import create_model
from options.test_options import TestOptions
from util.entry import run_main, seed_everything
from util.loggers import log_results
from util.results import NAMED, make_results, print_table, results_table
from util.util import save_image, tensor2im


def input_files(opt: Namespace) -> list[Path]:
    """List the files of ``--input``, a file or a folder."""
    source = Path(opt.input)
    return [Path(path) for path in make_dataset(source, flag="--input")] if source.is_dir() else [source]


def check_inputs(opt: Namespace, paths: Sequence[Path]) -> CheckReport:
    """Check the files of ``--input`` before any image is generated.

    Raises:
        ValueError: if a file cannot be read, or holds ids that are not classes.
    """
    has_labels = bool(getattr(opt, "label_nc", 0))

    def check_maps(path, size):
        if has_labels:
            read_maps(opt, path)

    return check_images(paths, check_maps, full=opt.check_data, ids=paths if has_labels else ())


def output_files(opt: Namespace, paths: Sequence[Path]) -> list[Path]:
    """List the file of ``--output`` for each input.

    Raises:
        ValueError: if one would overwrite an input or the output of another input.
    """
    source, target = Path(opt.input), Path(opt.output)
    if source.is_dir():
        outputs = [target / path.relative_to(source).with_suffix(".png") for path in paths]
    elif target.suffix.lower() in IMG_EXTENSIONS:
        outputs = [target]
    else:
        raise ValueError(f"--output {target} must end in one of {', '.join(IMG_EXTENSIONS)}")
    uses = Counter(path.resolve() for path in [*outputs, *paths])
    clashes = [f"{path} -> {output}" for path, output in zip(paths, outputs, strict=True)
               if uses[output.resolve()] > 1]
    if clashes:
        raise ValueError(f"--output {target}: {len(clashes)} images would overwrite an input or each other: "
                         f"{name_some(sorted(clashes), NAMED)}")
    return outputs


def translate_files(opt: Namespace, model, pairs: Iterable[tuple[Path, Path]]) -> None:
    """Translate image files of any size; `pairs` are (input, output)."""
    for path, out in pairs:
        image = read_input(opt, model, path)
        save_image(tensor2im(model.translate(image)), out)
        print(f"{printable(path)} -> {printable(out)} ({image.shape[-1]}x{image.shape[-2]})")


def read_input(opt: Namespace, model, path: Path) -> Tensor:
    """Read an image file, or a label map with its instance map, as the generator's input (1, C, H, W)."""
    if not getattr(opt, "label_nc", 0):
        return encode_input(model.netG, open_photo(path))
    return model.encoding(torch.from_numpy(read_maps(opt, path))[None])


def read_maps(opt: Namespace, path: Path) -> np.ndarray:
    """Read the class ids of a label map and, unless ``--no_instance``, its instance ids: (1 or 2, H, W).

    Raises:
        ValueError: if a map cannot be read, the instance map is missing, or the two differ in size.
    """
    maps = [class_ids(path, opt, first_class_of(path))]
    if not opt.no_instance:
        if not opt.input_instance:
            raise ValueError(f"--input {opt.input}: this generator needs instance maps; give "
                             "--input_instance")
        folder = Path(opt.input_instance)
        maps.append(read_ids(folder / Path(path).name if folder.is_dir() else folder))
        if maps[0].shape != maps[1].shape:
            raise ValueError(f"--input_instance: {path} and its instance map differ in size")
    return np.stack(maps)


def main() -> None:
    """Run the model on the data set, or on the files of ``--input``."""
    opt = TestOptions().parse()
    opt.num_threads, opt.batch_size, opt.serial_batches, opt.no_flip = 0, 1, True, True
    seed_everything(opt.seed)
    if opt.input:
        paths = input_files(opt)
        if not (opt.output or opt.check_data):
            raise ValueError(f"--input {opt.input} needs --output, a file (or a folder if the input is one)")
        targets = output_files(opt, paths) if opt.output else []
        report = check_inputs(opt, paths)
        if opt.check_data:
            print(f"checked {opt.input}: all usable\n{report}")
            return
    elif opt.check_data:
        create_dataset(opt)  # ends the program
    model = create_model(opt)  # before the data set: a checkpoint may determine the number of channels
    model.setup(opt)
    if opt.input:
        translate_files(opt, model, zip(paths, targets, strict=True))
        return
    folder, record = make_results(opt, model)
    print_table(*results_table(record["networks"], record["metrics"]))
    log_results(opt, folder, record["metrics"])
    for height, width in {tuple(costs["size"]) for costs in record["networks"].values()}:
        print(f"MACs and latency are for one image of {height}x{width} (height x width)")
    print(f"page: {printable(folder / 'index.html')}")


if __name__ == "__main__":
    run_main(main)
