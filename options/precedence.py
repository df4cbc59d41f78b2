"""How an option gets its value.

The first of the sources in ``SOURCES`` that has a value for an option decides. argparse only distinguishes
given values from defaults. All sources but the command line therefore set defaults. The order of parsing
applies them from the lowest precedence to the highest, and applies a source again whenever a model or a data
set has added flags:

1. Entry point: ``Options.initialize`` adds flags with their own defaults.
2. Model: its ``modify_commandline_options`` sets defaults, then those of the generator family, then those
   read from checkpoints (``original_options.add_original_options``, ``set_defaults_from_checkpoints``).
3. Data set: its ``modify_commandline_options`` sets defaults. The data set ``adf`` then applies the
   checkpoints again.
4. Earlier run: ``set_defaults`` with the settings of the run that the command continues (after each of the
   steps above) or builds on (after steps 2 and 3). Outside training, :func:`use_whole_images` then adapts
   the size of the images.

``BaseOptions.gather`` runs these steps. In an upstream checkout the host runs the first three, and
:func:`inherit` and ``SearchOptions`` apply the earlier run.
"""
import argparse
import sys
from pathlib import Path

from compression.elastic.families import family_of
from compression.runtime.numbers import Number
from compression.runtime.text import printable

from .earlier_runs import name_of_earlier_run, settings_to_continue, settings_to_inherit
from .run_checks import check_runs
from .student_settings import add_student_settings
from .whole_images import FLAGS, whole_images

# what messages call the types of flags without a range
_KINDS = {int: "an integer", float: "a number", str: "text", None: "text"}
# from the highest to the lowest precedence
SOURCES = {
    "command line": "the flag is given",
    "continued run": "the run or search that --continue_train continues",
    "earlier run": "the run that --supernet names; in test.py, search.py, and evaluate.py the run --name "
                   "and the file of --student",
    "checkpoint": "the files of --restore_G and --restore_D",
    "data set": "what --dataset_mode changes",
    "family": "what the generator family of --netG changes",
    "model": "what --model changes",
    "default": "the default of the flag itself",
}


def describe_order():
    """Describe the precedence of the sources, for ``--help``."""
    lines = ["An option gets its value from the first of these sources that has one:"]
    lines += [f"  {number}. {source}: {text}" for number, (source, text) in enumerate(SOURCES.items(), 1)]
    lines.append(f"The defaults above are those of the sources 2 to {len(SOURCES)} for this command line.")
    return "\n".join(lines)


def without_help(arguments):
    """Drop ``-h`` and ``--help`` from the arguments, so that parsing them does not end the program."""
    return [argument for argument in arguments if argument not in ("-h", "--help")]


def asks_for_help():
    """Return whether the command line has ``-h`` or ``--help``."""
    return len(without_help(sys.argv)) < len(sys.argv)


def parse_known(parser):
    """Parse the command line with the flags that the parser has so far; other flags are ignored.

    No flag is required yet, so that ``--help`` reaches the complete parser.

    Args:
        parser: an argparse parser. Its attribute ``arguments``, if present, replaces the command line.

    Returns:
        The options.
    """
    arguments = getattr(parser, "arguments", None)
    required = [action for action in parser._actions if action.required]
    try:
        for action in required:
            action.required = False
        known, _ = parser.parse_known_args(without_help(sys.argv[1:] if arguments is None else arguments))
    finally:
        for action in required:
            action.required = True
    return known


def check_value(parser, action, value, source):
    """Check a value that was read from a file as argparse checks one of the command line.

    Args:
        parser: the argparse parser of the flag.
        action: the argparse action of the flag.
        value: the value; None is that of a flag without a default that was not given.
        source: where the value comes from, for the message.

    Raises:
        ValueError: if it is not of the flag's type, in its range, or among its choices.
    """
    is_default = type(value) is type(action.default) and value == action.default
    _, _, own_default = _sources(parser).get(action.dest, (None, None, action.default))
    if is_default or value is None and not isinstance(own_default, (bool, int, float)):
        return  # a host's own default may be one that its flag does not parse
    elements = value if action.nargs in ("+", "*") and isinstance(value, list) else [value]
    for element in elements:
        problem = find_problem(parser, action, element)
        if problem:
            raise ValueError(f"{source}: the saved setting --{action.dest} {problem}, got "
                             f"{printable(repr(element), 60)}; the file with the settings is damaged or was "
                             "edited")


def find_problem(parser, action, element):
    """Return what a single value read from a file must be, as ``must be ...``, or None if it is accepted."""
    if action.nargs == 0:
        return None if isinstance(element, bool) else "must be true or false"
    expected = action.type if isinstance(action.type, Number) else _KINDS.get(action.type, "valid")
    try:
        parsed = parser._get_value(action, str(element))
        parser._check_value(action, parsed)
    except argparse.ArgumentError:
        if action.choices is not None and isinstance(element, str):
            expected = f"one of {', '.join(map(str, action.choices))}"
        return f"must be {expected}"
    same_kind = type(parsed) is type(element) or (isinstance(parsed, float) and type(element) is int)
    return None if same_kind and parsed == element else f"must be {expected}"


def set_defaults(parser, source, values):
    """Make the values of a source the defaults of those flags that the parser has.

    These flags are no longer required. The source is recorded for :func:`describe_sources`.

    Args:
        parser: an argparse parser.
        source: a key of ``SOURCES``.
        values: flag name -> value, of a run as ``Settings``. Names that the parser lacks are ignored.
    """
    for action in parser._actions:
        if action.dest in values:
            if source in ("continued run", "earlier run"):
                check_value(parser, action, values[action.dest], values.paths[action.dest])
            _record(parser, source, action.dest, values[action.dest], action.default)
            action.default = values[action.dest]
            action.required = False


def run_setter(parser, source, setter, is_train):
    """Let a model or a data set add flags and change defaults, and record its changes.

    Args:
        parser: an argparse parser.
        source: ``"model"`` or ``"data set"``.
        setter: ``modify_commandline_options`` of the model or the data set.
        is_train: whether the entry point trains.

    Returns:
        The parser that the setter returns.
    """
    before = {action.dest: action.default for action in parser._actions}
    parser = setter(parser, is_train)
    for action in parser._actions:
        changed = action.dest in before and action.default != before[action.dest]
        if changed and _recorded_value(parser, action.dest) != action.default:
            _record(parser, source, action.dest, action.default, before[action.dest])
    return parser


def inherit(parser, is_train):
    """Apply the earlier run in an upstream checkout; ``BaseOptions.gather`` does it in this repository.

    Args:
        parser: the host's parser.
        is_train: whether the entry point trains. Then the earlier run is ``--supernet``, otherwise
            ``--name``.

    Returns:
        The parser.
    """
    if hasattr(parser, "arguments"):  # our own parser
        return parser
    known = parse_known(parser)
    if not asks_for_help():
        check_runs(known, name_of_earlier_run(known), is_train)
    name = earlier_run(known, is_train)
    if name:
        folder = Path(known.checkpoints_dir) / name
        settings = settings_to_inherit(folder, is_train)
        if not is_train:
            settings = add_student_settings(settings, known, folder)
        set_defaults(parser, "earlier run", settings)
    if not is_train:
        use_whole_images(parser)
    continued = getattr(parser, "continued", {})
    if is_train and getattr(known, "continue_train", False):
        continued = settings_to_continue(Path(known.checkpoints_dir) / name_of_earlier_run(known))
    set_defaults(parser, "continued run", continued)
    return parser


def use_whole_images(parser):
    """Set the defaults of ``--preprocess``, ``--load_size``, and ``--crop_size`` to whole images."""
    actions = [action for action in parser._actions if action.dest in FLAGS]
    known = parse_known(parser)
    defaults = {action.dest: action.default for action in actions}
    try:
        parser.set_defaults(**dict.fromkeys(FLAGS))
        without_defaults = parse_known(parser)
    finally:
        parser.set_defaults(**defaults)
    given = {name for name in FLAGS if getattr(without_defaults, name) is not None}
    parser.set_defaults(**whole_images(known, given))


def earlier_run(known, is_train):
    """Return the run that a command builds on, or None.

    It is ``--supernet``, or outside training ``--name`` with its ``--suffix``.
    """
    return getattr(known, "supernet", None) or (None if is_train else name_of_earlier_run(known))


def describe_sources(parser, opt):
    """List the options that another source than the command line changed from the flag's own default.

    Returns:
        One line per source, such as ``from the earlier run: ngf=16, norm=batch``.
    """
    lines = []
    for source in SOURCES:
        changed = [f"{dest}={printable(value)}"
                   for dest, (origin, value, own) in sorted(_sources(parser).items())
                   if origin == source and value != own and getattr(opt, dest, None) == value]
        if changed:
            lines.append(f"from the {source}: {', '.join(changed)}")
    return lines


def _sources(parser):
    """The defaults that a source has set: flag name -> (source, value, the flag's own default)."""
    return vars(parser).setdefault("default_sources", {})


def _record(parser, source, dest, value, previous):
    """Record the source of a default; `previous` is the flag's own default if no source was recorded yet."""
    _, _, own = _sources(parser).get(dest, (None, None, previous))
    _sources(parser)[dest] = (source, value, own)


def _recorded_value(parser, dest):
    _, value, _ = _sources(parser).get(dest, (None, None, None))
    return value


def paired_mode(known, settings, arguments, requested=None):
    """Choose the paired data set.

    Args:
        known: the options parsed so far.
        settings: those of the run that the command continues or builds on, by name.
        arguments: the arguments of the command line.
        requested: the data set that a model of UGC is requested to split, if another than ``aligned``.

    Returns:
        `requested`, except ``label``; ``toy`` without a folder of images; otherwise another paired
        ``--dataset_mode``; otherwise the paired data set of the earlier run, if it had one; otherwise
        ``label`` for label maps, ``colorization`` for a generator of colors, and ``aligned`` for image pairs.
    """
    if requested and requested != "label":
        return requested
    given = {argument.split("=")[0] for argument in arguments}
    has_labels = settings.get("label_dir") or "--label_dir" in given
    if not (known.dataroot or settings.get("dataroot") or has_labels):
        return "toy"
    if known.dataset_mode not in ("aligned", "label", "adf", "single"):
        return known.dataset_mode
    saved = settings.get("base_dataset_mode")
    if saved and saved != "toy":
        return saved
    label_nc = getattr(known, "label_nc", 0)
    if "--label_nc" not in given:  # its default is not known yet
        label_nc = settings.get("label_nc", label_nc)
    is_label = "label" in (known.dataset_mode, requested)
    label_maps = is_label or takes_label_maps(settings.get("netG", known.netG))
    if label_maps and label_nc:
        return "label"
    return "colorization" if settings.get("output_nc") == 2 else "aligned"


def takes_label_maps(netG):
    """Return whether the input of ``--netG`` are label maps; False for an unknown generator."""
    try:
        return family_of(netG).semantic
    except ValueError:  # check_options reports it
        return False


def options_table(opt, parser, changed_only=False):
    """Format the options as upstream does: values that the command line changed show their default.

    Args:
        opt: the options.
        parser: the parser, which knows the defaults.
        changed_only: leave out the options that have their default, and values that are not flags.
    """
    flags = {action.dest for action in parser._actions}
    lines = ["----------------- Options ---------------"]
    for key, value in sorted(vars(opt).items()):
        default = parser.get_default(key)
        if changed_only and (key not in flags or value == default):
            continue
        comment = f"\t[default: {printable(default)}]" if value != default else ""
        lines.append(f"{key:>25}: {printable(value):<30}{comment}")
    return "\n".join([*lines, "----------------- End -------------------"])
