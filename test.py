"""Run a model on a data set, or on single images, and report.

    python test.py --model ugc_student --name exp_s --dataroot D   # -> results/exp_s/test_latest/
    python test.py --model ugc_student --name exp_s --input photo.png --output out.png
"""
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from compression.metrics import ImageMetrics
from data import create_dataset
from data.image_folder import IMG_EXTENSIONS, make_dataset, open_image
from data.label_dataset import class_ids, read_ids
from models import create_model
from options.test_options import TestOptions
from util.entry import run_main, seed_everything
from util.html import HTML
from util.util import image2tensor, save_image, tensor2im, write_json


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


def run_dataset(opt, model, dataset, folder):
    """Translate the data set into images and rows of a page; returns the metrics by image name."""
    page = HTML(folder, f"Experiment = {opt.name}, Phase = {opt.phase}, Epoch = {opt.epoch}")
    stretch = 1.0 if getattr(opt, "label_nc", 0) else opt.aspect_ratio  # of label maps it is the shape they are given
    metrics, rows, size, count = {}, [], None, min(opt.num_test, len(dataset))
    for i, batch in enumerate(tqdm(dataset, total=count, desc="test", unit="img", dynamic_ncols=True)):
        if i >= count:
            break
        model.set_input(batch)
        model.test()
        for name, (image, target) in model.metric_pairs().items():
            metrics.setdefault(name, ImageMetrics()).update(image, target)
        visuals = model.get_current_visuals()
        size = next(iter(visuals.values())).shape[-2:]
        stem = Path(model.get_image_paths()[0]).stem
        for label, image in visuals.items():
            save_image(tensor2im(image), page.image_dir / f"{stem}_{label}.png", stretch)
        rows.append((stem, list(visuals)))
    scores = {name: metric.compute() for name, metric in metrics.items()}
    return page, rows, scores, tuple(int(side) for side in size)


def write_results(opt, page, rows, scores, report, size):
    """The page with its table and rows of images, and ``metrics.json``."""
    header, table = results_table(report, scores)
    page.add_header(f"{opt.name}: {len(rows)} images, {size[0]}x{size[1]} (height x width)")
    page.add_table(header, table)
    for stem, labels in rows:
        page.add_header(stem)
        files = [f"{stem}_{label}.png" for label in labels]
        page.add_images(files, labels, files, width=opt.display_winsize)
    page.save()
    protocol = {"images": len(rows), "height": size[0], "width": size[1], "phase": opt.phase, "epoch": opt.epoch,
                "values": "8-bit images in [0, 1]; PSNR and SSIM are means over images"}
    write_json(page.web_dir / "metrics.json", {"name": opt.name, "model": opt.model, "protocol": protocol,
                                               "metrics": scores, "networks": report})
    print("  ".join(f"{cell:>14}" for cell in header))
    for row in table:
        print("  ".join(f"{cell:>14}" for cell in row))
    print(f"page: {page.web_dir / 'index.html'}")


def results_table(report, scores):
    """Cost and quality side by side; a network's scores bear its name or, if it is the only one, any name."""
    header = ["network", "MACs (G)", "exact (G)", "params (M)", "latency (ms)", "L1", "PSNR (dB)", "SSIM"]
    table = []
    for name, row in report.items():
        score = scores.get(name) or (next(iter(scores.values()), None) if len(report) == 1 else None)
        quality = [f"{score['L1']:.4f}", f"{score['PSNR']:.2f}", f"{score['SSIM']:.4f}"] if score else ["-"] * 3
        table.append([name, f"{row['macs'] / 1e9:.3f}", f"{row['macs_exact'] / 1e9:.3f}", f"{row['params'] / 1e6:.3f}",
                      f"{row['latency_ms']:.1f}", *quality])
    return header, table


def main():
    """Test the model of the options."""
    opt = TestOptions().parse()
    opt.num_threads, opt.batch_size, opt.serial_batches, opt.no_flip = 0, 1, True, True
    seed_everything(opt.seed)
    model = create_model(opt)  # before the data: a checkpoint may say how many channels it takes
    model.setup(opt)
    if opt.input:
        return translate_files(opt, model)
    dataset = create_dataset(opt)
    if opt.eval:
        model.eval()
    tag = f"{opt.phase}_{opt.epoch}" + (f"_iter{opt.load_iter}" if opt.load_iter > 0 else "")
    page, rows, scores, size = run_dataset(opt, model, dataset, Path(opt.results_dir) / opt.name / tag)
    write_results(opt, page, rows, scores, model.report(size), size)


if __name__ == "__main__":
    run_main(main)
