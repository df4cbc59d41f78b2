"""The losses of stage 2 between intermediate activations of the student and of the wide teacher."""
from __future__ import annotations

import torch

from compression.distill.adapters import DiscriminatorAdapters
from compression.distill.features import flatten_scales, rms_normalize
from compression.distill.losses import ChannelAdapters
from compression.runtime.input_sizes import training_error


class IntermediateDistillation:
    """Mixin of the distillation: channel distillation (``--lambda_cd``) and DCD (``--lambda_dcd``).

    Attributes:
        taps: names of the activations that are compared; none without a weight.
        tap_sizes: (height, width) of each of them, for an image of the generator's example size.
        dcd_layers: positions of those that are large enough for the discriminator.
        netA: adapters of the channel distillation.
        netAD: adapters of DCD.
    """

    taps = ()
    dcd_layers = ()

    def build_adapters(self):
        """Build the adapters from the student's activations to those of the wide teacher.

        Raises:
            ValueError: if there is no wide teacher, or the discriminator is too large for all activations.
        """
        weights = {"lambda_cd": self.weights.cd, "lambda_dcd": self.opt.lambda_dcd}
        flags = [f"--{name}" for name, weight in weights.items() if weight]
        if not flags:
            return
        if "wide" not in self.teachers:
            raise ValueError(f"{flags[0]} distills from the wide teacher, but there is none with --teachers "
                             f"{self.opt.teachers}")
        self.taps = self.netS.tap_names()
        shape = (1, self.netS.config["input_nc"], *self.netS.example_input_size)
        example = torch.zeros(shape, device=self.device)
        with torch.no_grad():
            student = self.netS(example, taps=self.taps)[1]
            teacher = self.netT["wide"](example, taps=self.taps)[1]
        if self.weights.cd:
            adapters = ChannelAdapters([a.shape[1] for a in student], [b.shape[1] for b in teacher])
            self._add_adapters("A", adapters, "wide_cd")
        if self.opt.lambda_dcd:
            self._add_dcd(student, teacher)

    def _add_dcd(self, student, teacher):
        """Build the adapters of DCD for activations that are large enough at the size of the training.

        Args:
            student, teacher: activations of an image of the generator's example size.
        """
        channels = self.netD.base.config["input_nc"]
        height = round(self.opt.crop_size / getattr(self.opt, "aspect_ratio", 1.0))
        self.tap_sizes = [tuple(a.shape[2:]) for a in student]
        sizes = self.dcd_sizes((height, self.opt.crop_size), range(len(student)))
        self.dcd_layers = [layer for layer, size in enumerate(sizes)
                           if not training_error(self.netD.base, (2, channels, *size))]
        if not self.dcd_layers:
            raise ValueError("--lambda_dcd compares activations in the discriminator, but all of them are "
                             f"too small for it at --crop_size {self.opt.crop_size}; use larger images, a "
                             "smaller --n_layers_D for the supernet, or --lambda_cd")
        widths = [[activations[layer].shape[1] for layer in self.dcd_layers]
                  for activations in (student, teacher)]
        self._add_adapters("AD", DiscriminatorAdapters(*widths, channels), "wide_dcd")

    def dcd_sizes(self, size, layers=None):
        """Compute (height, width) of the activations that DCD compares, for images of a (height, width).

        Args:
            size: that of the images.
            layers: positions of the activations; None means `dcd_layers`.
        """
        example = self.netS.example_input_size
        return [tuple(side * images // whole for side, images, whole
                      in zip(self.tap_sizes[layer], size, example, strict=True))
                for layer in (self.dcd_layers if layers is None else layers)]

    def _add_adapters(self, name, adapters, loss_name):
        """Add adapters as the network `name`, trained together with the student."""
        setattr(self, f"net{name}", self.to_device(adapters))
        self.model_names.append(name)
        self.loss_names.append(loss_name)
        self.optimizer_S.add_param_group({"params": list(adapters.parameters())})

    def intermediate_loss(self, mask):
        """Compute lambda_cd L_cd + lambda_dcd L_dcd between the student and the wide teacher.

        Args:
            mask: m_W(z), (N + N_u,) bool.
        """
        with torch.no_grad(), self.autocast():
            activations = self.labeling_teachers["wide"](self.inputs, taps=self.taps)[1]
        losses = {}
        if self.weights.cd:
            losses["wide_cd"] = self.weights.cd * self.netA(self.student_activations, activations, mask)
        if self.opt.lambda_dcd:
            pairs = [[of_net[layer] for layer in self.dcd_layers]
                     for of_net in (self.student_activations, activations)]
            with self.autocast():
                losses["wide_dcd"] = self.opt.lambda_dcd * self.netAD(*pairs, self._discriminator_features,
                                                                      mask)
        self.set_losses(losses)
        return sum(losses.values())

    def _discriminator_features(self, pairs):
        """Compute the normalized features phi of activations that were converted to pairs."""
        return rms_normalize(flatten_scales(self.netD.trunk(pairs)))
