"""Every student that a search proposes has a wide and a deep teacher within the budget."""
from types import SimpleNamespace

import pytest

from commands import run_here
from compression import CostModel, SearchSpace
from compression.elastic.families import full_arch
from compression.elastic.registry import FAMILIES
from compression.search.evolution import Evolution
from util.search_budgets import SearchBudgets

NETS = [name for family in FAMILIES.values() for name in family.full]


@pytest.mark.parametrize("netG", NETS)
def test_every_proposed_student_has_teachers(netG):
    full = full_arch(netG, 64)
    space, family = SearchSpace.of(full, 64), FAMILIES[full.family]
    cost_model = CostModel(family.size, family.input_nc, 3, family.norm)
    least = max(int(cost_model.macs([part(space.smallest).smallest])[0])
                for part in (space.wider_than, space.deeper_than))
    macs = 3 * least // 2
    opt = SimpleNamespace(macs=str(macs), teacher_macs=str(2 * macs), params=None)
    budgets = SearchBudgets.of(opt, space, cost_model)
    students = Evolution(space, cost_model, macs, is_feasible=budgets.have_teachers, population=8).ask()
    assert students
    for student in students:
        for part in (space.wider_than(student), space.deeper_than(student)):
            assert cost_model.cost(part.smallest)["macs"] <= 2 * macs
            assert Evolution(part, cost_model, budgets.teacher_macs, population=2).ask()


def test_budgets_without_teachers_are_refused_before_the_search(tmp_path):
    tiny = ["--netG", "resnet_6blocks", "--ngf", 8, "--ndf", 4, "--load_size", 32, "--crop_size", 32]
    toy = ["--toy_train_images", 12, "--n_epochs", 1, "--n_epochs_decay", 0, "--no_html", "--gpu_ids", -1]
    run_here("train", "--model", "ugc_supernet", "--name", "net", "--checkpoints_dir", tmp_path, *tiny, *toy)

    def search(*arguments, status=2):
        flags = ["--population", 2, "--generations", 1, "--search_images", 1]
        return run_here("search", "--name", "net", "--checkpoints_dir", tmp_path, *flags, *arguments,
                        status=status)

    _, error = search("--macs", "2M", "--teacher_macs", "1k")
    assert "--teacher_macs: the budget of 1e-06 G MACs leaves no teacher; even the smallest" in error
    _, error = search("--macs", "4M", "--teacher_macs", "4M", "--least_share", "0.99")
    assert "has teachers of at most 0.004 G (--teacher_macs)" in error
    assert not (tmp_path / "net/search").exists()
    search("--macs", "4M", "--teacher_macs", "9M", status=0)
    assert (tmp_path / "net/search/teacher_wide.json").is_file()
