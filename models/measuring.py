"""Measurements of models: losses, validation metrics, cost and latency, and the memory of a training step."""
from __future__ import annotations

from collections import OrderedDict

import torch

from compression import CostModel, translate
from compression.runtime import distributed
from compression.runtime.images import padded_size, run_padded
from compression.runtime.lab import displayed
from compression.runtime.memory import step_memory
from compression.runtime.modes import eval_mode
from compression.search.latency import conditions, latency_ms
from options.ugc_options import sides

from .builders import canonical_metrics


class Measuring:
    """Part of :class:`models.training.Training`: measures networks and training steps.

    Attributes:
        exported_file: the file of ``--exported``, which runs next to the networks; None without the flag.
    """

    exported_file = None

    def get_current_losses(self):
        """Return name -> value of the losses of the last step, averaged over the processes."""
        if not self.loss_names:
            return OrderedDict()
        losses = [torch.as_tensor(getattr(self, f"loss_{name}"), dtype=torch.float32, device=self.device)
                  for name in self.loss_names]
        losses = torch.stack([loss.detach() for loss in losses])  # on the device: one transfer for all losses
        return OrderedDict(zip(self.loss_names, distributed.all_reduce_mean(losses).tolist(), strict=True))

    def networks_not_finite(self):
        """Return the names of the networks with a NaN or infinite weight."""
        return [name for name, net in self.named_networks()
                if not all(value.isfinite().all() for value in net.state_dict().values())]

    def networks(self):
        """Return name -> generator whose cost and latency test.py reports."""
        return {"generator": self.netG}

    def report(self, size):
        """Measure MACs, parameters and latency of each of :meth:`networks`.

        Args:
            size: (height, width) of the image.

        Returns:
            Name of the network -> measurements by name. They are for an image that is padded to the ``size``
            that all networks take.
        """
        rows = {}
        sizes = [padded_size(net, size) for net in self.networks().values()] or [size]
        input_size = tuple(max(sides) for sides in zip(*sizes, strict=True))
        for name, net in self.networks().items():
            cost = CostModel.of(net, input_size).cost(net.full)
            latency = latency_ms(net, net.config["input_nc"], input_size)
            rows[name] = {**cost, "size": list(input_size), "latency_ms": latency,
                          **conditions(self.device)}
        if self.exported_file:
            rows["exported"] = {**conditions(torch.device("cpu")), "size": list(size),
                                **self.exported_file.measure(size)}
        return rows

    def get_current_visuals(self):
        """Return name -> images, in the order of `visual_names`; colors of colorization as RGB."""
        condition = getattr(self, "condition", None)
        return OrderedDict((name, displayed(condition, getattr(self, name))) for name in self.visual_names)

    def scored_pairs(self):
        """Return the images of :meth:`metric_pairs`; colors of colorization as RGB."""
        return {name: (displayed(self.condition, image), displayed(self.condition, target))
                for name, (image, target) in self.metric_pairs().items()}

    def metric_pairs(self):
        """Return name -> (images, ground truth) for all images of the batch that metrics can score."""
        return {}

    def decisive_metric(self):
        """Return the metric that decides about the best networks, or None if there is no validation."""
        if getattr(self.opt, "eval_every", 0) < 1:
            return None
        return canonical_metrics(self.opt.eval_metrics, "--eval_metrics")[0]

    def network_to_validate(self):
        """Return the generator that ``--eval_every`` validates."""
        return self.network_to_save(self.ema_network)

    @torch.no_grad()
    def validate(self, batches, metrics, labels=None):
        """Compute metrics of the generator, in eval mode, on held-out pairs.

        Args:
            batches: batches of a paired data set.
            metrics: a new SetMetrics.
            labels: (batch, key of the input) -> class ids, for the mIoU.

        Returns:
            Values by name of the metric.
        """
        A, B = sides(self.opt)
        net = self.network_to_validate()
        with eval_mode(net):
            for batch in batches:
                condition = self.encoding(self.to_device(batch[A]))
                with self.validation_autocast():
                    image = run_padded(net, condition).float()
                target = displayed(condition, self.to_device(batch[B]))
                metrics.update(displayed(condition, image), target, labels(batch, A) if labels else None)
        return metrics.compute()

    def generate(self, net, image, *arguments):
        """Run a generator; outside training, pad images of any size and crop the output to their size."""
        return net(image, *arguments) if self.isTrain else run_padded(net, image, *arguments)

    def translate(self, image):
        """Translate one image (1, C, H, W) in [-1, 1] of any size with :func:`compression.translate`.

        The colors of colorization become RGB.
        """
        image = self.to_device(image)
        with self.autocast():
            return displayed(image, translate(self.netG, image))

    def trained_shapes(self):
        """Return (network, shape of its input) for the networks that a training step runs."""
        return []

    def memory_needed(self, batch, largest=False):
        """Compute the peak memory of a training step from its allocations, without running it.

        Args:
            batch: a batch of the data set.
            largest: whether the step makes all choices that need most memory (:meth:`choose_largest`).

        Returns:
            StepMemory, in bytes on the model's device.
        """
        def step(copies):
            model, samples = copies
            model.scalers = {optimizer: torch.amp.GradScaler(self.device.type, enabled=False)
                             for optimizer in model.optimizers}  # an enabled one reads the gradients
            model.opt.accumulate = min(2, self.opt.accumulate)
            if largest:
                model.choose_largest()
            model.train_step(samples)

        if self.opt.accumulate > 2:  # two micro-batches show what all need
            size = -(-len(next(iter(batch.values()))) // self.opt.accumulate)
            batch = {name: values[:2 * size] for name, values in batch.items()}
        return step_memory((self, batch), step, self.device)

    def steps_differ(self):
        """Return whether some training steps need more memory than others."""
        return False

    def choose_largest(self):
        """Let the training steps make those choices that need most memory; called for a copy of the model."""
