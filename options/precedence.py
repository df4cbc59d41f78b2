"""How an option gets its value."""
import sys


def without_help(arguments):
    """Drop ``-h`` and ``--help`` from the arguments, so that parsing them does not end the program."""
    return [argument for argument in arguments if argument not in ("-h", "--help")]


def parse_known(parser):
    """Parse the command line with the flags that the parser has so far; other flags are ignored.

    Args:
        parser: an argparse parser. Its attribute ``arguments``, if present, replaces the command line.

    Returns:
        The options.
    """
    arguments = getattr(parser, "arguments", None)
    known, _ = parser.parse_known_args(without_help(sys.argv[1:] if arguments is None else arguments))
    return known
