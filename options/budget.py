"""The type of flags that are budgets of MACs or parameters."""
import argparse

from compression import parse_macs


def budget(text):
    """Check a budget of MACs or parameters, and return it as it is written."""
    try:
        parse_macs(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"must be a budget: {error}") from None
    return text
