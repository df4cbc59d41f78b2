"""Stage 2 of UGC: online distillation from two teachers, with the Adaptive Data Filter."""
from __future__ import annotations

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
from compression.distill.features import flatten_scales
from compression.distill.filter import FILTERS
from compression.distill.losses import distillation_losses, gram, tv_loss
from compression.originals.diffaugment import DiffAugment
from compression.originals.objectives import split_samples
from compression.runtime.modes import deterministic, frozen
from options import gan_options, original_options, ugc_options
from options.earlier_runs import original_of, searched_size
from options.precedence import inherit
from options.precision_options import add_precision_options
from options.student_settings import inputs_of

from . import builders
from .distill_checks import check_continued, check_direction, check_extra_state, warn_of_other_split
from .intermediate_distillation import IntermediateDistillation
from .online_teachers import OnlineTeachers
from .recent_inputs import RecentInputs
from .ugc_base import UGCModel


class UGCDistillModel(OnlineTeachers, IntermediateDistillation, UGCModel):
    """Online multi-teacher distillation with the Adaptive Data Filter (UGC, sections 3.2 and 3.3).

    The student G* and the teachers k (by default the wide G_W and the deep G_D) start from their weights
    in the supernet. The teachers keep training on labeled pairs (x, y), against one discriminator with a
    shared trunk and one head D_k per teacher. The student never uses y: it learns from the images of the
    teachers for all inputs z, which are the labeled x and the unlabeled u. Symbols as in docs/method.md.

    Attributes:
        netS: the student G*.
        netT: name of the teacher -> G_k.
        netD: the discriminator with its heads D_k.
        condition: x, generator inputs of the labeled pairs, (N, C, H, W).
        unlabeled: u, (N_u, C, H, W); N_u may be 0.
        inputs: z = x and u, (N + N_u, C, H, W).
        real_B: y, (N, C, H, W) in [-1, 1].
        teacher_images: name of the teacher -> G_k(x), (N, C, H, W) in [-1, 1].
        student_images: S = G*(z), (N + N_u, C, H, W) in [-1, 1].
    """

    ema_network = "S"
    student_trunk = None  # activations of the trunk for the student's images, within a step
    student_prediction = None  # of the student's head, if the discriminator's own update uses it too

    @staticmethod
    def modify_commandline_options(parser, is_train=True):
        """Add the flags of the originals and of stage 2, and use the data set with unlabeled inputs."""
        ugc_options.split_data_set(parser).set_defaults(dataset_mode="adf", netG="resnet_9blocks")
        original_options.add_original_options(parser, is_train)
        if is_train:
            ugc_options.add_distill_options(parser)
            gan_options.add_unlabeled_gan_option(parser)
            gan_options.add_student_gan_options(parser)
        return inherit(add_precision_options(parser, is_train), is_train)

    def __init__(self, opt):
        UGCModel.__init__(self, opt)
        if not self.isTrain:
            raise ValueError("--model ugc_distill only trains; test its student with --model ugc_student")
        self.encoding = builders.build_encoding(opt)
        gan_options.check_student_gan(opt)
        self.teachers = ugc_options.teachers_from(opt)
        self.filter = FILTERS[opt.adf](self.teachers, ugc_options.filter_settings_from(opt))
        self.extractor = self.to_device(builders.build_features(opt, self._trunk_features))
        self.weights = ugc_options.distill_weights_from(opt)
        self._build_networks(opt)
        if opt.continue_train:
            check_continued(opt, {"S": self.netS, "T": self.netT})
        self.objective = self.to_device(builders.build_objective(opt))
        self.diffaugment = DiffAugment(opt.diffaugment, opt.output_nc)
        self.regularizations = {name: builders.build_regularization(opt) for name in self.netD.heads}
        print(f"distillation features: {self.extractor.name}")
        self._build_optimizers(opt)
        self.model_names = ["S", "T", "D"]
        self.loss_names = ["D", *(f"{name}_{term}" for name in self.teachers for term in self._terms()), "tv"]
        self.visual_names = ["real_A", *(f"fake_{name}" for name in self.teachers), "fake_S", "real_B"]
        self.loss_names += ["student_gan"] if opt.lambda_student_gan else []
        self.loss_student_gan = 0.0
        self.build_adapters()
        self.has_batch_norm, self.discriminator_mixes_samples = (
            any(isinstance(module, nn.BatchNorm2d) for module in net.modules())
            for net in (self.netS, self.netD))
        self.shared = {}
        self.recent_inputs = RecentInputs()

    def _build_networks(self, opt):
        """Build student, teachers and multi-head discriminator from the networks of the supernet's run."""
        check_direction(opt)
        warn_of_other_split(opt)
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
        heads = (*self.teachers, "student") if opt.lambda_student_gan else self.teachers
        self.netD = self.to_device(MultiHeadDiscriminator(base, heads).train())

    def _build_optimizers(self, opt):
        """Build one optimizer for the student, one for all teachers, and one for the discriminator."""
        self.optimizer_S = builders.build_adam(opt, "G", self.netS.parameters())
        self.optimizer_T = builders.build_adam(opt, "G", self.netT.parameters())
        trainable = [parameter for parameter in self.netD.parameters() if parameter.requires_grad]
        self.optimizer_D = builders.build_adam(opt, "D", trainable)
        self.optimizers = [self.optimizer_S, self.optimizer_T, self.optimizer_D]

    def _terms(self):
        """Return the names of the losses that are reported for each teacher."""
        pixel = ["pixel"] if self.weights.pixel else []
        unlabeled = ["GAN_unlabeled"] if self.opt.lambda_gan_unlabeled else []
        return [*self.objective.terms, *unlabeled, "ssim", *pixel, *self.extractor.terms, "accepted"]

    def _trunk_features(self, image, condition):
        """Compute the activations of the discriminator's trunk for the student's images and their inputs."""
        if self.student_prediction:
            self.student_trunk = [layers[:-1] for layers in self.student_prediction]
        else:
            self.student_trunk = self.netD.trunk(self.augment(torch.cat((condition, image), 1)))
        return flatten_scales(self.student_trunk)

    def set_input(self, input):
        """Set a batch of labeled pairs (x, y) and, if there are any, unlabeled inputs u."""
        A, B = ugc_options.sides(self.opt)
        self.condition = self.encoding(self.to_device(input[A]))
        self.real_B = self.to_device(input[B])
        self.unlabeled = self.condition[:0]
        if "unlabeled" in input:
            self.unlabeled = self.encoding(self.to_device(input["unlabeled"]))
        gan_options.check_unlabeled(self.opt.lambda_gan_unlabeled, "unlabeled" in input)
        self.inputs = torch.cat((self.condition, self.unlabeled))
        self.items = [*input[A], *input.get("unlabeled", ())]
        self.image_paths = input[f"{A}_paths"]

    def optimize_parameters(self):
        """Take one training step: update the teachers, the student and the discriminator, in this order.

        The student learns from the updated teachers. Teachers and student use the discriminator before its
        update. With ``--teacher_every``, teachers and discriminator are not updated in every step.
        """
        self.check_batch()
        self.remember_inputs()  # for the batch-norm statistics of the saved student
        self.augment = self.diffaugment.draw(len(self.inputs))
        self.forward()  # G_k(x) and S = G*(z)
        pred_fake = None
        if self.teachers_learn:
            pred_real = self.discriminate_real()  # D_k(x, y)
            pred_fake = self.update_teachers(pred_real)  # minimize L_original(x, y); return D_k(x, G_k(x))
        labels = self.fake_labels(pred_fake)  # T_k(z) = sg G_k(z) and D_k(z, T_k(z))
        masks = self.filter.masks(labels, len(self.condition))  # m_k(z)
        self.update_student(labels, masks)  # minimize L_G*
        if self.teachers_learn:
            self.update_discriminator(pred_real)
        self.shown_labels = {name: label.images for name, label in labels.items()}
        self.steps += self.micro_batch.is_last

    def remember_inputs(self):
        """Keep the most recent inputs if the student has batch norms to calibrate."""
        if self.has_batch_norm:
            self.recent_inputs.add(self.items)

    def forward(self):
        """Compute the teachers' images G_k(x) and the student's images S = G*(z)."""
        with self.autocast():
            if self.teachers_learn:
                self.forward_teachers()
            output = self.netS(self.inputs, taps=self.taps)
        images, self.student_activations = output if self.taps else (output, [])
        self.student_images = images.float()

    def update_student(self, labels, masks):
        """Update the student by the sum of the distillation losses of all teachers,

            L_G* = lambda_tv TV(S) + sum_k sum_z m_k(z) l_k(z) / sum_z m_k(z) + lambda_cd L_cd.

        ``--lambda_dcd`` adds the loss of DCD (:class:`compression.distill.adapters.DiscriminatorAdapters`).

        ``--lambda_student_gan`` adds the GAN loss of the student's head of the discriminator.

        Args:
            labels: name of the teacher -> fake labels T_k(z).
            masks: name of the teacher -> m_k(z), (N + N_u,) bool, or weights of patches.
        """
        self.discriminate_student()
        with frozen(self.netD), deterministic(self.netD):
            with self.autocast():
                features, targets = self.extractor.compare(self.student_images, labels, self.inputs)
            gan_loss = self.student_gan_loss()
            total = self.weights.tv * tv_loss(self.student_images)
            self.set_losses({"tv": total, "student_gan": gan_loss})
            total = total + gan_loss
            grams = [gram(layer) for layer in features]  # once for all teachers
            for name, label in labels.items():
                losses = distillation_losses(self.student_images, label.images, features, targets[name],
                                             self.weights, masks[name], grams)
                self.set_losses({f"{name}_{term}": loss for term, loss in losses.items()})
                self.set_losses({f"{name}_accepted": self.filter.acceptance[name]})
                total = total + sum(losses.values())
            if self.taps:
                total = total + self.intermediate_loss(masks["wide"])
            self.backward(total, self.optimizer_S)
        self.step(self.optimizer_S)

    def discriminate_student(self):
        """Compute the output of the student's head in a pass that the discriminator's own update uses too.

        That update needs the images of all inputs that the discriminator judges, and no others. Features of
        the discriminator, and a batch norm, need those of all inputs z.
        """
        self.student_prediction = None
        needs_all = self.extractor.uses_discriminator or self.discriminator_mixes_samples
        if (self.student_gan_weight and self.teachers_learn and self.shares_passes
                and not (needs_all and self.number_of_fakes < len(self.inputs))):
            fake = self.student_images[:self.number_of_fakes]
            self.student_prediction = self.discriminate_fake("student", fake)

    def student_gan_loss(self):
        """Compute the weighted GAN loss of the student's images, for its own head of the discriminator.

        The activations of the trunk exist if the features are those of the discriminator.
        """
        trunk, self.student_trunk = self.student_trunk, None
        if not self.student_gan_weight:
            return 0.0
        prediction, self.student_prediction = self.student_prediction, None
        if not prediction:
            with self.autocast():
                trunk = trunk or self.netD.trunk(self.pairs(self.student_images))
                prediction = self.netD.head("student", trunk)
        prediction, _ = split_samples(prediction, self.number_of_fakes)
        return self.student_gan_weight * self.objective.gan(prediction, True, False)

    def compilable(self):
        """Return the student, every teacher, and a discriminator without batch norms.

        The discriminator runs several times before the first backward pass. Compiled, it would keep the
        running statistics of batch norms for this pass, which the later runs change.
        """
        has_batch_norm = any(isinstance(module, nn.BatchNorm2d) for module in self.netD.modules())
        return [self.netS, *self.netT.values(), *([] if has_batch_norm else [self.netD])]

    def trained_shapes(self):
        """Return those of the student, of the teachers, and of the discriminator for real and fake pairs."""
        inputs = self.inputs if self.opt.lambda_gan_unlabeled else self.condition
        channels = self.condition.shape[1] + self.real_B.shape[1]
        pairs = [(len(self.condition), *self.inputs.shape[2:]), (len(inputs), *self.inputs.shape[2:]),
                 *((len(self.inputs), *size) for size in self.dcd_sizes(self.inputs.shape[2:]))]
        return [(self.netS, self.inputs.shape), *((teacher, inputs.shape) for teacher in self.netT.values()),
                *((self.netD.base, (count, channels, *size)) for count, *size in pairs)]

    def steps_differ(self):
        """Return whether the GAN loss of the student starts in a later epoch."""
        return bool(self.opt.lambda_student_gan) and not self.student_gan_weight

    def choose_largest(self):
        """Let the GAN loss of the student start at once."""
        self.opt.student_gan_start = self.epoch
        self.opt.student_gan_end = max(self.opt.student_gan_end, self.epoch)

    def compute_visuals(self):
        """Convert the input to an image, and select the images of the labeled inputs."""
        self.real_A = self.encoding.picture(self.condition)
        for name, images in self.shown_labels.items():
            setattr(self, f"fake_{name}", images[:len(self.condition)])
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
        if self.recent_inputs.items:
            with self.validation_autocast():
                calibrate(student, self.calibration_batches())
        return student

    def calibration_batches(self):
        """Yield the recent inputs as batches (N, C, H, W) of the generator."""
        for batch in self.recent_inputs.batches():
            batch = self.to_device(batch)
            # label maps are integers; in states of earlier versions, they are encoded already
            yield batch if batch.is_floating_point() else self.encoding(batch)

    def network_to_validate(self):
        """Return the student as it would be saved."""
        return self.calibrated_student()

    def extra_state(self):
        """Return the state of the filter, of the teachers' training, and the inputs for the calibration."""
        return {"filter": self.filter.state_dict(), "recent": self.recent_inputs.items,
                **self.teachers_state()}

    def load_extra_state(self, state, source):
        """Restore the result of :meth:`extra_state`."""
        check_extra_state(state, source, self.filter, self.netS, self.encoding)
        self.filter.load_state_dict(state["filter"])
        self.recent_inputs.add(state["recent"])
        self.load_teachers_state(state)
