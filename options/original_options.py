"""Options of the originals, whatever their family: networks, objective, input, learning rates.

The family of ``--netG`` sets the defaults; each function makes of the parsed options what its name says. Like
``ugc_options`` this needs no more of the host than an argparse parser.
"""
from compression import build_discriminator, build_generator, initialize, load_original, load_original_discriminator
from compression.checkpoints import discriminator_flags, original_flags
from compression.runtime.encoding import ImageEncoding, LabelEncoding
from compression.elastic.families import family_of, generator_names
from compression.elastic.registry import FAMILIES
from compression.generators.spade import UPSAMPLING
from compression.elastic.layers import NORMS
from compression.distill.features import VGG19_FILE, build_vgg_loss

from .ugc_options import add_once


def parse_known(parser, name):
    """The value of an option as far as the parser knows it by now."""
    arguments = getattr(parser, "arguments", None)  # what is being parsed, if it is not the command line
    known, _ = parser.parse_known_args(None if arguments is None else
                                       [a for a in arguments if a not in ("-h", "--help")])
    return getattr(known, name)


def add_original_options(parser, is_train):
    """The flags of all originals, with the defaults of the family of ``--netG``."""
    try:
        family = family_of(parse_known(parser, "netG"))
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
    G, D = (parse_known(parser, flag) if flag in known else None for flag in ("restore_G", "restore_D"))
    told = discriminator_flags(D) if D else {}
    told = {name: told[name] for name in ("netD", "ndf", "n_layers_D", "num_D") if name in told}
    if G:
        told |= original_flags(G, parse_known(parser, "netG"))
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


def encoding_from(opt):
    """What makes the generator's input of a batch: ``opt.label_nc`` says whether it is a label map.

    Raises:
        ValueError: if the generator's family takes the other kind of input.
    """
    if getattr(opt, "label_nc", 0):
        return LabelEncoding(opt.label_nc, opt.contain_dontcare_label, not opt.no_instance)
    return ImageEncoding(opt.input_nc)


def norm_of(opt, flag):
    """(norm, whether it is spectral) of ``--norm_G`` or ``--norm_D``."""
    text = getattr(opt, flag)
    norm = text.removeprefix("spectral").removeprefix("spade").removesuffix("3x3").replace("sync_batch", "syncbatch")
    if norm not in NORMS:
        raise ValueError(f"--{flag} {text}: wanted an optional 'spectral' and one of {', '.join(NORMS)}")
    return norm, text.startswith("spectral")


def generator_from(opt, **settings):
    """The original's generator, freshly initialized by ``--init_type``; `settings` are arguments of its family alone."""
    net = build_generator(opt.netG, encoding_from(opt).channels, opt.output_nc, opt.ngf, opt.norm, not opt.no_dropout,
                          **family_flags(opt), **settings)
    return initialize(net, opt.init_type, opt.init_gain)


def restored_generator(opt, path):
    """The generator of a checkpoint of the original, which must be what the options say."""
    return load_original(path, opt.netG, ngf=opt.ngf, norm=opt.norm, no_dropout=opt.no_dropout,
                         input_nc=encoding_from(opt).channels, output_nc=opt.output_nc, **checkpoint_flags(opt))


def family_flags(opt):
    """The flags that shape the generators of the family."""
    return {name: getattr(opt, name) for name in family_of(opt.netG).flags}


def checkpoint_flags(opt):
    """What a checkpoint of the original does not tell, and what it is checked against."""
    return {**family_flags(opt), "crop_size": opt.crop_size, "aspect_ratio": getattr(opt, "aspect_ratio", 1.0)}


def discriminator_from(opt):
    """The original's discriminator, which sees input and image side by side."""
    norm, spectral = norm_of(opt, "norm_D") if opt.netD == "spade" else (opt.norm, None)
    net = build_discriminator(opt.netD, encoding_from(opt).channels + opt.output_nc, opt.ndf, opt.n_layers_D, norm,
                              opt.num_D, not opt.no_ganFeat_loss, bool(spectral))
    return initialize(net, opt.init_type, opt.init_gain)


def restored_discriminator(opt, path):
    """The discriminator of a checkpoint of the original, which must be what the options say."""
    norm = dict(norm_D=opt.norm_D) if opt.netD == "spade" else dict(norm=opt.norm)
    return load_original_discriminator(path, opt.netD, input_nc=encoding_from(opt).channels + opt.output_nc, ndf=opt.ndf,
                                       n_layers_D=opt.n_layers_D, num_D=opt.num_D, **norm)


def objective_from(opt):
    """What the original is trained by; says whether there is a perceptual term."""
    kind = family_of(opt.netG).objective
    values = {name: getattr(opt, name, None) for name in kind.settings}
    if "vgg" in values:
        values["vgg"] = None if opt.no_vgg_loss or not opt.lambda_vgg else build_vgg_loss(opt.vgg19_weights)
        reason = "--no_vgg_loss or --lambda_vgg 0" if opt.no_vgg_loss or not opt.lambda_vgg else f"no {VGG19_FILE} found"
        print("perceptual loss of the original: " + ("VGG-19" if values["vgg"] else f"none ({reason})"))
        values["lambda_feat"] = 0.0 if opt.no_ganFeat_loss else opt.lambda_feat
    return kind(**values)


def adam_from(opt, network):
    """Adam's settings for network "G" or "D": SPADE's two time scales, or --lr and --beta1."""
    if family_of(opt.netG).two_time_scales and not opt.no_TTUR:
        return dict(lr=opt.lr / 2 if network == "G" else opt.lr * 2, betas=(0.0, 0.9))
    return dict(lr=opt.lr, betas=(opt.beta1, 0.999))
