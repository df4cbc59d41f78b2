"""The state of a search, ``search/state.json``, as it is read back."""
from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from compression.checkpoints.files import MAX_STATE_BYTES, read_json
from compression.checkpoints.records import Count, GeneratorState, Length, Limits, read_record
from compression.search.halving import SUBSETS
from options.earlier_runs import RESUME_MUTABLE


@dataclass
class EvolutionState:
    """The entries of :meth:`compression.search.evolution.Evolution.state_dict`."""

    scores: list[tuple[dict, float]]  # architecture, score
    proposed: list[dict]
    rng: GeneratorState
    chosen: dict | None = None


@dataclass
class HalvingState:
    """The entries of :meth:`compression.search.halving.Halving.state_dict`."""

    few: list[tuple[dict, float]]
    full: list[tuple[dict, float]]
    subset: Annotated[int, Limits(0, SUBSETS - 1)] | None = None


@dataclass
class SingleSearch:
    """The state of one of the three searches; `halving` only if there are scores on a few images."""

    generations: Count
    scored: list[tuple[dict, float]]
    evolution: EvolutionState
    halving: HalvingState | None = None


@dataclass
class SearchState:
    """The entries of ``search/state.json`` that are read back."""

    supernet: str
    searches: Annotated[dict[str, SingleSearch], Length(3)]
    written: bool
    finalists: list[list[dict | float]] = field(default_factory=list)


def identify_search(supernet: str, settings: Mapping[str, Any]) -> str:
    """Return the identifier of a search, which a search that is continued keeps.

    Args:
        supernet: checksum of the supernet.
        settings: the settings of the search.
    """
    settings = {name: value for name, value in settings.items() if name not in RESUME_MUTABLE}
    text = json.dumps([supernet, settings], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def require_none_unfinished(path: Path, supernet: str) -> None:
    """Check that a new search does not replace an unfinished one, which ``--continue_train`` continues.

    Args:
        path: ``search/state.json``; a file that is not a state cannot be continued, and is replaced.
        supernet: checksum of the supernet; a search of other weights cannot be continued, either.

    Raises:
        ValueError: if it would.
    """
    if not path.is_file():
        return
    try:
        state = read_record(SearchState, read_json(path, MAX_STATE_BYTES), path)
    except ValueError:
        return
    if state.searches and not state.written and state.supernet == supernet:
        raise ValueError(f"{path} is the state of an unfinished search. Add --continue_train to continue it, "
                         "or --overwrite to replace it with a new search")
