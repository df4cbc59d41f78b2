"""Options of train.py."""
import argparse
import re

from compression.metrics import METRICS
from compression.runtime.numbers import integer, number
from compression.runtime.text import printable
from util.run_folder import folder_of, load_state, state_path

from .base_options import BaseOptions
from .earlier_runs import (
    PER_COMMAND,
    Settings,
    check_code_files,
    name_of_earlier_run,
    similar_run,
    with_unrecorded,
)
from .logger_options import add_logger_options
from .metric_options import add_metric_options
from .search_split import phase_to_compare
from .ugc_options import add_overwrite_option, checkpoint_tag


class TrainOptions(BaseOptions):
    """Upstream's flags for training, and those of validation and of the training step."""

    isTrain = True
    exclusive = True

    def initialize(self, parser):
        """Add the flags for training to those of every entry point."""
        parser = BaseOptions.initialize(self, parser)
        add_display_options(parser)
        add_logger_options(parser)
        add_saving_options(parser)
        add_optimizer_options(parser)
        add_validation_options(parser)
        add_step_options(parser)
        return add_metric_options(parser)

    def saved_settings(self, known):
        """Read the settings of the run that ``--continue_train`` continues.

        Returns:
            Settings by name. They are empty without this flag, and for runs of upstream, which only save
            networks.

        Raises:
            ValueError: if the run has saved nothing.
        """
        if not known.continue_train:
            return {}
        known.name = name_of_earlier_run(known)
        folder = folder_of(known)
        if state_path(folder).is_file():
            saved = with_unrecorded(load_state(folder)["settings"])
            check_code_files(saved, known, state_path(folder))
            return Settings(state_path(folder),
                            {name: value for name, value in saved.items() if name not in PER_COMMAND})
        if not any(folder.glob(f"{checkpoint_tag(known)}_net_*.pth")):
            raise ValueError(f"--continue_train: {folder} holds no saved run, there is nothing to continue; "
                             f"start it without --continue_train{similar_run(folder)}")
        return {}

    def parse(self, arguments=None):
        """Parse the options as ``BaseOptions.parse``, and choose ``--eval_phase`` if it is not given."""
        opt = BaseOptions.parse(self, arguments)
        opt.eval_phase = phase_to_compare(opt, opt.eval_phase)
        return opt

    def check_unchanged(self, settings):
        """Check the settings only if the run continues from its latest state.

        With ``--epoch`` or ``--load_iter``, training starts anew from saved networks, and all flags may
        differ.
        """
        if settings["epoch"] == "latest" and settings["load_iter"] == 0:
            BaseOptions.check_unchanged(self, settings)


def add_display_options(parser):
    """Add the flags of visdom, the HTML page, and the printed losses."""
    add = parser.add_argument
    add("--display_freq", type=integer(1), default=400, help="images between two displays of results")
    add("--display_ncols", type=integer(0), default=4, help="columns of images in visdom")
    add("--display_id", type=integer(-1), default=0,
        help="number of the visdom window; 0: visdom is not used")
    add("--display_server", type=str, default="http://localhost", help="address of the visdom server")
    add("--display_env", type=str, default="main", help="visdom environment")
    add("--display_port", type=integer(1, 65535), default=8097, help="port of the visdom server")
    add("--update_html_freq", type=integer(1), default=1000,
        help="images between two updates of the HTML page")
    add("--print_freq", type=integer(1), default=100, help="images between two printed lines of losses")
    add("--no_html", action="store_true", help="write no HTML page of training results")


def add_saving_options(parser):
    """Add the flags of saving and continuing a run."""
    add = parser.add_argument
    add("--save_latest_freq", type=save_frequency, default=5000,
        help="images between two saves of the latest model, or minutes, such as 10m")
    add("--save_epoch_freq", type=integer(1), default=5,
        help="epochs between two saves under the number of the epoch")
    add("--save_by_iter", action="store_true", help="save the latest model under its iteration number")
    add("--continue_train", action="store_true",
        help="continue the run --name exactly from its last save; flags that are not given keep the values "
             "of the run")
    add("--override", action="store_true",
        help="with --continue_train: continue although flags that affect the result differ (UGC)")
    add_overwrite_option(parser)
    add("--epoch_count", type=integer(1), default=1, help="number of the first epoch")
    add("--phase", type=str, default="train", help="split of the data set: train, val, test, ...")


def add_optimizer_options(parser):
    """Add the flags of Adam, its schedule, and the GAN loss."""
    add = parser.add_argument
    add("--n_epochs", type=integer(0), default=100,
        help="number of epochs with the initial learning rate")
    add("--n_epochs_decay", type=integer(0), default=100,
        help="number of epochs in which the learning rate then decays linearly to zero")
    add("--beta1", type=number(0, below=1), default=0.5, help="beta1 of Adam, the decay of the momentum")
    add("--lr", type=number(0), default=0.0002, help="initial learning rate of Adam")
    add("--gan_mode", type=str, default="lsgan", 
        help="GAN loss: vanilla, lsgan, hinge, or wgangp (with a gradient penalty of weight 10)")
    add("--pool_size", type=integer(0), default=50,
        help="number of images in the buffer of generated images; the models in this repository have no "
             "buffer")
    add("--lr_policy", type=str, default="linear", choices=("linear", "step", "plateau", "cosine"),
        help="schedule of the learning rate: linear as above; step: a tenth after every --lr_decay_iters "
             "epochs; cosine: half a cosine over all epochs; plateau: a fifth after 6 validations without an "
             "improvement by 1%% of the first of --eval_metrics (needs --eval_every)")
    add("--lr_decay_iters", type=integer(1), default=50,
        help="epochs between two decays with --lr_policy step")


def add_validation_options(parser):
    """Add the flags of validation during training."""
    add = parser.add_argument
    add("--eval_every", type=integer(0), default=0,
        help="epochs between two validations; 0: no validation. The networks with the best value of the "
             "first of --eval_metrics are saved as best_net_*.pth (UGC)")
    add("--eval_phase", type=str,
        help="split of the data set for validation; the best networks are selected on its images (default: "
             "search_split, the training images that --search_split holds out; val for data sets other than "
             "adf, which hold out none) (UGC)")
    add("--eval_images", type=integer(1), default=64, help="maximum number of images for validation (UGC)")
    add("--eval_metrics", type=str, nargs="+", default=["L1", "PSNR", "SSIM"],
        help=f"metrics for validation, any of {', '.join(METRICS)} (UGC)")


def add_step_options(parser):
    """Add the flags of the training step."""
    add = parser.add_argument
    add("--accumulate", type=integer(1, 65536), default=1,
        help="number of parts that a batch is divided into. Their gradients are accumulated, which needs "
             "less memory; batch norm uses the statistics of each part (UGC)")
    add("--ema", type=number(0, below=1), default=0.0,
        help="decay, such as 0.999, of the exponential moving average of the generator's weights, which is "
             "saved and validated instead of the weights; at most (1 + n) / (10 + n) after n steps; 0: no "
             "average (UGC)")
    add("--compile", action="store_true",
        help="apply torch.compile to the generators of the originals and of the distillation, but not to a "
             "supernet, whose size changes in every step (UGC)")


def save_frequency(text):
    """Parse ``--save_latest_freq``: return a number of images as int, or minutes as text that ends in m."""
    if re.fullmatch(r"[0-9]{1,9}", text) and int(text) > 0:
        return int(text)
    if re.fullmatch(r"[0-9]{0,6}\.?[0-9]{1,6}m", text) and float(text[:-1]) > 0:
        return text
    raise argparse.ArgumentTypeError("must be a number of images, such as 5000, or of minutes, such as 10m, "
                                     f"got {printable(text, 40)}")
