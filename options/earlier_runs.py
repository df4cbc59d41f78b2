"""What a command takes over from an earlier run: the one it continues, or the one it builds on."""
from pathlib import Path

from compression.checkpoints.files import read_json, write_json
from compression.runtime import distributed
from compression.runtime.text import name_some

from .precedence import parse_known

# settings of the data and the networks that a later stage takes over from the run it builds on
INHERITED = ("dataroot", "base_dataset_mode", "direction", "input_nc", "output_nc", "ngf", "netG", "norm", "no_dropout",
             "label_nc", "contain_dontcare_label", "no_instance", "label_dir", "image_dir", "instance_dir",
             "aspect_ratio", "no_pairing_check", "n_downsample_global", "n_blocks_global", "n_local_enhancers",
             "n_blocks_local", "num_upsampling_layers", "load_size", "crop_size", "preprocess", "label_ratio", "split_by", "unlabeled",
             "unlabeled_dir", "toy_train_images", "toy_test_images", "seed")
TRAINING_ONLY = ("max_dataset_size", "batch_size", "amp", "channels_last", "gan_mode", "lambda_L1", "lambda_feat", "lambda_vgg",
                  "no_vgg_loss", "no_ganFeat_loss", "vgg19_weights", "no_TTUR")  # taken over by a training stage, not by a test or search
# what may differ when a run is continued (--continue_train): it changes neither the mathematics nor the data
RESUME_MUTABLE = frozenset("""name checkpoints_dir suffix epoch load_iter epoch_count n_epochs n_epochs_decay gpu_ids num_threads verbose
    print_freq display_freq display_ncols display_id display_server display_env display_port display_winsize
    update_html_freq no_html save_latest_freq save_epoch_freq save_by_iter eval_every check_data""".split())
# of those, what is not even taken over from the run
PER_COMMAND = frozenset("name checkpoints_dir suffix epoch load_iter epoch_count gpu_ids verbose check_data".split())
_FILE = "train_opt.json"


def take_over(parser, values):
    """Make values of an earlier run the defaults of those flags that the parser has; they need not be given then."""
    for action in parser._actions:
        if action.dest in values:
            action.default, action.required = values[action.dest], False


def settings_to_inherit(folder, is_train):
    """The settings that a stage takes over from the run in `folder`; none if it has not recorded any.

    Raises:
        ValueError: if its file holds something else.
    """
    path = Path(folder) / _FILE
    if not path.is_file():
        return {}
    saved = read_json(path)
    wrong = [key for key, value in saved.items() if not isinstance(value, (str, int, float, list, type(None)))]
    if wrong:
        raise ValueError(f"{path}: holds no options: {name_some(wrong)} of a type that no flag has")
    found = {key: saved[key] for key in INHERITED + TRAINING_ONLY * is_train if key in saved}
    if not is_train and "crop_size" in found:
        found["load_size"] = found["crop_size"]  # whole images: no random crops, as upstream's test defaults
    return found


def save_settings(folder, opt):
    """Record the flags of a training run for the stages that build on it."""
    if distributed.rank() == 0:
        write_json(Path(folder) / _FILE, plain_settings(opt))


def plain_settings(opt):
    """Those of the parsed options that are flags' values."""
    return {key: value for key, value in vars(opt).items() if isinstance(value, (str, int, float, list, type(None)))}


def original_of(folder, epoch):
    """The file of the original that the supernet in `folder` stands for: what ``--restore_G`` named, if it is there, else
    the supernet's own largest network."""
    path = Path(folder) / _FILE
    restored = read_json(path).get("restore_G") if path.is_file() else None
    if isinstance(restored, str) and Path(restored).is_file():
        return Path(restored)
    return Path(folder) / f"{epoch}_net_G.pth"


def inherit(parser, is_train):
    """In an upstream checkout: the flags of the run that this stage builds on (``--supernet``, or at test and search
    ``--name``) become defaults. Our own options do that by themselves, for every model."""
    if hasattr(parser, "arguments"):
        return parser
    known = parse_known(parser)
    source = getattr(known, "supernet", None) or (None if is_train else known.name)
    if source:
        take_over(parser, settings_to_inherit(Path(known.checkpoints_dir) / source, is_train))
    return parser


def forbid_changes(was, now):
    """Compare the flags of a run, `was`, with those of the command that continues it.

    Raises:
        ValueError: naming every flag that differs.
    """
    changed = [f"--{key} was {was[key]}, now {now[key]}" for key in sorted(was) if was[key] != now[key]]
    if changed:
        raise ValueError(f"--continue_train: {'; '.join(changed)}. Leave them away to go on as before; --override goes on "
                         "with the new ones")


def run_name(opt):
    """``--name`` and ``--suffix``, which may use options.

    Raises:
        ValueError: if the suffix uses what is no option (yet).
    """
    return opt.name + ("_" + filled(opt.suffix, vars(opt)) if opt.suffix else "")


def filled(text, values):
    """``--suffix`` with the options in it; ValueError if it names none of them."""
    try:
        return text.format(**values)
    except (KeyError, IndexError, AttributeError, ValueError) as error:
        raise ValueError(f"--suffix {text}: its {{name}} must be an option ({error})") from None
