"""Precision and memory layout of the networks: the flags, and what ``auto`` means on the device at hand.

Like ``ugc_options``, this module only needs an argparse parser of the host.
"""
import argparse

from compression.elastic.step_probe import LAYOUT_MARGINS, MARGIN, choose_setting, measure_settings
from compression.runtime import distributed

from .ugc_options import add_once

PRECISIONS = ("none", "bf16", "fp16")
LAYOUTS = {"auto": "auto", "on": True, "off": False, "true": True, "false": False}
SMALLEST_MEASURED = 32 * 128 ** 2  # --ngf times the pixels of an image: steps of smaller networks are short
MEASURED_DEVICES = ("cpu", "cuda")


def add_precision_options(parser, is_train=False):
    """Add the flags of precision and memory layout; only a training measures by default.

    Args:
        parser: an argparse parser, also that of an upstream checkout.
        is_train: whether the entry point trains.
    """
    if not is_train:
        add_once(parser, "--amp", type=str, default="none", choices=PRECISIONS,
                 help="automatic mixed precision (UGC)")
        add_once(parser, "--channels_last", type=layout, nargs="?", const=True, default=False,
                 metavar="{on,off}", help="use the channels-last memory layout (UGC)")
        return parser
    add_once(parser, "--amp", type=str, default="auto", choices=("auto", *PRECISIONS),
             help="automatic mixed precision; fp16 also scales the losses; auto: bf16 if that is at least "
                  "1.15 times as fast as fp32 on the device, measured at the start, else none. Small "
                  "networks are not measured (UGC)")
    add_once(parser, "--channels_last", type=layout, nargs="?", const=True, default="auto",
             metavar="{auto,on,off}",
             help="the channels-last memory layout: on (also without a value), off, or auto: on if that is "
                  "at least 1.15 times as fast on a GPU, or not slower on a CPU, measured at the start (UGC)")
    add_once(parser, "--validate_fp32", action="store_true",
             help="validate in fp32 with any --amp; --amp auto sets it if it chooses bf16 (UGC)")
    return parser


def layout(text):
    """Parse ``--channels_last``: return ``"auto"``, True, or False."""
    if text.lower() not in LAYOUTS:
        raise argparse.ArgumentTypeError(f"must be auto, on, or off, got {text!r}")
    return LAYOUTS[text.lower()]


def resolve_precision(opt, device):
    """Replace ``auto`` in ``opt.amp`` and ``opt.channels_last`` by what is fastest on the device.

    The first of several processes decides for all. One line is printed if anything was measured.

    Args:
        opt: the options, which are changed.
        device: the torch device that trains.
    """
    given = getattr(opt, "amp", "none"), getattr(opt, "channels_last", False)
    if "auto" not in given:
        return
    if opt.ngf * opt.crop_size ** 2 < SMALLEST_MEASURED or device.type not in MEASURED_DEVICES:
        opt.amp = "none" if given[0] == "auto" else given[0]
        opt.channels_last = False if given[1] == "auto" else given[1]
        return
    seconds = distributed.on_rank_zero(lambda: measure_settings(device))
    margin = LAYOUT_MARGINS.get(device.type, MARGIN)
    opt.amp, opt.channels_last = choose_setting(seconds, *given, margin)
    opt.validate_fp32 = opt.validate_fp32 or given[0] == "auto" and opt.amp != "none"
    times = ", ".join(f"{'fp32' if amp == 'none' else amp} {'channels-last' if is_last else 'contiguous'} "
                      f"{1000 * value:.1f} ms" for (amp, is_last), value in seconds.items())
    chosen = " ".join([f"--amp {opt.amp}", f"--channels_last {'on' if opt.channels_last else 'off'}"])
    print(f"precision and memory layout: {chosen} (measured: {times})")
