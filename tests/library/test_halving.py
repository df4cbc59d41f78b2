"""Successive halving: candidates are scored on a few images, and the best ones on all of them."""
import json
from argparse import Namespace
from contextlib import nullcontext

import numpy as np
import pytest
import torch

from compression import Arch, CostModel, SearchSpace, build_generator
from compression.elastic.extraction import extract
from compression.search.evolution import Evolution
from compression.search.halving import Halving, best_subset, default_images
from compression.search.scoring import Scorer
from util.finalists import Finalists

SIDE = {"resnet_6blocks": 16, "unet_128": 128, "pix2pixhd": 32}


def archs(count):
    space = SearchSpace.of(build_generator("resnet_6blocks", ngf=8).full)
    return space.sample(np.random.default_rng(0), count)


@pytest.mark.parametrize("netG", SIDE)
@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_a_subset_scores_with_the_images_of_the_largest_network_and_the_statistics_of_its_batch(netG, norm):
    torch.manual_seed(0)
    net = build_generator(netG, ngf=4, norm=norm).eval()
    images = torch.rand(6, 3, SIDE[netG], SIDE[netG]) * 2 - 1
    calibration = [images] if norm == "batch" else []
    scorer = Scorer(net, [], calibration, "agreement", nullcontext, inputs=list(images.split(4)))
    subset = scorer.subset(3, seed=0)
    few = torch.cat(subset.inputs)
    assert len(few) == 3
    rows = [next(i for i in range(6) if images[i].equal(image)) for image in few]
    assert [row // 2 for row in rows] == [0, 1, 2]  # one of each third
    arch = SearchSpace.of(net.full).smallest
    with torch.no_grad():
        plain = extract(net, arch).train(norm == "batch")(few)
    expected = (plain - torch.cat(scorer.largest)[rows]).abs().mean()
    assert subset(arch) == pytest.approx(float(expected), rel=1e-5)


def test_metrics_are_scored_on_the_targets_of_the_subset():
    net = build_generator("resnet_6blocks", ngf=4).eval()
    x, y = torch.rand(2, 8, 3, 16, 16) * 2 - 1
    scorer = Scorer(net, [(x[:5], y[:5]), (x[5:], y[5:])], [], "L1", nullcontext)
    subset = scorer.subset(4, seed=1)
    (inputs, targets), = subset.pairs
    rows = [next(i for i in range(8) if x[i].equal(image)) for image in inputs]
    assert torch.equal(targets, y[rows])
    assert np.isfinite(subset(net.full))


def test_images_of_different_sizes_have_no_batch_for_batch_norms():
    net = build_generator("resnet_6blocks", ngf=4, norm="batch").eval()
    inputs = [torch.rand(1, 3, 16, 16), torch.rand(1, 3, 16, 20), torch.rand(1, 3, 20, 20)]
    scorer = Scorer(net, [], [torch.rand(2, 3, 16, 16)], "agreement", nullcontext, inputs=inputs)
    with pytest.raises(ValueError, match="--halving_images needs images of equal size"):
        scorer.subset(2, seed=0)


def test_the_best_are_promoted_and_the_others_estimated():
    generation = archs(20)
    halving = Halving()
    halving.few = {arch: float(i) for i, arch in enumerate(generation)}
    assert halving.promoted(generation) == generation[:2]  # of each 16 begun, one
    halving.full = {generation[0]: 0.5, generation[1]: 2.0}
    scores = halving.scores()
    assert scores[generation[0]] == 0.5
    assert scores[generation[5]] == 5 + 0.75  # the median of 0.5 and 1.0
    assert halving.estimated(generation[:3]) == [generation[2]]
    halving.few[generation[19]] = float("nan")
    assert generation[19] not in halving.promoted(generation[16:])
    copy = Halving()
    copy.load_state_dict({"few": [[arch.to_json(), 1.0] for arch in generation], "full": []})
    assert all(isinstance(arch, Arch) for arch in copy.few)


def test_the_subset_that_agrees_best_is_chosen():
    full = [1.0, 2.0, 3.0, 4.0]
    chosen, correlation = best_subset(full, [[4, 3, 2, 1], [1, 2, 3, 5], [0, 0, 0, 0]])
    assert chosen == 1
    assert correlation == pytest.approx(np.corrcoef(full, [1, 2, 3, 5])[0, 1])
    assert best_subset([1.0], [[1.0], [2.0]]) == (0, 0.0)  # one candidate has no order


@pytest.mark.parametrize(("images", "criterion", "few"), [(32, "agreement", 0), (100, "agreement", 20),
                                                         (79, "L1", 0), (80, "L1", 16), (500, "FID", 0)])
def test_halving_is_the_default_for_many_images(images, criterion, few):
    assert default_images(images, criterion) == few


@pytest.fixture
def searched(tmp_path):
    """A search of one generation: (its evolution, the candidates, best first, its two finalists)."""
    net = build_generator("resnet_6blocks", ngf=8)
    space, cost_model = SearchSpace.of(net.full), CostModel.of(net, (32, 32))
    evolution = Evolution(space, cost_model, cost_model.cost(space.largest)["macs"], population=6)
    candidates = evolution.ask()
    evolution.tell({arch: float(i) for i, arch in enumerate(candidates)})
    settings = Namespace(phase="search_split", finalists=2, criterion="agreement")
    return evolution, candidates, Finalists(settings, "0", tmp_path)


def test_all_processes_use_the_finalists_scores_of_the_first(searched, monkeypatch):
    """Every process calibrates its student on inputs of its own, so that it would compute another score."""
    evolution, candidates, finalists = searched
    finalists.distill = lambda arch, stop: None
    received = iter([0.5, 0.2])
    monkeypatch.setattr("util.finalists.distributed.on_rank_zero", lambda work: next(received))
    finalists.rank(evolution, lambda net: pytest.fail("only process 0 computes scores"), lambda: None, None)
    assert finalists.scores == {candidates[0]: 0.5, candidates[1]: 0.2}


def test_later_scores_do_not_change_what_a_search_has_chosen(searched):
    """With halving, the networks on the fronts are scored on all images at the end."""
    evolution, candidates, finalists = searched
    finalists.distill = lambda arch, stop: Namespace(calibrated_student=lambda: arch)
    finalists.clear = lambda: None
    distilled = {candidates[0]: 0.5, candidates[1]: 0.2}
    finalists.rank(evolution, distilled.__getitem__, lambda: None, None)
    evolution.revise({candidates[5]: -1.0})
    assert evolution.best == (candidates[1], 1.0)
    assert [result["distilled_score"] for result in finalists.results(evolution)] == [0.5, 0.2]
    cost_model = evolution.cost_model
    most = cost_model.cost(evolution.space.largest)["macs"]
    continued = Evolution(evolution.space, cost_model, most, population=6)
    continued.load_state_dict(json.loads(json.dumps(evolution.state_dict())))
    assert continued.best[0] == candidates[1]
    continued.tell({})
    assert continued.best[0] == candidates[5]  # a further generation leads to a new choice
