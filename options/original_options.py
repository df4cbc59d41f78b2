"""Options of the originals of all families: input, networks, objective.

The family of ``--netG`` sets their defaults. Like ``ugc_options``, this module only needs an argparse parser
of the host. ``models/builders.py`` builds networks and objectives from the parsed options.
"""
from compression.checkpoints import discriminator_flags, original_flags
from compression.distill.perceptual_loss import default_vgg19_weights
from compression.distill.vgg import VGG19_FILE
from compression.elastic.families import family_of, generator_names
from compression.elastic.registry import FAMILIES
from compression.generators.spade import UPSAMPLING
from compression.runtime.numbers import integer, number

from .gan_options import add_discriminator_options
from .precedence import parse_known, set_defaults
from .ugc_options import add_once


def add_original_options(parser, is_train):
    """Add the flags of all originals, and set the defaults of the family of ``--netG``."""
    try:
        family = family_of(parse_known(parser).netG)
    except ValueError:
        family = FAMILIES["resnet"]  # the check of the parsed options reports an unknown --netG
    add_input_options(parser, family)
    add_generator_options(parser)
    defaults = {"norm": family.norm, "netD": family.netD, **family.defaults}
    if is_train:
        add_objective_options(parser)
        add_discriminator_options(parser)
        defaults = {"pool_size": 0, "gan_mode": "vanilla", **defaults}
    set_defaults(parser, "family", defaults)
    return parser


def set_defaults_from_checkpoints(parser):
    """Read the settings of the networks from ``--restore_G`` and ``--restore_D`` and make them the defaults.

    Flags that are given on the command line are compared with the files when these are loaded.

    Raises:
        ValueError: if a file is missing, unreadable, or holds another kind of network.
    """
    opt = parse_known(parser)
    restore_G = getattr(opt, "restore_G", None)
    restore_D = getattr(opt, "restore_D", None)
    settings = {}
    if restore_D:
        flags = discriminator_flags(restore_D)
        settings |= {name: flags[name] for name in ("netD", "ndf", "n_layers_D", "num_D") if name in flags}
    if restore_G:
        settings |= original_flags(restore_G, opt.netG)
        if settings["netG"] not in generator_names():
            del settings["netG"]
        elif family_of(settings["netG"]).semantic:  # the input depends on --label_nc
            del settings["input_nc"], settings["norm"]
    set_defaults(parser, "checkpoint", settings)


def add_input_options(parser, family):
    """Add the flags of label maps as input; their default is that of `family`."""
    group = parser.add_argument_group("label maps")
    group.add_argument("--label_nc", type=integer(0, 65536), default=35 if family.semantic else 0,
                       help="number of classes in the label maps, with ids 0 to label_nc - 1; 0: inputs are "
                            "images")
    group.add_argument("--contain_dontcare_label", action="store_true",
                       help="add a class for unknown pixels, with id label_nc; 255 in a file is read as this "
                            "id")
    group.add_argument("--no_instance", action="store_true",
                       help="use no instance maps; with instance maps, their edges are a channel of the "
                            "input")


def add_generator_options(parser):
    """Add the flags of the generators of Pix2PixHD, SPADE, and users' own families."""
    group = parser.add_argument_group("Pix2PixHD and SPADE")
    texts = {"n_downsample_global": "number of strided convolutions in --netG pix2pixhd",
             "n_blocks_global": "number of residual blocks in --netG pix2pixhd",
             "n_local_enhancers": "number of enhancers in --netG pix2pixhd_local",
             "n_blocks_local": "number of residual blocks in each enhancer"}
    for name, text in texts.items():
        group.add_argument(f"--{name}", type=integer(1, 1000),
                           default=FAMILIES["pix2pixhd_local"].flags[name], help=text)
    layers = ", ".join(f"{name} {count}" for name, count in UPSAMPLING.items())
    group.add_argument("--num_upsampling_layers", type=str, default="more", choices=tuple(UPSAMPLING),
                       help=f"number of upsampling layers in --netG spade: {layers}")
    group.add_argument("--norm_G", type=str, default="spectralspadesyncbatch3x3",
                       help="normalization in the generator of --model spade: optionally spectral, then "
                            "spade, the norm (instance, batch, or syncbatch), and 3x3")
    group.add_argument("--norm_D", type=str, default="spectralinstance",
                       help="normalization in --netD spade: optionally spectral, then instance, batch, or "
                            "none")
    group.add_argument("--num_D", type=integer(1, 64), default=2,
                       help="number of scales of a multi-scale discriminator")
    number_types = {int: integer(1), float: number()}
    for family in FAMILIES.values():
        for name, default in family.flags.items():  # of users' own families; the others exist already
            add_once(group, f"--{name}", type=number_types.get(type(default), type(default)), default=default,
                     help=f"setting of the {family.name} generators")


def add_objective_options(parser):
    """Add the flags of the training objectives of the originals."""
    group = parser.add_argument_group("objective of the original")
    group.add_argument("--lambda_L1", type=number(0), default=100.0, help="weight of the L1 loss in Pix2Pix")
    group.add_argument("--lambda_feat", type=number(0), default=10.0,
                       help="weight of the feature matching loss in Pix2PixHD and SPADE")
    group.add_argument("--lambda_vgg", type=number(0), default=10.0,
                       help="weight of the perceptual loss in Pix2PixHD and SPADE")
    group.add_argument("--no_ganFeat_loss", action="store_true", help="use no feature matching loss")
    group.add_argument("--no_vgg_loss", action="store_true", help="use no perceptual loss")
    group.add_argument("--vgg19_weights", type=str,
                       default=default_vgg19_weights(),
                       help=f"file of torchvision's VGG-19 weights (default: {VGG19_FILE} in torch hub's "
                            "folder; never downloaded), or hed for the network of scripts/fetch_hed.py, "
                            "which is the default if only its weights are there. Without weights, there is "
                            "no perceptual loss. The choice is printed")
    group.add_argument("--no_TTUR", action="store_true",
                       help="use one learning rate for both networks of SPADE, and --beta1, instead of the "
                            "two time-scale update rule (half and twice --lr, betas 0 and 0.9)")
