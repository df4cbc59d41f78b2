"""Options of every entry point, parsed in upstream's order."""
import argparse
import re
import sys
from pathlib import Path

import torch

import data
import models
from compression.checkpoints.files import write_json, write_text
from compression.elastic.families import generator_names
from compression.elastic.layers import NORMS
from compression.originals.discriminators import DISCRIMINATORS
from compression.originals.initialization import INIT_TYPES
from compression.runtime import distributed
from compression.runtime.numbers import ASPECT_RATIO, SEED, SIDE, integer, number
from compression.runtime.text import did_you_mean, printable, unknown
from data.base_dataset import PREPROCESS
from data.cache import MODES
from data.image_folder import LARGEST_IMAGE, limit_pixels

from .checks import check_options
from .earlier_runs import RESUME_MUTABLE, forbid_changes, run_name, settings_to_inherit, without_resume_flags
from .older_spellings import modernize
from .precedence import (
    describe_order,
    describe_sources,
    earlier_run,
    options_table,
    paired_mode,
    parse_known,
    run_setter,
    set_defaults,
    use_whole_images,
)
from .precision_options import add_precision_options, resolve_precision
from .run_checks import check_runs, check_toy_data, require_values
from .ugc_options import resolve_features

# options that can change after parsing: their values are recorded, so that a continued run keeps them
_CHOSEN = ("netG", "name", "amp", "channels_last", "validate_fp32", "perceptual", "lambda_pixel")


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Shows the default of a flag unless it is None, False, or empty, or the help text describes it."""

    def _get_help_string(self, action):
        empty = action.default is None or action.default is False or action.default in ("", [])
        if empty or "default:" in action.help:
            return action.help
        return super()._get_help_string(action)


class Parser(argparse.ArgumentParser):
    """Raises errors of the command line as ValueError, like all other errors of the user."""

    def error(self, message):
        """Raise a ValueError instead of ending the program."""
        flag = re.match(r"unrecognized arguments: (--[\w-]+)", message)
        if flag:
            message += did_you_mean(flag[1], self._option_string_actions, cutoff=0.7)
        value = re.match(r"argument (-[^/: ]+)[^:]*: invalid choice: '(.*)' \(choose from (.*)\)", message)
        if value:
            choices = re.findall(r"[\w-]+", value[3])
            raise ValueError(unknown(f"{value[1]} {value[2]}", value[2], choices))
        raise ValueError(re.sub(r"^argument (-[^/: ]+)[^: ]*: (?=must )", r"\1 ", message))


class BaseOptions:
    """Flags with upstream's names, meanings, and defaults. The help of flags that upstream lacks says (UGC).

    The order of parsing is upstream's: flags of the entry point, then those of the model, then those of the
    data set. ``precedence.py`` documents how an option gets its value.

    Attributes:
        isTrain: whether the entry point trains.
        exclusive: whether the entry point locks the folder of the run before it writes to it.
        resume_mutable: options that may differ when a run is continued.
    """

    isTrain = True
    exclusive = False
    resume_mutable = RESUME_MUTABLE

    def initialize(self, parser):
        """Add the flags of every entry point."""
        add_run_options(parser)
        add_network_options(parser)
        add_data_options(parser)
        add_checkpoint_options(parser)
        return add_precision_options(parser, self.isTrain)

    def gather(self, arguments):
        """Parse `arguments` with the flags of the entry point, the model, and the data set.

        Returns:
            The options. ``self.parser`` is the complete parser.
        """
        arguments, notes = modernize(arguments)
        print("".join(f"note: {printable(note)}\n" for note in notes), end="")
        parser = Parser(formatter_class=HelpFormatter, allow_abbrev=False, epilog=describe_order())
        parser = self.initialize(parser)
        parser.arguments = arguments  # for parse_known, which models and data sets call
        self.continued = self.saved_settings(parse_known(parser))
        set_defaults(parser, "continued run", self.continued)
        setter = models.get_option_setter(parse_known(parser).model)
        parser = run_setter(parser, "model", setter, self.isTrain)
        set_defaults(parser, "continued run", self.continued)
        known = parse_known(parser)
        source = "continued run" if self.continued else "earlier run"
        settings = self.continued or self.inherited(known)
        self.earlier_settings = settings
        paired = {"base_dataset_mode": paired_mode(known, settings, arguments,
                                                    parser.get_default("base_dataset_mode"))}
        parser.set_defaults(**paired)  # also where the flag does not exist (yet)
        set_defaults(parser, source, settings)
        set_defaults(parser, "data set", paired)
        if known.dataset_mode in ("aligned", "label"):
            set_defaults(parser, "data set", {"dataset_mode": paired["base_dataset_mode"]})
        setter = data.get_option_setter(parse_known(parser).dataset_mode)
        parser = run_setter(parser, "data set", setter, self.isTrain)
        set_defaults(parser, source, settings)
        set_defaults(parser, "data set", paired)
        if not self.isTrain and not self.continued:
            use_whole_images(parser)
        self.parser = parser
        return parser.parse_args(arguments)

    def saved_settings(self, known):
        """Return the settings of the run that ``--continue_train`` continues; empty without this flag."""
        return {}

    def inherited(self, known):
        """Return the settings that this command takes from the run that it builds on."""
        name = earlier_run(known, self.isTrain)
        return settings_to_inherit(Path(known.checkpoints_dir) / name, self.isTrain) if name else {}

    def check_runs(self, opt):
        """Check the runs that the command names; ValueError if they do not exist or would be replaced."""
        check_runs(opt, opt.name, self.isTrain)

    def check_unchanged(self, settings):
        """Check that the settings equal those of the continued run, except ``resume_mutable``.

        Raises:
            ValueError: if any differs; the message lists all of them.
        """
        saved = {name: self.continued.get(name, self.parser.get_default(name))
                 for name in settings.keys() - self.resume_mutable}
        forbid_changes(saved, settings)

    def parse(self, arguments=None):
        """Parse, check, print, and save the options, and select the device.

        Args:
            arguments: arguments of the command line, by default those of the program.

        Returns:
            The options. ``opt.settings`` holds the values of the flags, which a continued run compares, and
            ``opt.device`` the device.

        Raises:
            ValueError: if a value is out of range, a GPU does not exist, or the options differ from those of
                the run that is continued.
        """
        arguments = sys.argv[1:] if arguments is None else arguments
        require_values(arguments)
        opt = self.gather(arguments)
        settings = {f"--{name}": value for name, value in vars(opt).items() if name != "num_threads"}
        distributed.check_equal(settings, "their settings (start all of them with the same flags)")
        settings = without_resume_flags(vars(opt))
        opt.isTrain = self.isTrain
        opt.name = run_name(opt)
        check_options(opt)
        self.check_runs(opt)
        if check_toy_data(opt, arguments, self.earlier_settings, self.isTrain):
            print("no --dataroot: the images are those of the built-in toy data set")
        opt.device = device_of(opt.gpu_ids)
        resolve_precision(opt, opt.device)
        resolve_features(opt)
        settings |= {name: getattr(opt, name) for name in _CHOSEN if hasattr(opt, name)}
        if self.continued and not opt.override:
            self.check_unchanged(settings)
        limit_pixels(opt.max_image_pixels)
        opt.printed = options_table(opt, self.parser)
        opt.settings = settings
        print(opt.printed if opt.verbose else options_table(opt, self.parser, changed_only=True))
        print("".join(f"{line}\n" for line in describe_sources(self.parser, opt)), end="")
        if not self.exclusive:
            write_options(opt)
        opt.gpu_ids = [] if opt.device.type == "cpu" else [opt.device.index]
        if opt.gpu_ids:
            torch.cuda.set_device(opt.device)
        return opt


def add_run_options(parser):
    """Add the flags of the run, its device, and its model."""
    add = parser.add_argument
    add("--dataroot", help="folder of the images (default: the built-in toy data set)")
    add("--name", type=str, default="experiment_name",
        help="name of the run, and of its folder in --checkpoints_dir")
    add("--gpu_ids", type=str, default="auto",
        help="number of the GPU, such as 0; -1: the CPU; auto: the first GPU, or the CPU if there is none")
    add("--checkpoints_dir", type=str, default="./checkpoints", help="folder of the runs")
    add("--threads", type=integer(1, 1024),
        help="number of CPU threads of PyTorch, of --exported, and of --latency_ms (default: on Linux, as "
             "many as there are idle cores when train.py, search.py, test.py, or evaluate.py starts, unless "
             "OMP_NUM_THREADS is set; otherwise, and for --latency_ms, that of PyTorch) (UGC)")
    add("--seed", type=SEED, default=0, help="seed of all random choices (UGC)")
    add("--model", type=str, default="pix2pix", help=f"one of {', '.join(models.names())}")


def add_network_options(parser):
    """Add the flags of generator and discriminator."""
    add = parser.add_argument
    add("--input_nc", type=integer(1, 65536), default=3,
        help="channels of input images: 3 for RGB, 1 for grayscale")
    add("--output_nc", type=integer(1, 65536), default=3,
        help="channels of output images: 3 for RGB, 1 for grayscale")
    add("--ngf", type=integer(1, 65536), default=64, help="filters in the first layer of the generator")
    add("--ndf", type=integer(1, 65536), default=64, help="filters in the first layer of the discriminator")
    add("--netD", type=str, default="basic",
        help=f"discriminator, one of {', '.join(DISCRIMINATORS)}; basic is the 70x70 PatchGAN")
    add("--netG", type=str, default="resnet_9blocks",
        help=f"generator, one of {', '.join(generator_names())}")
    add("--n_layers_D", type=integer(1, 64), default=3, help="number of layers of --netD n_layers")
    add("--norm", type=str, default="instance", help=f"normalization, one of {', '.join(NORMS)}")
    add("--init_type", type=str, default="normal",
        help=f"initialization of the weights, one of {', '.join(INIT_TYPES)}")
    add("--init_gain", type=number(above=0), default=0.02, help="scale of the initial weights")
    add("--no_dropout", action="store_true", help="use no dropout in the generator")


def add_data_options(parser):
    """Add the flags of the data set and of its augmentation."""
    add = parser.add_argument
    add("--dataset_mode", type=str, default="aligned", help=f"data set, one of {', '.join(data.names())}")
    add("--direction", type=str, default="AtoB", choices=("AtoB", "BtoA"),
        help="AtoB: A is the input and B the target; BtoA: the reverse")
    add("--serial_batches", action="store_true", help="read the images in order instead of shuffled")
    add("--num_threads", type=integer(0, 4096), default=4, help="number of processes that load images")
    add("--cache", type=str, default="auto", choices=MODES,
        help="training images that are kept in memory after they are decoded and scaled; auto: as many as "
             "fit into a quarter of the free memory; on: all of them; off: none (UGC)")
    add("--batch_size", type=integer(1, 65536), default=1, help="images per batch")
    add("--load_size", type=SIDE, default=286, help="size in pixels that images are scaled to")
    add("--crop_size", type=SIDE, default=256, help="size in pixels of the crops after scaling")
    add("--max_dataset_size", type=number(1, infinite=True), default=float("inf"),
        help="maximum number of images to use: the first ones in the order of their names")
    add("--preprocess", type=str, default="resize_and_crop",
        help=f"scaling and cropping, one of {', '.join(PREPROCESS)}; fixed: width --crop_size, height by "
             "--aspect_ratio; whole: neither. Outside training, images are scaled as in training and not "
             "cropped")
    add("--aspect_ratio", type=ASPECT_RATIO, default=1.0,
        help="ratio of width to height for --preprocess fixed; with other values of --preprocess, test.py "
             "stretches the images that it saves to this ratio")
    add("--max_image_pixels", type=integer(1), default=LARGEST_IMAGE,
        help="refuse image files with more pixels, before they are decoded (UGC)")
    add("--no_flip", action="store_true", help="do not flip images at random")
    add("--check_data", action="store_true",
        help="decode and check every file of the data set, print a report, and exit. Without this flag all "
             "files are checked as well, but only the headers if there are more than 2000 (UGC)")
    add("--display_winsize", type=SIDE, default=256, help="width in pixels of the images in HTML pages")


def add_checkpoint_options(parser):
    """Add the flags that select a checkpoint and name the run."""
    add = parser.add_argument
    add("--epoch", type=str, default="latest",
        help="checkpoint to load: latest, best (saved with --eval_every), or the number of an epoch")
    add("--load_iter", type=integer(0, 10 ** 18 - 1), default=0,
        help="load the checkpoint iter_<N> if this N is above 0")
    add("--verbose", action="store_true", help="print all options, and the layers of the networks")
    add("--suffix", type=str, default="",
        help="text appended to --name; {option} is replaced by its value, as in {model}_{netG}")


def write_options(opt, run=None):
    """Write the options to the folder of the run: ``<phase>_opt.txt``, for training also ``train_opt.json``.

    The latter also records `run`, the identifier of the run. With ``--check_data`` nothing is written,
    because the command only reads. Only training creates a folder, which may be read-only outside training,
    and writes ``train_opt.txt``.
    """
    folder = Path(opt.checkpoints_dir) / opt.name
    if distributed.rank() or opt.check_data or not (opt.isTrain or folder.is_dir()):
        return
    kind = "train" if opt.isTrain else "test_train" if opt.phase == "train" else opt.phase
    try:
        write_text(folder / f"{kind}_opt.txt", opt.printed + "\n")
    except OSError as error:
        if opt.isTrain:
            raise
        print(f"note: the options are not saved: {printable(error)}")
    if opt.isTrain:
        write_json(folder / "train_opt.json", {**({"run": run} if run else {}), **opt.settings})


def device_of(gpu_ids):
    """Return the torch device that ``--gpu_ids`` selects.

    Raises:
        ValueError: if the GPU does not exist or, with several processes, is chosen by number.
    """
    text = str(gpu_ids).strip()
    if text == "auto":
        return automatic_device()
    try:
        ids = [int(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"--gpu_ids must be auto, -1 (CPU), or the number of a GPU, got {text!r}") from None
    if ids[0] < 0:
        return torch.device("cpu")
    if len(ids) > 1:
        raise ValueError(f"--gpu_ids takes one GPU, got {text}; to train on {len(ids)} GPUs, start the "
                         f"command with torchrun --nproc_per_node {len(ids)}")
    if distributed.world_size() > 1:
        raise ValueError(f"--gpu_ids {text}: torchrun assigns a GPU to every process; drop this flag")
    count = torch.cuda.device_count()
    if ids[0] >= count:
        raise ValueError(f"--gpu_ids {ids[0]}: this machine has {count} GPUs; -1 is the CPU")
    return torch.device("cuda", ids[0])


def automatic_device():
    """Return the GPU with the local rank of this process, or the CPU if the machine has no GPU.

    Raises:
        ValueError: if the machine has fewer GPUs than processes.
    """
    if not torch.cuda.is_available():
        return torch.device("cpu")
    rank = distributed.local_rank()
    count = torch.cuda.device_count()
    if rank >= count:
        raise ValueError(f"there is no GPU for process {rank} of this machine, which has {count}; set "
                         f"--nproc_per_node to at most {count}, or use the CPU with --gpu_ids -1")
    return torch.device("cuda", rank)
