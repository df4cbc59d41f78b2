"""The search space: inside it, under budget, deterministic; evolution keeps to both."""
import json

import numpy as np
import pytest

from compression import Arch, CostModel, SearchSpace
from compression.elastic.families import full_arch
from compression.elastic.registry import FAMILIES
from compression.search.evolution import Evolution, pareto_front
from compression.search.space import scale_widths
from paths import SHARED

NETS = [name for family in FAMILIES.values() for name in family.full]


def setting(netG, ngf=64):
    full = full_arch(netG, ngf)
    family = FAMILIES[full.family]
    return SearchSpace.of(full, ngf), CostModel(family.size, family.input_nc, 3, family.norm)


@pytest.mark.parametrize("netG", NETS)
def test_budgeted_samples_are_inside_the_space_and_the_window(netG):
    space, cost_model = setting(netG)
    least = int(cost_model.macs([space.smallest])[0])
    low, high = 2 * least, 3 * least
    found = space.sample(np.random.default_rng(0), 100, cost_model, high, low)
    assert len(found) == 100
    assert all(space.contains(a) for a in found)
    assert all(low <= cost_model.cost(a)["macs"] <= high for a in found)
    assert len(set(found)) > 50
    assert found == space.sample(np.random.default_rng(0), 100, cost_model, high, low)


@pytest.mark.parametrize("netG", NETS)
def test_offspring_stay_inside_the_space(netG):
    space, _ = setting(netG)
    rng = np.random.default_rng(1)
    parents = space.sample(rng, 30)
    for a, b in zip(parents, parents[1:]):
        assert space.contains(space.mutate(a, rng, 0.5))
        assert space.contains(space.crossover(a, b, rng))
    assert space.mutate(parents[0], rng, 0.0) == parents[0]


@pytest.mark.parametrize("netG", NETS)
def test_teacher_spaces_are_wider_or_of_full_depth(netG):
    space, cost_model = setting(netG)
    rng = np.random.default_rng(2)
    student, = space.sample(rng, 1, cost_model, 4 * int(cost_model.macs([space.smallest])[0]))
    for wide in space.wider_than(student).sample(rng, 20):
        assert wide.skeleton == student.skeleton
        assert all(w > s or w == s == f or w == s == 0 for w, s, f in zip(
            wide.with_widths(wide.widths).widths, student.widths, _full_widths(space.full, student)))
    for deep in space.full_depth().sample(rng, 20):
        assert deep.skeleton == space.full.skeleton


def _full_widths(full, arch):
    fields = {k: (v[:len(getattr(arch, k))] if isinstance(v, tuple) else v) for k, v in full.fields.items()}
    return Arch(full.family, **fields).widths if full.family != "resnet" else \
        full.stem + (full.trunk,) + full.inner[:len(arch.inner)] + full.decoder


def test_the_published_space_at_full_width():
    space = SearchSpace.of(full_arch("resnet_9blocks", 64), 64)
    assert space.choices["stem"] == ((8, 16, 24, 32, 48, 64), (16, 24, 32, 48, 64, 96, 128))
    assert space.choices["trunk"] == ((16, 24, 32, 48, 64, 96, 128, 192, 256),)
    assert space.lengths["inner"] == (3, 9)
    assert SearchSpace.of(full_arch("unet_256", 64), 64).lengths["encoder"] == (5, 8)


def test_width_lists_scale_with_ngf():
    assert scale_widths((8, 16, 24, 32, 48, 64), 32, 64, 32) == (4, 8, 12, 16, 24, 32)
    assert scale_widths((8, 16, 24, 32, 48, 64), 5, 64, 5) == (4, 5)


def test_a_budget_below_the_smallest_network_names_its_cost():
    space, cost_model = setting("resnet_9blocks")
    least = cost_model.cost(space.smallest)["macs"]
    with pytest.raises(ValueError, match=str(least)):
        space.sample(np.random.default_rng(0), 1, cost_model, least - 1)
    with pytest.raises(ValueError, match=str(least)):
        Evolution(space, cost_model, least - 1)


def test_evolution_improves_repeats_and_resumes():
    space, cost_model = setting("resnet_9blocks")
    budget = 1_400_000_000

    def score(arch):  # a known optimum inside the budget
        return abs(arch.trunk - 32) + abs(len(arch.inner) - 5) + sum(abs(m - 24)
                                                                     for m in arch.inner) / len(arch.inner)

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

    whole, half = evolve(8), evolve(4)
    assert evolve(4, half.state_dict()).scores == whole.scores
    assert whole.best[1] < half.best[1] or half.best[1] < 3
    assert all(cost_model.cost(a)["macs"] <= budget and space.contains(a) for a in whole.scores)
    front = pareto_front(whole.scores, cost_model)
    assert all(not (whole.scores[a] <= s and cost_model.cost(a)["macs"] < m) for a in whole.scores for _, m,
               s in front)


def test_evolution_stays_under_a_parameter_budget():
    space, cost_model = setting("resnet_9blocks")
    evolution = Evolution(space, cost_model, 3_000_000_000, max_params=120_000, population=16)
    assert all(cost_model.cost(a)["params"] <= 120_000 for a in evolution.ask())


def test_published_architectures_are_in_the_space():
    path = SHARED / "paper" / "row_architectures.json"
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    for row in json.loads(path.read_text()):
        if row["arch"]["family"] in FAMILIES:
            arch = Arch.from_json(row["arch"])
            name = next(iter(FAMILIES[arch.family].full))
            assert SearchSpace.of(full_arch(name, 64), 64).contains(arch)
