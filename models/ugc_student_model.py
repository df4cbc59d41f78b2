"""The compressed generator at work: images of the student, beside those of the original where it is at hand."""
from __future__ import annotations

from pathlib import Path

from compression import load_original, load_student
from options import original_options, ugc_options
from options.precedence import inherit

from . import builders
from .ugc_base import UGCModel


class UGCStudentModel(UGCModel):
    """Runs a student file, which carries its architecture; always in eval mode, without dropout."""

    @staticmethod
    def modify_commandline_options(parser, is_train=False):
        """Paired data by default, so that there is a ground truth to compare with."""
        parser.set_defaults(dataset_mode="aligned")
        original_options.add_original_options(parser, is_train)
        return inherit(ugc_options.add_student_options(ugc_options.add_precision_options(parser)), is_train)

    def __init__(self, opt):
        UGCModel.__init__(self, opt)
        if self.isTrain:
            raise ValueError("--model ugc_student only tests; train one with --model ugc_distill")
        self.loss_names, self.model_names, self.optimizers = [], [], []
        self.path = Path(opt.student or Path(self.save_dir) / f"{opt.epoch}_student.pth")
        if not self.path.is_file():
            raise ValueError(f"{self.path}: no such student; search.py --name {opt.name} writes one of a supernet's run, "
                             "train.py --model ugc_distill another, and --student FILE names any")
        self.netG = self.to_device(load_student(self.path))
        self.netOriginal = self._original(opt)
        self.encoding = builders.build_encoding(opt)
        if self.encoding.channels != self.netG.config["input_nc"]:
            raise ValueError(f"{self.path}: the student takes {self.netG.config['input_nc']} input channels, the options "
                             f"make {self.encoding.channels} (--input_nc; or --label_nc, --contain_dontcare_label, "
                             "--no_instance)")
        self.visual_names = ["real_A", *(["original"] if self.netOriginal else []), "student", "real_B"]

    def _original(self, opt):
        if opt.original == "none":
            return None
        recorded = opt.original or self.netG.meta.get("original")
        if recorded and (opt.original or Path(recorded).is_file()):
            config = self.netG.config  # what the original's file may not tell, the student's does
            told = {name: config[name] for name in self.netG.ambiguous_settings(config) if name in config and name != "dropout"}
            return self.to_device(load_original(recorded, **told))
        print(f"no original to compare with: {recorded or 'none'} is recorded in {self.path} and not there; "
              "--original FILE names one")
        return None

    def set_input(self, input):
        """Take an input and, where there is one, its ground truth."""
        A, B = ugc_options.sides(self.opt) if "B" in input else ("A", "B")
        self.condition, self.image_paths = self.encoding(self.to_device(input[A])), input[f"{A}_paths"]
        if B in input:
            self.real_B = self.to_device(input[B])
        elif "real_B" in self.visual_names:
            self.visual_names.remove("real_B")

    def forward(self):
        """The student, and the original on the same input."""
        self.student = self.netG(self.condition)
        if self.netOriginal:
            self.original = self.netOriginal(self.condition)

    def compute_visuals(self):
        """The input as an image."""
        self.real_A = self.encoding.picture(self.condition)

    def optimize_parameters(self):
        """There is nothing to optimize."""
        raise ValueError("--model ugc_student only tests")

    def networks(self):
        """The networks to cost and time: name -> generator."""
        return {**({"original": self.netOriginal} if self.netOriginal else {}), "student": self.netG}

    def metric_pairs(self):
        """name -> (image, ground truth) for every image that can be scored."""
        if "real_B" not in self.visual_names:
            return {}
        return {name: (getattr(self, name), self.real_B) for name in self.networks()}
