"""Test a student: its images, next to those of the original if its checkpoint exists."""
from __future__ import annotations

from pathlib import Path

from compression import load_original, load_student
from compression.checkpoints import is_student, run_of
from compression.deploy.exported import open_exported
from compression.runtime.text import printable
from options import original_options, ugc_options
from options.earlier_runs import similar_run
from options.precedence import inherit
from options.precision_options import add_precision_options

from . import builders
from .ugc_base import UGCModel


class UGCStudentModel(UGCModel):
    """Runs a student file, which contains its architecture, always in eval mode and without dropout.

    The file can also be the checkpoint of an original, which then is the only network.
    """

    @staticmethod
    def modify_commandline_options(parser, is_train=False):
        """Add the flags of the originals and of the student, and use paired data, which has ground truth."""
        parser.set_defaults(dataset_mode="aligned")
        original_options.add_original_options(parser, is_train)
        return inherit(ugc_options.add_student_options(add_precision_options(parser, is_train)), is_train)

    def __init__(self, opt):
        UGCModel.__init__(self, opt)
        if self.isTrain:
            raise ValueError("--model ugc_student only tests; train a student with --model ugc_distill")
        self.loss_names = []
        self.model_names = []
        self.optimizers = []
        self.path = Path(opt.student or Path(self.save_dir) / f"{opt.epoch}_student.pth")
        if not self.path.is_file():
            raise ValueError(f"{self.path}: no such student; search.py --name {opt.name} writes one for the "
                             "run of a supernet, train.py --model ugc_distill writes one for its run, and "
                             f"--student FILE selects another file{similar_run(self.path.parent)}")
        self.run = run_of(self.path)
        if self.path.parent == Path(self.save_dir):
            self.read_run(self.path)
        if is_student(self.path):
            self.label = "student"
            self.netG = self.to_device(load_student(self.path))
            self.netOriginal = self._load_original(opt)
        else:
            self.label = "original"
            self.netG = self.to_device(load_original(self.path, **builders.checkpoint_flags(opt)))
            self.netOriginal = None
        self.encoding = builders.build_encoding(opt)
        builders.check_channels(self.encoding, self.netG, self.path)
        self.visual_names = ["real_A", self.label, "real_B"]
        if self.netOriginal:
            self.visual_names.insert(1, "original")
        if getattr(opt, "exported", None):  # not in an upstream checkout
            self.exported_file = open_exported(opt.exported, opt.runtime, opt.threads)
            self.exported_file.check_encoding(self.encoding)
            if not self.exported_file.is_of(self.run):
                print(f"note: {printable(opt.exported)} was exported from another run than that of "
                      f"{printable(self.path)}")
            self.visual_names.insert(-1, "exported")

    def _load_original(self, opt):
        """Load the original of ``--original`` or of the student's file, or return None."""
        if opt.original == "none":
            return None
        path = opt.original or self.netG.meta.get("original")
        if not path or not (opt.original or Path(path).is_file()):
            print(f"no original to compare with: {printable(self.path)} records "
                  f"{printable(path or 'none')}, which does not exist; --original FILE selects one")
            return None
        runs = (self.netG.meta.get("original_run"), run_of(path))
        if not opt.original and all(runs) and runs[0] != runs[1]:
            raise ValueError(f"{path}: another run has replaced the original of {self.path}; set "
                             "--original to a copy of the original, or to none")
        config = self.netG.config  # has settings that the weights of the original do not determine
        settings = {name: config[name] for name in self.netG.ambiguous_settings(config)
                    if name in config and name != "dropout"}
        return self.to_device(load_original(path, **settings))

    def set_input(self, input):
        """Set a batch of inputs and, if the data set has it, the ground truth."""
        A, B = ugc_options.sides(self.opt) if "B" in input else ("A", "B")
        self.item = input[A]
        self.condition = self.encoding(self.to_device(self.item))
        self.image_paths = input[f"{A}_paths"]
        if B in input:
            self.real_B = self.to_device(input[B])
        elif "real_B" in self.visual_names:
            self.visual_names.remove("real_B")

    def forward(self):
        """Translate the inputs with the student and with the original."""
        with self.autocast():
            setattr(self, self.label, self.generate(self.netG, self.condition).float())
            if self.netOriginal:
                self.original = self.generate(self.netOriginal, self.condition).float()
        if self.exported_file:
            self.exported = self.to_device(self.exported_file(self.item))

    def compute_visuals(self):
        """Convert the input to an image."""
        self.real_A = self.encoding.picture(self.condition)

    def optimize_parameters(self):
        """Reject training."""
        raise ValueError("--model ugc_student only tests")

    def networks(self):
        """Return name -> generator whose cost and latency are reported."""
        if not self.netOriginal:
            return {self.label: self.netG}
        return {"original": self.netOriginal, "student": self.netG}

    def metric_pairs(self):
        """Return name -> (images, ground truth) for all images that metrics can score."""
        if "real_B" not in self.visual_names:
            return {}
        names = [*self.networks(), *(["exported"] if self.exported_file else [])]
        return {name: (getattr(self, name), self.real_B) for name in names}
