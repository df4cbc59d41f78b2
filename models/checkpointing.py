"""Checkpoints of models: network files as upstream names them, and the state for an exact resume."""
from __future__ import annotations

from pathlib import Path

import torch
from torch.optim.lr_scheduler import LambdaLR

from compression import save_atomic
from compression.checkpoints import check_one_run, checked_weights, load_state_dict_file, load_strictly
from compression.runtime import distributed
from compression.runtime.averaging import MovingAverage
from compression.runtime.text import printable
from options.earlier_runs import similar_run

# of the state of ReduceLROnPlateau: what depends on the epochs so far and not on the flags
PLATEAU_STATE = ("best", "num_bad_epochs", "cooldown_counter", "last_epoch")


class Checkpointing:
    """Part of :class:`models.training.Training`: saves and loads networks and training states.

    Attributes:
        ema_network: X of the network ``netX`` that is trained for use; ``--ema`` averages its weights.
        average: running average of its weights, or None without ``--ema``.
        run: identifier of the run whose networks these are; None for networks of upstream.
    """

    ema_network = "G"
    average = None
    run = None

    def start_average(self, decay):
        """Start the exponential moving average of the weights of `ema_network` with ``--ema`` `decay`."""
        net = getattr(self, f"net{self.ema_network}")
        self.average = MovingAverage(net, decay)

    def update_average(self):
        """Update the moving average of the weights after a training step."""
        if self.average:
            self.average.update_parameters(getattr(self, f"net{self.ema_network}"))

    def network_to_save(self, name):
        """Return network `name` as it is saved and validated: with ``--ema``, the average of its weights."""
        if self.average and name == self.ema_network:
            return self.average.module
        return getattr(self, f"net{name}")

    def save_networks(self, tag):
        """Save the networks under `tag` (``latest`` or an epoch); only the process of rank 0 does."""
        if distributed.rank() == 0:
            with distributed.local_only():
                self.write_networks(tag)

    def write_networks(self, tag):
        """Write every network to ``<tag>_net_<X>.pth``, in the format of upstream."""
        for name in self.model_names:
            state = self.network_to_save(name).state_dict()
            state = {key: value.detach().cpu().contiguous() for key, value in state.items()}
            save_atomic(state, self._network_path(tag, name), self.run)

    def load_networks(self, tag):
        """Load every network from ``<tag>_net_<X>.pth``, strictly.

        Raises:
            ValueError: a file is missing or does not match its network, or the files are of two runs.
        """
        self.read_run(*(self._network_path(tag, name) for name in self.model_names))
        for name, net in self.named_networks():
            path = self._network_path(tag, name)
            if not path.is_file():
                existing = sorted(p.name for p in path.parent.glob("*_net_*.pth"))
                raise ValueError(f"--name {self.opt.name}: no checkpoint {path}; there are: "
                                 f"{', '.join(existing) or 'none'}{similar_run(path.parent)}")
            print(f"loading {printable(path)}")
            load_strictly(net, load_state_dict_file(path), path)
        if self.average:
            self.start_average(self.average.decay)

    def read_run(self, *paths):
        """Set `run` to that of files in the folder of the run.

        Raises:
            ValueError: they are of two runs, or the options in the folder are of another run.
        """
        self.run = check_one_run([Path(self.save_dir) / "train_opt.json", *paths])

    def _network_path(self, tag, name):
        return Path(self.save_dir) / f"{tag}_net_{name}.pth"

    def state(self):
        """Return everything that an exact resume needs of the model, as tensors and plain data."""
        return {"networks": {name: net.state_dict() for name, net in self.named_networks()},
                "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
                "schedulers": [scheduler.state_dict() for scheduler in self.schedulers],
                "scalers": [self.scaler(optimizer).state_dict() for optimizer in self.optimizers],
                "average": self.average.state_dict() if self.average else {},
                "extra": self.extra_state()}

    def load_state(self, state, source="the training state"):
        """Restore the result of :meth:`state`. The learning rates follow the current schedule.

        Args:
            state: the state.
            source: where it comes from, for the messages.

        Raises:
            ValueError: it is the state of other networks.
        """
        if set(state["networks"]) != set(self.model_names):
            raise ValueError(f"{source}: holds the networks {', '.join(state['networks'])}; "
                             f"--model {self.opt.model} has {', '.join(self.model_names)}")
        for name, net in self.named_networks():
            load_strictly(net, state["networks"][name], f"{source} (network {name})")
        try:
            self._load_training(state)
        except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            text = f"{type(error).__name__}: {error}"
            raise ValueError(f"{source}: the state of optimizers, schedules, or averages does not fit this "
                             f"run ({text[:200]})") from None
        try:
            self.load_extra_state(state["extra"], source)
        except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError) as error:
            text = f"{type(error).__name__}: {error}"
            raise ValueError(f"{source}: 'model.extra' does not fit this run ({text[:200]})") from None

    def _load_training(self, state):
        """Restore all but the networks."""
        for kind in ("optimizers", "schedulers"):
            if len(state[kind]) != len(getattr(self, kind)):
                raise ValueError(f"it has {len(state[kind])} {kind}, the model {len(getattr(self, kind))}")
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            check_optimizer(optimizer, saved)
            load_optimizer(optimizer, saved)
        for scheduler, saved in zip(self.schedulers, state["schedulers"], strict=True):
            check_numbers(saved, scheduler.state_dict())
            load_scheduler(scheduler, saved)
        for optimizer, saved in zip(self.optimizers, state["scalers"], strict=False):
            check_numbers(saved, self.scaler(optimizer).state_dict())
            self.scaler(optimizer).load_state_dict(saved)
        if self.average and not state["average"]:  # a run without --ema, continued with it
            self.start_average(self.average.decay)
        elif self.average:
            checked_weights({name: value for name, value in state["average"].items() if name != "n_averaged"},
                            "average")
            self.average.load_state_dict(state["average"])

    def extra_state(self):
        """Return the model's own state for an exact resume, beyond networks and optimizers."""
        return {}

    def load_extra_state(self, state, source):
        """Restore the result of :meth:`extra_state`.

        Args:
            state: the result, as it was read back.
            source: where it comes from, for the messages.

        Raises:
            ValueError: an entry has another type or range, or does not fit this run.
        """


def check_numbers(saved, current):
    """Check the saved entries that are numbers in the current state.

    Raises:
        ValueError: if one is not a number, or not finite.
    """
    for name, value in current.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or name not in saved:
            continue
        number = saved[name]
        if not isinstance(number, (int, float)) or not (abs(number) < 1e15 or number == value):
            raise ValueError(f"{name} must be a number, got {printable(repr(number), 40)}")


def check_optimizer(optimizer, saved):
    """Check that a saved state has the groups of an optimizer, and moments of the shapes of its parameters.

    Raises:
        ValueError: if it has not.
    """
    groups = optimizer.state_dict()["param_groups"]
    if [group["params"] for group in saved["param_groups"]] != [group["params"] for group in groups]:
        raise ValueError("an optimizer has other parameters")
    for saved_group, group in zip(saved["param_groups"], groups, strict=True):
        check_numbers(saved_group, group)
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for index, moments in saved["state"].items():
        for name, value in moments.items():
            is_step = name == "step"
            is_tensor = isinstance(value, torch.Tensor)
            if is_step and (torch.as_tensor(value).numel() != 1 or not 0 <= float(value) < 1e15):
                raise ValueError("the step of an optimizer is not a count")
            if not is_step and is_tensor and not (value.shape == parameters[index].shape
                                                  and value.isfinite().all()):
                raise ValueError(f"{name} of parameter {index} has another shape, or is not finite")
            if not is_step and not is_tensor:
                raise ValueError(f"{name} of parameter {index} must be a tensor, got {type(value).__name__}")


def load_optimizer(optimizer, saved):
    """Load the state of an optimizer, but keep the learning rates and betas of the current flags.

    Flags differ from those of the saved run with ``--override``.
    """
    current_groups = [dict(group) for group in optimizer.param_groups]
    optimizer.load_state_dict(saved)
    for group, current in zip(optimizer.param_groups, current_groups, strict=True):
        group["betas"] = current["betas"]
        saved_rate = group.get("initial_lr")
        rate = current.get("initial_lr")
        if saved_rate != rate:
            group["lr"] = group["lr"] / saved_rate * rate if saved_rate else rate
            group["initial_lr"] = rate


def load_scheduler(scheduler, saved):
    """Load the state of a scheduler, but keep the learning rates and the schedule of the current flags.

    Only the epoch of the saved state matters, except for ``--lr_policy plateau``, whose learning rates and
    best value the state holds.
    """
    if not isinstance(scheduler, LambdaLR):
        scheduler.load_state_dict({name: saved[name] for name in PLATEAU_STATE if name in saved})
        return
    scheduler.last_epoch = saved["last_epoch"]
    groups = scheduler.optimizer.param_groups
    for group, rate, factor in zip(groups, scheduler.base_lrs, scheduler.lr_lambdas, strict=True):
        group["lr"] = rate * factor(scheduler.last_epoch)
