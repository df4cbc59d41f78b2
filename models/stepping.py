"""Training steps: gradient accumulation, mixed precision, and one gradient scaler per optimizer."""
from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch.optim import lr_scheduler

from compression.metrics import better_sign
from compression.runtime import distributed
from compression.runtime.gradients import GradientAverager

PRECISIONS = {"none": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class MicroBatch:
    """Position of a micro-batch (``--accumulate``) in its batch.

    Attributes:
        share: share of the batch's samples, in (0, 1]; it weights the losses.
        is_last: whether the optimizers step after it.
    """

    share: float = 1.0
    is_last: bool = True


def micro_batches(batch: dict, count: int) -> Iterator[tuple[dict, MicroBatch]]:
    """Split a batch into at most `count` micro-batches.

    Args:
        batch: name -> tensor or list of N values.
        count: number of micro-batches.

    Yields:
        The samples, in the form of `batch`, and their position.
    """
    total = len(next(iter(batch.values())))
    size = -(-total // count)
    for start in range(0, total, size):
        samples = {name: values[start:start + size] for name, values in batch.items()}
        share = min(size, total - start) / total
        yield samples, MicroBatch(share, is_last=start + size >= total)


class Stepping:
    """Part of :class:`models.training.Training`: runs training steps.

    Attributes:
        micro_batch: position of the samples of the last ``set_input`` in their batch.
    """

    micro_batch = MicroBatch()

    def train_step(self, batch):
        """Optimize the networks on a batch, in ``--accumulate`` micro-batches whose gradients add up."""
        for update in self.updates():
            for samples, micro_batch in micro_batches(batch, self.opt.accumulate):
                self.micro_batch = micro_batch
                self.set_input(samples)
                update()
        self.update_average()

    def updates(self):
        """Return the parts of a training step, each of which takes all micro-batches before the next part."""
        return [self.optimize_parameters]

    def check_batch(self):
        """Check a batch before its training step; train.py has checked all of them before training."""

    def autocast(self):
        """Return the context manager for the precision of ``--amp``."""
        amp = getattr(self.opt, "amp", "none")
        dtype = None if amp == "none" else PRECISIONS[amp]
        return torch.autocast(self.device.type, dtype, enabled=amp != "none")

    def validation_autocast(self):
        """Return the context manager for validation and calibration: fp32 with ``--validate_fp32``."""
        if getattr(self.opt, "validate_fp32", False):
            return torch.autocast(self.device.type, enabled=False)
        return self.autocast()

    def backward(self, loss, optimizer, is_last=True):
        """Backpropagate a loss and accumulate the gradients for the next step of `optimizer`.

        No other gradients are computed than those of the optimizer's parameters.

        Args:
            loss: scalar, a mean over the samples of the micro-batch.
            optimizer: optimizer of the parameters that receive gradients.
            is_last: whether no other backward pass of this micro-batch adds gradients for the optimizer. The
                processes then average the gradients while they are computed.
        """
        if is_last and self.micro_batch.is_last and distributed.world_size() > 1:
            self.averager(optimizer).start(loss)
        trained = [parameter for group in optimizer.param_groups for parameter in group["params"]
                   if parameter.requires_grad]
        self.scaler(optimizer).scale(self.micro_batch.share * loss).backward(inputs=trained)

    def step(self, optimizer):
        """Step the optimizer after the last micro-batch, and reset its gradients.

        The gradients are those of the complete batch, averaged over the processes.
        """
        if not self.micro_batch.is_last:
            return
        if distributed.world_size() > 1:
            self.averager(optimizer).finish()
        scaler = self.scaler(optimizer)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()

    def averager(self, optimizer):
        """Return what averages the gradients of an optimizer over the processes."""
        averagers = self.__dict__.setdefault("averagers", {})
        if optimizer not in averagers:
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            averagers[optimizer] = GradientAverager(parameters)
        return averagers[optimizer]

    def scaler(self, optimizer):
        """Return the gradient scaler of an optimizer; it scales by 1 without ``--amp fp16``."""
        scalers = self.__dict__.setdefault("scalers", {})
        if optimizer not in scalers:
            scalers[optimizer] = torch.amp.GradScaler(self.device.type, enabled=self.opt.amp == "fp16")
        return scalers[optimizer]

    def set_losses(self, losses):
        """Set the attribute ``loss_<name>`` for every loss (name -> scalar), detached."""
        for name, loss in losses.items():
            setattr(self, f"loss_{name}", loss.detach() if isinstance(loss, torch.Tensor) else loss)

    def update_learning_rate(self):
        """Step the learning-rate schedulers at the end of an epoch.

        ``--lr_policy plateau`` takes a step only after an epoch with a validation, by the value `metric`.
        """
        before = self.optimizers[0].param_groups[0]["lr"]
        for scheduler in self.schedulers:
            if self.opt.lr_policy != "plateau":
                scheduler.step()
            elif self.metric is not None:
                scheduler.step(self.metric)
        print(f"learning rate {before:.7f} -> {self.optimizers[0].param_groups[0]['lr']:.7f}")

    def compile(self):
        """Compile the networks whose sizes are constant (``--compile``)."""
        for net in self.compilable():
            net.compile()

    def compilable(self):
        """Return the networks that ``--compile`` compiles."""
        return [net for _, net in self.named_networks()]


def build_scheduler(optimizer, opt, metric=None):
    """Build the learning-rate scheduler of ``--lr_policy``, which is stepped once per epoch.

    All policies but plateau are functions of the number of the epoch, so that a run that is continued for
    more epochs gets the schedule of a run of that length.

    Args:
        optimizer: the optimizer.
        opt: parsed options.
        metric: name of the metric that decides about the best networks, for ``--lr_policy plateau``.

    Raises:
        ValueError: ``--lr_policy plateau`` without a metric.
    """
    if opt.lr_policy != "plateau":
        return lr_scheduler.LambdaLR(optimizer, lambda epoch: learning_rate_factor(opt, epoch))
    if metric is None:
        raise ValueError("--lr_policy plateau monitors the validation, which only UGC's own train.py has "
                         "(--eval_every); use --lr_policy linear, step, or cosine")
    mode = "min" if better_sign(metric) > 0 else "max"
    return lr_scheduler.ReduceLROnPlateau(optimizer, mode=mode, factor=0.2, threshold=0.01, patience=5)


def learning_rate_factor(opt, epochs):
    """Compute the learning rate relative to ``--lr``.

    Args:
        opt: parsed options.
        epochs: epochs since ``--epoch_count``, the first one.
    """
    past = epochs + opt.epoch_count - 1  # epochs since the first one of the schedule
    if opt.lr_policy == "linear":  # as upstream: it is above 0 in the last epoch
        return 1.0 - max(0, past + 1 - opt.n_epochs) / float(opt.n_epochs_decay + 1)
    if opt.lr_policy == "step":
        return 0.1 ** (past // opt.lr_decay_iters)
    total = max(1, opt.n_epochs + opt.n_epochs_decay)
    return 0.5 * (1 + math.cos(math.pi * min(past, total) / total))
