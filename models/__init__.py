"""Models by name: ``--model foo_bar`` is the class FooBarModel in models/foo_bar_model.py."""
import importlib
from pathlib import Path

from .base_model import BaseModel


def names():
    """The values of ``--model``."""
    return sorted({p.name[:-len("_model.py")] for folder in __path__ for p in Path(folder).glob("*_model.py")
                   if p.stem != "base_model"})


def find_model_using_name(model_name):
    """The model class of ``--model``.

    Raises:
        ValueError: if there is none; the message lists those there are.
    """
    if model_name not in names():
        raise ValueError(f"--model {model_name} is unknown, known: {', '.join(names())}")
    module = importlib.import_module(f"models.{model_name}_model")
    wanted = model_name.replace("_", "") + "model"
    for name, found in vars(module).items():
        if name.lower() == wanted and isinstance(found, type) and issubclass(found, BaseModel):
            return found
    raise ValueError(f"models/{model_name}_model.py holds no subclass of BaseModel named {wanted} (in any case)")


def get_option_setter(model_name):
    """The model's ``modify_commandline_options``."""
    return find_model_using_name(model_name).modify_commandline_options


def create_model(opt):
    """Build the model of ``--model``."""
    return find_model_using_name(opt.model)(opt)
