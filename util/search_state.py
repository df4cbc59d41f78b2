"""The state of a search, ``search/state.json``, as it is read back."""
from __future__ import annotations

from dataclasses import dataclass

from compression.checkpoints.records import Count


@dataclass
class EvolutionState:
    """The entries of :meth:`compression.search.evolution.Evolution.state_dict`."""

    scores: list[list[dict | float]]
    proposed: list[dict]
    rng: dict


@dataclass
class SingleSearch:
    """The state of one of the three searches."""

    generations: Count
    scored: list[list[dict | float]]
    evolution: EvolutionState


@dataclass
class SearchState:
    """The entries of ``search/state.json`` that are read back."""

    supernet: str
    searches: dict[str, SingleSearch]
    written: bool
