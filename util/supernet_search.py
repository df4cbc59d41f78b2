"""Search a trained supernet for a student and its teachers, as search.py does."""
from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from compression import Arch, CostModel, SearchSpace
from compression.checkpoints import MAX_STATE_BYTES, is_run_id, read_json, write_json
from compression.checkpoints.records import read_record
from compression.metrics import better_sign
from compression.metrics.features import checksum
from compression.runtime import distributed
from compression.runtime.images import padded_size
from compression.runtime.text import giga
from compression.search.evolution import Evolution, LatencyLimit, pareto_front
from compression.search.sampling import Measure
from compression.search.scoring import AGREEMENT, Scorer
from models import create_model
from models.builders import build_metric_networks, canonical_metrics
from options.search_options import search_state
from options.search_split import require_same_split
from options.whole_images import describe_size

from .candidate_scores import CandidateScores
from .entry import continue_command
from .evolution_run import EvolutionRun
from .latency_budget import LatencyBudget
from .plots import can_plot
from .search_budgets import SearchBudgets
from .search_images import SearchImages
from .search_plan import SearchPlan, make_plan, seconds_of
from .search_results import SearchResults
from .search_state import SearchState, identify_search, require_none_unfinished
from .signals import StopSignals

if TYPE_CHECKING:
    from .finalists import Finalists


class SupernetSearch:
    """The three searches of one supernet: for the student, the wide teacher and the deep teacher.

    The state is saved after every candidate, so that ``--continue_train`` continues exactly.

    Args:
        opt: parsed options of search.py; ``opt.criterion`` is replaced by its usual spelling.

    Raises:
        ValueError: if an option is out of range, the budgets leave no student or no teacher, or the search
            that ``--continue_train`` continues was of other weights, or an unfinished search would be
            replaced without ``--overwrite``.
    """

    def __init__(self, opt: Namespace):
        if not 0 <= opt.least_share < 1:
            raise ValueError(f"--least_share must be in [0, 1), got {opt.least_share}")
        start = time.monotonic()
        self.opt = opt
        if opt.criterion != AGREEMENT:
            opt.criterion = canonical_metrics([opt.criterion], "--criterion")[0]
        self.criterion = opt.criterion
        require_same_split(opt)
        self.model = create_model(opt)
        self.model.setup(opt)
        self.supernet = self.model.netG
        self.space = SearchSpace.of(self.supernet.full, opt.ngf)
        self.state_path = search_state(opt)
        self.folder = self.state_path.parent
        self.checksum = checksum(self.model.supernet_path(opt.epoch))
        if not (opt.continue_train or opt.overwrite):
            require_none_unfinished(self.state_path, self.checksum)
        self.plan: SearchPlan | None = None
        self._apply_saved_plan()
        self.images = SearchImages(opt, self.model)
        self.size = padded_size(self.supernet, self.images.size)
        self.cost_model = CostModel.of(self.supernet, self.size)
        self.latency = LatencyBudget.of(opt, self.space, self.cost_model, self.folder, self.model.device)
        self.budgets = SearchBudgets.of(opt, self.space, self.cost_model, self.latency)
        self.search_id = identify_search(self.checksum, opt.settings)
        self.finalists = self._finalists()
        self.states, self.written = self._saved_states()
        self.budgets.require_students(self.student_evolution())
        print(self.budgets.describe())
        if self.latency:
            print(self.latency.describe())
        print(f"images: {describe_size(opt)}; MACs are for one image of {self.size[0]}x{self.size[1]} "
              "(height x width)")
        print(self.images.describe())
        if not can_plot():
            print("matplotlib is not installed (pip install matplotlib): the search draws no pareto.png")
        self.networks = build_metric_networks(opt, self.model.device)
        if opt.minutes and not self.plan:
            self._make_plan(start)
        else:
            self._prepare_scores()
        if self.scores.describe():
            print(self.scores.describe())

    def _prepare_scores(self) -> None:
        """Load what candidates are scored with."""
        opt, networks = self.opt, self.networks
        self.front_metrics = self.images.front_metrics(networks)
        needs_labels = "mIoU" in (self.criterion, *self.front_metrics)
        classes = self.images.classes(networks) if needs_labels else None
        self.images.check_sizes(self.front_metrics)
        self.scorer = Scorer(self.supernet, self.images.pairs, self.images.calibration(self.supernet),
                             self.criterion, self.model.autocast, networks, classes, self.images.inputs)
        self.scores = CandidateScores(opt, self.scorer, self.model.device, self.size)
        self.runs: list[EvolutionRun] = []

    def _make_plan(self, start: float) -> None:
        """Plan the search of ``--minutes``, and save the plan for a search that is continued."""
        def measure(images: int) -> float:
            self.opt.search_images = images
            self.images = SearchImages(self.opt, self.model)
            self._prepare_scores()
            if processes > 1:  # those of torchrun
                self.scores.processes = 1
            teachers = self._evolution(self.space, self.budgets.teacher_macs, self.opt.seed, 0.5)
            count = 2 * self.scores.processes
            return sum(seconds_of(self.scores, evolution.ask()[:count])
                       for evolution in (self.student_evolution(), teachers)) / processes

        opt, processes = self.opt, distributed.world_size()
        self.plan = distributed.on_rank_zero(lambda: make_plan(opt.minutes, start, measure, opt.finalists,
                                                           opt.halving_images or 0))
        if distributed.rank():
            opt.search_images = self.plan.search_images
            self.images = SearchImages(opt, self.model)
            self._prepare_scores()
        self._apply(self.plan)
        print(self.plan.describe(opt.minutes))
        self.save()

    def _apply_saved_plan(self) -> None:
        """Keep the plan of a search that is continued."""
        if not (self.opt.continue_train and self.opt.minutes):
            return
        saved = read_json(self.state_path, MAX_STATE_BYTES).get("plan")
        if saved is not None:
            self.plan = read_record(SearchPlan, saved, self.state_path, "plan")
            self._apply(self.plan)
            print(self.plan.describe(self.opt.minutes))

    def _apply(self, plan: SearchPlan) -> None:
        vars(self.opt).update(asdict(plan))

    @property
    def generations(self) -> dict[str, int]:
        """The number of generations of each search."""
        of_teachers = max(1, self.opt.generations // 2)
        return {"student": self.opt.generations, "teacher_wide": of_teachers, "teacher_deep": of_teachers}

    def student_evolution(self) -> Evolution:
        """Create the student's evolution, over all networks that have teachers within the budget."""
        opt, budgets = self.opt, self.budgets
        return self._evolution(self.space, budgets.macs, opt.seed, opt.least_share, budgets.params,
                               is_feasible=budgets.have_teachers,
                               latency=self.latency.limit if self.latency else None)

    def deep_evolution(self, student: Arch, wide: Arch) -> Evolution:
        """Create the evolution of the deep teacher, which differs from the wide teacher if possible."""
        space = self.space.deeper_than(student)
        if space.smallest.skeleton == student.skeleton:
            print("the student has the full depth: the deep teacher differs from the other networks only in "
                  "its widths")
        return self.teacher_evolution(space, "deep", self.opt.seed + 2, {wide})

    def teacher_evolution(self, space: SearchSpace, kind: str, seed: int,
                          excluded: Collection[Arch] = ()) -> Evolution:
        """Create the evolution of the ``wide`` or ``deep`` teacher, over its part of the search space.

        If too few networks of that part use ``--least_share`` of the budget, they need not; `excluded` is not
        excluded if it is the only one.

        Raises:
            ValueError: if none is within the budget, for a student of an earlier version.
        """
        macs, error = self.budgets.teacher_macs, ValueError("none was sampled")
        for share, excluded_then in ((self.opt.least_share, excluded), (0, excluded), (0, ())):
            try:
                evolution = self._evolution(space, macs, seed, share, excluded=excluded_then)
                if evolution.ask():
                    return evolution
            except ValueError as caught:
                error = caught
        raise ValueError(f"--teacher_macs leaves no {kind} teacher: {error}")

    def _evolution(self, space: SearchSpace, macs: int, seed: int, least_share: float,
                   params: int | None = None, excluded: Collection[Arch] = (),
                   is_feasible: Callable[[Arch], bool] = lambda arch: True,
                   latency: LatencyLimit | None = None) -> Evolution:
        """Create an evolution under `macs`; candidates use at least `least_share` of what is available."""
        available = min(macs, self.cost_model.cost(space.largest)["macs"])
        return Evolution(space, self.cost_model, macs, params, int(least_share * available),
                         self.opt.population, seed, self.opt.mutation_rate, excluded, is_feasible,
                         latency)

    def _finalists(self) -> Finalists | None:
        """Prepare the distillations of ``--finalists``, if any."""
        if not self.opt.finalists:
            return None
        from .finalists import Finalists  # not in an upstream checkout

        finalists = Finalists(self.opt, self.search_id, self.folder)
        finalists.check_data()
        return finalists

    @property
    def finished(self) -> bool:
        """Whether all searches are finished and their results are written."""
        return self.written and all(self.states.get(name, {}).get("generations") == count
                                    for name, count in self.generations.items())

    def run_all(self, stop: StopSignals) -> None:
        """Run the three searches and write their results; a signal stops them after the current candidate.

        The teachers are searched for the student that the finalists' distillations have chosen.
        """
        seed = self.opt.seed
        with self.scores.open():
            student = self.run("student", self.student_evolution(), stop)
            if self.finalists:
                self.finalists.rank(student, self.scorer.score, self.save, stop)
            wide_space = self.space.wider_than(student.best[0])
            wide = self.run("teacher_wide", self.teacher_evolution(wide_space, "wide", seed + 1), stop)
            deep = self.run("teacher_deep", self.deep_evolution(student.best[0], wide.best[0]), stop)
            self.score_fronts(stop)
        distributed.on_rank_zero(lambda: SearchResults(self).write([student, wide, deep]))

    def run(self, name: str, evolution: Evolution, stop: StopSignals) -> Evolution:
        """Run one search, or the rest of an interrupted one; every score is saved.

        Args:
            name: `student`, `teacher_wide`, or `teacher_deep`.
            evolution: proposes the candidates.
            stop: a signal that it has received ends the program.
        """
        def save(state: dict[str, Any]) -> None:
            self.states[name] = state
            self.save()

        how = f"saved in {self.state_path}; continue with: {continue_command(self.opt, 'search.py')}"
        run = EvolutionRun(name, evolution, self.scores, self.generations[name], save, how)
        if name in self.states:
            run.load_state_dict(self.states[name], self.state_path)
        self.runs.append(run)
        run.run(stop)
        if self.finalists and name == "student" and evolution.chosen is None:
            self.finalists.ranked = []
        run.score_best(max(1, self.opt.finalists) if name == "student" else 1, stop)
        print(self._describe(name, evolution))
        return evolution

    def score_fronts(self, stop: StopSignals) -> None:
        """With halving, score all networks of the Pareto fronts on all images."""
        while self.scores.halving:
            scores = self.all_scores([run.evolution for run in self.runs])
            front = {arch for measure in self.axes().values()
                     for arch, _, _ in pareto_front(scores, measure)}
            estimated = [(run, run.halving.estimated(arch for arch in run.evolution.scores if arch in front))
                         for run in self.runs]
            if not any(archs for _, archs in estimated):
                return
            for run, archs in estimated:
                run.score_fully(archs, stop)

    def save(self, written: bool = False) -> None:
        """Save everything that a resume needs; `written` records that the results are written, too."""
        if distributed.rank():
            return
        write_json(self.state_path, {**self.identifiers(), "settings": self.opt.settings,
                                     "supernet": self.checksum, "searches": self.states, "written": written,
                                     "finalists": self.finalists.state() if self.finalists else [],
                                     **({"plan": asdict(self.plan)} if self.plan else {})})

    def identifiers(self) -> dict[str, str]:
        """Return what every file of the search records: the run of the supernet, if known, and the search."""
        run = {"run": self.model.run} if self.model.run else {}
        return {**run, "search": self.search_id}

    def _saved_states(self) -> tuple[dict[str, Any], bool]:
        """Read the state of the search to continue: the searches, and whether their results were written."""
        if not self.opt.continue_train:
            return {}, False
        saved = read_json(self.state_path, MAX_STATE_BYTES)
        read_record(SearchState, saved, self.state_path)
        if saved["supernet"] != self.checksum and not self.opt.override:
            raise ValueError(f"--continue_train: {self.state_path} is of another supernet, because "
                             f"{self.opt.name} was trained since; drop --continue_train to search again, or "
                             "add --override to keep the scores")
        if is_run_id(saved.get("search")):
            self.search_id = saved["search"]
        if self.finalists:
            self.finalists.search_id = self.search_id
            self.finalists.load_state(saved.get("finalists", []))
        if saved["settings"].get("finalists", 0) != self.opt.finalists:  # with --override
            return {name: state for name, state in saved["searches"].items() if name == "student"}, False
        return saved["searches"], saved["written"]

    def _describe(self, name: str, evolution: Evolution) -> str:
        """Describe the best architecture of a search in one line."""
        arch, score = evolution.best
        cost = self.cost_model.cost(arch)
        return (f"{name}: {giga(cost['macs'])} G MACs, {cost['params'] / 1e6:.3f} M params, "
                f"{self.criterion} {better_sign(self.criterion) * score:.4f}, {arch}")

    def all_scores(self, evolutions: Sequence[Evolution]) -> dict[Arch, float]:
        """Merge the scores of several searches; those on all images replace estimates."""
        scores = {arch: score for evolution in evolutions for arch, score in evolution.scores.items()}
        for run in self.runs if self.scores.halving else ():
            scores |= run.halving.full
        return scores

    def axes(self) -> dict[str, Measure]:
        """Return the measures of the Pareto fronts: MACs and, with a budget of it, latency."""
        axes: dict[str, Measure] = {"front": self.cost_model.macs}
        return {**axes, "latency_front": self.latency.model} if self.latency else axes

