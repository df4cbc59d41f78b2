"""The files that a search writes at its end."""
from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from compression import Arch, save_student
from compression.checkpoints import run_of, write_json
from compression.search.evolution import Evolution, pareto_front
from options.earlier_runs import original_of
from options.student_settings import inputs_of

from .plots import can_plot, plot_fronts

if TYPE_CHECKING:
    from .supernet_search import SupernetSearch

RESULTS = ("student", "teacher_wide", "teacher_deep")


class SearchResults:
    """Writes the results of the three searches of a supernet.

    Args:
        search: the finished searches.
    """

    def __init__(self, search: SupernetSearch):
        self.search = search

    def write(self, evolutions: Sequence[Evolution]) -> None:
        """Write all results, then record that the search is finished.

        Until then, the results of an earlier search stay.

        Args:
            evolutions: the finished ones, in the order of `RESULTS`.
        """
        search = self.search
        self.write_front(evolutions)
        for name, evolution in zip(RESULTS, evolutions, strict=True):
            self._write_result(name, evolution)
        self.write_student(evolutions[0])
        search.save(written=True)

    def write_front(self, evolutions: Sequence[Evolution]) -> None:
        """Write the Pareto fronts of the candidates, over MACs and over latency, as JSON and as a plot."""
        search = self.search
        scores, axes = search.all_scores(evolutions), search.axes()
        fronts = {name: [arch for arch, _, _ in pareto_front(scores, measure)]
                  for name, measure in axes.items()}
        archs = list(dict.fromkeys(arch for front in fronts.values() for arch in front))
        points = {arch: self._front_point(arch, scores[arch])
                  for arch in tqdm(archs, desc="front", unit="net", dynamic_ncols=True)}
        entries = {name: [points[arch] for arch in front] for name, front in fronts.items()}
        images = sum(len(x) for x, _ in search.images.pairs)
        latency = {"latency": search.latency.record()} if search.latency else {}
        write_json(search.folder / "pareto.json",
                   {**search.identifiers(), "criterion": search.criterion, "size": list(search.size),
                    "images": images, **latency, **entries})
        chosen = {name: evolution.best for name, evolution in zip(RESULTS, evolutions, strict=True)}
        if can_plot():
            plot_fronts(search.folder / "pareto.png", search.criterion, axes, scores, fronts, chosen)

    def _write_result(self, name: str, evolution: Evolution) -> None:
        """Write the best architecture of a search."""
        search = self.search
        arch, score = evolution.best
        result = {**search.identifiers(), "arch": arch.to_json(), **search.cost_model.cost(arch),
                  "size": list(search.size), "score": score, "criterion": search.criterion,
                  "phase": search.opt.phase, "budget_macs": evolution.max_macs,
                  "supernet_epoch": search.opt.epoch, "network": search.cost_model.network()}
        if name == "student" and search.finalists:
            result["finalists"] = search.finalists.results(evolution)
        if name == "student" and search.latency:
            result["latency"] = self._measure_student(arch)
        write_json(search.folder / f"{name}.json", result)

    def _measure_student(self, arch: Arch) -> dict[str, Any]:
        """Measure the latency of the student, print it, and return what its result says about it."""
        search = self.search
        assert search.latency is not None
        predicted = search.latency.predicted(arch)
        measured = search.latency.measure(search.scorer.candidate(arch))
        print(f"student: {measured:.2f} ms measured, {predicted:.2f} ms predicted, budget "
              f"{search.latency.most:g} ms")
        return {**search.latency.record(), "predicted_ms": predicted, "measured_ms": measured}

    def _front_point(self, arch: Arch, score: float) -> dict[str, Any]:
        """Describe a network of a front."""
        search = self.search
        latency = {"latency_ms": search.latency.predicted(arch)} if search.latency else {}
        return {"arch": arch.to_json(), **search.cost_model.cost(arch), **latency, "score": score,
                "metrics": search.scorer.measure(arch, search.front_metrics)}

    def write_student(self, evolution: Evolution) -> None:
        """Write the student that stage 2 starts from: the supernet's weights, with calibrated statistics."""
        search = self.search
        run = search.folder.parent
        original = original_of(run, search.opt.epoch)
        save_student(run / f"{search.opt.epoch}_student.pth", search.scorer.candidate(evolution.best[0]),
                     run=search.model.run, original=str(original), original_run=run_of(original),
                     supernet_run=search.model.run, stage="search", supernet=search.opt.name,
                     input=inputs_of(search.opt), size=list(search.size))
