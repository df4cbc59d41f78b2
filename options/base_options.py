"""Options that training, testing and search share, parsed in upstream's order."""
import argparse
import sys
from pathlib import Path

import torch

import data
import models
from compression.checkpoints.files import write_json, write_text
from compression.elastic.families import canonical_netG, generator_names
from compression.elastic.layers import NORMS
from compression.elastic.registry import FAMILIES
from compression.originals.discriminators import DISCRIMINATORS
from compression.originals.initialization import INIT_TYPES
from compression.runtime import distributed
from data.base_dataset import PREPROCESS

from .earlier_runs import RESUME_MUTABLE, forbid_changes, run_name, settings_to_inherit, take_over
from .precedence import parse_known
from .ugc_options import add_precision_options

LARGEST_SIDE = 16384  # pixels; an image of that side is more than Pillow decodes


class Parser(argparse.ArgumentParser):
    """Says what is wrong with a command line as every other error is said."""

    def error(self, message):
        """Raise it as a ValueError instead of leaving the program."""
        raise ValueError(message)


class BaseOptions:
    """Flags with upstream's names, meanings and defaults; ours beside them say so in their help.

    The order is upstream's: base and train or test flags, then the model's, then the data set's. A flag that is not
    given takes the model's or data set's default, or, where a stage builds on an earlier run, that run's value.
    """

    isTrain = True
    exclusive = False  # whether the entry point holds the run's folder, and writes nothing before it does
    free = RESUME_MUTABLE

    def initialize(self, parser):
        """Add the flags of every entry point."""
        add = parser.add_argument
        add("--dataroot", help="folder of the images; without it the built-in toy data set is used")
        add("--name", type=str, default="experiment_name", help="name of the run: its folder in --checkpoints_dir")
        add("--gpu_ids", type=str, default="auto", help="which GPU, such as 0; -1 for the CPU; auto: the first GPU if "
            "there is one")
        add("--checkpoints_dir", type=str, default="./checkpoints", help="where runs are saved")
        add("--seed", type=int, default=0, help="seeds every random choice (ours)")
        add("--model", type=str, default="pix2pix", help=f"one of: {', '.join(models.names())}")
        add("--input_nc", type=int, default=3, help="channels of the input: 3 RGB, 1 gray")
        add("--output_nc", type=int, default=3, help="channels of the output: 3 RGB, 1 gray")
        add("--ngf", type=int, default=64, help="generator filters in the first layer")
        add("--ndf", type=int, default=64, help="discriminator filters in the first layer")
        add("--netD", type=str, default="basic", help=f"one of: {', '.join(DISCRIMINATORS)}; basic is a 70x70 PatchGAN")
        add("--netG", type=str, default="resnet_9blocks", help=f"one of: {', '.join(generator_names())}")
        add("--n_layers_D", type=int, default=3, help="layers of --netD n_layers")
        add("--norm", type=str, default="instance", help=f"one of: {', '.join(NORMS)}")
        add("--init_type", type=str, default="normal", help=f"one of: {', '.join(INIT_TYPES)}")
        add("--init_gain", type=float, default=0.02, help="scale of the initial weights")
        add("--no_dropout", action="store_true", help="no dropout in the generator")
        add("--dataset_mode", type=str, default="aligned", help=f"one of: {', '.join(data.names())}")
        add("--direction", type=str, default="AtoB", choices=("AtoB", "BtoA"), help="which side is the input")
        add("--serial_batches", action="store_true", help="take images in order instead of shuffled")
        add("--num_threads", "--nThreads", type=int, default=4, help="processes that load images")
        add("--batch_size", "--batchSize", type=int, default=1, help="images in a batch")
        add("--load_size", "--loadSize", type=int, default=286, help="scale images to this size in pixels")
        add("--crop_size", "--fineSize", type=int, default=256, help="then crop to this size")
        add("--max_dataset_size", type=float, default=float("inf"), help="use at most so many images")
        add("--preprocess", "--resize_or_crop", "--preprocess_mode", type=str, default="resize_and_crop",
            help=f"one of: {', '.join(PREPROCESS)}; fixed: to --crop_size wide and --aspect_ratio")
        add("--no_flip", action="store_true", help="do not flip images for augmentation")
        add("--check_data", action="store_true", help="decode and check every file of the data set, tell what was found, and "
            "end; without it files are checked too, but of more than 2000 the headers alone (ours)")
        add("--display_winsize", type=int, default=256, help="width of images in HTML pages, in pixels")
        add("--epoch", "--which_epoch", type=str, default="latest", help="which checkpoint to load: latest or an epoch number")
        add("--load_iter", type=int, default=0, help="if above 0, load iter_<N> instead")
        add("--verbose", action="store_true", help="print the networks")
        add("--suffix", type=str, default="", help="added to the name; may use options, such as {model}_{netG}")
        return add_precision_options(parser)

    def gather(self, arguments):
        """Parse `arguments` through base, model and data set, in upstream's order."""
        parser = Parser(formatter_class=argparse.ArgumentDefaultsHelpFormatter, allow_abbrev=False)
        parser = self.initialize(parser)
        self.arguments = parser.arguments = arguments  # models and data sets look ahead into them
        self.continued = self.saved_settings(parse_known(parser))
        take_over(parser, self.continued)
        known = parse_known(parser)
        parser = models.get_option_setter(known.model)(parser, self.isTrain)
        take_over(parser, self.continued)
        known = parse_known(parser)
        inherited = self.continued or self.inherited(known)
        paired = self.paired_mode(known, inherited)
        parser.set_defaults(base_dataset_mode=paired)
        take_over(parser, {**inherited, "base_dataset_mode": paired})
        if known.dataset_mode in ("aligned", "label"):
            parser.set_defaults(dataset_mode=paired)
        known = parse_known(parser)
        parser = data.get_option_setter(known.dataset_mode)(parser, self.isTrain)
        take_over(parser, {**inherited, "base_dataset_mode": paired})
        self.parser = parser
        return parser.parse_args(arguments)

    def paired_mode(self, known, inherited):
        """The paired data set: the toy one without a data root, else pairs of images or label maps with photos."""
        saved = inherited.get("base_dataset_mode")
        if not (known.dataroot or inherited.get("dataroot") or inherited.get("label_dir") or
                any(a.split("=")[0] == "--label_dir" for a in self.arguments)):
            return "toy"
        if saved and saved != "toy":
            return saved
        netG = inherited.get("netG", known.netG)
        return "label" if known.dataset_mode == "label" or any(netG in (*f.full, *f.aliases) and f.semantic for f in FAMILIES.values()) else "aligned"

    def saved_settings(self, known):
        """The flags of the run that ``--continue_train`` continues; none where there is no such flag."""
        return {}

    def check_unchanged(self, settings):
        """Stop if a flag that matters is not what it was in the continued run.

        Raises:
            ValueError: naming every such flag.
        """
        was = {key: self.continued.get(key, self.parser.get_default(key)) for key in settings.keys() - self.free}
        forbid_changes(was, settings)

    def inherited(self, known):
        """Defaults of the run that this one builds on: ``--supernet``, or at test and search ``--name``."""
        source = getattr(known, "supernet", None) or (None if self.isTrain else known.name)
        return settings_to_inherit(Path(known.checkpoints_dir) / source, self.isTrain) if source else {}

    def parse(self, arguments=None):
        """Parse, check and print the options, save them beside the checkpoints, and choose the device.

        ``opt.settings`` are the flags as given or taken over.

        Raises:
            ValueError: for a value out of range, a GPU that is not there, or a run that is continued otherwise.
        """
        opt = self.gather(sys.argv[1:] if arguments is None else arguments)
        settings = {key: value for key, value in vars(opt).items() if key not in ("continue_train", "override")}
        opt.isTrain = self.isTrain
        opt.name = run_name(opt)
        check(opt)
        settings |= {"netG": opt.netG, "name": opt.name}
        if self.continued and not opt.override:
            self.check_unchanged(settings)
        opt.printed = self.printed(opt)
        opt.settings = settings
        print(opt.printed)
        if not self.exclusive:
            write_options(opt)
        opt.device = device_of(opt.gpu_ids)
        opt.gpu_ids = [] if opt.device.type == "cpu" else [opt.device.index]
        if opt.gpu_ids:
            torch.cuda.set_device(opt.device)
        return opt

    def printed(self, opt):
        """All options as text, those off their default marked."""
        lines = ["----------------- Options ---------------"]
        for key, value in sorted(vars(opt).items()):
            default = self.parser.get_default(key)
            comment = f"\t[default: {default}]" if value != default else ""
            lines.append(f"{key:>25}: {str(value):<30}{comment}")
        return "\n".join([*lines, "----------------- End -------------------"])


def write_options(opt):
    """Write ``<phase>_opt.txt`` beside the checkpoints, of a training run ``train_opt.txt`` and ``.json``."""
    if distributed.rank() or opt.check_data:  # with --check_data nothing runs, so nothing is written
        return
    folder = Path(opt.checkpoints_dir) / opt.name
    write_text(folder / f"{'train' if opt.isTrain else opt.phase}_opt.txt", opt.printed + "\n")
    if opt.isTrain:
        write_json(folder / "train_opt.json", opt.settings)


def check(opt):
    """Stop on values that no data set or model could use."""
    least = {"batch_size": 1, "input_nc": 1, "output_nc": 1, "ngf": 1, "ndf": 1, "load_size": 1, "crop_size": 1,
             "num_threads": 0, "max_dataset_size": 1, "load_iter": 0, "display_freq": 1, "update_html_freq": 1,
             "print_freq": 1, "save_epoch_freq": 1, "epoch_count": 1, "n_epochs": 0,
             "n_epochs_decay": 0, "lr_decay_iters": 1, "lr": 0, "num_test": 1, "seed": 0, "accumulate": 1}
    for key, value in least.items():
        got = getattr(opt, key, value)
        if not isinstance(got, (int, float)) or not got >= value:
            raise ValueError(f"--{key} must be at least {value}, got {got}")
    for key in ("load_size", "crop_size"):
        if getattr(opt, key) > LARGEST_SIDE:
            raise ValueError(f"--{key} must be at most {LARGEST_SIDE}, got {getattr(opt, key)}")
    if not opt.name or "\0" in opt.name:
        raise ValueError(f"--name is the name of a folder, got {opt.name!r}")
    if not 0 <= getattr(opt, "ema", 0) < 1:
        raise ValueError(f"--ema must be in [0, 1), got {opt.ema}")
    opt.netG = canonical_netG(opt.netG)
    if opt.netG not in generator_names():
        raise ValueError(f"unknown generator --netG {opt.netG}, known: {', '.join(generator_names())}")
    if opt.netD not in DISCRIMINATORS:
        raise ValueError(f"unknown discriminator --netD {opt.netD}, known: {', '.join(DISCRIMINATORS)}")
    if opt.norm not in NORMS:
        raise ValueError(f"--norm {opt.norm} is unknown, known: {', '.join(NORMS)}")


def device_of(gpu_ids):
    """``--gpu_ids`` -> the torch device; ValueError for a GPU that is not there, or is another process's."""
    text = str(gpu_ids).strip()
    if text == "auto":
        if not torch.cuda.is_available():
            return torch.device("cpu")
        if distributed.local_rank() >= torch.cuda.device_count():
            raise ValueError(f"process {distributed.local_rank()} of this machine has no GPU of its own, there are "
                             f"{torch.cuda.device_count()}; use at most so many with --nproc_per_node, or --gpu_ids -1, the CPU")
        return torch.device("cuda", distributed.local_rank())
    try:
        ids = [int(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"--gpu_ids is auto, -1 (CPU) or the number of a GPU, got {text!r}") from None
    if ids[0] < 0:
        return torch.device("cpu")
    if len(ids) > 1:
        raise ValueError(f"--gpu_ids takes one GPU, got {text}; torchrun --nproc_per_node {len(ids)} trains on {len(ids)}")
    if distributed.world_size() > 1:
        raise ValueError(f"--gpu_ids {text}: with torchrun every process has the GPU of its number; leave the flag out")
    if ids[0] >= torch.cuda.device_count():
        raise ValueError(f"--gpu_ids {ids[0]}: this machine has {torch.cuda.device_count()} GPUs; -1 is the CPU")
    return torch.device("cuda", ids[0])
