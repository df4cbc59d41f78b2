"""Models by name: ``--model foo_bar`` is FooBarModel of models/foo_bar_model.py."""

import importlib

from models.base_model import BaseModel


def find_model_using_name(model_name):
    """The class of ``--model``; the last that fits in the module's namespace."""
    module = importlib.import_module(f"models.{model_name}_model")
    wanted, found = model_name.replace("_", "") + "model", None
    for name, value in vars(module).items():
        if name.lower() == wanted and isinstance(value, type) and issubclass(value, BaseModel):
            found = value
    if found is None:
        print(f"models/{model_name}_model.py has no subclass of BaseModel that is called {wanted}")
        exit(0)
    return found


def get_option_setter(model_name):
    """The model's ``modify_commandline_options``."""
    return find_model_using_name(model_name).modify_commandline_options


def create_model(opt):
    """The model of ``--model``."""
    instance = find_model_using_name(opt.model)(opt)
    print(f"model [{type(instance).__name__}] was created")
    return instance
