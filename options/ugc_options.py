"""The flag groups of UGC, and the dataclasses that they configure.

Models and data sets call these functions in ``modify_commandline_options``. They only need an argparse parser
of the host, so that the same flags exist in an upstream checkout.
"""
from dataclasses import dataclass

from compression.distill.features import FEATURES, HED_AREA, KINDS, choose_features
from compression.distill.filter import FILTERS, FilterSettings
from compression.distill.losses import DistillWeights
from compression.distill.vgg import VGG16_FILE
from compression.runtime.numbers import SEED, integer, number

from .budget import budget
from .precedence import parse_known

TEACHERS = {"multi": ("wide", "deep"), "wide": ("wide",), "deep": ("deep",), "largest": ("largest",)}
UNLABELED = ("split", "none")
SPLITS = ("random", "stretch")


@dataclass(frozen=True)
class SupernetSettings:
    """Settings of stage 1.

    Attributes:
        n_random: number of random sub-networks per step, in addition to the smallest.
        label: weight of the L1 loss between the sub-networks' images and the ground truth.
        pseudo: weight of the L1 loss between the sub-networks' images and those of the largest network.
        gan: weight of the GAN loss of the random sub-networks.
        pseudo_on_labeled: whether the loss of `pseudo` includes labeled inputs, see ``--sub_pseudo_inputs``.
    """

    n_random: int = 1
    label: float = 100.0
    pseudo: float = 100.0
    gan: float = 0.0
    pseudo_on_labeled: bool = False

    def __post_init__(self):
        if self.n_random < 0:
            raise ValueError(f"--n_random_nets must be at least 0, got {self.n_random}")
        for name in ("label", "pseudo", "gan"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"--lambda_sub_{name} must be at least 0, got {getattr(self, name)}")
        if self.gan and not self.n_random:
            raise ValueError(f"--lambda_sub_gan {self.gan:g} is a loss of random sub-networks, but there are "
                             "none with --n_random_nets 0")


@dataclass(frozen=True)
class LabelSettings:
    """How a training set is split into labeled pairs and unlabeled inputs.

    Attributes:
        ratio: share of labeled pairs, above 0 and at most 1.
        seed: seed of the random split.
        split_by: ``random`` or ``stretch``, see ``--split_by``.
        unlabeled: ``split`` or ``none``, see ``--unlabeled``.
        unlabeled_dir: folder of further unlabeled inputs.
        search_split: share of the pairs and of the unlabeled inputs that no training step sees.
    """

    ratio: float = 1.0
    seed: int = 0
    split_by: str = "random"
    unlabeled: str = "split"
    unlabeled_dir: str | None = None
    search_split: float = 0.0

    def __post_init__(self):
        if not 0 <= self.search_split < 1:
            raise ValueError(f"--search_split must be at least 0 and below 1, got {self.search_split}")
        if not 0 < self.ratio <= 1:
            raise ValueError(f"--label_ratio must be above 0 and at most 1, got {self.ratio}")
        if self.split_by not in SPLITS:
            raise ValueError(f"--split_by must be one of {', '.join(SPLITS)}, got {self.split_by}")
        if self.unlabeled not in UNLABELED:
            raise ValueError(f"--unlabeled must be one of {', '.join(UNLABELED)}, got {self.unlabeled}")
        if self.unlabeled == "none" and self.unlabeled_dir:
            raise ValueError(f"--unlabeled none contradicts --unlabeled_dir {self.unlabeled_dir}; drop one "
                             "of them")


def sides(opt):
    """Return the keys of the input and of the target in an item of a paired data set, by ``--direction``."""
    return ("A", "B") if opt.direction == "AtoB" else ("B", "A")


def checkpoint_tag(opt):
    """Return the tag of the checkpoint to load: ``iter_<N>`` for ``--load_iter N``, else ``--epoch``."""
    return f"iter_{opt.load_iter}" if opt.load_iter > 0 else opt.epoch


def add_once(parser, flag, **settings):
    """Add a flag unless the host or another group has added it (upstream has no ``--seed``)."""
    if flag not in parser._option_string_actions:
        parser.add_argument(flag, **settings)


def split_data_set(parser):
    """Let ``--dataset_mode`` mean the base data set of ``adf``, which splits it.

    Args:
        parser: an argparse parser, also that of an upstream checkout.

    Returns:
        The parser.
    """
    default = parser.get_default("dataset_mode")  # of upstream: unaligned, which has no pairs
    parser.set_defaults(dataset_mode=None)
    given = parse_known(parser).dataset_mode
    parser.set_defaults(dataset_mode=default)
    if given not in (None, "adf", "aligned"):
        parser.set_defaults(base_dataset_mode=given)
    for action in parser._actions:
        if action.dest == "dataset_mode":
            action.type = lambda _: "adf"
    return parser


def add_overwrite_option(parser):
    """Add ``--overwrite``."""
    add_once(parser, "--overwrite", action="store_true",
             help="replace the run that the folder --name holds; its networks, logs, and search are deleted "
                  "when the new run saves for the first time (UGC)")


def add_label_options(parser):
    """Add the flags of labeled pairs and unlabeled inputs."""
    group = parser.add_argument_group("UGC labels")
    group.add_argument("--label_ratio", type=number(above=0, at_most=1), default=1.0,
                       help="share of the training set whose targets are used, above 0 and at most 1; the "
                            "other inputs are unlabeled. The labeled pairs of a smaller share are among "
                            "those of a larger share")
    group.add_argument("--split_by", type=str, default="random", choices=SPLITS,
                       help="random: split single images; stretch: split runs of neighboring files, for "
                            "videos, whose frames look alike")
    group.add_argument("--unlabeled", type=str, default="split", choices=UNLABELED,
                       help="split: train also on the unlabeled inputs; none: train only on labeled pairs")
    group.add_argument("--unlabeled_dir", type=str,
                       help="folder of further unlabeled inputs, images or label maps (default: no folder)")
    group.add_argument("--unlabeled_instance_dir", type=str,
                       help="folder of the instance maps of --unlabeled_dir, for a generator that takes them "
                            "(default: the Cityscapes files *_instanceIds.png in --unlabeled_dir)")
    group.add_argument("--search_split", type=number(0, below=1), default=0.1,
                       help="share of the labeled pairs, which count as labels, and of the unlabeled inputs "
                            "that is held out of training, for search.py and --eval_every; 0: none")
    group.add_argument("--split_seed", type=SEED,
                       help="seed of the choice of the labeled pairs and of --search_split; later stages "
                            "keep it, whatever their --seed (default: --seed)")
    add_once(parser, "--seed", type=SEED, default=0, help="seed of all random choices")
    return parser


def labels_from(opt):
    """Build the LabelSettings from the options; ValueError if a value is out of range."""
    seed = opt.seed if opt.split_seed is None else opt.split_seed
    return LabelSettings(opt.label_ratio, seed, opt.split_by, opt.unlabeled, opt.unlabeled_dir,
                         opt.search_split)


def add_supernet_options(parser):
    """Add the flags of stage 1: the original's checkpoints and the losses of the sub-networks."""
    add_overwrite_option(parser)
    group = parser.add_argument_group("UGC supernet")
    group.add_argument("--restore_G", type=str,
                       help="checkpoint of the original generator (latest_net_G.pth). The largest network "
                            "starts from its weights. Its settings are the defaults of --netG, --ngf, "
                            "--norm, and similar flags (default: random weights)")
    group.add_argument("--restore_D", type=str,
                       help="checkpoint of the original discriminator (latest_net_D.pth) (default: random "
                            "weights)")
    group.add_argument("--n_random_nets", type=integer(0, 1000), default=1,
                       help="number of random sub-networks trained per step, in addition to the largest and "
                            "the smallest network")
    group.add_argument("--macs", type=budget,
                       help="MACs budget of the student, as that of search.py, which takes it from this run: "
                            "half of the random sub-networks use at least 0.8 of it or of --teacher_macs "
                            "(default: none)")
    group.add_argument("--teacher_macs", type=budget,
                       help="MACs budget of the teachers, likewise (default with --macs: as in search.py)")
    group.add_argument("--lambda_sub_label", type=number(0),
                       help="weight of the L1 loss between the sub-networks' images and the ground truth, on "
                            "labeled inputs (default: that of the original's own L1 loss, which is "
                            "--lambda_L1 for Pix2Pix, and 0 for Pix2PixHD and SPADE, which have none; 0 "
                            "without unlabeled inputs)")
    group.add_argument("--lambda_sub_pseudo", type=number(0), default=SupernetSettings.pseudo,
                       help="weight of the L1 loss between the sub-networks' images and those of the largest "
                            "network")
    group.add_argument("--sub_pseudo_inputs", type=str, default="auto",
                       choices=("auto", "unlabeled", "all"),
                       help="inputs of this loss: unlabeled, or all; auto: all with --lambda_sub_label 0")
    group.add_argument("--lambda_sub_gan", type=number(0), default=SupernetSettings.gan,
                       help="weight of the GAN loss of the random sub-networks, on labeled inputs; 0: the "
                            "discriminator only sees images of the largest network")
    return parser


def supernet_from(opt, l1=0.0):
    """Build the SupernetSettings from the options.

    Args:
        opt: parsed options.
        l1: the default of ``--lambda_sub_label``.

    Raises:
        ValueError: if a value is out of range.
    """
    label = l1 if opt.lambda_sub_label is None else opt.lambda_sub_label
    on_labeled = {"unlabeled": False, "all": True, "auto": not label}[opt.sub_pseudo_inputs]
    return SupernetSettings(opt.n_random_nets, label, opt.lambda_sub_pseudo, opt.lambda_sub_gan, on_labeled)


def add_distill_options(parser):
    """Add the flags of stage 2: networks, teachers, losses, and filter."""
    add_overwrite_option(parser)
    group = parser.add_argument_group("UGC distillation")
    group.add_argument("--supernet", type=str, required=True,
                       help="name of the supernet's run in --checkpoints_dir (required)")
    group.add_argument("--supernet_epoch", type=str, default="latest",
                       help="checkpoint of the supernet: latest or the number of an epoch")
    for flag, network, name in (("student", "student", "student"), ("wide", "wide teacher", "teacher_wide"),
                                ("deep", "deep teacher", "teacher_deep")):
        group.add_argument(f"--{flag}_arch", type=str,
                           help=f"JSON file of the architecture of the {network} (default: the result of the "
                                f"search, search/{name}.json in the supernet's run)")
    add_teacher_options(parser)
    add_loss_options(parser)
    return add_adf_options(parser)


def add_teacher_options(parser):
    """Add the flag of the teachers."""
    group = parser.add_argument_group("UGC teachers")
    group.add_argument("--teachers", type=str, default="multi", choices=tuple(TEACHERS),
                       help="multi: the wide and the deep teacher; wide, deep: one of them; largest: the "
                            "original")
    group.add_argument("--teacher_every", type=integer(1, 10 ** 6), default=1,
                       help="steps of the student from one step of the teachers and the discriminator to the "
                            "next (OMGD: 3)")
    group.add_argument("--ema_teachers", type=number(0, below=1), default=0.0,
                       help="decay, such as 0.99, of the exponential moving average of the teachers' "
                            "weights, which then makes the images that the student learns from; 0: the "
                            "teachers themselves")
    return parser


def teachers_from(opt):
    """Return the names of the teachers.

    Raises:
        ValueError: if ``--teachers`` is unknown.
    """
    if opt.teachers not in TEACHERS:
        raise ValueError(f"--teachers must be one of {', '.join(TEACHERS)}, got {opt.teachers}")
    return TEACHERS[opt.teachers]


def add_loss_options(parser):
    """Add the weights of the distillation losses, with the defaults of OMGD, and the features to compare."""
    group = parser.add_argument_group("UGC losses")
    help_texts = {"ssim": "1 - SSIM between the images of student and teacher",
                  "feature": "L1 loss between features of these images",
                  "style": "L1 loss between Gram matrices of these features",
                  "tv": "total variation of the student's image",
                  "cd": "channel distillation from the wide teacher"}
    for name, text in help_texts.items():
        group.add_argument(f"--lambda_{name}", type=number(0), default=getattr(DistillWeights, name),
                           help=f"weight of the {name} loss: {text}")
    group.add_argument("--lambda_pixel", type=number(0),
                       help="weight of the pixel loss: L1 loss between the images (default: 0 with the "
                            "features of VGG-16 and HED, otherwise "
                            f"{FEATURES['discriminator'].pixel_weight:g}, because SSIM and the features of a "
                            "discriminator do not constrain the colors)")
    group.add_argument("--perceptual", type=str, default="auto", choices=KINDS,
                       help="features in which images are compared: of VGG-16, of HED (a VGG-16 for edges; "
                            "scripts/fetch_hed.py fetches it), of the teachers' discriminator, or none (no "
                            "feature and no style loss); auto: vgg16 if its weights are on disk, otherwise "
                            "discriminator. The choice is printed")
    group.add_argument("--perceptual_area", type=number(above=0, at_most=1),
                       help="share of an image's area in which the features of VGG-16 and HED are compared: "
                            "a random window in every step. Their cost is proportional to it (default: "
                            f"{HED_AREA:g} with HED, 1 with VGG-16)")
    group.add_argument("--vgg_weights", type=str,
                       help=f"file of torchvision's VGG-16 weights (default: {VGG16_FILE} in torch hub's "
                            "folder; never downloaded)")
    return parser


def resolve_features(opt):
    """Replace ``--perceptual auto`` and the weight of the pixel loss by what a continued run must keep.

    Args:
        opt: the options, which are changed if they are those of a distillation.
    """
    if not hasattr(opt, "perceptual"):
        return
    opt.perceptual = choose_features(opt.perceptual, opt.vgg_weights, opt.output_nc)
    if opt.lambda_pixel is None:
        opt.lambda_pixel = FEATURES[opt.perceptual].pixel_weight


def distill_weights_from(opt):
    """Build the DistillWeights from the options, after :func:`resolve_features`."""
    return DistillWeights(opt.lambda_ssim, opt.lambda_feature, opt.lambda_style, opt.lambda_tv, opt.lambda_cd,
                          opt.lambda_pixel)


def add_adf_options(parser):
    """Add the flags of the Adaptive Data Filter."""
    group = parser.add_argument_group("UGC Adaptive Data Filter")
    group.add_argument("--adf", type=str, default="consistency", choices=tuple(FILTERS),
                       help="which fake labels of unlabeled inputs are used: those about which the teachers "
                            "agree and that are consistent under a flip of the input (consistency); all of "
                            "them, with weights of patches by the agreement of the teachers (soft); those "
                            "that score as high as labeled inputs in the agreement of the teachers "
                            "(agreement) or in the realness for their discriminator (discriminator); or all "
                            "of them (off)")
    group.add_argument("--adf_keep", type=number(above=0, at_most=1), default=FilterSettings.keep,
                       help="share of the unlabeled inputs whose fake labels --adf consistency keeps, above "
                            "0 and at most 1")
    group.add_argument("--adf_tau", type=number(above=0), default=FilterSettings.tau,
                       help="L1 distance between the teachers' images, in [-1, 1], at which --adf soft gives "
                            "a patch the weight 1/e; smaller is stricter")
    group.add_argument("--adf_quantile", type=number(0, below=1), default=FilterSettings.quantile,
                       help="threshold of --adf agreement and discriminator: a quantile of the scores on "
                            "labeled inputs, at least 0 and below 1; higher is stricter")
    return parser


def filter_settings_from(opt):
    """Build the FilterSettings from the options; ValueError if a value is out of range."""
    return FilterSettings(opt.adf_keep, opt.adf_quantile, opt.adf_tau)


def add_student_options(parser):
    """Add the flags of running a student and comparing it with its original."""
    group = parser.add_argument_group("UGC student")
    group.add_argument("--student", "--network", type=str,
                       help="file of the student, or the checkpoint of any original to run in its place "
                            "(default: <epoch>_student.pth of the run)")
    group.add_argument("--original", type=str,
                       help="checkpoint of the original to compare with, or none (default: the checkpoint "
                            "recorded in the student's file: the original that the supernet started from, or "
                            "the largest network of a supernet trained from scratch)")
    return parser
