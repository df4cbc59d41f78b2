"""Options of the originals of all families: input, networks, objective.

The family of ``--netG`` sets their defaults. Like ``ugc_options``, this module only needs an argparse parser of the
host. ``models/builders.py`` builds networks and objectives from the parsed options.
"""
from compression.checkpoints import discriminator_flags, original_flags
from compression.distill.features import VGG19_FILE
from compression.elastic.families import family_of, generator_names
from compression.elastic.registry import FAMILIES
from compression.generators.spade import UPSAMPLING

from .precedence import parse_known
from .ugc_options import add_once


def add_original_options(parser, is_train):
    """The flags of all originals, with the defaults of the family of ``--netG``."""
    try:
        family = family_of(parse_known(parser).netG)
    except ValueError:
        family = FAMILIES["resnet"]  # an unknown --netG is told when all options are parsed
    add_input_options(parser, family)
    add_generator_options(parser)
    defaults = {"norm": family.norm, "netD": family.netD, **family.defaults}
    if is_train:
        add_objective_options(parser)
        defaults = {"pool_size": 0, "gan_mode": "vanilla", **defaults}
    known = {action.dest for action in parser._actions}
    parser.set_defaults(**{name: value for name, value in defaults.items() if name in known})
    return parser


def set_defaults_from_checkpoints(parser):
    """What the files of ``--restore_G`` and ``--restore_D``, if given, tell of the networks becomes the default of those
    flags; given ones are checked against the files when these are loaded.

    Raises:
        ValueError: if a file is missing, unreadable or holds no such network.
    """
    known = {action.dest for action in parser._actions}
    opt = parse_known(parser)
    G, D = getattr(opt, "restore_G", None), getattr(opt, "restore_D", None)
    told = discriminator_flags(D) if D else {}
    told = {name: told[name] for name in ("netD", "ndf", "n_layers_D", "num_D") if name in told}
    if G:
        told |= original_flags(G, opt.netG)
        if told["netG"] not in generator_names():
            del told["netG"]
        elif family_of(told["netG"]).semantic:  # what goes in is for --label_nc to say
            del told["input_nc"], told["norm"]
    parser.set_defaults(**{name: value for name, value in told.items() if name in known})


def add_input_options(parser, family):
    """What goes in: images, or label maps."""
    group = parser.add_argument_group("label maps")
    group.add_argument("--label_nc", type=int, default=35 if family.semantic else 0, help="classes of the label maps, "
                       "ids 0 to label_nc - 1; 0: the input is an image")
    group.add_argument("--contain_dontcare_label", action="store_true", help="there is one more class, id label_nc, for "
                       "unknown; 255 in a file is read as this id")
    group.add_argument("--no_instance", action="store_true", help="there are no instance maps, whose edges are an input")


def add_generator_options(parser):
    """What shapes the generators of Pix2PixHD and SPADE."""
    group = parser.add_argument_group("Pix2PixHD and SPADE")
    texts = {"n_downsample_global": "strided convolutions of --netG pix2pixhd",
             "n_blocks_global": "its residual blocks", "n_local_enhancers": "enhancers of --netG pix2pixhd_local",
             "n_blocks_local": "residual blocks of each enhancer"}
    for name, text in texts.items():
        group.add_argument(f"--{name}", type=int, default=FAMILIES["pix2pixhd_local"].flags[name], help=text)
    group.add_argument("--num_upsampling_layers", type=str, default="more", choices=tuple(UPSAMPLING), help="how often "
                       "--netG spade doubles its latent: 5, 6 or 7 times")
    group.add_argument("--norm_G", type=str, default="spectralspadesyncbatch3x3", help="of --model spade: spectral or not, "
                       "and the norm: instance, batch or syncbatch")
    group.add_argument("--norm_D", type=str, default="spectralinstance", help="of --netD spade: spectral or not, and the "
                       "norm: instance, batch or none")
    group.add_argument("--num_D", type=int, default=2, help="scales of the multi-scale discriminators")
    for family in FAMILIES.values():
        for name, default in family.flags.items():  # those of a generator of the user's own
            add_once(group, f"--{name}", type=type(default), default=default, help=f"of the {family.name} generators")


def add_objective_options(parser):
    """What the originals are trained by."""
    group = parser.add_argument_group("objective of the original")
    group.add_argument("--lambda_L1", type=float, default=100.0, help="Pix2Pix: weight of the L1 loss beside the GAN's")
    group.add_argument("--lambda_feat", type=float, default=10.0, help="Pix2PixHD and SPADE: weight of feature matching")
    group.add_argument("--lambda_vgg", type=float, default=10.0, help="and of the perceptual loss")
    group.add_argument("--no_ganFeat_loss", action="store_true", help="no feature matching")
    group.add_argument("--no_vgg_loss", action="store_true", help="no perceptual loss")
    group.add_argument("--vgg19_weights", type=str, help=f"file of torchvision's VGG-19 weights ({VGG19_FILE}; default: "
                       "torch hub's folder; never downloaded). Without them there is no perceptual loss, which is printed")
    group.add_argument("--no_TTUR", action="store_true", help="SPADE: equal learning rates for both networks, Adam as "
                       "elsewhere, instead of half and twice --lr with momenta 0 and 0.9")
