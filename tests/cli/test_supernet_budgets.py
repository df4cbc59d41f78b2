"""Stage 1 for the budgets of the search: ``--macs`` and ``--teacher_macs``."""
import json
import re

import pytest

from commands import run_here, train_here
from compression import CostModel, SearchSpace
from compression.elastic.families import full_arch
from tiny_runs import assert_same_weights

FLAGS = ["--model", "ugc_supernet", "--netG", "resnet_6blocks", "--ngf", "8", "--ndf", "4", "--load_size",
         "40", "--crop_size", "32", "--toy_train_images", "10", "--toy_test_images", "2", "--num_threads",
         "0", "--batch_size", "5", "--n_epochs_decay", "0", "--no_html", "--n_random_nets", "3"]
SPACE = SearchSpace.of(full_arch("resnet_6blocks", 8), 8)
COSTS = CostModel((32, 32))  # whole images have the size of the crops with --preprocess resize_and_crop
SMALLEST, LARGEST = (int(macs) for macs in COSTS.macs([SPACE.smallest, SPACE.largest]))
STUDENT, TEACHERS = LARGEST // 4, LARGEST // 2


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder with a supernet of two epochs, one of two times one epoch, and what the first has printed."""
    folder = tmp_path_factory.mktemp("budgets")
    at = ["--checkpoints_dir", folder]
    budgets = ["--macs", str(STUDENT), "--teacher_macs", str(TEACHERS)]
    out, _ = train_here(*FLAGS, *at, *budgets, "--name", "whole", "--n_epochs", "2")
    train_here(*FLAGS, *at, *budgets, "--name", "parts", "--n_epochs", "1")
    train_here(*at, "--name", "parts", "--n_epochs", "2", "--continue_train")
    return folder, out


def test_the_windows_are_printed_and_resuming_is_exact(runs):
    folder, out = runs
    giga = [f"{macs / 1e9:.3g}" for macs in (0.8 * STUDENT, STUDENT, 0.8 * TEACHERS, TEACHERS)]
    line, = (line for line in out.splitlines() if line.startswith("half of the random"))
    assert [float(word) for word in line.split() if word[0].isdigit() and "x" not in word] == pytest.approx(
        list(map(float, giga)), rel=0.01)
    assert "32x32" in line
    assert_same_weights(folder / "whole", folder / "parts")


def test_the_search_takes_the_budgets_of_the_supernet(runs):
    folder, _ = runs
    run_here("search", "--checkpoints_dir", folder, "--name", "whole", "--population", "2", "--generations",
             "1", "--search_images", "1")
    budgets = [json.loads((folder / f"whole/search/{name}.json").read_text())["budget_macs"]
               for name in ("student", "teacher_wide", "teacher_deep")]
    assert budgets == [STUDENT, TEACHERS, TEACHERS]


@pytest.mark.parametrize(("budget", "message"), [
    (["--macs", "10"], "--macs is .* G MACs; budgets from .* are reachable for images of 32x32"),
    (["--macs", "1.3X"], "--macs must be a budget"),
    (["--teacher_macs", str(SMALLEST)], "--teacher_macs: the budget of .* leaves no teacher")])
def test_a_budget_out_of_reach_is_an_error_before_training(tmp_path, budget, message):
    _, err = train_here(*FLAGS, "--checkpoints_dir", tmp_path, "--name", "net", "--n_epochs", "1", *budget,
                        status=2)
    assert err.count("\n") == 1
    assert re.search(message, err), err
    assert not list(tmp_path.glob("*/*.pth"))
