"""Stage 2 of UGC: both teachers go on learning while the student learns from them, on filtered fake labels too."""
from __future__ import annotations

from pathlib import Path

import torch

from compression import (Arch, MultiHeadDiscriminator, calibrate, extract, load_original, load_original_discriminator,
                         save_student)
from compression.distill.losses import ChannelAdapters, distillation_losses, tv_loss
from compression.distill.filter import FILTERS, agreement, realness
from compression.runtime.modes import frozen
from compression.distill.features import build_feature_extractor, rms_normalize
from options import original_options, ugc_options
from options.earlier_runs import original_of
from options.precedence import inherit

from . import builders
from .ugc_base import UGCModel

_CALIBRATION_INPUTS = 64  # recent inputs kept for the student's batch-norm statistics
_CALIBRATION_BATCH = 16  # whose variance counts together, as in search.py


def flatten_scales(scales):
    """Activations over scales and layers -> one list."""
    return [layer for layers in scales for layer in layers]


class UGCDistillModel(UGCModel):
    """Online multi-teacher distillation with the Adaptive Data Filter (UGC, sections 3.2 and 3.3).

    Teachers and student start from their slices of the supernet. The teachers learn from labeled pairs against one
    discriminator with a shared trunk and a head for each; the student learns by distillation alone.
    """

    ema_network = "S"

    @staticmethod
    def modify_commandline_options(parser, is_train=True):
        """The data with unlabeled inputs and the flags of stage 2; the architecture comes from the supernet."""
        parser.set_defaults(dataset_mode="adf", netG="resnet_9blocks")
        original_options.add_original_options(parser, is_train)
        if is_train:
            ugc_options.add_distill_options(parser)
        return inherit(ugc_options.add_precision_options(parser), is_train)

    def __init__(self, opt):
        UGCModel.__init__(self, opt)
        if not self.isTrain:
            raise ValueError("--model ugc_distill trains; test its student with --model ugc_student")
        self.encoding = builders.build_encoding(opt)
        self.teachers = ugc_options.teachers_from(opt)
        self.extractor = build_feature_extractor(opt.perceptual, opt.vgg_weights, self._trunk_features)
        self.weights = ugc_options.distill_weights_from(opt, self.extractor.pixel)
        supernet = self._supernet(opt)
        archs = self._architectures(opt, supernet)
        self.netS = self.to_device(extract(supernet, archs["student"]).train())
        self.netT = self.to_device(torch.nn.ModuleDict(
            {name: extract(supernet, archs[name]) for name in self.teachers}).train())
        self.netD = self.to_device(MultiHeadDiscriminator(self._discriminator(opt), self.teachers).train())
        self.model_names = ["S", "T", "D"]
        self.visual_names = ["real_A", *(f"fake_{name}" for name in self.teachers), "fake_S", "real_B"]
        self.objective = self.to_device(builders.build_objective(opt))
        self.filter = FILTERS[opt.adf](self.teachers, quantile=opt.adf_quantile)
        if isinstance(self.extractor, torch.nn.Module):
            self.to_device(self.extractor)
        print(f"distillation features: {self.extractor.name}")
        self.loss_names = ["D", *(f"{name}_{term}" for name in self.teachers for term in self._terms()), "tv"]
        adam = builders.adam_settings(opt, "G")
        self.optimizer_S = torch.optim.Adam(self.netS.parameters(), **adam)
        self.optimizer_T = torch.optim.Adam(self.netT.parameters(), **adam)
        self.optimizer_D = torch.optim.Adam((p for p in self.netD.parameters() if p.requires_grad),
                                            **builders.adam_settings(opt, "D"))
        self.optimizers = [self.optimizer_S, self.optimizer_T, self.optimizer_D]
        self.taps = ()
        if self.weights.cd:
            self._add_channel_distillation()
        self.calibrated = any(isinstance(m, torch.nn.BatchNorm2d) for m in self.netS.modules())
        self.recent: list[torch.Tensor] = []

    def _terms(self):
        features = ["feature", "style"] if self.extractor.name != "none" else []
        pixel = ["pixel"] if self.weights.pixel else []
        return [*self.objective.terms, "ssim", *pixel, *features, "accepted"]

    def _add_channel_distillation(self):
        if "wide" not in self.teachers:
            raise ValueError(f"--lambda_cd distills from the wide teacher, --teachers {self.opt.teachers} has none")
        self.taps = self.netS.tap_names()
        x = torch.zeros(1, self.netS.config["input_nc"], *self.netS.example_input_size, device=self.device)
        with torch.no_grad():
            widths = [[f.shape[1] for f in net(x, taps=self.taps)[1]] for net in (self.netS, self.netT["wide"])]
        self.netA = self.to_device(ChannelAdapters(*widths))
        self.model_names.append("A")
        self.loss_names.append("wide_cd")
        self.optimizer_S.add_param_group({"params": list(self.netA.parameters())})

    def _folder(self, opt) -> Path:
        return Path(opt.checkpoints_dir) / opt.supernet

    def _supernet(self, opt):
        folder = self._folder(opt)
        if not folder.is_dir():
            raise ValueError(f"--supernet {opt.supernet}: no such run in {opt.checkpoints_dir}; train it with "
                             f"--model ugc_supernet --name {opt.supernet}")
        self.original = original_of(folder, opt.supernet_epoch)
        return load_original(folder / f"{opt.supernet_epoch}_net_G.pth", opt.netG, **builders.checkpoint_flags(opt))

    def _architectures(self, opt, supernet) -> dict[str, Arch]:
        files = {"student": opt.student_arch, "wide": opt.wide_arch, "deep": opt.deep_arch}
        found = {"largest": supernet.full}
        for name in ("student", *(t for t in self.teachers if t != "largest")):
            default = self._folder(opt) / "search" / (f"teacher_{name}.json" if name != "student" else "student.json")
            found[name] = Arch.load(files[name] or default)
            if found[name].family != supernet.family:
                raise ValueError(f"{files[name] or default}: holds an architecture of family '{found[name].family}', "
                                 f"the supernet is of family '{supernet.family}'")
        return found

    def _discriminator(self, opt):
        return load_original_discriminator(self._folder(opt) / f"{opt.supernet_epoch}_net_D.pth")

    def _trunk_features(self, image, condition):
        return flatten_scales(self.netD.trunk(torch.cat((condition, image), 1)))

    def set_input(self, input):
        """Take a labeled pair A, B and, where there is one, an unlabeled input."""
        A, B = ugc_options.sides(self.opt)
        self.condition, self.real_B = self.encoding(self.to_device(input[A])), self.to_device(input[B])
        self.unlabeled = (self.encoding(self.to_device(input["unlabeled"])) if "unlabeled" in input else self.condition[:0])
        self.inputs = torch.cat((self.condition, self.unlabeled))
        self.image_paths = input[f"{A}_paths"]

    def forward(self):
        """The teachers on the labeled inputs, the student on all inputs, each once."""
        with self.autocast():
            self.fakes = {name: self.netT[name](self.condition).float() for name in self.teachers}
            found = self.netS(self.inputs, taps=self.taps)
        fake_all, self.tapped = found if self.taps else (found, [])
        self.fake_all = fake_all.float()

    def optimize_parameters(self):
        """One step: teachers, student, discriminator; all of them use the same discriminator."""
        if self.calibrated:
            self.recent = (self.recent + list(self.inputs.detach()))[-_CALIBRATION_INPUTS:]
        self.forward()
        self.discriminate_real()
        self.update_teachers()
        self.update_student()
        self.update_discriminator()

    def discriminate_real(self):
        """What every head says of the labeled pairs; the trunk sees them once."""
        with self.autocast():
            trunk = self.netD.trunk(torch.cat((self.condition, self.real_B), 1))
            self.pred_real = {name: self.netD.head(name, trunk) for name in self.teachers}

    def update_teachers(self):
        """The original's objective for every teacher; what the discriminator says of their fakes is kept."""
        self.pred_fake = {}
        with frozen(self.netD):
            for name, fake in self.fakes.items():
                with self.autocast():
                    pred_fake = self.netD(torch.cat((self.condition, fake), 1), name)
                losses = self.objective.generator(pred_fake, fake, self.real_B, self.pred_real[name])
                self.set_losses({f"{name}_{term}": loss for term, loss in losses.items()})
                self.backward(sum(losses.values()), self.optimizer_T)
                self.pred_fake[name] = [[layer.detach() for layer in layers] for layers in pred_fake]
        self.step(self.optimizer_T)

    def update_discriminator(self):
        """Real labeled pairs against every teacher's fakes."""
        self.loss_D = 0
        for name, fake in self.fakes.items():
            with self.autocast():
                pred_fake = self.netD(torch.cat((self.condition, fake.detach()), 1), name)
            losses = self.objective.discriminator(self.pred_real[name], pred_fake)
            self.loss_D = self.loss_D + 0.5 * sum(losses.values()) / len(self.fakes)
        self.backward(self.loss_D, self.optimizer_D)
        self.step(self.optimizer_D)

    @torch.no_grad()
    def pseudo_labels(self):
        """Every teacher's images and features for all inputs, and which of them the filter accepts.

        Labeled inputs always count; they also set the filter's thresholds. Returns name -> (images, features, mask).
        """
        labeled, images, features, scores = len(self.condition), {}, {}, {}
        for name, fake in self.fakes.items():
            images[name], pred_fake = fake.detach(), self.pred_fake[name]
            scores[name] = realness(pred_fake)
            if len(self.unlabeled):
                with self.autocast():
                    unlabeled = self.netT[name](self.unlabeled).float()
                    found = self.netD(torch.cat((self.unlabeled, unlabeled), 1), name)
                scores[name] = torch.cat((scores[name], realness(found)))
                images[name] = torch.cat((images[name], unlabeled))
                pred_fake = [[torch.cat(pair) for pair in zip(*both)] for both in zip(pred_fake, found)]
            if self.extractor.name == "discriminator":  # its activations are there already
                features[name] = rms_normalize(flatten_scales([layers[:-1] for layers in pred_fake]))
            else:
                features[name] = self.extractor(images[name], self.inputs)
        if self.opt.adf == "agreement":
            scores = agreement(images)
        self.filter.observe({name: score[:labeled] for name, score in scores.items()})
        accepted = self.filter.accept({name: score[labeled:] for name, score in scores.items()})
        always = torch.ones(labeled, dtype=torch.bool, device=self.device)
        return {name: (images[name], features[name], torch.cat((always, accepted[name]))) for name in self.teachers}

    def update_student(self):
        """Distillation from all teachers at once; the student's features are computed once."""
        targets = self.pseudo_labels()
        with frozen(self.netD):
            with self.autocast():
                features = self.extractor(self.fake_all, self.inputs)
            self.loss_tv = self.weights.tv * tv_loss(self.fake_all)
            total = self.loss_tv
            for name, (image, teacher_features, mask) in targets.items():
                losses = distillation_losses(self.fake_all, image, features, teacher_features, self.weights, mask)
                self.set_losses({f"{name}_{term}": loss for term, loss in losses.items()})
                total = total + sum(losses.values())
                self.set_losses({f"{name}_accepted": self.filter.acceptance[name]})
            if self.taps:
                total = total + self.channel_distillation(targets["wide"][2])
            self.backward(total, self.optimizer_S)
        self.step(self.optimizer_S)

    def channel_distillation(self, mask):
        """The student's channel attentions towards the wide teacher's."""
        with torch.no_grad(), self.autocast():
            teacher = self.netT["wide"](self.inputs, taps=self.taps)[1]
        loss = self.weights.cd * self.netA(self.tapped, teacher, mask)
        self.set_losses({"wide_cd": loss})
        return loss

    def compilable(self):
        """Every network by itself."""
        return [self.netS, *self.netT.values(), self.netD]

    def activations(self):
        """The student's on all inputs, every teacher's, and the discriminator's of real pairs and of all fakes."""
        pair = torch.cat((self.condition, self.real_B), 1).shape
        return [(self.netS, self.inputs.shape, 1), *((net, self.condition.shape, 1) for net in self.netT.values()),
                (self.netD.base, pair, 1 + len(self.teachers))]

    def compute_visuals(self):
        """The input as an image, and every teacher's image beside the student's."""
        self.real_A = self.encoding.picture(self.condition)
        for name, fake in self.fakes.items():
            setattr(self, f"fake_{name}", fake.detach())
        self.fake_S = self.fake_all.detach()[:len(self.condition)]

    def write_networks(self, tag):
        """The networks, and ``<tag>_student.pth``: the student, calibrated, which describes itself."""
        UGCModel.write_networks(self, tag)
        student = extract(self.network_to_save("S"), self.netS.full)
        if self.recent:
            with self.autocast():
                calibrate(student, torch.stack(self.recent).split(_CALIBRATION_BATCH))
        save_student(Path(self.save_dir) / f"{tag}_student.pth", student, stage="distillation",
                     original=str(self.original), supernet=self.opt.supernet, teachers=self.opt.teachers, adf=self.opt.adf,
                     features=self.extractor.name)

    def extra_state(self):
        """The filter's memory and the inputs kept for calibration."""
        return {"filter": self.filter.state_dict(), "recent": [x.cpu() for x in self.recent]}

    def load_extra_state(self, state):
        """The inverse of :meth:`extra_state`."""
        self.filter.load_state_dict(state["filter"])
        self.recent = [self.to_device(x) for x in state["recent"]]
