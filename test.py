"""Run a model on a data set, on single images, on a video, or on the camera.

    python test.py --model ugc_student --name exp_s --dataroot D   # -> results/exp_s/test_latest/
    python test.py --model ugc_student --name exp_s --input photo.png --output out.png
    python test.py --model ugc_student --name exp_s --input clip.mp4 --output out.mp4
    python test.py --model ugc_student --name exp_s --input camera --output out.mp4   # until Ctrl-C
"""
import os
from argparse import Namespace
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

import util.before_torch
from compression.checkpoints.files import require_replaceable
from compression.deploy.exported import open_exported
from compression.runtime.text import name_some, printable
from data import create_dataset
from data.check import CheckReport, check_images
from data.ids import IdMaps, class_ids, first_class_of, read_ids
from data.image_folder import IMG_EXTENSIONS, make_dataset, open_photo
from data.label_files import of_kind
from models import create_model
from models.builders import build_encoding
from options.test_options import TestOptions
from util.entry import run_main, seed_everything
from util.loggers import log_results
from util.results import NAMED, make_results
from util.streaming import check_decodes, check_stream, is_stream, open_stream, translate_stream
from util.tables import print_table, results_table
from util.translators import (
    ExportedTranslator,
    ModelTranslator,
    Translator,
    resized,
    resized_maps,
    size_problem,
)
from util.util import save_image


def input_files(opt: Namespace) -> dict[Path, Path | None]:
    """Map the files of ``--input``, a file or a folder, to their instance maps, None for inputs without them.

    Of a folder of Cityscapes' maps, the label maps are used.

    Raises:
        ValueError: if an instance map is missing.
    """
    source = Path(opt.input)
    is_folder = source.is_dir()
    paths = make_dataset(source, flag="--input") if is_folder else [opt.input]
    if not getattr(opt, "label_nc", 0):
        return dict.fromkeys(map(Path, paths))
    if is_folder:
        paths = of_kind(paths, "labelIds", "--input", source)
    if opt.no_instance:
        return dict.fromkeys(map(Path, paths))
    if is_folder:
        maps = IdMaps.paired(opt, source, paths, opt.input_instance, "--input", "--input_instance")
        return dict(zip(map(Path, maps.labels), map(Path, maps.instances), strict=True))
    if not opt.input_instance:
        raise ValueError(f"--input {opt.input}: this generator needs instance maps; give --input_instance")
    folder = Path(opt.input_instance)
    return {source: folder / source.name if folder.is_dir() else folder}


def check_inputs(opt: Namespace, instances: Mapping[Path, Path | None]) -> CheckReport:
    """Check the files of ``--input``, of :func:`input_files`, before any image is generated.

    Raises:
        ValueError: if a file cannot be read, or holds ids that are not classes.
    """
    has_labels = bool(getattr(opt, "label_nc", 0))

    def check_maps(path, size):
        if has_labels:
            read_maps(opt, path, instances[path])
        return size_problem(opt, size[::-1])

    paths = list(instances)
    return check_images(paths, check_maps, full=opt.check_data, ids=paths if has_labels else ())


def output_files(opt: Namespace, paths: Sequence[Path]) -> list[Path]:
    """List the file of ``--output`` for each input.

    Raises:
        ValueError: if one would overwrite an input or the output of another input.
        OSError: if a folder, a pipe, or a device is in the place of one.
    """
    source, target = Path(opt.input), Path(opt.output)
    if source.is_dir():
        outputs = [target / path.relative_to(source).with_suffix(".png") for path in paths]
    elif target.suffix.lower() in IMG_EXTENSIONS:
        outputs = [target]
    else:
        raise ValueError(f"--output {target} must end in one of {', '.join(IMG_EXTENSIONS)}")
    uses = Counter(map(os.path.realpath, [*outputs, *paths]))
    clashes = [f"{path} -> {output}" for path, output in zip(paths, outputs, strict=True)
               if uses[os.path.realpath(output)] > 1]
    if clashes:
        raise ValueError(f"--output {target}: {len(clashes)} images would overwrite an input or each other: "
                         f"{name_some(sorted(clashes), NAMED)}")
    for path in outputs:
        require_replaceable(path)
    return outputs


def translate_files(opt: Namespace, translator: Translator, instances: Mapping[Path, Path | None],
                    targets: Sequence[Path]) -> None:
    """Translate image files of any size, those of :func:`input_files`, to the files `targets`."""
    for (path, instance), out in zip(instances.items(), targets, strict=True):
        if getattr(opt, "label_nc", 0):
            image = translator.label_map(resized_maps(opt, read_maps(opt, path, instance)))
        else:
            image = translator.photo(resized(opt, open_photo(path)))
        save_image(image, out)
        print(f"{printable(path)} -> {printable(out)} ({image.shape[1]}x{image.shape[0]})")


def read_maps(opt: Namespace, path: Path, instance: Path | None) -> np.ndarray:
    """Read the class ids of a label map and the ids of its instance map, if any: (1 or 2, H, W).

    Raises:
        ValueError: if a map cannot be read, or the two differ in size.
    """
    maps = [class_ids(path, opt, first_class_of(path))]
    if instance:
        maps.append(read_ids(instance))
        if maps[0].shape != maps[1].shape:
            raise ValueError(f"--input_instance: {path} and its instance map differ in size")
    return np.stack(maps)


def translate_input(opt: Namespace) -> None:
    """Translate ``--input``, after everything has been checked; with ``--check_data`` only check it.

    Raises:
        ValueError: if the input, the output, or a flag does not fit.
    """
    if not (opt.output or opt.check_data):
        raise ValueError(f"--input {opt.input} needs --output, a file (or a folder if the input is one)")
    if is_stream(opt):
        check_stream(opt)
        if opt.check_data:
            print(check_decodes(opt))
            return
        stream = open_stream(opt)
        problem = size_problem(opt, stream.size)
        if problem:
            raise ValueError(f"--input {opt.input}: {problem}")
        translate_stream(opt, stream, build_translator(opt))
        return
    if opt.max_frames:
        raise ValueError(f"--max_frames: --input {opt.input} is neither a video nor the camera")
    instances = input_files(opt)
    targets = output_files(opt, list(instances)) if opt.output else []
    report = check_inputs(opt, instances)
    if opt.check_data:
        print(f"checked {printable(opt.input)}: all usable\n{report}")
        return
    translate_files(opt, build_translator(opt), instances, targets)


def build_translator(opt: Namespace) -> Translator:
    """Build what translates the images of ``--input``."""
    if opt.exported:
        file = open_exported(opt.exported, opt.runtime, opt.threads)
        file.check_encoding(build_encoding(opt))
        print(f"exported file: {printable(file.label)}")
        return ExportedTranslator(file)
    model = create_model(opt)
    model.setup(opt)
    return ModelTranslator(model)


def main() -> None:
    """Run the model on the data set, or on the files of ``--input``."""
    opt = TestOptions().parse()
    util.before_torch.use_threads(opt.threads)
    opt.num_threads, opt.batch_size, opt.serial_batches, opt.no_flip = 0, 1, True, True
    seed_everything(opt.seed)
    if opt.input:
        translate_input(opt)
        return
    if opt.check_data:
        create_dataset(opt)  # ends the program
    model = create_model(opt)  # before the data set: a checkpoint may determine the number of channels
    model.setup(opt)
    folder, record = make_results(opt, model)
    print_table(*results_table(record["networks"], record["metrics"], record["images"]))
    log_results(opt, folder, record["metrics"])
    for height, width in {tuple(costs["size"]) for costs in record["networks"].values()}:
        print(f"MACs and latency are for one image of {height}x{width} (height x width)")
    print(f"page: {printable(folder / 'index.html')}")


if __name__ == "__main__":
    run_main(main)
