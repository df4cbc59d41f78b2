"""Check that a folder is a checkout that the plugin can be installed in; requires Python alone."""

CHECKOUT = ("train.py", "test.py", "models/base_model.py", "data/base_dataset.py", "options/base_options.py")
# modules of the checkout -> (what they contain since December 2019, what that is)
SINCE_2019 = {"options/*.py": ("n_epochs", "the flag --n_epochs in options/"),
              "models/*.py": ("modify_commandline_options", "modify_commandline_options in models/"),
              "data/base_dataset.py": ("__init__(self, opt", "a constructor in data/base_dataset.py")}


def check_target(target, root):
    """Check that `target` is a checkout of pytorch-CycleGAN-and-pix2pix.

    Args:
        target: the folder.
        root: this repository.

    Raises:
        ValueError: if it is not.
    """
    if not target.exists():
        raise ValueError(f"{target}: no such folder")
    if not target.is_dir():
        raise ValueError(f"{target}: is not a folder")
    if target.resolve() == root.resolve():
        raise ValueError(f"{target}: is this repository itself, which does not need the plugin; give a "
                         "checkout of pytorch-CycleGAN-and-pix2pix")
    missing = [path for path in CHECKOUT if not (target / path).is_file()]
    if missing:
        raise ValueError(f"{target}: is not a checkout of pytorch-CycleGAN-and-pix2pix, because it lacks "
                         f"{', '.join(missing)}")


def check_generation(target, plugin_files):
    """Check that a checkout has the interfaces that the plugin uses, which it has since December 2019.

    Args:
        target: the checkout.
        plugin_files: paths of the plugin, which are not those of the checkout.

    Raises:
        ValueError: if it is older.
    """
    lacking = []
    for pattern, (word, description) in SINCE_2019.items():
        modules = [path for path in target.glob(pattern)
                   if path.is_file() and path.relative_to(target).as_posix() not in plugin_files]
        text = "".join(path.read_text(encoding="utf-8", errors="replace") for path in modules)
        if "class " in text and word not in text:
            lacking.append(description)
    if lacking:
        raise ValueError(f"{target}: is a checkout from before December 2019, because it lacks "
                         f"{', '.join(lacking)}; the plugin needs a later one (git pull in the checkout); "
                         "nothing was copied")
