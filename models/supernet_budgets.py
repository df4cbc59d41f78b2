"""The windows of MACs that stage 1 trains more often, around the budgets of the search."""
from argparse import Namespace

import numpy as np

from compression import CostModel
from compression.elastic.generator import ElasticGenerator
from compression.runtime.images import padded_size
from compression.runtime.text import giga
from compression.search.sampling import WindowSampler, budget_window
from compression.search.space import SearchSpace
from data.held_out import usual_training_size
from util.search_budgets import SearchBudgets


def build_windows(opt: Namespace, space: SearchSpace, supernet: ElasticGenerator) -> list[WindowSampler]:
    """Build the windows of ``--macs`` and ``--teacher_macs``, and print them.

    They are those that search.py uses by default, for one whole image of the most frequent size.

    Args:
        opt: parsed options of a supernet.
        space: its search space.
        supernet: the generator.

    Returns:
        The samplers of the windows; none without budgets.

    Raises:
        ValueError: if a budget is below the smallest network, or that of the teachers leaves none.
    """
    if not (opt.macs or opt.teacher_macs):
        return []
    cost_model = CostModel.of(supernet, padded_size(supernet, usual_training_size(opt)))
    budgets = SearchBudgets.of(Namespace(macs=opt.macs, teacher_macs=opt.teacher_macs, params=None), space,
                               cost_model)
    rng = np.random.default_rng((opt.seed, 3))  # that of the steps stays as without budgets
    windows = [budget_window(space, cost_model, macs, flag, rng)
               for flag, macs in (("--macs", budgets.macs), ("--teacher_macs", budgets.teacher_macs))]
    budgets.require_teachers()
    texts = [f"{giga(int(window.low))} to {giga(int(window.high))} G" for window in windows]
    print(f"half of the random sub-networks have {' or '.join(texts)} MACs, for an image of "
          f"{cost_model.size[0]}x{cost_model.size[1]} (height x width)")
    return windows
