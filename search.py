"""Search a trained supernet for a student, a wide and a deep teacher under budgets (stage 2's starting points).

    python search.py --name exp --macs 1.3G --teacher_macs 6G
    python search.py --name exp --continue_train     # an interrupted search, exactly

Writes checkpoints/exp/search/{student,teacher_wide,teacher_deep,pareto}.json and pareto.png, and the student as it is
cut out of the supernet, checkpoints/exp/<epoch>_student.pth, which `test.py --model ugc_student --name exp` runs.
"""
import torch
from tqdm import tqdm

from compression import Arch, CostModel, SearchSpace, atomic_file, parse_macs, save_student
from compression.checkpoints.files import read_json, write_json
from compression.metrics import better_sign
from compression.metrics.features import checksum
from compression.runtime import distributed
from compression.search.evolution import Evolution, pareto_front
from compression.search.latency import latency_ms
from compression.search.scoring import AGREEMENT, Scorer
from data.held_out import held_out
from models import create_model
from models.builders import build_metric_networks, canonical_metrics
from options.earlier_runs import original_of
from options.search_options import SearchOptions, search_state
from options.ugc_options import sides
from util.entry import continue_command, run_main
from util.plots import macs_axis
from util.run_folder import folder_of, run_folder
from util.signals import StopSignals

CALIBRATION_BATCH = 16  # images whose variance counts together: the deepest maps of a U-Net have a pixel or two each


class Search:
    """The three searches of one supernet, saved after every candidate."""

    def __init__(self, opt):
        if not 0 <= opt.least_share < 1:
            raise ValueError(f"--least_share must be in [0, 1), got {opt.least_share}")
        self.opt = opt
        self.criterion = opt.criterion if opt.criterion == AGREEMENT else canonical_metrics([opt.criterion], "--criterion")[0]
        opt.criterion = self.criterion
        model = create_model(opt)
        model.setup(opt)
        self.model, self.supernet = model, model.netG
        self.sides = sides(opt)
        self.space = SearchSpace.of(self.supernet.full, opt.ngf)
        self.pairs = self._pairs()
        self.size = tuple(self.pairs[0][0].shape[2:])
        self.cost_model = CostModel.of(self.supernet, self.size)
        least, full = (int(macs) for macs in self.cost_model.macs([self.space.smallest, self.space.largest]))
        self.macs = parse_macs(opt.macs) if opt.macs else max(full // 16, least)
        self.teacher_macs = parse_macs(opt.teacher_macs) if opt.teacher_macs else min(4 * self.macs, full)
        self.params = parse_macs(opt.params) if opt.params else None
        self.state_path = search_state(opt)
        self.folder = self.state_path.parent
        self.checksum = checksum(model.supernet_path(opt.epoch))
        self.generations = {"student": opt.generations, **dict.fromkeys(("teacher_wide", "teacher_deep"),
                                                                        max(1, opt.generations // 2))}
        self.states, self.written = self._saved_states()
        self.student_evolution()  # budgets below the smallest network stop here
        print(f"budgets: student {self.macs / 1e9:.3f} G MACs, teachers {self.teacher_macs / 1e9:.3f} G; the original has "
              f"{full / 1e9:.3f} G" + (", no more than the student may have" if self.macs >= full else ""))
        networks = build_metric_networks(opt, model.device)
        self.front_metrics = self._front_metrics(networks)
        classes = self._classes(networks) if "mIoU" in (self.criterion, *self.front_metrics) else None
        self.scorer = Scorer(self.supernet, self.pairs, self._calibration_inputs(), self.criterion, model.autocast, networks,
                             classes)

    def student_evolution(self):
        """The student's evolution over the whole space."""
        return self._evolution(self.space, self.macs, self.opt.seed, self.params)

    def teacher_evolution(self, space, kind, seed):
        """A teacher's evolution over its part of the space."""
        try:
            return self._evolution(space, self.teacher_macs, seed)
        except ValueError as error:
            raise ValueError(f"--teacher_macs leaves no {kind} teacher: {error}") from None

    def _evolution(self, space, macs, seed, params=None):
        return Evolution(space, self.cost_model, macs, params, int(self.opt.least_share * macs), self.opt.population,
                         seed, self.opt.mutation_rate)

    @property
    def finished(self):
        """Whether there is nothing left to do."""
        return self.written and all(self.states.get(name, {}).get("generations") == count
                                    for name, count in self.generations.items())

    def run(self, name, evolution, stop):
        """Evolve for the generations asked, or what an interrupted search has left of them; every score is saved at once."""
        state = self.states.get(name, {"generations": 0, "scored": []})
        if "evolution" in state:
            evolution.load_state_dict(state["evolution"])
        scores = {Arch.from_json(arch): score for arch, score in state["scored"]}
        population, generations = self.opt.population, self.generations[name]
        progress = tqdm(total=generations * population, initial=state["generations"] * population + len(scores), desc=name,
                        unit="net", dynamic_ncols=True, disable=distributed.rank() > 0)
        for generation in range(state["generations"], generations):
            for archs in groups_of([a for a in evolution.ask() if a not in scores], distributed.world_size()):
                mine = archs[distributed.rank()] if distributed.rank() < len(archs) else None
                scores |= zip(archs, distributed.all_gather_objects(None if mine is None else self.score(name, mine)))
                self._save(name, evolution, generation, scores)
                progress.update(len(archs))
                stop.share()
                stop.leave(f"saved in {self.state_path}; continue with: {continue_command(self.opt, 'search.py')}")
            evolution.tell(scores)
            scores = {}
            self._save(name, evolution, generation + 1, scores)
            if any(score != float("inf") for score in evolution.scores.values()):
                progress.set_postfix(best=f"{evolution.best[1]:.4f}")
        progress.total = progress.n  # a small space has fewer networks than were asked for
        progress.close()
        distributed.on_rank_zero(lambda: self._write(name, evolution))
        return evolution

    def score(self, name, arch):
        """What the supernet's slice is worth; infinite for a student that is too slow. This process alone finds out."""
        with distributed.local_only():
            fits = name != "student" or self._fast_enough(arch)
            return self.scorer(arch) if fits else float("inf")

    def _save(self, name, evolution, generations, scores):
        self.states[name] = {"evolution": evolution.state_dict(), "generations": generations,
                             "scored": [[arch.to_json(), score] for arch, score in scores.items()]}
        self.save()

    def save(self, written=False):
        """Everything that a resume needs; `written`: the results are, too."""
        if distributed.rank():
            return
        write_json(self.state_path, {"settings": self.opt.settings, "supernet": self.checksum, "searches": self.states,
                                     "written": written})

    def _fast_enough(self, arch):
        if self.opt.latency_ms is None:
            return True
        net = self.scorer.candidate(arch)
        return latency_ms(net, self.supernet.config["input_nc"], self.size, seconds=0.2) <= self.opt.latency_ms

    def _write(self, name, evolution):
        arch, score = evolution.best
        result = {"arch": arch.to_json(), **self.cost_model.cost(arch), "size": list(self.size), "score": score,
                  "criterion": self.opt.criterion, "budget_macs": evolution.max_macs, "supernet_epoch": self.opt.epoch}
        write_json(self.folder / f"{name}.json", result)
        print(f"{name}: {result['macs'] / 1e9:.3f} G MACs, {result['params'] / 1e6:.3f} M params, "
              f"{self.opt.criterion} {better_sign(self.opt.criterion) * score:.4f}, {arch}")

    def write(self, evolutions):
        """What comes out beside the three architectures: front, student and that all is done."""
        self.write_front(evolutions)
        self.write_student(evolutions[0])
        self.save(written=True)

    def write_front(self, evolutions):
        """The Pareto front over everything that was scored, as JSON and as a plot."""
        scores = {arch: score for evolution in evolutions for arch, score in evolution.scores.items()}
        front = [{"arch": arch.to_json(), **self.cost_model.cost(arch), "score": score,
                  "metrics": self.scorer.measure(arch, self.front_metrics)}
                 for arch, _, score in tqdm(pareto_front(scores, self.cost_model), desc="front", unit="net", dynamic_ncols=True)]
        write_json(self.folder / "pareto.json", {"criterion": self.opt.criterion, "size": list(self.size),
                                                 "images": sum(len(x) for x, _ in self.pairs), "front": front})
        chosen = dict(zip(("student", "teacher_wide", "teacher_deep"), (evolution.best for evolution in evolutions)))
        plot_front(self.folder / "pareto.png", self.opt.criterion, self.cost_model, scores, front, chosen)

    def write_student(self, evolution):
        """The student as the supernet holds it, calibrated: what stage 2 starts from."""
        save_student(self.folder.parent / f"{self.opt.epoch}_student.pth", self.scorer.candidate(evolution.best[0]),
                     original=str(original_of(self.folder.parent, self.opt.epoch)), stage="search", supernet=self.opt.name)

    def _saved_states(self):
        if not self.opt.continue_train:
            return {}, False
        saved = read_json(self.state_path)
        if saved["supernet"] != self.checksum and not self.opt.override:
            raise ValueError(f"--continue_train: {self.state_path} is of another supernet, {self.opt.name} was trained since; "
                             "search anew, or --override keeps the scores")
        return saved["searches"], saved["written"]

    def _pairs(self):
        A, B = self.sides
        return [(self.model.encoding(self.model.to_device(batch[A])), self.model.to_device(batch[B]))
                for batch in held_out(self.opt, self.opt.phase, self.opt.search_images)]

    def _classes(self, networks):
        from util.evaluation import LabelMaps  # not in an upstream checkout

        batches = held_out(self.opt, self.opt.phase, self.opt.search_images)
        labels = LabelMaps(self.opt, networks.of("mIoU"), batches.dataset)
        return [labels(batch, self.sides[0]) for batch in batches]

    def _front_metrics(self, networks):
        if self.opt.front_metrics:
            return canonical_metrics(self.opt.front_metrics, "--front_metrics")
        found = networks.available()
        if "mIoU" in found and not (self.opt.labels or getattr(self.opt, "label_nc", 0) or self.opt.base_dataset_mode == "toy"):
            found.remove("mIoU")
        return [name for name in found if name not in ("FID", "KID") or self.opt.search_images > 1]

    def _calibration_inputs(self):
        if self.supernet.config["norm"] not in ("batch", "syncbatch"):
            return []
        return [self.model.encoding(self.model.to_device(batch[self.sides[0]]))
                for batch in held_out(self.opt, "train", self.opt.calibration_images, CALIBRATION_BATCH)]


def groups_of(items, count):
    """Items in lists of at most `count`."""
    return [items[i:i + count] for i in range(0, len(items), count)]


def plot_front(path, criterion, cost_model, scores, front, chosen):
    """Score against MACs: every candidate, the front, and the three results."""
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot

    archs = [arch for arch, score in scores.items() if score != float("inf")]
    sign = better_sign(criterion)  # scores are turned so that lower is better
    figure, axes = pyplot.subplots(figsize=(7, 4.5), constrained_layout=True)
    axes.scatter(cost_model.macs(archs) / 1e9, [sign * scores[a] for a in archs], s=10, color="#9aa5b1", label="candidates")
    axes.plot([p["macs"] / 1e9 for p in front], [sign * p["score"] for p in front], "o--", markersize=3, color="#1f6feb",
              label="Pareto front")
    for (name, (arch, score)), marker in zip(chosen.items(), "osD"):
        axes.plot(cost_model.macs([arch])[0] / 1e9, sign * score, marker, markersize=9, label=name.replace("_", " "))
    axes.set(ylabel=f"{criterion} ({'lower' if sign > 0 else 'higher'} is better)")
    macs_axis(axes)
    axes.grid(alpha=0.3)
    axes.legend()
    with atomic_file(path) as file:
        figure.savefig(file, dpi=120, format="png")
    pyplot.close(figure)


def main():
    """Run the three searches."""
    opt = SearchOptions().parse()
    if not folder_of(opt).is_dir():  # none is made for a name that was mistyped
        raise ValueError(f"--name {opt.name}: no such run in {opt.checkpoints_dir}; train a supernet with --model ugc_supernet "
                         f"--name {opt.name}")
    with run_folder(opt):
        search(opt)


def search(opt):
    """Search in a folder that is this process's alone."""
    torch.manual_seed(opt.seed)
    search = Search(opt)
    if search.finished:
        print(f"the search of {opt.name} is finished: its results are in {search.folder}")
        return
    with StopSignals() as stop:
        student = search.run("student", search.student_evolution(), stop)
        teachers = [search.run(f"teacher_{kind}", search.teacher_evolution(space, kind, opt.seed + i), stop)
                    for i, (kind, space) in enumerate((("wide", search.space.wider_than(student.best[0])),
                                                       ("deep", search.space.full_depth())), 1)]
    distributed.on_rank_zero(lambda: search.write([student, *teachers]))


if __name__ == "__main__":
    run_main(main)
