"""Print Tables 1 to 4 of the paper next to the scores of a folder of finished and evaluated runs.

    python benchmarks/paper_tables.py --checkpoints_dir checkpoints --results_dir results --phase val

A run is included after `evaluate.py --name RUN` has scored its student. Runs that differ only in their seed
form one row, with the mean and the standard deviation over the seeds. Rows of the paper without a run are
marked; runs on data sets that the paper does not have follow in a separate table. Of runs with a filter,
Tables 1 to 4 take those with the rule --adf. The distances FD and KD,
which are not computed on Inception's features, are never compared with the paper's FID.
"""
import argparse
import json
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from compression.checkpoints import check_one_run
from compression.checkpoints.records import Limits, read_record
from compression.elastic.families import family_of, generator_names
from compression.runtime.text import printable
from util.entry import run_main
from util.report import run_options
from util.results import read_metrics
from util.tables import number, title

PAPER = Path(__file__).with_name("paper_rows.json")
DATASETS = ("cityscapes", "edges2shoes")
MACS_TOLERANCE = 0.1  # relative difference of MACs up to which a student belongs to a row of the paper
ABLATION_MACS = (1.1, 1.4)  # range of the G MACs of the students in Tables 3 and 4
TEACHERS = {"Largest Teacher": "largest", "Wide Teacher": "wide", "Deep Teacher": "deep",
            "Multi Teachers": "multi"}


@dataclass
class RunOptions:
    """The entries of ``train_opt.json`` that assign a run to a row."""

    model: str
    netG: str
    label_ratio: Annotated[float, Limits(0, 1)]
    seed: int
    dataroot: str | None = None
    teachers: str = "-"
    adf: str = "-"


def find_runs(checkpoints, results, tag):
    """List the runs whose student was evaluated, each as a dictionary of its settings, costs and scores."""
    runs = []
    for path in sorted(results.glob(f"*/{tag}/metrics.json")):
        name = path.parent.parent.name
        check_one_run([path, checkpoints / name / "train_opt.json"])
        record = read_metrics(path.parent)
        costs, metrics = record["networks"], record["metrics"]
        settings = run_options(checkpoints / name)
        if "student" not in costs or "student" not in metrics or not settings:
            continue
        options_file = checkpoints / name / "train_opt.json"
        opt = read_record(RunOptions, settings, options_file)
        if opt.netG not in generator_names():
            raise ValueError(f"{options_file}: 'netG' must be one of {', '.join(generator_names())}, got "
                             f"{printable(repr(opt.netG), 60)}")
        root = opt.dataroot or "toy"
        runs.append({"name": name, "stage": "search" if opt.model == "ugc_supernet" else "distillation",
                     "dataset": next((d for d in DATASETS if d in root.lower()), Path(root).name),
                     "family": family_of(opt.netG).name,
                     "labels_percent": round(100 * opt.label_ratio, 2),
                     "teachers": opt.teachers, "adf": opt.adf, "seed": opt.seed,
                     "filtered": opt.adf not in ("-", "off"),
                     "macs_g": costs["student"]["macs"] / 1e9, "params_m": costs["student"]["params"] / 1e6,
                     "student": metrics["student"], "original": metrics.get("original", {})})
    return runs


def mean_of(runs, metric, network="student"):
    """Format a metric over runs as ``mean ± standard deviation (n seeds)``; a dash if no run has it."""
    values = [run[network][metric] for run in runs if metric in run[network]]
    if not values:
        return "-"
    mean = number(metric, statistics.mean(values))
    if len(values) == 1:
        return f"{mean} (1 seed)"
    return f"{mean} ± {number(metric, statistics.stdev(values))} ({len(values)} seeds)"


def select(runs, **settings):
    """List the runs that have these settings."""
    return [run for run in runs if all(run[key] == value for key, value in settings.items())]


def our_score(runs, metric):
    """Format our score for a row of the paper, or why there is none."""
    if not runs:
        return "not run"
    text = mean_of(runs, metric)
    return text if text != "-" else f"run, {metric} not computed"


def mean_cost(runs, key):
    """Format the mean MACs or parameters of runs; a dash if there are none."""
    return f"{statistics.mean(run[key] for run in runs):.3f}" if runs else "-"


def students_table(paper, runs, dataset):
    """Build Table 1 or 2: the students of one data set."""
    rows = [("labels", "original", "paper MACs (G)", "paper params (M)", "paper score", "our MACs (G)",
             "our params (M)", "our score")]
    candidates = select(runs, stage="distillation", teachers="multi", filtered=True, dataset=dataset)
    for row in paper["students"]:
        if row["dataset"] != dataset:
            continue
        ours = [run for run in select(candidates, family=row["family"], labels_percent=row["labels_percent"])
                if abs(run["macs_g"] / row["macs_g"] - 1) <= MACS_TOLERANCE]
        note = f" ({row['note']})" if "note" in row else ""
        rows.append((f"{row['labels_percent']} %", row["family"], f"{row['macs_g']:.3f}",
                     f"{row['params_m']:.3f}", f"{row['metric']} {row['score']}{note}",
                     mean_cost(ours, "macs_g"), mean_cost(ours, "params_m"), our_score(ours, row["metric"])))
    return rows


def ablation_table(paper_rows, runs, choose):
    """Build Table 3 or 4; `choose` maps a method of the paper to the settings of our runs."""
    rows = [("data set", "method", "paper 10 %", "our 10 %", "paper 25 %", "our 25 %")]
    for row in paper_rows:
        candidates = select(runs, stage="distillation", family="unet", dataset=row["dataset"],
                            **choose(row["method"]))
        ours = [run for run in candidates if ABLATION_MACS[0] <= run["macs_g"] <= ABLATION_MACS[1]]
        cells = []
        for percent in (10, 25):
            cells.append(str(row["scores"][str(percent)]))
            cells.append(our_score(select(ours, labels_percent=percent), row["metric"]))
        rows.append((f"{row['dataset']} ({row['metric']})", row["method"], *cells))
    return rows


def own_table(runs):
    """Build the table of runs on data sets that the paper does not have."""
    runs = [run for run in runs if run["dataset"] not in DATASETS]
    metrics = list(dict.fromkeys(metric for run in runs for metric in run["student"]))
    rows = [("data set", "original", "labels", "stage", "teachers", "ADF", "MACs (G)", "params (M)",
             *map(title, metrics))]
    groups, originals = {}, {}
    for run in runs:
        settings = [run[key] for key in ("dataset", "family", "labels_percent", "stage", "teachers", "adf")]
        groups.setdefault((*settings, round(run["macs_g"], 2)), []).append(run)
        originals.setdefault((run["dataset"], run["family"]), run)
    for (dataset, family), run in originals.items():
        scores = [mean_of([run], metric, "original") for metric in metrics]
        rows.append((dataset, family, "", "original", "", "", "", "", *scores))
    for key, members in sorted(groups.items(), key=lambda item: [str(part) for part in item[0]]):
        dataset, family, labels, stage, teachers, adf, macs = key
        scores = [mean_of(members, metric) for metric in metrics]
        rows.append((dataset, family, f"{labels:g} %", stage, teachers, adf, f"{macs:.2f}",
                     mean_cost(members, "params_m"), *scores))
    return rows


def markdown(rows):
    """Format rows of cells as a Markdown table."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def adf_settings(method):
    """Return the settings of our runs for a method of Table 3."""
    return {"teachers": "multi", "filtered": "w/o" not in method}


def teacher_settings(method):
    """Return the settings of our runs for a method of Table 4."""
    return {"teachers": TEACHERS[method], "filtered": True}


def main():
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoints_dir", type=Path, default=Path("checkpoints"))
    parser.add_argument("--results_dir", type=Path, default=Path("results"))
    parser.add_argument("--phase", default="val", help="split that was scored")
    parser.add_argument("--epoch", default="latest", help="checkpoint that was scored")
    parser.add_argument("--adf", default="consistency", help="rule of the filter in Tables 1 to 4")
    parser.add_argument("--json", action="store_true", help="print JSON instead of Markdown")
    args = parser.parse_args()
    if not args.results_dir.is_dir():
        raise ValueError(f"--results_dir {args.results_dir}: no such folder")
    paper = json.loads(PAPER.read_text(encoding="utf-8"))
    runs = find_runs(args.checkpoints_dir, args.results_dir, f"{args.phase}_{args.epoch}")
    chosen = [run for run in runs if run["adf"] == args.adf or not run["filtered"]]
    tables = {
        "Table 1: Cityscapes (mIoU, higher is better)": students_table(paper, chosen, "cityscapes"),
        "Table 2: edges2shoes (FID, lower is better)": students_table(paper, chosen, "edges2shoes"),
        "Table 3: the Adaptive Data Filter (U-Net student)": ablation_table(paper["adf"], chosen,
                                                                            adf_settings),
        "Table 4: teachers (U-Net student)": ablation_table(paper["teachers"], chosen, teacher_settings),
        "Other data sets": own_table(runs)}
    if args.json:
        content = {name: [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]
                   for name, rows in tables.items()}
        print(json.dumps(content, indent=1, ensure_ascii=False))
        return
    for name, rows in tables.items():
        print(f"## {name}\n\n{markdown(rows)}\n" if len(rows) > 1 else f"## {name}\n\nnone was run\n")


if __name__ == "__main__":
    run_main(main)
