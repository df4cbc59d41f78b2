"""Samples of the search space are inside it, under budget and deterministic; so is evolution."""
import json

import numpy as np
import pytest

from compression import Arch, CostModel, SearchSpace
from compression.elastic.families import full_arch
from compression.elastic.registry import FAMILIES
from compression.search.evolution import Evolution, pareto_front
from compression.search.sampling import budget_window
from compression.search.space import scale_widths, tilted_index
from paths import SHARED

NETS = [name for family in FAMILIES.values() for name in family.full]


def setting(netG, ngf=64):
    full = full_arch(netG, ngf)
    family = FAMILIES[full.family]
    return SearchSpace.of(full, ngf), CostModel(family.size, family.input_nc, 3, family.norm)


@pytest.mark.parametrize("netG", NETS)
def test_budgeted_samples_are_inside_the_space_and_the_window(netG):
    space, cost_model = setting(netG)
    smallest = int(cost_model.macs([space.smallest])[0])
    low, high = 2 * smallest, 3 * smallest
    sampled = space.sample(np.random.default_rng(0), 100, cost_model, high, low)
    assert len(sampled) == 100
    assert all(space.contains(a) for a in sampled)
    assert all(low <= cost_model.cost(a)["macs"] <= high for a in sampled)
    assert len(set(sampled)) > 50
    assert sampled == space.sample(np.random.default_rng(0), 100, cost_model, high, low)


@pytest.mark.parametrize("netG", NETS)
def test_offspring_stay_inside_the_space(netG):
    space, _ = setting(netG)
    rng = np.random.default_rng(1)
    parents = space.sample(rng, 30)
    for a, b in zip(parents[:-1], parents[1:], strict=True):
        assert space.contains(space.mutate(a, rng, 0.5))
        assert space.contains(space.crossover(a, b, rng))
    assert space.mutate(parents[0], rng, 0.0) == parents[0]


@pytest.mark.parametrize("netG", NETS)
def test_wide_teachers_have_the_students_depth_and_larger_widths(netG):
    space, cost_model = setting(netG)
    rng = np.random.default_rng(2)
    student, = space.sample(rng, 1, cost_model, 4 * int(cost_model.macs([space.smallest])[0]))
    for wide in space.wider_than(student).sample(rng, 20):
        assert wide.skeleton == student.skeleton
        full_widths = widths_at_depth_of(student, space.full)
        for w, s, full in zip(wide.widths, student.widths, full_widths, strict=True):
            assert w > s or w == s == full or w == s == 0


@pytest.mark.parametrize("netG", NETS)
def test_deep_teachers_have_full_depth_and_widths_near_the_students(netG):
    space, cost_model = setting(netG)
    rng = np.random.default_rng(2)
    students = space.sample(rng, 5, cost_model, 4 * int(cost_model.macs([space.smallest])[0]))
    for student in students:
        part = space.deeper_than(student)
        for deep in part.sample(rng, 20):
            assert deep.skeleton == space.full.skeleton
            assert space.contains(deep)
            for name, candidates in space.choices.items():
                ours, theirs = (as_tuple(getattr(arch, name)) for arch in (deep, student))
                theirs = [width for width in theirs if width]
                for i, (width, position) in enumerate(zip(ours, candidates, strict=True)):
                    position = [w for w in position if w]
                    width_there = theirs[min(i, len(theirs) - 1)]
                    between = [w for w in position if min(width, width_there) < w < max(width, width_there)]
                    assert not between, (name, i, width, width_there)
        assert part.sample(rng, 1)[0] != student or student.skeleton == space.full.skeleton


def test_the_deep_teacher_of_a_narrow_resnet_by_hand():
    space = SearchSpace.of(full_arch("resnet_9blocks", 64), 64)
    student = Arch("resnet", stem=(8, 24), trunk=32, inner=(16, 48, 256), decoder=(16, 64))
    part = space.deeper_than(student)
    assert part.choices == {"stem": ((8, 16), (16, 24, 32)), "trunk": ((24, 32, 48),),
                            "inner": ((16, 24), (32, 48, 64), *[(192, 256)] * 7),
                            "decoder": ((16, 24), (48, 64))}
    assert part.lengths["inner"] == (9, 9)


def as_tuple(value):
    return value if isinstance(value, tuple) else (value,)


def widths_at_depth_of(arch, full):
    """The widths of the full architecture, cut to the depth of `arch`."""
    if full.family == "resnet":
        return full.stem + (full.trunk,) + full.inner[:len(arch.inner)] + full.decoder
    fields = {}
    for name, value in full.fields.items():
        fields[name] = value[:len(getattr(arch, name))] if isinstance(value, tuple) else value
    return Arch(full.family, **fields).widths


def test_the_published_space_at_full_width():
    space = SearchSpace.of(full_arch("resnet_9blocks", 64), 64)
    assert space.choices["stem"] == ((8, 16, 24, 32, 48, 64), (16, 24, 32, 48, 64, 96, 128))
    assert space.choices["trunk"] == ((16, 24, 32, 48, 64, 96, 128, 192, 256),)
    assert space.lengths["inner"] == (3, 9)
    assert SearchSpace.of(full_arch("unet_256", 64), 64).lengths["encoder"] == (5, 8)


def test_width_lists_scale_with_ngf():
    assert scale_widths((8, 16, 24, 32, 48, 64), 32, 64, 32) == (4, 8, 12, 16, 24, 32)
    assert scale_widths((8, 16, 24, 32, 48, 64), 5, 64, 5) == (4, 5)


@pytest.mark.parametrize("tilt", [-8.0, 0.0, 1e-7, 3.0, 12.0])
def test_widths_have_the_probabilities_of_the_tilt(tilt):
    n, numbers = 5, (np.arange(100_000) + 0.5) / 100_000
    counts = np.bincount([tilted_index(u, n, tilt) for u in numbers], minlength=n)
    weights = np.exp(-tilt * np.arange(n) / n)
    assert counts / len(numbers) == pytest.approx(weights / weights.sum(), abs=2e-5)


def test_a_budget_below_the_smallest_network_names_its_cost():
    space, cost_model = setting("resnet_9blocks")
    smallest = cost_model.cost(space.smallest)["macs"]
    with pytest.raises(ValueError, match=str(smallest)):
        space.sample(np.random.default_rng(0), 1, cost_model, smallest - 1)
    with pytest.raises(ValueError, match=str(smallest)):
        Evolution(space, cost_model, smallest - 1)


def test_evolution_improves_repeats_and_resumes():
    space, cost_model = setting("resnet_9blocks")
    budget = 1_400_000_000

    def score(arch):  # a known optimum inside the budget
        inner = sum(abs(width - 24) for width in arch.inner) / len(arch.inner)
        return abs(arch.trunk - 32) + abs(len(arch.inner) - 5) + inner

    def evolve(generations, state=None):
        evolution = Evolution(space, cost_model, budget, population=16, seed=3)
        if state:
            evolution.load_state_dict(json.loads(json.dumps(state)))
        for _ in range(generations):
            candidates = evolution.ask()
            assert candidates == evolution.ask()
            assert len(set(candidates)) == 16
            assert not set(candidates) & set(evolution.scores)
            evolution.tell({a: score(a) for a in candidates})
        return evolution

    complete, half = evolve(8), evolve(4)
    assert evolve(4, half.state_dict()).scores == complete.scores
    assert complete.best[1] <= half.best[1] < evolve(1).best[1]
    assert all(cost_model.cost(a)["macs"] <= budget and space.contains(a) for a in complete.scores)
    front = pareto_front(complete.scores, cost_model.macs)
    for _, macs, best in front:  # no network is cheaper and at least as good
        assert not any(score <= best and cost_model.cost(arch)["macs"] < macs
                       for arch, score in complete.scores.items())


def test_evolution_stays_under_a_parameter_budget():
    space, cost_model = setting("resnet_9blocks")
    evolution = Evolution(space, cost_model, 3_000_000_000, max_params=120_000, population=16)
    assert all(cost_model.cost(a)["params"] <= 120_000 for a in evolution.ask())


def test_published_architectures_are_in_the_space():
    path = SHARED / "paper" / "row_architectures.json"
    if not path.is_file():
        pytest.skip(f"{path} does not exist")
    for row in json.loads(path.read_text()):
        if row["arch"]["family"] in FAMILIES:
            arch = Arch.from_json(row["arch"])
            name = next(iter(FAMILIES[arch.family].full))
            assert SearchSpace.of(full_arch(name, 64), 64).contains(arch)


def test_excluded_architectures_are_never_proposed():
    space, cost_model = setting("resnet_9blocks")
    budget = 4 * int(cost_model.macs([space.smallest])[0])
    first = Evolution(space, cost_model, budget, population=8).ask()
    second = Evolution(space, cost_model, budget, population=8, excluded=first).ask()
    assert len(second) == 8
    assert not set(first) & set(second)


@pytest.mark.parametrize("netG", NETS)
def test_half_of_the_random_networks_of_a_step_are_in_the_windows(netG):
    space, cost_model = setting(netG)
    smallest, largest = (int(macs) for macs in cost_model.macs([space.smallest, space.largest]))
    budgets = {"--macs": 3 * smallest, "--teacher_macs": 8 * smallest}
    windows = [budget_window(space, cost_model, macs, flag, np.random.default_rng(7))
               for flag, macs in budgets.items()]
    rng = np.random.default_rng(0)
    drawn = [arch for _ in range(60) for arch in space.sandwich(rng, 5, windows)[1:]]
    macs = cost_model.macs(drawn)
    shares = [((macs >= 0.8 * budget) & (macs <= budget)).mean() for budget in budgets.values()]
    rng = np.random.default_rng(0)
    without = cost_model.macs([arch for _ in range(60) for arch in space.sandwich(rng, 5)[1:]])
    natural = [((without >= 0.8 * budget) & (without <= budget)).mean() for budget in budgets.values()]
    expected = [0.25 + 0.5 * share for share in natural]  # a quarter each, and those of the other half
    assert shares == pytest.approx(expected, abs=0.08)  # three standard deviations of 300 draws
    assert all(space.contains(arch) for arch in drawn)
    rng = np.random.default_rng(0)
    assert drawn[:5] == space.sandwich(rng, 5, windows)[1:]


def test_a_budget_out_of_reach_names_the_budgets_that_are_reachable():
    space, cost_model = setting("resnet_9blocks")
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"--macs is 0.100 G MACs; budgets from 0.352 G \(the smallest "
                                         r"network\) to 56.799 G \(the largest\) are reachable for images "
                                         "of 256x256"):
        budget_window(space, cost_model, 10 ** 8, "--macs", rng)
    window = budget_window(space, cost_model, 10 ** 12, "--teacher_macs", rng)
    assert window.high == int(cost_model.macs([space.largest])[0])
