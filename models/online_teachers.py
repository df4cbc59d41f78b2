"""The training of the teachers of stage 2 and of their discriminator."""
from __future__ import annotations

from functools import cached_property, partial

import torch

from compression.distill.fake_labels import FakeLabels, images_of_flipped
from compression.originals.objectives import split_samples
from compression.originals.shared_pass import can_share, shared_pass
from compression.runtime.averaging import MovingAverage
from compression.runtime.modes import deterministic, frozen


class OnlineTeachers:
    """Mixin of the distillation: the teachers G_k, which keep training, and their discriminator D.

    Teachers and discriminator take a step in every ``--teacher_every``-th step of the student. With
    ``--lambda_student_gan``, D has a head of the student too.

    Attributes, in addition to those of :class:`models.ugc_distill_model.UGCDistillModel`:
        steps: steps of the student.
        teachers_average: moving average of the teachers' weights, which then makes the fake labels
            (``--ema_teachers``), or None.
        augment: the transformations of the current step (``--diffaugment``).
        shared: name of the head -> pass of the discriminator in the current step that its own update uses
            again.
    """

    steps = 0
    teachers_average = None

    @property
    def teachers_learn(self):
        """Whether teachers and discriminator take a step in the current step."""
        return self.steps % self.opt.teacher_every == 0

    @property
    def labeling_teachers(self):
        """The teachers whose images are the fake labels: with ``--ema_teachers``, their averages."""
        return self.teachers_average.module if self.teachers_average else self.netT

    def start_teachers_average(self):
        """Start the moving average of the teachers' weights, if there is to be one and there is none."""
        decay = self.opt.ema_teachers
        if decay and not self.teachers_average:
            self.teachers_average = MovingAverage(self.netT, decay)

    def pairs(self, image):
        """Concatenate images of the inputs x or z with these inputs, and augment the pairs."""
        return self.augment(torch.cat((self.inputs[:len(image)], image), 1))

    @cached_property
    def shares_passes(self):
        """Whether one pass of the discriminator serves the loss of a generator and its own update.

        A compiled network computes all gradients in every backward pass, so that a shared pass is slower.
        """
        return can_share(self.netD) and not getattr(self.opt, "compile", False)

    def discriminate_fake(self, name, fake):
        """Compute D_k(x, fake) or D_k(z, fake) of head k for the loss of a generator, without gradients of D.

        The discriminator is updated after the generators, so that its update uses the same pass.
        """
        if not self.shares_passes:
            with frozen(self.netD), deterministic(self.netD), self.autocast():
                return self.netD(self.pairs(fake), name)
        with self.autocast():
            prediction, self.shared[name] = shared_pass(
                self.netD, lambda images: self.netD(self.pairs(images), name), fake)
        return prediction

    def discriminate_detached(self, name, fake):
        """Compute D_k(x, sg fake) or D_k(z, sg fake) for the update of the discriminator."""
        if name not in self.shared:
            with self.autocast():
                return self.netD(self.pairs(fake.detach()), name)
        shared = self.shared.pop(name)
        shared.track_again()
        return shared.prediction

    def forward_teachers(self):
        """Compute the teachers' images G_k(x), with ``--lambda_gan_unlabeled`` G_k(z)."""
        inputs = self.inputs[:self.number_of_fakes]
        self.teacher_images = {name: teacher(inputs).float() for name, teacher in self.netT.items()}

    @property
    def number_of_fakes(self):
        """Number of the inputs whose images the discriminator judges: those of x, or of all z."""
        return len(self.inputs if self.opt.lambda_gan_unlabeled else self.condition)

    def discriminate_real(self):
        """Compute D_k(x, y) for every head k; the trunk runs once."""
        with self.autocast():
            trunk = self.netD.trunk(self.pairs(self.real_B))
            return {name: self.netD.head(name, trunk) for name in self.netD.heads}

    def update_teachers(self, pred_real):
        """Update every teacher by the objective L_original(x, y) of the original.

        Args:
            pred_real: name of the teacher -> D_k(x, y).

        Returns:
            Name of the teacher -> D_k(x, G_k(x)) or D_k(z, G_k(z)), detached.
        """
        labeled = len(self.condition)
        detached = {}
        for name, fake in self.teacher_images.items():
            prediction = self.discriminate_fake(name, fake)
            pred_fake, pred_unlabeled = split_samples(prediction, labeled)
            losses = self.objective.generator(pred_fake, fake[:labeled], self.real_B, pred_real[name])
            if self.opt.lambda_gan_unlabeled:
                gan_loss = self.objective.gan(pred_unlabeled, True, False)
                losses["GAN_unlabeled"] = self.opt.lambda_gan_unlabeled * gan_loss
            self.set_losses({f"{name}_{term}": loss for term, loss in losses.items()})
            is_last = name == list(self.teacher_images)[-1]
            self.backward(sum(losses.values()), self.optimizer_T, is_last)
            detached[name] = [[layer.detach() for layer in layers] for layers in prediction]
        self.step(self.optimizer_T)
        self.start_teachers_average()
        if self.teachers_average and self.micro_batch.is_last:
            self.teachers_average.update_parameters(self.netT)
        return detached

    @torch.no_grad()
    def fake_labels(self, pred_fake):
        """Compute the fake labels T_k(z) of every teacher, and D_k(z, T_k(z)).

        Teachers, discriminator, and student see the same batch z, so that their batch norms have the same
        statistics. If the teachers have just been trained on all of z, for example without unlabeled inputs,
        the images and `pred_fake` exist already. Otherwise the updated teachers, or their averages, compute
        the images.

        Args:
            pred_fake: name of the teacher -> D_k(x, G_k(x)), detached; None if the teachers were not trained.

        Returns:
            Name of the teacher -> FakeLabels for all inputs z.
        """
        exist = pred_fake and not self.teachers_average and self._teachers_saw_all()
        # a batch norm of the discriminator would track other statistics without this pass
        needs_prediction = (self.extractor.uses_discriminator or self.filter.uses_prediction
                            or self.discriminator_mixes_samples)
        labels = {}
        with self.autocast(), deterministic(self.netD, self.labeling_teachers):
            for name, teacher in self.labeling_teachers.items():
                if exist:
                    images, prediction = self.teacher_images[name].detach(), pred_fake[name]
                else:
                    images = teacher(self.inputs).float()
                    prediction = self.netD(self.pairs(images), name) if needs_prediction else []
                flipped = images[:0]  # without unlabeled inputs
                if self.filter.uses_flips and len(self.unlabeled):
                    flipped = images_of_flipped(teacher, self.condition, self.unlabeled).float()
                labels[name] = FakeLabels(images, prediction, flipped)
        return labels

    def _teachers_saw_all(self):
        """Return whether the teachers' images are those of all inputs z."""
        return all(len(images) == len(self.inputs) for images in self.teacher_images.values())

    def update_discriminator(self, pred_real):
        """Update trunk and heads with the real pairs (x, y) and the fake pairs (x, sg G_k(x)) of every head.

        Args:
            pred_real: name of the head -> D_k(x, y).
        """
        images = dict(self.teacher_images)
        if self.student_gan_trains:
            images["student"] = self.student_images[:self.number_of_fakes]
        total = 0
        real_pairs = self.pairs(self.real_B)
        for name, fake in images.items():
            fake_pairs = self.pairs(fake.detach())
            pred_fake = self.discriminate_detached(name, fake)
            losses = self.objective.discriminator(pred_real[name], pred_fake)
            # a compiled network has no second derivatives, forward is not compiled
            head = partial(self.netD.forward, name=name)
            penalty = self.objective.penalty(head, real_pairs, fake_pairs[:len(real_pairs)])
            penalty |= self.regularizations[name](head, real_pairs, pred_real[name], pred_fake,
                                                 self.micro_batch.share, self.micro_batch.is_last)
            loss = 0.5 * sum(losses.values()) + sum(penalty.values())
            total = total + loss / len(images)
        self.set_losses({"D": total})
        self.backward(total, self.optimizer_D)
        self.step(self.optimizer_D)

    @property
    def epoch(self):
        """The number of the current epoch, counted from ``--epoch_count``."""
        return self.opt.epoch_count + self.schedulers[0].last_epoch

    @property
    def student_gan_trains(self):
        """Whether the discriminator's head of the student trains: until the last of the epochs."""
        return bool(self.opt.lambda_student_gan) and self.epoch <= self.opt.student_gan_end

    @property
    def student_gan_weight(self):
        """The weight of the student's GAN loss, which is 0 before its first and after its last epoch."""
        has_started = self.epoch >= self.opt.student_gan_start
        return self.opt.lambda_student_gan if has_started and self.student_gan_trains else 0.0

    def teachers_state(self):
        """Return what an exact resume needs of this class, as tensors and plain data.

        The losses of the last step of teachers and discriminator are reported until their next step.
        """
        losses = {name: float(getattr(self, f"loss_{name}")) for name in self.loss_names
                  if hasattr(self, f"loss_{name}")}
        return {"steps": self.steps, "losses": losses,
                "teachers_average": self.teachers_average.state_dict() if self.teachers_average else {},
                "regularization": {name: regularization.state_dict()
                                   for name, regularization in self.regularizations.items()}}

    def load_teachers_state(self, state):
        """Restore the result of :meth:`teachers_state`; states of earlier versions lack its entries."""
        self.steps = int(state.get("steps", 0))
        losses = state.get("losses", {})
        self.set_losses({name: float(losses[name]) for name in self.loss_names if name in losses})
        if state.get("teachers_average") and self.opt.ema_teachers:
            self.start_teachers_average()
            self.teachers_average.load_state_dict(state["teachers_average"])
        for name, regularization in self.regularizations.items():
            regularization.load_state_dict(state.get("regularization", {}).get(name, {}))
