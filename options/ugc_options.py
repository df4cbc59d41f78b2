"""The option groups of UGC: what each adds to a parser, and what it makes of the parsed options.

Models and data sets call these from ``modify_commandline_options``; nothing here needs more of the host than an
argparse parser, so the same flags appear in an upstream checkout.
"""
from dataclasses import dataclass

from compression.distill.features import KINDS, PIXEL_WEIGHT, VGG16_FILE
from compression.distill.filter import FILTERS
from compression.distill.losses import DistillWeights

TEACHERS = {"multi": ("wide", "deep"), "wide": ("wide",), "deep": ("deep",), "largest": ("largest",)}
UNLABELED = ("split", "none")
SPLITS = ("random", "stretch")


@dataclass(frozen=True)
class SupernetSettings:
    """Stage 1: random sub-networks in a step beside the smallest, and the weights of the sub-networks' L1 losses."""

    n_random: int = 1
    label: float = 100.0
    pseudo: float = 100.0

    def __post_init__(self):
        if self.n_random < 0:
            raise ValueError(f"--n_random_nets must be at least 0, got {self.n_random}")
        for name in ("label", "pseudo"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"--lambda_sub_{name} must be at least 0, got {getattr(self, name)}")


@dataclass(frozen=True)
class LabelSettings:
    """How a training set is split into labeled pairs and unlabeled inputs."""

    ratio: float = 1.0
    seed: int = 0
    split_by: str = "random"
    unlabeled: str = "split"
    unlabeled_dir: str | None = None

    def __post_init__(self):
        if not 0 < self.ratio <= 1:
            raise ValueError(f"--label_ratio must be above 0 and at most 1, got {self.ratio}")
        if self.split_by not in SPLITS:
            raise ValueError(f"--split_by is one of {', '.join(SPLITS)}, got {self.split_by}")
        if self.unlabeled not in UNLABELED:
            raise ValueError(f"--unlabeled is one of {', '.join(UNLABELED)}, got {self.unlabeled}")
        if self.unlabeled == "none" and self.unlabeled_dir:
            raise ValueError(f"--unlabeled none contradicts --unlabeled_dir {self.unlabeled_dir}; leave one away")


def sides(opt):
    """Return the keys of the input and of the target in an item of a paired data set, by ``--direction``."""
    return ("A", "B") if opt.direction == "AtoB" else ("B", "A")


def checkpoint_tag(opt):
    """Return the tag of the checkpoint to load: ``iter_<N>`` with ``--load_iter N``, else the value of ``--epoch``."""
    return f"iter_{opt.load_iter}" if opt.load_iter > 0 else opt.epoch


def add_once(parser, flag, **settings):
    """Add a flag unless the host or another group has it (upstream has no ``--seed``)."""
    if flag not in parser._option_string_actions:
        parser.add_argument(flag, **settings)


def add_precision_options(parser):
    """How networks run."""
    add_once(parser, "--amp", type=str, default="none", choices=("none", "bf16", "fp16"), help="mixed precision; fp16 scales "
             "the losses (ours)")
    add_once(parser, "--channels_last", action="store_true", help="channels-last memory layout, faster on most devices (ours)")
    return parser


def add_label_options(parser):
    """Labels: how many there are, and where unlabeled inputs come from."""
    group = parser.add_argument_group("UGC labels")
    group.add_argument("--label_ratio", type=float, default=1.0, help="share of the training set, above 0 and at most "
                       "1, whose targets are used; the others serve as unlabeled inputs. Splits are nested: those of "
                       "0.1 are among those of 0.25")
    group.add_argument("--split_by", type=str, default="random", choices=SPLITS, help="random: single images; stretch: "
                       "runs of neighboring files, honest for video frames, which look alike")
    group.add_argument("--unlabeled", type=str, default="split", choices=UNLABELED, help="split: the inputs that "
                       "--label_ratio leaves without a label; none: labeled pairs alone")
    group.add_argument("--unlabeled_dir", type=str, help="folder of further inputs that have no target at all")
    add_once(parser, "--seed", type=int, default=0, help="seeds every random choice")
    return parser


def labels_from(opt):
    """Parsed options -> LabelSettings; ValueError for a value out of range."""
    return LabelSettings(opt.label_ratio, opt.seed, opt.split_by, opt.unlabeled, opt.unlabeled_dir)


def add_supernet_options(parser):
    """Stage 1: where the supernet starts from and what a step trains."""
    group = parser.add_argument_group("UGC supernet")
    group.add_argument("--restore_G", type=str, help="checkpoint of the original generator (latest_net_G.pth); the "
                       "largest network starts from exactly its weights, and what the file tells of --netG, --ngf, --norm and the "
                       "like need not be given")
    group.add_argument("--restore_D", type=str, help="checkpoint of the original's discriminator (latest_net_D.pth)")
    group.add_argument("--n_random_nets", type=int, default=1, help="random sub-networks trained in a step, beside the "
                       "largest and the smallest")
    group.add_argument("--lambda_sub_label", type=float, default=SupernetSettings.label, help="weight of the "
                       "sub-networks' L1 distance to the ground truth, on labeled inputs")
    group.add_argument("--lambda_sub_pseudo", type=float, default=SupernetSettings.pseudo, help="weight of the "
                       "sub-networks' L1 distance to the largest network's images, on all inputs")
    return parser


def supernet_from(opt):
    """Parsed options -> SupernetSettings; ValueError for a value out of range."""
    return SupernetSettings(opt.n_random_nets, opt.lambda_sub_label, opt.lambda_sub_pseudo)


def add_distill_options(parser):
    """Stage 2: which networks, which teachers, which losses, which filter."""
    group = parser.add_argument_group("UGC distillation")
    group.add_argument("--supernet", type=str, required=True, help="name of the supernet's run in --checkpoints_dir")
    group.add_argument("--supernet_epoch", type=str, default="latest", help="which of its checkpoints")
    for name, found in (("student", "student"), ("wide", "teacher_wide"), ("deep", "teacher_deep")):
        group.add_argument(f"--{name}_arch", type=str, help=f"JSON file of the {found.replace('_', ' ')}'s "
                           f"architecture (default: the search's, search/{found}.json of the supernet's run)")
    add_teacher_options(parser)
    add_loss_options(parser)
    return add_adf_options(parser)


def add_teacher_options(parser):
    """Which teachers the student has."""
    group = parser.add_argument_group("UGC teachers")
    group.add_argument("--teachers", type=str, default="multi", choices=tuple(TEACHERS), help="multi: the wide and the "
                       "deep one at once; largest: the original itself")
    return parser


def teachers_from(opt):
    """Parsed options -> names of the teachers."""
    if opt.teachers not in TEACHERS:
        raise ValueError(f"--teachers is one of {', '.join(TEACHERS)}, got {opt.teachers}")
    if opt.adf == "agreement" and len(TEACHERS[opt.teachers]) < 2:
        raise ValueError(f"--adf agreement compares two teachers, --teachers {opt.teachers} has one; use multi")
    return TEACHERS[opt.teachers]


def add_loss_options(parser):
    """The distillation losses, with the weights of OMGD."""
    group = parser.add_argument_group("UGC losses")
    help_texts = {"ssim": "1 - SSIM of the student's and the teacher's image",
                  "feature": "L1 distance of their features", "style": "L1 distance of their Gram matrices",
                  "tv": "total variation of the student's image",
                  "cd": "channel distillation from the wide teacher"}
    for name, text in help_texts.items():
        group.add_argument(f"--lambda_{name}", type=float, default=getattr(DistillWeights, name),
                           help=f"weight: {text}")
    group.add_argument("--lambda_pixel", type=float, help="weight: L1 distance of the images (default: 0 with VGG-16's "
                       f"features, else {PIXEL_WEIGHT:g}, since SSIM and a discriminator's features leave colors adrift)")
    group.add_argument("--perceptual", type=str, default="auto", choices=KINDS, help="features to compare images in: "
                       "VGG-16, the teachers' discriminator, none (no feature and style loss); auto is vgg16 where its "
                       "weights are on disk, else discriminator, and the choice is printed")
    group.add_argument("--vgg_weights", type=str, help=f"file of torchvision's VGG-16 weights ({VGG16_FILE}; default: "
                       "torch hub's folder; never downloaded)")
    return parser


def distill_weights_from(opt, pixel=0.0):
    """Parsed options -> DistillWeights, with weight `pixel` where --lambda_pixel is not given; ValueError for a negative
    one."""
    return DistillWeights(opt.lambda_ssim, opt.lambda_feature, opt.lambda_style, opt.lambda_tv, opt.lambda_cd,
                          pixel if opt.lambda_pixel is None else opt.lambda_pixel)


def add_adf_options(parser):
    """The Adaptive Data Filter."""
    group = parser.add_argument_group("UGC Adaptive Data Filter")
    group.add_argument("--adf", type=str, default="discriminator", choices=tuple(FILTERS), help="which fake labels of "
                       "unlabeled inputs count: all (off), those the teacher's discriminator finds real enough, or "
                       "those on which the teachers agree")
    group.add_argument("--adf_quantile", type=float, default=0.5, help="quantile, from 0 to below 1, of the scores on "
                       "labeled inputs that a fake label must reach; higher is stricter")
    return parser


def add_student_options(parser):
    """Running a student: its file and the original to compare it with."""
    group = parser.add_argument_group("UGC student")
    group.add_argument("--student", type=str, help="file of the student (default: <epoch>_student.pth of the run)")
    group.add_argument("--original", type=str, help="checkpoint of the original to show and measure beside it, or none "
                       "(default: what the student's file names, the original that its supernet began with or, from "
                       "scratch, the supernet's largest network)")
    return parser
