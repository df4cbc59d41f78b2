"""Find models by name: ``--model foo_bar`` is the class ``FooBarModel`` in models/foo_bar_model.py."""
from util.find_class import class_choices, find_class

from .base_model import BaseModel

_ADVICE = {
    "cycle_gan": "this repository trains on pairs. Train with --model pix2pix on pairs; --model test "
                 "translates images with a trained generator of CycleGAN, copied to latest_net_G.pth"}


def names():
    """List the values of ``--model``."""
    return class_choices(__path__, "model")


def find_model_using_name(model_name):
    """Find the class of ``--model``.

    Raises:
        ValueError: if there is no such model. The message lists the known ones.
    """
    return find_class("--model", model_name, "models", "model", BaseModel, _ADVICE)


def get_option_setter(model_name):
    """Return the ``modify_commandline_options`` of a model."""
    return find_model_using_name(model_name).modify_commandline_options


def create_model(opt):
    """Build the model of ``--model``."""
    return find_model_using_name(opt.model)(opt)
