"""The average of gradients over processes starts during the backward pass, and only with final gradients."""
import itertools

import pytest
import torch
from torch import nn

from compression.runtime import distributed, gradients
from compression.runtime.gradients import GradientAverager


@pytest.fixture
def averaged(monkeypatch):
    """Two processes, of which the other one has three times the gradients: the sizes that were summed."""
    sizes = []

    class Work:
        def __init__(self, values):
            self.values = values

        def wait(self):
            self.values *= 4  # our gradient, and three times it

    def all_reduce(values, async_op):
        assert async_op
        sizes.append(values.numel())
        return Work(values)

    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    monkeypatch.setattr(gradients.dist, "all_reduce", all_reduce)
    return sizes


def layers():
    sizes = (4, 8, 2, 3)
    return nn.Sequential(*(nn.Linear(*pair, bias=False) for pair in itertools.pairwise(sizes)))


def test_gradients_are_means_and_are_averaged_during_the_last_backward_pass(averaged):
    net, x = layers(), torch.randn(5, 4)
    averager = GradientAverager(net.parameters(), bucket_bytes=1)  # a bucket for each layer
    started = []
    net[0].register_full_backward_pre_hook(lambda *_: started.append(list(averaged)))
    net(x).sum().backward()  # of an earlier micro-batch
    assert not averaged
    loss = net(x).square().sum()
    averager.start(loss)
    loss.backward()
    assert started[-1][:1] == [2 * 3]  # before the backward pass reached the first layer
    assert len(started[-1]) < 3
    expected = [2 * p.grad.clone() for p in net.parameters()]
    averager.finish()
    assert averaged == [2 * 3, 8 * 2, 4 * 8]
    for p, mean in zip(net.parameters(), expected, strict=True):
        assert torch.equal(p.grad, mean)


def test_layers_that_the_last_pass_does_not_use_are_averaged_too(averaged):
    net, x = layers(), torch.randn(5, 4)
    averager = GradientAverager(net.parameters(), bucket_bytes=1)
    net[1](net[0](x)).sum().backward()
    loss = net[0](x).sum()  # a sub-network of less depth
    averager.start(loss)
    assert averaged == [2 * 3, 8 * 2]  # without a gradient, and with a final one
    loss.backward()
    assert net[2].weight.grad.count_nonzero() == 0
    expected = [2 * p.grad.clone() for p in net.parameters()]
    averager.finish()
    for p, mean in zip(net.parameters(), expected, strict=True):
        assert torch.equal(p.grad, mean)


def test_gradients_of_further_passes_are_refused_after_the_start(averaged):
    net, x = layers(), torch.randn(5, 4)
    averager = GradientAverager(net.parameters())
    for _ in range(2):  # and without an announcement the gradients are averaged at the end
        net(x).sum().backward()
        averager.finish()
    assert averaged == [4 * 8 + 8 * 2 + 2 * 3] * 2
    loss = net(x).sum()
    averager.start(loss)
    loss.backward()
    with pytest.raises(AssertionError, match="had begun"):
        averager.start(net(x).sum())


def test_one_process_averages_nothing(monkeypatch):
    monkeypatch.setattr(gradients.dist, "all_reduce", None)
    net = layers()
    averager = GradientAverager(net.parameters())
    loss = net(torch.randn(5, 4)).sum()
    averager.start(loss)
    loss.backward()
    before = net[0].weight.grad.clone()
    averager.finish()
    assert torch.equal(net[0].weight.grad, before)
