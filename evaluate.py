"""Score generated images by L1, PSNR, SSIM, LPIPS, FID, KID and mIoU, and write the report page.

    python evaluate.py --name exp_s --phase val                         # run a model, then score its images
    python evaluate.py --results results/exp_s/val_latest               # score existing images
    python evaluate.py --results photos_generated --reference photos_real

Writes metrics.json next to the images, with the protocol and the reason for every metric that could not be
computed, and report.html in the run's folder of results.
"""
from argparse import Namespace
from functools import partial
from pathlib import Path
from typing import Any

import util.before_torch
from compression.checkpoints.files import write_json
from compression.metrics import MetricNetworks
from compression.runtime.text import name_some, printable
from data import create_dataset
from data.check import check_images
from models import create_model
from models.builders import build_metric_networks, canonical_metrics
from options.evaluate_options import EvaluateOptions
from util.entry import run_main, seed_everything
from util.evaluation import Evaluation, merge_scores
from util.loggers import log_results
from util.reference_images import find_reference
from util.report import other_runs, paper_points, run_options, write_report
from util.results import by_reason, check_results_folder, make_results, read_metrics, read_results
from util.run_folder import results_folder
from util.tables import print_table, results_table


def check_files(opt: Namespace) -> None:
    """Decode all images of ``--results`` and ``--reference``, or of the data set, and print a summary."""
    if not opt.results:
        create_dataset(opt)  # ends the program
    results = read_results(opt.results)
    files = set()
    for images in (*results.generated.values(), results.real, results.inputs):
        files.update(images.values())
    report = check_images(sorted(files), full=True)
    if opt.reference:
        reference = find_reference(opt)
        report += check_images(sorted(reference.files.values()), turn=reference.side is None, full=True)
    folders = name_some(filter(None, (opt.results, opt.reference)), separator=" and ")
    print(f"checked {folders}: all usable\n{report}")


def score(opt: Namespace, networks: MetricNetworks, folder: Path, record: dict[str, Any]) -> None:
    """Score the images in a folder of results, and add the metrics to `record` and ``metrics.json``."""
    evaluation = Evaluation(opt, networks, read_results(folder))
    merge_scores(record, evaluation.run(), evaluation.counts())
    record["protocol"] = {**record["protocol"], **evaluation.protocol()}
    record["not_computed"] = evaluation.not_computed
    write_json(folder / "metrics.json", record)


def check_report(opt: Namespace) -> None:
    """Check what the report needs besides the scores, before they are computed.

    Raises:
        ValueError: if a run of ``--runs`` has not been evaluated, or ``--baseline`` is not in the paper.
    """
    folder = Path(opt.results) if opt.results else results_folder(opt)
    name = read_metrics(folder)["name"] if opt.results else opt.name
    paper_points(opt.baseline)
    if opt.runs:
        other_runs(opt, run_options(Path(opt.checkpoints_dir) / name).get("supernet"), folder.name)


def main() -> None:
    """Score a run or a folder of images."""
    opt = EvaluateOptions().parse()
    util.before_torch.use_threads(opt.threads)
    opt.num_threads, opt.batch_size, opt.serial_batches, opt.no_flip = 0, 1, True, True
    seed_everything(opt.seed)
    if opt.check_data:
        check_files(opt)
        return
    check_results_folder(Path(opt.results_dir) / "features")
    check_report(opt)
    networks = build_metric_networks(opt, opt.device)
    if opt.metrics:
        canonical_metrics(opt.metrics)
    if opt.results:
        folder = Path(opt.results)
        record = read_metrics(folder)
        score(opt, networks, folder, record)
    else:
        model = create_model(opt)
        model.setup(opt)
        folder, record = make_results(opt, model, partial(score, opt, networks))
    print_table(*results_table(record["networks"], record["metrics"], record["images"]))
    log_results(opt, folder, record["metrics"])
    for reason in by_reason(record["not_computed"]):
        print(f"not computed: {printable(reason)}")
    print(f"report: {printable(write_report(opt, folder, record))}")


if __name__ == "__main__":
    run_main(main)
