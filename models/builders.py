"""Build networks, objectives and optimizer settings from the parsed options of a run.

This module needs only ``compression`` and the parsed options, so that it also works in an upstream checkout.
"""
from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from compression import (
    Arch,
    build_discriminator,
    build_generator,
    initialize,
    load_original,
    load_original_discriminator,
)
from compression.distill.features import FeatureExtractor, build_feature_extractor
from compression.distill.hed import FETCH_HED, HED_NAME, hed_path
from compression.distill.perceptual_loss import build_perceptual_loss
from compression.distill.vgg import VGG19_FILE
from compression.elastic.families import family_of
from compression.elastic.layers import NORMS
from compression.metrics import METRICS, MetricNetworks, SegmentationNetwork
from compression.metrics.drn import DRN
from compression.metrics.features import (
    checksum,
    find_inception,
    hed_features,
    inception_features,
    load_feature_network,
    segmenter_features,
)
from compression.metrics.hed_distance import HEDDistance
from compression.metrics.inception import INCEPTION_URL
from compression.metrics.perceptual_distance import MISSING_ALEXNET, PerceptualDistance, find_alexnet
from compression.metrics.segmenter import load_segmenter
from compression.originals.regularization import Regularization
from compression.runtime import optimizers
from compression.runtime.encoding import ImageEncoding, LabelEncoding
from compression.runtime.text import unknown

from .distill_checks import check_searched


def build_encoding(opt: Namespace) -> ImageEncoding | LabelEncoding:
    """Build the encoding of a generator's input: label maps if ``--label_nc`` is above 0, else images."""
    if getattr(opt, "label_nc", 0):
        return LabelEncoding(opt.label_nc, opt.contain_dontcare_label, not opt.no_instance)
    return ImageEncoding(opt.input_nc)


def check_channels(encoding: ImageEncoding | LabelEncoding, net: nn.Module, path: str | Path) -> None:
    """Check that a generator takes the inputs that the options describe.

    Args:
        encoding: the encoding of the inputs.
        net: the generator.
        path: its file, for the message.

    Raises:
        ValueError: if the numbers of channels differ, or are not those of images.
    """
    input_nc = net.config["input_nc"]
    if isinstance(encoding, ImageEncoding) and input_nc not in (1, 3):
        raise ValueError(f"{path}: the generator has {input_nc} input channels, which are label maps and not "
                         "images; --label_nc sets the number of classes, with --contain_dontcare_label one "
                         "more channel, and without --no_instance another one for instance maps")
    if encoding.channels != input_nc:
        raise ValueError(f"{path}: the generator has {input_nc} input channels, but the options result in "
                         f"{encoding.channels} (--input_nc; or --label_nc, --contain_dontcare_label, "
                         "--no_instance)")


def parse_norm(opt: Namespace, flag: str) -> tuple[str, bool]:
    """Parse the value of ``--norm_G``, ``--norm_D`` or ``--norm_E``.

    Args:
        opt: parsed options.
        flag: the flag's name, such as ``"norm_G"``.

    Returns:
        The norm, one of ``NORMS``, and whether spectral norm is added.

    Raises:
        ValueError: if the value names an unknown norm.
    """
    text = getattr(opt, flag)
    norm = text.removeprefix("spectral").removeprefix("spade").removesuffix("3x3")
    norm = norm.replace("sync_batch", "syncbatch")
    if norm not in NORMS:
        raise ValueError(f"--{flag} {text}: expected an optional 'spectral' and one of {', '.join(NORMS)}")
    return norm, text.startswith("spectral")


def generator_flags(opt: Namespace) -> dict:
    """Collect the values of the family's own flags, such as ``--n_blocks_global``."""
    return {name: getattr(opt, name) for name in family_of(opt.netG).flags}


def checkpoint_flags(opt: Namespace) -> dict:
    """Collect the flags that the weights in an original's checkpoint do not determine."""
    aspect_ratio = getattr(opt, "aspect_ratio", 1.0)
    return {**generator_flags(opt), "crop_size": opt.crop_size, "aspect_ratio": aspect_ratio}


def build_original(opt: Namespace, **settings) -> nn.Module:
    """Build the generator of the original and initialize it by ``--init_type``.

    Args:
        opt: parsed options.
        settings: further arguments of the family's generator class.
    """
    net = build_generator(opt.netG, build_encoding(opt).channels, opt.output_nc, opt.ngf, opt.norm,
                          not opt.no_dropout, **generator_flags(opt), **settings)
    return initialize(net, opt.init_type, opt.init_gain)


def restore_original(opt: Namespace, path: str | Path) -> nn.Module:
    """Load the generator of the original from a checkpoint.

    Raises:
        ValueError: if the checkpoint is unreadable or contradicts the options.
    """
    input_nc = build_encoding(opt).channels
    return load_original(path, opt.netG, ngf=opt.ngf, norm=opt.norm, no_dropout=opt.no_dropout,
                         input_nc=input_nc, output_nc=opt.output_nc, **checkpoint_flags(opt))


def build_original_discriminator(opt: Namespace) -> nn.Module:
    """Build the discriminator of the original and initialize it by ``--init_type``.

    It is conditional: its input is the generator's input and an image, concatenated along the channels.
    """
    norm, spectral = parse_norm(opt, "norm_D") if opt.netD == "spade" else (opt.norm, False)
    input_nc = build_encoding(opt).channels + opt.output_nc
    net = build_discriminator(opt.netD, input_nc, opt.ndf, opt.n_layers_D, norm, opt.num_D,
                              not opt.no_ganFeat_loss, spectral)
    return initialize(net, opt.init_type, opt.init_gain)


def restore_original_discriminator(opt: Namespace, path: str | Path) -> nn.Module:
    """Load the discriminator of the original from a checkpoint.

    Raises:
        ValueError: if the checkpoint is unreadable or contradicts the options.
    """
    norm = {"norm_D": opt.norm_D} if opt.netD == "spade" else {"norm": opt.norm}
    input_nc = build_encoding(opt).channels + opt.output_nc
    return load_original_discriminator(path, opt.netD, input_nc=input_nc, ndf=opt.ndf,
                                       n_layers_D=opt.n_layers_D, num_D=opt.num_D, **norm)


def build_objective(opt: Namespace) -> nn.Module:
    """Build the training objective of the original and print whether it has a perceptual loss.

    Raises:
        ValueError: if the weights of ``--vgg19_weights`` are missing or unreadable.
    """
    objective: Any = family_of(opt.netG).objective
    settings = {name: getattr(opt, name, None) for name in objective.settings}
    if "vgg" in settings:
        disabled = opt.no_vgg_loss or not opt.lambda_vgg or opt.output_nc == 2
        settings["vgg"] = None if disabled else build_perceptual_loss(opt.vgg19_weights)
        reason = "--no_vgg_loss, --lambda_vgg 0, or --output_nc 2" if disabled else f"no {VGG19_FILE} found"
        name = settings["vgg"].name if settings["vgg"] else f"none ({reason})"
        print(f"perceptual loss of the original: {name}")
        settings["lambda_feat"] = 0.0 if opt.no_ganFeat_loss else opt.lambda_feat
    flag = "--gan_mode wgangp" if opt.gan_mode == "wgangp" else "--lambda_r1" if opt.lambda_r1 else ""
    if flag and opt.netD != "spade" and opt.norm in ("batch", "syncbatch"):
        print(f"note: the gradient penalty of {flag} is one of single samples, and batch norm in "
              "the discriminator mixes those of a batch; the authors of WGAN-GP advise against it (use "
              "--norm instance)")
    return objective(**settings)


def build_regularization(opt: Namespace) -> Regularization:
    """Build the regularization of a discriminator: R1 and LeCam."""
    return Regularization(opt.lambda_r1, opt.lambda_lecam, opt.r1_every, opt.output_nc)


def build_features(opt: Namespace, trunk: Callable[[Tensor, Tensor], list[Tensor]]) -> FeatureExtractor:
    """Build the feature extractor of ``--perceptual``.

    Args:
        opt: parsed options, after :func:`options.ugc_options.resolve_features`.
        trunk: (images, inputs) -> list of activations of the discriminator's trunk.

    Raises:
        ValueError: if the weights are missing or unreadable, ``--perceptual_area`` does not apply, or VGG-16
            or HED is requested for the two channels of colors.
    """
    kind = opt.perceptual
    if opt.output_nc == 2 and (kind in ("vgg16", "hed") or opt.vgg_weights):
        name = "hed" if kind == "hed" else "vgg16"
        raise ValueError(f"--perceptual {name} compares RGB images, but the output of colorization are two "
                         "channels of colors; use --perceptual discriminator")
    return build_feature_extractor(kind, opt.vgg_weights, trunk, opt.perceptual_area)


def adam_settings(opt: Namespace, network: str) -> dict:
    """Compute the learning rate and the betas of a network's Adam optimizer.

    SPADE follows the two time-scale update rule unless ``--no_TTUR`` is given: half of ``--lr`` for the
    generator, twice ``--lr`` for the discriminator, and betas 0 and 0.9.

    Args:
        opt: parsed options.
        network: ``"G"`` or ``"D"``.
    """
    if family_of(opt.netG).two_time_scales and not opt.no_TTUR:
        return {"lr": opt.lr / 2 if network == "G" else opt.lr * 2, "betas": (0.0, 0.9)}
    return {"lr": opt.lr, "betas": (opt.beta1, 0.999)}


def build_adam(opt: Namespace, network: str, parameters: Iterable[Tensor]) -> torch.optim.Adam:
    """Build the Adam optimizer of a network.

    Args:
        opt: parsed options.
        network: that of :func:`adam_settings`.
        parameters: those that it trains.
    """
    settings = adam_settings(opt, network)
    if getattr(opt, "amp", "none") == "fp16":  # its gradient scaler checks the gradients between the kernels
        return torch.optim.Adam(parameters, **settings)
    return optimizers.build_adam(parameters, **settings)


def canonical_metrics(names: Sequence[str], flag: str = "--metrics") -> list[str]:
    """Convert metric names in any case to the spelling of ``METRICS``.

    Args:
        names: metric names.
        flag: the flag they come from, for the message.

    Raises:
        ValueError: if a name is unknown.
    """
    spelling = {name.lower(): name for name in METRICS}
    for name in names:
        if name.lower() not in spelling:
            raise ValueError(unknown(f"{flag} {name}", name, METRICS))
    return [spelling[name.lower()] for name in names]


def build_metric_networks(opt: Namespace, device: torch.device) -> MetricNetworks:
    """Load the networks that the metrics need.

    Returns:
        The networks. ``missing`` gives the reason for each metric that cannot be computed.

    Raises:
        ValueError: if a file named by a flag is missing or unreadable.
    """
    networks = MetricNetworks()
    segmenter = load_segmenter(opt.segmenter).to(device) if opt.segmenter else None
    inception = None if opt.feature_network else find_inception(opt.inception_weights)
    if opt.feature_network:
        networks.features = load_feature_network(opt.feature_network, device)
    elif inception:
        networks.features = inception_features(inception, device)
    elif segmenter:
        networks.features = segmenter_features(segmenter, opt.segmenter, device)
    elif hed_path().is_file():
        networks.features = hed_features(device, "FD")
    else:
        reason = (f"no feature network: put {INCEPTION_URL} into torch hub's folder or name it with "
                  f"--inception_weights; or give --segmenter or --feature_network; or {FETCH_HED}")
        networks.missing |= dict.fromkeys(("FID", "KID"), reason)
    if opt.drn_weights:
        drn = DRN(opt.drn_weights).to(device)
        digest = checksum(opt.drn_weights)
        networks.segmentation = SegmentationNetwork(f"drn-d-105-{digest[:8]}", digest, drn, 19,
                                                    cityscapes=True, stride=8)
    elif segmenter:
        digest = checksum(opt.segmenter)
        networks.segmentation = SegmentationNetwork(f"segmenter-{digest[:8]}", digest, segmenter,
                                                    segmenter.classes, segmenter.meta.get("void"),
                                                    bool(segmenter.meta.get("cityscapes")))
    else:
        networks.missing["mIoU"] = "no segmentation network: give --drn_weights (Cityscapes) or --segmenter"
    if find_alexnet() is None:
        networks.missing["LPIPS"] = MISSING_ALEXNET
    else:
        networks.lpips = PerceptualDistance(device)
    if hed_path().is_file():
        networks.hed = HEDDistance(device)
    else:
        networks.missing[HED_NAME] = f"the weights of HED are missing: {FETCH_HED}"
    return networks


def architecture_files(opt: Namespace, teachers: Sequence[str], folder: Path) -> dict[str, Path]:
    """Return the files of the student and its teachers, by default those in the `folder` of the search.

    Args:
        opt: parsed options of a distillation.
        teachers: names of the teachers.
        folder: folder of the search.
    """
    files = {"student": opt.student_arch or folder / "student.json",
             "wide": opt.wide_arch or folder / "teacher_wide.json",
             "deep": opt.deep_arch or folder / "teacher_deep.json"}
    return {name: Path(path) for name, path in files.items() if name in ("student", *teachers)}


def load_architectures(opt: Namespace, files: Mapping[str, Path], largest: Arch) -> dict[str, Arch]:
    """Load the architectures of the student and its teachers.

    Args:
        opt: parsed options of a distillation.
        files: those of :func:`architecture_files`.
        largest: architecture of the supernet.

    Returns:
        Architectures by the names of the `files`, and the `largest`.

    Raises:
        ValueError: a file is missing or invalid, or of another family than the supernet.
    """
    check_searched(opt, files)
    archs = {"largest": largest} | {name: Arch.load(path) for name, path in files.items()}
    for name, path in files.items():
        if archs[name].family != largest.family:
            raise ValueError(f"{path}: holds an architecture of family '{archs[name].family}', "
                             f"the supernet is of family '{largest.family}'")
    return archs
