"""Stage 2 of UGC: online distillation from two teachers, with the Adaptive Data Filter."""
from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from torch import nn

from compression import (
    MultiHeadDiscriminator,
    calibrate,
    extract,
    load_original,
    load_original_discriminator,
    save_student,
)
from compression.checkpoints import check_one_run, check_one_search, run_of
from compression.distill.fake_labels import FakeLabels
from compression.distill.features import flatten_scales
from compression.distill.filter import FILTERS
from compression.distill.losses import ChannelAdapters, distillation_losses, tv_loss
from compression.runtime.modes import deterministic, frozen
from options import original_options, ugc_options
from options.earlier_runs import original_of, searched_size
from options.precedence import inherit
from options.student_settings import inputs_of

from . import builders
from .distill_checks import check_continued, check_direction
from .ugc_base import UGCModel

_CALIBRATION_INPUTS = 64  # number of recent inputs that calibrate the batch norms of the saved student
_CALIBRATION_BATCH = 16  # batch size of the calibration, as in search.py


class UGCDistillModel(UGCModel):
    """Online multi-teacher distillation with the Adaptive Data Filter (UGC, sections 3.2 and 3.3).

    The student G* and the teachers k (by default the wide G_W and the deep G_D) start from their weights
    in the supernet. The teachers keep training on labeled pairs (x, y), against one discriminator with a
    shared trunk and one head D_k per teacher. The student never uses y: it learns from the images of the
    teachers for all inputs z, which are the labeled x and the unlabeled u. Symbols as in docs/method.md.

    Attributes:
        netS: the student G*.
        netT: name of the teacher -> G_k.
        netD: the discriminator with its heads D_k.
        netA: adapters of the channel distillation (``--lambda_cd``).
        condition: x, generator inputs of the labeled pairs, (N, C, H, W).
        unlabeled: u, (N_u, C, H, W); N_u may be 0.
        inputs: z = x and u, (N + N_u, C, H, W).
        real_B: y, (N, C, H, W) in [-1, 1].
        teacher_images: name of the teacher -> G_k(x), (N, C, H, W) in [-1, 1].
        student_images: S = G*(z), (N + N_u, C, H, W) in [-1, 1].
    """

    ema_network = "S"

    @staticmethod
    def modify_commandline_options(parser, is_train=True):
        """Add the flags of the originals and of stage 2, and use the data set with unlabeled inputs."""
        ugc_options.split_data_set(parser).set_defaults(dataset_mode="adf", netG="resnet_9blocks")
        original_options.add_original_options(parser, is_train)
        if is_train:
            ugc_options.add_distill_options(parser)
        return inherit(ugc_options.add_precision_options(parser), is_train)

    def __init__(self, opt):
        UGCModel.__init__(self, opt)
        if not self.isTrain:
            raise ValueError("--model ugc_distill only trains; test its student with --model ugc_student")
        self.encoding = builders.build_encoding(opt)
        self.teachers = ugc_options.teachers_from(opt)
        self.filter = FILTERS[opt.adf](self.teachers, quantile=opt.adf_quantile)
        self.extractor = self.to_device(builders.build_features(opt, self._trunk_features))
        self.weights = ugc_options.distill_weights_from(opt, self.extractor.pixel_weight)
        self._build_networks(opt)
        if opt.continue_train:
            check_continued(opt, {"S": self.netS, "T": self.netT})
        self.objective = self.to_device(builders.build_objective(opt))
        print(f"distillation features: {self.extractor.name}")
        self._build_optimizers(opt)
        self.model_names = ["S", "T", "D"]
        self.loss_names = ["D", *(f"{name}_{term}" for name in self.teachers for term in self._terms()), "tv"]
        self.visual_names = ["real_A", *(f"fake_{name}" for name in self.teachers), "fake_S", "real_B"]
        self.taps = ()
        if self.weights.cd:
            self._add_channel_distillation()
        self.has_batch_norm = any(isinstance(module, nn.BatchNorm2d) for module in self.netS.modules())
        self.recent_inputs: list[torch.Tensor] = []

    def _build_networks(self, opt):
        """Build student, teachers and multi-head discriminator from the networks of the supernet's run."""
        check_direction(opt)
        folder = Path(opt.checkpoints_dir) / opt.supernet
        self.original = original_of(folder, opt.supernet_epoch)
        self.searched_size = searched_size(folder)
        self.original_run = run_of(self.original)
        generator, discriminator = (folder / f"{opt.supernet_epoch}_net_{name}.pth" for name in "GD")
        files = builders.architecture_files(opt, self.teachers, folder / "search")
        searched = check_one_search(path for path in files.values() if path.parent == folder / "search")
        self.supernet_run = check_one_run([folder / "train_opt.json", generator, discriminator, *searched])
        supernet = load_original(generator, opt.netG, **builders.checkpoint_flags(opt))
        builders.check_channels(self.encoding, supernet, generator)
        archs = builders.load_architectures(opt, files, supernet.full)
        self.netS = self.to_device(extract(supernet, archs["student"]).train())
        teachers = nn.ModuleDict({name: extract(supernet, archs[name]) for name in self.teachers})
        self.netT = self.to_device(teachers.train())
        base = load_original_discriminator(discriminator)
        self.netD = self.to_device(MultiHeadDiscriminator(base, self.teachers).train())

    def _build_optimizers(self, opt):
        """Build one optimizer for the student, one for all teachers, and one for the discriminator."""
        settings = builders.adam_settings(opt, "G")
        self.optimizer_S = torch.optim.Adam(self.netS.parameters(), **settings)
        self.optimizer_T = torch.optim.Adam(self.netT.parameters(), **settings)
        trainable = [parameter for parameter in self.netD.parameters() if parameter.requires_grad]
        self.optimizer_D = torch.optim.Adam(trainable, **builders.adam_settings(opt, "D"))
        self.optimizers = [self.optimizer_S, self.optimizer_T, self.optimizer_D]

    def _add_channel_distillation(self):
        """Build the adapters from the student's activations to those of the wide teacher."""
        if "wide" not in self.teachers:
            raise ValueError("--lambda_cd distills from the wide teacher, but there is none with --teachers "
                             f"{self.opt.teachers}")
        self.taps = self.netS.tap_names()
        shape = (1, self.netS.config["input_nc"], *self.netS.example_input_size)
        example = torch.zeros(shape, device=self.device)
        with torch.no_grad():
            student = self.netS(example, taps=self.taps)[1]
            teacher = self.netT["wide"](example, taps=self.taps)[1]
        adapters = ChannelAdapters([a.shape[1] for a in student], [b.shape[1] for b in teacher])
        self.netA = self.to_device(adapters)
        self.model_names.append("A")
        self.loss_names.append("wide_cd")
        self.optimizer_S.add_param_group({"params": list(self.netA.parameters())})

    def _terms(self):
        """Return the names of the losses that are reported for each teacher."""
        pixel = ["pixel"] if self.weights.pixel else []
        return [*self.objective.terms, "ssim", *pixel, *self.extractor.terms, "accepted"]

    def _trunk_features(self, image, condition):
        """Compute the activations of the discriminator's trunk for images together with their inputs."""
        return flatten_scales(self.netD.trunk(torch.cat((condition, image), 1)))

    def set_input(self, input):
        """Set a batch of labeled pairs (x, y) and, if there are any, unlabeled inputs u."""
        A, B = ugc_options.sides(self.opt)
        self.condition = self.encoding(self.to_device(input[A]))
        self.real_B = self.to_device(input[B])
        self.unlabeled = self.condition[:0]
        if "unlabeled" in input:
            self.unlabeled = self.encoding(self.to_device(input["unlabeled"]))
        self.inputs = torch.cat((self.condition, self.unlabeled))
        self.image_paths = input[f"{A}_paths"]

    def optimize_parameters(self):
        """Take one training step: update the teachers, the student and the discriminator, in this order.

        The student learns from the updated teachers. Teachers and student use the discriminator before its
        update.
        """
        self.check_batch()
        self.remember_inputs()  # for the batch-norm statistics of the saved student
        self.forward()  # G_k(x) and S = G*(z)
        pred_real = self.discriminate_real()  # D_k(x, y)
        pred_fake = self.update_teachers(pred_real)  # minimize L_original(x, y); return D_k(x, G_k(x))
        labels = self.fake_labels(pred_fake)  # T_k(z) = sg G_k(z) and D_k(z, T_k(z))
        scores = self.filter.scores(labels)  # s_k(z)
        masks = self.filter.masks(scores, len(self.condition))  # m_k(z)
        self.update_student(labels, masks)  # minimize L_G*
        self.update_discriminator(pred_real)

    def remember_inputs(self):
        """Keep the most recent inputs if the student has batch norms to calibrate."""
        if self.has_batch_norm:
            self.recent_inputs = (self.recent_inputs + list(self.inputs.detach()))[-_CALIBRATION_INPUTS:]

    def forward(self):
        """Compute the teachers' images G_k(x) and the student's images S = G*(z)."""
        with self.autocast():
            self.teacher_images = {name: self.netT[name](self.condition).float() for name in self.teachers}
            output = self.netS(self.inputs, taps=self.taps)
        images, self.student_activations = output if self.taps else (output, [])
        self.student_images = images.float()

    def discriminate_real(self):
        """Compute D_k(x, y) for every teacher k; the trunk runs once."""
        with self.autocast():
            trunk = self.netD.trunk(torch.cat((self.condition, self.real_B), 1))
            return {name: self.netD.head(name, trunk) for name in self.teachers}

    def update_teachers(self, pred_real):
        """Update every teacher by the objective L_original(x, y) of the original.

        Args:
            pred_real: name of the teacher -> D_k(x, y).

        Returns:
            Name of the teacher -> D_k(x, G_k(x)), detached.
        """
        detached = {}
        with frozen(self.netD), deterministic(self.netD):
            for name, fake in self.teacher_images.items():
                with self.autocast():
                    pred_fake = self.netD(torch.cat((self.condition, fake), 1), name)
                losses = self.objective.generator(pred_fake, fake, self.real_B, pred_real[name])
                self.set_losses({f"{name}_{term}": loss for term, loss in losses.items()})
                self.backward(sum(losses.values()), self.optimizer_T)
                detached[name] = [[layer.detach() for layer in layers] for layers in pred_fake]
        self.step(self.optimizer_T)
        return detached

    @torch.no_grad()
    def fake_labels(self, pred_fake):
        """Compute the fake labels T_k(z) of every teacher, and D_k(z, T_k(z)).

        Teachers, discriminator, and student see the same batch z, so that their batch norms have the same
        statistics. Without unlabeled inputs, z = x, and the images and `pred_fake` exist already; with them,
        the updated teachers compute the images.

        Args:
            pred_fake: name of the teacher -> D_k(x, G_k(x)), detached.

        Returns:
            Name of the teacher -> FakeLabels for all inputs z.
        """
        if not len(self.unlabeled):
            return {name: FakeLabels(fake.detach(), pred_fake[name])
                    for name, fake in self.teacher_images.items()}
        labels = {}
        with self.autocast(), deterministic(self.netD):
            for name, teacher in self.netT.items():
                images = teacher(self.inputs).float()
                labels[name] = FakeLabels(images, self.netD(torch.cat((self.inputs, images), 1), name))
        return labels

    def update_student(self, labels, masks):
        """Update the student by the sum of the distillation losses of all teachers,

            L_G* = lambda_tv TV(S) + sum_k sum_z m_k(z) l_k(z) / sum_z m_k(z) + lambda_cd L_cd.

        Args:
            labels: name of the teacher -> fake labels T_k(z).
            masks: name of the teacher -> m_k(z), (N + N_u,) bool.
        """
        with frozen(self.netD), deterministic(self.netD):
            with self.autocast():
                features, targets = self.extractor.compare(self.student_images, labels, self.inputs)
            total = self.weights.tv * tv_loss(self.student_images)
            self.set_losses({"tv": total})
            for name, label in labels.items():
                losses = distillation_losses(self.student_images, label.images, features, targets[name],
                                             self.weights, masks[name])
                self.set_losses({f"{name}_{term}": loss for term, loss in losses.items()})
                self.set_losses({f"{name}_accepted": self.filter.acceptance[name]})
                total = total + sum(losses.values())
            if self.taps:
                total = total + self.channel_distillation(masks["wide"])
            self.backward(total, self.optimizer_S)
        self.step(self.optimizer_S)

    def channel_distillation(self, mask):
        """Compute lambda_cd L_cd between the student and the wide teacher.

        Args:
            mask: m_W(z), (N + N_u,) bool.
        """
        with torch.no_grad(), self.autocast():
            teacher_activations = self.netT["wide"](self.inputs, taps=self.taps)[1]
        loss = self.weights.cd * self.netA(self.student_activations, teacher_activations, mask)
        self.set_losses({"wide_cd": loss})
        return loss

    def update_discriminator(self, pred_real):
        """Update trunk and heads with the real pairs (x, y) and every teacher's fake pairs (x, sg G_k(x)).

        Args:
            pred_real: name of the teacher -> D_k(x, y).
        """
        total = 0
        real_pairs = torch.cat((self.condition, self.real_B), 1)
        for name, fake in self.teacher_images.items():
            fake_pairs = torch.cat((self.condition, fake.detach()), 1)
            with self.autocast():
                pred_fake = self.netD(fake_pairs, name)
            losses = self.objective.discriminator(pred_real[name], pred_fake)
            # a compiled network has no second derivatives, forward is not compiled
            head = partial(self.netD.forward, name=name)
            penalty = self.objective.penalty(head, real_pairs, fake_pairs)
            loss = 0.5 * sum(losses.values()) + sum(penalty.values())
            total = total + loss / len(self.teacher_images)
        self.set_losses({"D": total})
        self.backward(total, self.optimizer_D)
        self.step(self.optimizer_D)

    def compilable(self):
        """Return the student, every teacher, and the discriminator."""
        return [self.netS, *self.netT.values(), self.netD]

    def activations(self):
        """Return those of the student, of the teachers, and of the discriminator for real and fake pairs."""
        passes = 1 + len(self.teachers) * (3 if self.objective.gan_mode == "wgangp" else 1)
        pair = torch.cat((self.condition, self.real_B), 1).shape
        return [(self.netS, self.inputs.shape, 1),
                *((teacher, self.condition.shape, 1) for teacher in self.netT.values()),
                (self.netD.base, pair, passes)]

    def compute_visuals(self):
        """Convert the input to an image, and select the images of the labeled inputs."""
        self.real_A = self.encoding.picture(self.condition)
        for name, fake in self.teacher_images.items():
            setattr(self, f"fake_{name}", fake.detach())
        self.fake_S = self.student_images.detach()[:len(self.condition)]

    def write_networks(self, tag):
        """Write the networks and ``<tag>_student.pth``: the calibrated student with its architecture."""
        UGCModel.write_networks(self, tag)
        save_student(Path(self.save_dir) / f"{tag}_student.pth", self.calibrated_student(), self.run,
                     stage="distillation", original=str(self.original), original_run=self.original_run,
                     supernet=self.opt.supernet, supernet_run=self.supernet_run, teachers=self.opt.teachers,
                     adf=self.opt.adf, features=self.extractor.name, input=inputs_of(self.opt),
                     size=self.searched_size)

    def calibrated_student(self):
        """Copy the student (with ``--ema``, its average) and calibrate its batch norms on recent inputs."""
        student = extract(self.network_to_save("S"), self.netS.full)
        if self.recent_inputs:
            with self.autocast():
                calibrate(student, torch.stack(self.recent_inputs).split(_CALIBRATION_BATCH))
        return student

    def network_to_validate(self):
        """Return the student as it would be saved."""
        return self.calibrated_student()

    def extra_state(self):
        """Return the state of the filter and the inputs for the calibration."""
        return {"filter": self.filter.state_dict(), "recent": [x.cpu() for x in self.recent_inputs]}

    def load_extra_state(self, state):
        """Restore the result of :meth:`extra_state`."""
        self.filter.load_state_dict(state["filter"])
        self.recent_inputs = [self.to_device(x) for x in state["recent"]]
