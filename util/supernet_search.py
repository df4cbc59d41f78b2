"""Search a trained supernet for a student and its teachers, as search.py does."""
from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from compression import Arch, CostModel, SearchSpace, save_student
from compression.checkpoints import MAX_STATE_BYTES, is_run_id, read_json, run_of, write_json
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
from options.earlier_runs import original_of
from options.search_options import search_state
from options.search_split import require_same_split
from options.student_settings import inputs_of
from options.whole_images import describe_size

from .entry import batched, continue_command
from .latency_budget import LatencyBudget
from .plots import can_plot, plot_fronts
from .search_budgets import SearchBudgets
from .search_images import SearchImages
from .search_state import SearchState, identify_search
from .signals import StopSignals

if TYPE_CHECKING:
    from .finalists import Finalists

RESULTS = ("student", "teacher_wide", "teacher_deep")


class SupernetSearch:
    """The three searches of one supernet: for the student, the wide teacher and the deep teacher.

    The state is saved after every candidate, so that ``--continue_train`` continues exactly.

    Args:
        opt: parsed options of search.py; ``opt.criterion`` is replaced by its usual spelling.

    Raises:
        ValueError: if an option is out of range, the budgets leave no student or no teacher, or the search
            that ``--continue_train`` continues was of other weights.
    """

    def __init__(self, opt: Namespace):
        if not 0 <= opt.least_share < 1:
            raise ValueError(f"--least_share must be in [0, 1), got {opt.least_share}")
        self.opt = opt
        if opt.criterion != AGREEMENT:
            opt.criterion = canonical_metrics([opt.criterion], "--criterion")[0]
        self.criterion = opt.criterion
        require_same_split(opt)
        self.model = create_model(opt)
        self.model.setup(opt)
        self.supernet = self.model.netG
        self.space = SearchSpace.of(self.supernet.full, opt.ngf)
        self.images = SearchImages(opt, self.model)
        self.size = padded_size(self.supernet, self.images.size)
        self.cost_model = CostModel.of(self.supernet, self.size)
        self.state_path = search_state(opt)
        self.folder = self.state_path.parent
        self.latency = LatencyBudget.of(opt, self.space, self.cost_model, self.folder, self.model.device)
        self.budgets = SearchBudgets.of(opt, self.space, self.cost_model, self.latency)
        self.checksum = checksum(self.model.supernet_path(opt.epoch))
        self.search_id = identify_search(self.checksum, opt.settings)
        self.finalists = self._finalists()
        teacher_generations = max(1, opt.generations // 2)
        self.generations = {"student": opt.generations, "teacher_wide": teacher_generations,
                            "teacher_deep": teacher_generations}
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
        networks = build_metric_networks(opt, self.model.device)
        self.front_metrics = self.images.front_metrics(networks)
        needs_labels = "mIoU" in (self.criterion, *self.front_metrics)
        classes = self.images.classes(networks) if needs_labels else None
        self.images.check_sizes(self.front_metrics)
        self.scorer = Scorer(self.supernet, self.images.pairs, self.images.calibration(self.supernet),
                             self.criterion, self.model.autocast, networks, classes, self.images.inputs)

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
        student = self.run("student", self.student_evolution(), stop)
        if self.finalists:
            self.finalists.rank(student, self.scorer.score, self.save, stop)
        wide_space = self.space.wider_than(student.best[0])
        wide = self.run("teacher_wide", self.teacher_evolution(wide_space, "wide", seed + 1), stop)
        deep = self.run("teacher_deep", self.deep_evolution(student.best[0], wide.best[0]), stop)
        distributed.on_rank_zero(lambda: self.write([student, wide, deep]))

    def run(self, name: str, evolution: Evolution, stop: StopSignals) -> Evolution:
        """Run one search, or the rest of an interrupted one; every score is saved at once.

        Args:
            name: one of `RESULTS`.
            evolution: proposes the candidates.
            stop: a signal that it has received ends the program.
        """
        state = self.states.get(name, {"generations": 0, "scored": []})
        try:
            if "evolution" in state:
                evolution.load_state_dict(state["evolution"])
            scores = {Arch.from_json(arch): score for arch, score in state["scored"]}
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise ValueError(f"{self.state_path}: 'searches.{name}' is damaged ({error})") from None
        population = self.opt.population
        generations = self.generations[name]
        done = state["generations"] * population + len(scores)
        progress = tqdm(total=generations * population, initial=done, desc=name, unit="net",
                        dynamic_ncols=True, disable=distributed.rank() > 0)
        for generation in range(state["generations"], generations):
            unscored = [arch for arch in evolution.ask() if arch not in scores]
            for archs in batched(unscored, distributed.world_size()):
                scores |= self._score_in_parallel(archs)
                self._save_search(name, evolution, generation, scores)
                progress.update(len(archs))
                stop.synchronize()
                stop.exit_if_received(
                    f"saved in {self.state_path}; continue with: {continue_command(self.opt, 'search.py')}")
            evolution.tell(scores)
            scores = {}
            self._save_search(name, evolution, generation + 1, scores)
            if any(score != float("inf") for score in evolution.scores.values()):
                progress.set_postfix(best=f"{evolution.best[1]:.4f}")
        progress.total = progress.n  # a small search space holds fewer networks than were requested
        progress.close()
        print(self._describe(name, evolution))
        return evolution

    def _score_in_parallel(self, archs: Sequence[Arch]) -> dict[Arch, float]:
        """Score up to one architecture in each process of the job."""
        rank = distributed.rank()
        own_score = self.score(archs[rank]) if rank < len(archs) else None
        scores = distributed.all_gather_objects(own_score)
        return dict(zip(archs, scores, strict=False))  # the last processes may have none

    def score(self, arch: Arch) -> float:
        """Score a sub-network in this process."""
        with distributed.local_only():
            return self.scorer(arch)

    def _save_search(self, name: str, evolution: Evolution, generations: int,
                     scores: dict[Arch, float]) -> None:
        self.states[name] = {"evolution": evolution.state_dict(), "generations": generations,
                             "scored": [[arch.to_json(), score] for arch, score in scores.items()]}
        self.save()

    def save(self, written: bool = False) -> None:
        """Save everything that a resume needs; `written` records that the results are written, too."""
        if distributed.rank():
            return
        write_json(self.state_path, {**self._identifiers(), "settings": self.opt.settings,
                                     "supernet": self.checksum, "searches": self.states, "written": written,
                                     "finalists": self.finalists.state() if self.finalists else []})

    def _identifiers(self) -> dict[str, str]:
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

    def _write_result(self, name: str, evolution: Evolution) -> None:
        """Write the best architecture of a search."""
        arch, score = evolution.best
        result = {**self._identifiers(), "arch": arch.to_json(), **self.cost_model.cost(arch),
                  "size": list(self.size), "score": score, "criterion": self.criterion,
                  "phase": self.opt.phase, "budget_macs": evolution.max_macs,
                  "supernet_epoch": self.opt.epoch, "network": self.cost_model.network()}
        if name == "student" and self.finalists:
            result["finalists"] = self.finalists.results(evolution)
        if name == "student" and self.latency:
            result["latency"] = self._measure_student(arch)
        write_json(self.folder / f"{name}.json", result)

    def _measure_student(self, arch: Arch) -> dict[str, Any]:
        """Measure the latency of the student, print it, and return what its result says about it."""
        assert self.latency is not None
        predicted = self.latency.predicted(arch)
        measured = self.latency.measure(self.scorer.candidate(arch))
        print(f"student: {measured:.2f} ms measured, {predicted:.2f} ms predicted, budget "
              f"{self.latency.most:g} ms")
        return {**self.latency.record(), "predicted_ms": predicted, "measured_ms": measured}

    def _describe(self, name: str, evolution: Evolution) -> str:
        """Describe the best architecture of a search in one line."""
        arch, score = evolution.best
        cost = self.cost_model.cost(arch)
        return (f"{name}: {giga(cost['macs'])} G MACs, {cost['params'] / 1e6:.3f} M params, "
                f"{self.criterion} {better_sign(self.criterion) * score:.4f}, {arch}")

    def write(self, evolutions: Sequence[Evolution]) -> None:
        """Write all results, then record that the search is finished.

        Until then, the results of an earlier search stay.

        Args:
            evolutions: the finished ones, in the order of `RESULTS`.
        """
        self.write_front(evolutions)
        for name, evolution in zip(RESULTS, evolutions, strict=True):
            self._write_result(name, evolution)
        self.write_student(evolutions[0])
        self.save(written=True)

    def write_front(self, evolutions: Sequence[Evolution]) -> None:
        """Write the Pareto fronts of the candidates, over MACs and over latency, as JSON and as a plot."""
        scores = {arch: score for evolution in evolutions for arch, score in evolution.scores.items()}
        axes: dict[str, Measure] = {"front": self.cost_model.macs}
        if self.latency:
            axes["latency_front"] = self.latency.model
        fronts = {name: [arch for arch, _, _ in pareto_front(scores, measure)]
                  for name, measure in axes.items()}
        archs = list(dict.fromkeys(arch for front in fronts.values() for arch in front))
        points = {arch: self._front_point(arch, scores[arch])
                  for arch in tqdm(archs, desc="front", unit="net", dynamic_ncols=True)}
        entries = {name: [points[arch] for arch in front] for name, front in fronts.items()}
        images = sum(len(x) for x, _ in self.images.pairs)
        latency = {"latency": self.latency.record()} if self.latency else {}
        write_json(self.folder / "pareto.json",
                   {**self._identifiers(), "criterion": self.criterion, "size": list(self.size),
                    "images": images, **latency, **entries})
        chosen = {name: evolution.best for name, evolution in zip(RESULTS, evolutions, strict=True)}
        if can_plot():
            plot_fronts(self.folder / "pareto.png", self.criterion, axes, scores, fronts, chosen)

    def _front_point(self, arch: Arch, score: float) -> dict[str, Any]:
        """Describe a network of a front."""
        latency = {"latency_ms": self.latency.predicted(arch)} if self.latency else {}
        return {"arch": arch.to_json(), **self.cost_model.cost(arch), **latency, "score": score,
                "metrics": self.scorer.measure(arch, self.front_metrics)}

    def write_student(self, evolution: Evolution) -> None:
        """Write the student that stage 2 starts from: the supernet's weights, with calibrated statistics."""
        run = self.folder.parent
        original = original_of(run, self.opt.epoch)
        save_student(run / f"{self.opt.epoch}_student.pth", self.scorer.candidate(evolution.best[0]),
                     run=self.model.run, original=str(original), original_run=run_of(original),
                     supernet_run=self.model.run, stage="search", supernet=self.opt.name,
                     input=inputs_of(self.opt), size=list(self.size))
