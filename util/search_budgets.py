"""The budgets of a search: of the student, and of its teachers."""
from __future__ import annotations

from argparse import Namespace
from dataclasses import dataclass

from compression import Arch, CostModel, SearchSpace, parse_macs
from compression.runtime.text import giga
from compression.search.evolution import Evolution

from .latency_budget import LatencyBudget


@dataclass(frozen=True)
class SearchBudgets:
    """MACs (published convention) and parameters that the networks of a search may have.

    Attributes:
        space: search space of the student.
        cost_model: computes the costs.
        macs: maximum MACs of the student.
        teacher_macs: maximum MACs of each teacher.
        params: maximum number of parameters of the student, or None.
        original_macs: MACs of the largest network, the original.
        latency: the budget of latency of the student, or None.
    """

    space: SearchSpace
    cost_model: CostModel
    macs: int
    teacher_macs: int
    params: int | None
    original_macs: int
    latency: LatencyBudget | None = None

    @staticmethod
    def of(opt: Namespace, space: SearchSpace, cost_model: CostModel,
           latency: LatencyBudget | None = None) -> SearchBudgets:
        """Read the budgets of search.py.

        By default, the student has a 16th of the original's MACs; with a budget of latency, any MACs.

        Raises:
            ValueError: if ``--macs`` is above the original's MACs and nothing else limits the student.
        """
        smallest, original = (int(m) for m in cost_model.macs([space.smallest, space.largest]))
        macs = usual = parse_macs(opt.macs) if opt.macs else max(original // 16, smallest)
        if macs > original and not (opt.params or getattr(opt, "latency_ms", None)):
            raise ValueError(f"--macs: the budget of {giga(macs)} G MACs is above the {giga(original)} G of "
                             "the original, so that nothing would be compressed; the smallest student has "
                             f"{giga(smallest)} G (without a limit of MACs, --params can limit the student)")
        if latency and not opt.macs:
            macs = original
            usual = latency.largest_macs(space, cost_model)
        teacher_macs = parse_macs(opt.teacher_macs) if opt.teacher_macs else min(4 * usual, original)
        return SearchBudgets(space, cost_model, macs, teacher_macs,
                             parse_macs(opt.params) if opt.params else None, original, latency)

    def describe(self) -> str:
        """Describe the budgets in one line."""
        budget = f"{giga(self.macs)} G MACs"
        if self.latency:
            milliseconds = f"{self.latency.most:g} ms"
            budget = milliseconds if self.macs >= self.original_macs else f"{budget} and {milliseconds}"
        note = ", which is within the student's budget" if self.macs >= self.original_macs else ""
        if self.latency:
            note = ""
        return (f"budgets: student {budget}, teachers {giga(self.teacher_macs)} G; the "
                f"original has {giga(self.original_macs)} G{note}")

    def cheapest_teachers(self, student: Arch) -> int:
        """Compute the MACs of the cheapest wide and of the cheapest deep teacher, and return the larger."""
        spaces = self.space.wider_than(student), self.space.deeper_than(student)
        return int(self.cost_model.macs([space.smallest for space in spaces]).max())

    def have_teachers(self, student: Arch) -> bool:
        """Tell whether there are a wide and a deep teacher of a student within the budget."""
        return self.cheapest_teachers(student) <= self.teacher_macs

    def require_teachers(self) -> None:
        """Check that the smallest student has teachers within the budget; ValueError if not."""
        least = self.cheapest_teachers(self.space.smallest)
        if least > self.teacher_macs:
            raise ValueError(f"--teacher_macs: the budget of {giga(self.teacher_macs)} G MACs leaves no "
                             f"teacher; even the smallest student has none below {giga(least)} G ({least})")

    def require_students(self, evolution: Evolution) -> None:
        """Check before the search that there are students with teachers.

        Args:
            evolution: the student's, before its first generation.

        Raises:
            ValueError: if not.
        """
        self.require_teachers()
        if not evolution.ask():
            if self.latency:
                raise ValueError(f"no student takes at most {self.latency.most:g} ms (--latency_ms), has at "
                                 f"most {giga(self.macs)} G MACs (--macs) and at least --least_share of one "
                                 "of them, is within --params, and has teachers of at most "
                                 f"{giga(self.teacher_macs)} G (--teacher_macs): use larger budgets, or a "
                                 "smaller --least_share")
            raise ValueError(f"no student has {giga(evolution.min_macs)} to {giga(self.macs)} G MACs "
                             "(--least_share, --macs), is within --params, and has teachers of at most "
                             f"{giga(self.teacher_macs)} G (--teacher_macs): use larger budgets, or a "
                             "smaller --least_share")
