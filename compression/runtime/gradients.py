"""The average of gradients over the processes of a job, while the backward pass still computes others.

DistributedDataParallel is not used: it expects one backward pass for each forward pass of one module. A step
of UGC runs many sub-networks of one network, several passes of another, and several backward passes before
one step of an optimizer. As there, gradients are averaged in buckets, those of the last layers first.
"""
from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor

from . import distributed

BUCKET_BYTES = 8 * 2 ** 20


class GradientAverager:
    """Replaces the gradients of an optimizer's parameters by their means over the processes.

    A bucket is averaged as soon as all its gradients are final: during the backward pass that :meth:`start`
    announces, or in :meth:`finish`. All processes average the buckets in the same order. A missing gradient
    counts as zero.

    Args:
        parameters: the parameters; those that do not require gradients are skipped.
        bucket_bytes: least size of all buckets but the last.
    """

    def __init__(self, parameters: Iterable[Tensor], bucket_bytes: int = BUCKET_BYTES):
        trained = [p for p in parameters if p.requires_grad]
        self._buckets: list[list[Tensor]] = []
        size = bucket_bytes  # a new bucket for the first parameter, and for those of another type
        for p in reversed(trained):
            if size >= bucket_bytes or p.dtype != self._buckets[-1][0].dtype:
                self._buckets.append([])
                size = 0
            self._buckets[-1].append(p)
            size += p.numel() * p.element_size()
        self._bucket_of = {id(p): k for k, bucket in enumerate(self._buckets) for p in bucket}
        self._missing: list[set[int]] = []  # for each bucket, the parameters whose gradients are not final
        self._started: list[tuple[Tensor, dist.Work]] = []
        self._is_active = False
        for p in trained:
            p.register_post_accumulate_grad_hook(self._mark_final)

    def start(self, loss: Tensor) -> None:
        """Average gradients during the next backward pass.

        Args:
            loss: what the backward pass starts from; it must be the last pass before :meth:`finish`.
        """
        assert not self._started, "gradients changed after their average had begun"
        if distributed.world_size() == 1:
            return
        reached = _leaves(loss)
        self._missing = [{id(p) for p in bucket} & reached for bucket in self._buckets]
        self._is_active = True
        self._average_final()

    def finish(self) -> None:
        """Average the gradients that are left, and wait for all."""
        self._is_active = False
        if distributed.world_size() == 1:
            return
        for bucket in self._buckets[len(self._started):]:
            self._average(bucket)
        for bucket, (flat, work) in zip(self._buckets, self._started, strict=True):
            work.wait()
            flat /= distributed.world_size()
            for p, mean in zip(bucket, flat.split([p.numel() for p in bucket]), strict=True):
                assert p.grad is not None
                p.grad.copy_(mean.view_as(p.grad))
        self._started = []

    def _mark_final(self, parameter: Tensor) -> None:
        if self._is_active:
            self._missing[self._bucket_of[id(parameter)]].discard(id(parameter))
            self._average_final()

    def _average_final(self) -> None:
        """Begin the average of the next buckets whose gradients are final."""
        while len(self._started) < len(self._buckets) and not self._missing[len(self._started)]:
            self._average(self._buckets[len(self._started)])

    def _average(self, bucket: list[Tensor]) -> None:
        for p in bucket:
            if p.grad is None:
                p.grad = torch.zeros_like(p)
        with torch.no_grad():
            flat = torch.cat([p.grad.flatten() for p in bucket if p.grad is not None])
        self._started.append((flat, dist.all_reduce(flat, async_op=True)))


def _leaves(loss: Tensor) -> set[int]:
    """Return the addresses of the parameters that the backward pass of `loss` reaches."""
    leaves = set()
    visited = set()
    nodes = [loss.grad_fn]
    while nodes:
        node = nodes.pop()
        if node is None or node in visited:
            continue
        visited.add(node)
        if hasattr(node, "variable"):
            leaves.add(id(node.variable))
        nodes += [following for following, _ in node.next_functions]
    return leaves
