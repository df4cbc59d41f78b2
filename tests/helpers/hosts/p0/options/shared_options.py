"""What both generations of the host parse: base flags, then the model's, then the data set's."""

import argparse
from pathlib import Path

import data
import models

# flag, type, default; a type of None is a switch
BASE_FLAGS = (
    ("name", str, "experiment_name"),
    ("checkpoints_dir", str, "./checkpoints"),
    ("model", str, "cycle_gan"),
    ("input_nc", int, 3),
    ("output_nc", int, 3),
    ("ngf", int, 64),
    ("ndf", int, 64),
    ("netD", str, "basic"),
    ("netG", str, "resnet_9blocks"),
    ("n_layers_D", int, 3),
    ("norm", str, "instance"),
    ("init_type", str, "normal"),
    ("init_gain", float, 0.02),
    ("no_dropout", None, False),
    ("dataset_mode", str, "unaligned"),
    ("direction", str, "AtoB"),
    ("serial_batches", None, False),
    ("num_threads", int, 4),
    ("batch_size", int, 1),
    ("load_size", int, 286),
    ("crop_size", int, 256),
    ("max_dataset_size", int, float("inf")),
    ("preprocess", str, "resize_and_crop"),
    ("no_flip", None, False),
    ("display_winsize", int, 256),
    ("epoch", str, "latest"),
    ("load_iter", int, 0),
    ("verbose", None, False),
    ("suffix", str, ""),
)
TRAIN_FLAGS = (
    ("display_freq", int, 400),
    ("update_html_freq", int, 1000),
    ("print_freq", int, 100),
    ("no_html", None, False),
    ("save_latest_freq", int, 5000),
    ("save_epoch_freq", int, 5),
    ("save_by_iter", None, False),
    ("continue_train", None, False),
    ("epoch_count", int, 1),
    ("phase", str, "train"),
    ("n_epochs", int, 100),
    ("n_epochs_decay", int, 100),
    ("beta1", float, 0.5),
    ("lr", float, 0.0002),
    ("gan_mode", str, "lsgan"),
    ("pool_size", int, 50),
    ("lr_policy", str, "linear"),
    ("lr_decay_iters", int, 50),
)
TEST_FLAGS = (
    ("results_dir", str, "./results/"),
    ("aspect_ratio", float, 1.0),
    ("phase", str, "test"),
    ("eval", None, False),
    ("num_test", int, 50),
)


def add_flags(parser, flags):
    """Add a table of flags to a parser."""
    for name, kind, default in flags:
        how = {"action": "store_true"} if kind is None else {"type": kind, "default": default}
        parser.add_argument(f"--{name}", **how)


class SharedOptions:
    """The order of parsing; a generation adds its own flags and what it makes of them."""

    def initialize(self, parser):
        """Add the flags of training and testing; returns the parser."""
        parser.add_argument("--dataroot", required=True)
        add_flags(parser, BASE_FLAGS)
        return parser

    def gather_options(self):
        """The options of the command line, with those of the chosen model and data set."""
        parser = self.initialize(
            argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
        )
        known, _ = parser.parse_known_args()
        parser = models.get_option_setter(known.model)(parser, self.isTrain)
        known, _ = parser.parse_known_args()
        parser = data.get_option_setter(known.dataset_mode)(parser, self.isTrain)
        self.parser = parser
        return parser.parse_args()

    def print_options(self, opt):
        """Print the options and store them beside the checkpoints."""
        lines = ["----------------- Options ---------------"]
        for key, value in sorted(vars(opt).items()):
            default = self.parser.get_default(key)
            remark = f"\t[default: {default}]" if value != default else ""
            lines.append(f"{key:>25}: {str(value):<30}{remark}")
        lines.append("----------------- End -------------------")
        print("\n".join(lines))
        folder = Path(opt.checkpoints_dir) / opt.name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{opt.phase}_opt.txt").write_text("\n".join(lines) + "\n")

    def parse(self):
        """Parse, print and store the options."""
        opt = self.gather_options()
        opt.isTrain = self.isTrain
        if opt.suffix:
            opt.name = f"{opt.name}_{opt.suffix.format(**vars(opt))}"
        self.print_options(opt)
        self.opt = opt
        return opt
