"""Tables 1 to 4 of the paper, ours beside theirs, from a folder of finished and evaluated runs.

    python benchmarks/paper_tables.py --checkpoints_dir checkpoints --results_dir results --phase val

A run counts once `evaluate.py --name RUN` has scored its student. Runs that differ in their seed alone are one row: mean
and standard deviation over the seeds. Rows of the paper that were not run say so; rows of data sets that the paper has not
follow at the end. FID and mIoU are compared with the paper's only if they are FID (on Inception) and mIoU.
"""
import argparse
import json
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from compression.elastic.families import family_of  # noqa: E402
from util.entry import run_main  # noqa: E402
from util.report import run_options  # noqa: E402
from util.results import number, title  # noqa: E402

PAPER = Path(__file__).with_name("paper_rows.json")
DATASETS = ("cityscapes", "edges2shoes")
NEAR = 0.1  # a student belongs to a row of the paper if its MACs are within this share of it
ABLATION_MACS = (1.1, 1.4)  # G MACs of the student of Tables 3 and 4
TEACHERS = {"Largest Teacher": "largest", "Wide Teacher": "wide", "Deep Teacher": "deep", "Multi Teachers": "multi"}


def find_runs(checkpoints, results, tag):
    """One dictionary for every student that was evaluated."""
    runs = []
    for path in sorted(results.glob(f"*/{tag}/metrics.json")):
        found, opt = json.loads(path.read_text(encoding="utf-8")), run_options(checkpoints / path.parent.parent.name)
        if "student" not in found["networks"] or "student" not in found["metrics"] or not opt:
            continue
        root = str(opt.get("dataroot") or "toy")
        stage = "search" if opt["model"] == "ugc_supernet" else "distillation"
        runs.append({"name": path.parent.parent.name, "stage": stage,
                     "dataset": next((d for d in DATASETS if d in root.lower()), Path(root).name),
                     "family": family_of(opt["netG"]).name, "labels_percent": round(100 * opt["label_ratio"], 2),
                     "teachers": opt.get("teachers", "-"), "adf": opt.get("adf", "-"), "seed": opt["seed"],
                     "macs_g": found["networks"]["student"]["macs"] / 1e9,
                     "params_m": found["networks"]["student"]["params"] / 1e6,
                     "student": found["metrics"]["student"], "original": found["metrics"].get("original", {})})
    return runs


def mean_of(runs, metric, network="student"):
    """``mean ± deviation (n)`` of a metric over runs; a dash if none has it."""
    values = [run[network][metric] for run in runs if metric in run[network]]
    if not values:
        return "-"
    text = number(metric, statistics.mean(values))
    return f"{text} ± {number(metric, statistics.stdev(values))} ({len(values)} seeds)" if len(values) > 1 else f"{text} (1 seed)"


def like(runs, **wanted):
    """The runs with these values."""
    return [run for run in runs if all(run[key] == value for key, value in wanted.items())]


def ours(runs, metric):
    """What a cell of the paper shows beside its own figure."""
    text = mean_of(runs, metric) if runs else "not run"
    return text if text != "-" else f"run, {metric} not computed"


def students_table(paper, runs, dataset):
    """Tables 1 and 2."""
    rows = [("labels", "original", "paper MACs (G)", "paper params (M)", "paper score", "our MACs (G)", "our params (M)",
             "our score")]
    full = like(runs, stage="distillation", teachers="multi", adf="discriminator", dataset=dataset)
    for row in [r for r in paper["students"] if r["dataset"] == dataset]:
        near = [run for run in like(full, family=row["family"], labels_percent=row["labels_percent"])
                if abs(run["macs_g"] / row["macs_g"] - 1) <= NEAR]
        rows.append((f"{row['labels_percent']} %", row["family"], f"{row['macs_g']:.3f}", f"{row['params_m']:.3f}",
                     f"{row['metric']} {row['score']}" + (f" ({row['note']})" if "note" in row else ""),
                     f"{statistics.mean(run['macs_g'] for run in near):.3f}" if near else "-",
                     f"{statistics.mean(run['params_m'] for run in near):.3f}" if near else "-", ours(near, row["metric"])))
    return rows


def ablation_table(paper_rows, runs, choose):
    """Tables 3 and 4; `choose` maps a method of the paper to the settings of our runs."""
    rows = [("data set", "method", "paper 10 %", "our 10 %", "paper 25 %", "our 25 %")]
    for row in paper_rows:
        chosen = [run for run in like(runs, stage="distillation", family="unet", dataset=row["dataset"], **choose(row["method"]))
                  if ABLATION_MACS[0] <= run["macs_g"] <= ABLATION_MACS[1]]
        cells = [cell for percent in (10, 25) for cell in
                 (str(row["scores"][str(percent)]), ours(like(chosen, labels_percent=percent), row["metric"]))]
        rows.append((f"{row['dataset']} ({row['metric']})", row["method"], *cells))
    return rows


def own_table(runs):
    """Runs on data sets that the paper has not."""
    runs = [run for run in runs if run["dataset"] not in DATASETS]
    metrics = list(dict.fromkeys(metric for run in runs for metric in run["student"]))
    rows = [("data set", "original", "labels", "stage", "teachers", "ADF", "MACs (G)", "params (M)", *map(title, metrics))]
    groups, originals = {}, {}
    for run in runs:
        key = tuple(run[k] for k in ("dataset", "family", "labels_percent", "stage", "teachers", "adf")) + (round(run["macs_g"], 2),)
        groups.setdefault(key, []).append(run)
        originals.setdefault((run["dataset"], run["family"]), []).append(run)
    for (dataset, family), found in originals.items():
        rows.append((dataset, family, "", "original", "", "", "", "", *(mean_of(found[:1], m, "original") for m in metrics)))
    for key, found in sorted(groups.items(), key=lambda item: [str(part) for part in item[0]]):
        dataset, family, labels, stage, teachers, adf, macs = key
        rows.append((dataset, family, f"{labels:g} %", stage, teachers, adf, f"{macs:.2f}",
                     f"{statistics.mean(run['params_m'] for run in found):.3f}", *(mean_of(found, m) for m in metrics)))
    return rows


def markdown(rows):
    """Rows of cells as a Markdown table."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def main():
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoints_dir", type=Path, default=Path("checkpoints"))
    parser.add_argument("--results_dir", type=Path, default=Path("results"))
    parser.add_argument("--phase", default="val", help="split that was scored")
    parser.add_argument("--epoch", default="latest", help="checkpoint that was scored")
    parser.add_argument("--json", action="store_true", help="print JSON instead of Markdown")
    args = parser.parse_args()
    if not args.results_dir.is_dir():
        raise ValueError(f"--results_dir {args.results_dir}: no such folder")
    paper = json.loads(PAPER.read_text(encoding="utf-8"))
    runs = find_runs(args.checkpoints_dir, args.results_dir, f"{args.phase}_{args.epoch}")
    tables = {
        "Table 1: Cityscapes (mIoU, higher is better)": students_table(paper, runs, "cityscapes"),
        "Table 2: edges2shoes (FID, lower is better)": students_table(paper, runs, "edges2shoes"),
        "Table 3: the Adaptive Data Filter (U-Net student)": ablation_table(
            paper["adf"], runs, lambda m: {"teachers": "multi", "adf": "off" if "w/o" in m else "discriminator"}),
        "Table 4: teachers (U-Net student)": ablation_table(
            paper["teachers"], runs, lambda m: {"teachers": TEACHERS[m], "adf": "discriminator"}),
        "Other data sets": own_table(runs)}
    if args.json:
        print(json.dumps({name: [dict(zip(rows[0], row)) for row in rows[1:]] for name, rows in tables.items()}, indent=1,
                         ensure_ascii=False))
        return
    for name, rows in tables.items():
        print(f"## {name}\n\n{markdown(rows)}\n" if len(rows) > 1 else f"## {name}\n\nnone was run\n")


if __name__ == "__main__":
    run_main(main)
