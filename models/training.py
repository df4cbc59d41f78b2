"""How models train, save, load and are measured, whatever base class gives them the host's contract."""
from collections import OrderedDict
from pathlib import Path

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from compression import CostModel, save_atomic, translate
from compression.runtime import distributed
from compression.checkpoints import load_state_dict_file, load_strictly
from compression.search.latency import latency_ms
from compression.elastic.layers import share_batch_norms
from compression.runtime.memory import activation_bytes
from compression.runtime.modes import eval_mode
from options.ugc_options import checkpoint_tag, sides

PRECISIONS = {"none": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Training:
    """Mixed into our BaseModel and, for the models of UGC, into an upstream checkout's.

    It relies on the attributes of the host's contract (BaseModel's docstring) and nothing else.

    Attributes:
        deployed: X of the network that is trained for use; ``--ema`` averages its weights.
        share, last_part: how much of the batch is at hand (``--accumulate``), and whether the rest was there before.
    """

    ema_network = "G"
    share, last_part, average = 1.0, True, None

    def setup(self, opt):
        """Schedulers when training, checkpoints when testing, and a print of the networks."""
        if self.isTrain:
            self.schedulers = [scheduler(optimizer, opt) for optimizer in self.optimizers]
            distributed.broadcast_weights(net for _, net in self.named_networks())
            torch.manual_seed(opt.seed + 1_000_003 * distributed.rank())  # dropout differs between processes
            if getattr(opt, "ema", 0):
                self.average = AveragedModel(getattr(self, "net" + self.ema_network), multi_avg_fn=get_ema_multi_avg_fn(opt.ema))
            if getattr(opt, "compile", False):
                self.compile()
        else:
            self.load_networks(checkpoint_tag(opt))
        self.print_networks(opt.verbose)

    def to_device(self, item):
        """A tensor or network on the model's device, in the memory layout of ``--channels_last``."""
        layout = torch.channels_last if getattr(self.opt, "channels_last", False) else torch.preserve_format
        if isinstance(item, torch.nn.Module):
            if getattr(self.opt, "norm", None) == "syncbatch":
                share_batch_norms(item)
            return item.to(self.device, **({"memory_format": layout} if layout is torch.channels_last else {}))
        if item.dim() != 4:
            return item.to(self.device)
        return item.to(self.device, memory_format=layout, non_blocking=True)

    def autocast(self):
        """The precision of ``--amp``, as a context manager."""
        amp = getattr(self.opt, "amp", "none")
        return torch.autocast(self.device.type, PRECISIONS[amp] if amp != "none" else None, enabled=amp != "none")

    def train_step(self, batch):
        """Set the input and optimize, in ``--accumulate`` parts of the batch whose gradients add up."""
        for part, self.share, self.last_part in parts_of(batch, self.opt.accumulate):
            self.set_input(part)
            self.optimize_parameters()
        if self.average:
            self.average.update_parameters(getattr(self, "net" + self.ema_network))

    def backward(self, loss, optimizer):
        """Add the gradients of a loss, a mean over the samples at hand, to those that `optimizer` will step by."""
        self.scaler(optimizer).scale(self.share * loss).backward()

    def step(self, optimizer):
        """Step by the gradients of the whole batch, averaged over the processes, and clear them."""
        if not self.last_part:
            return
        distributed.average_gradients(p for group in optimizer.param_groups for p in group["params"])
        scaler = self.scaler(optimizer)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()

    def scaler(self, optimizer):
        """The loss scaling of ``--amp fp16`` for the losses of one optimizer; without fp16 it scales by 1."""
        scalers = self.__dict__.setdefault("scalers", {})
        if optimizer not in scalers:
            scalers[optimizer] = torch.amp.GradScaler(self.device.type, enabled=self.opt.amp == "fp16")
        return scalers[optimizer]

    def network_to_save(self, name):
        """Network `name` as it is saved and validated: with ``--ema``, the average of the deployed one's weights."""
        return self.average.module if self.average and name == self.ema_network else getattr(self, "net" + name)

    def compile(self):
        """``--compile``: the networks whose sizes stay as they are."""
        for net in self.compilable():
            net.compile()

    def compilable(self):
        """The networks for ``--compile``."""
        return [net for _, net in self.named_networks()]

    def activations(self):
        """(network, input shape, how many passes are kept at once) of the batch at hand, for an estimate of memory."""
        return []

    def memory_needed(self, batch):
        """Bytes that a training step needs, about: networks, gradients, Adam's moments, and what is kept for backward.

        Args:
            batch: one of the data set.
        """
        part, *_ = next(iter(parts_of(batch, self.opt.accumulate)))
        self.set_input(part)
        weights = sum(p.numel() for _, net in self.named_networks() for p in net.parameters())
        kept = sum(activation_bytes(net, shape) * times for net, shape, times in self.activations())
        kept += kept // 2  # gradients of activations and kernels' working memory, as measured (benchmarks/train_step.py)
        return 16 * weights + kept // (1 if self.opt.amp == "none" else 2)

    def networks(self):
        """The generators to cost and time at test: name -> network."""
        return {"generator": self.netG}

    def report(self, size):
        """For each of :meth:`networks` MACs, parameters and measured latency of one image of `size` (height, width)."""
        rows = {}
        for name, net in self.networks().items():
            rows[name] = {**CostModel.of(net, size).cost(net.full),
                          "latency_ms": latency_ms(net, net.config["input_nc"], size), "device": str(self.device)}
        return rows

    def metric_pairs(self):
        """name -> (image, ground truth) of the batch, for every image that can be scored."""
        return {}

    def validated(self):
        """The generator that ``--eval_every`` scores."""
        return self.network_to_save(self.ema_network)

    @torch.no_grad()
    def validate(self, batches, metrics, labels=None):
        """Score the generator, in eval mode, on held-out pairs.

        Args:
            batches: of the paired data set.
            metrics: a fresh SetMetrics.
            labels: (batch, side of the input) -> class ids, where mIoU is wanted.

        Returns:
            Values by name.
        """
        A, B = sides(self.opt)
        net = self.validated()
        with eval_mode(net):
            for batch in batches:
                with self.autocast():
                    image = net(self.encoding(self.to_device(batch[A]))).float()
                metrics.update(image, self.to_device(batch[B]), labels(batch, A) if labels else None)
        return metrics.compute()

    def translate(self, image):
        """One image (1, C, H, W) in [-1, 1] of any size -> its translation of the same size: :func:`compression.translate`."""
        with self.autocast():
            return translate(self.netG, self.to_device(image))

    def get_current_losses(self):
        """name -> value of the losses of the last step, a mean over the processes."""
        values = [torch.as_tensor(getattr(self, "loss_" + name), dtype=torch.float32, device=self.device).detach()
                  for name in self.loss_names]  # gathered on the device, so that a step waits for it once
        return OrderedDict(zip(self.loss_names, distributed.all_reduce_mean(torch.stack(values)).tolist() if values else ()))

    def set_losses(self, losses):
        """Set ``loss_<name>`` for every item."""
        for name, value in losses.items():
            setattr(self, "loss_" + name, value.detach() if isinstance(value, torch.Tensor) else value)

    def named_networks(self):
        """(name, network) pairs of `model_names`."""
        return [(name, getattr(self, "net" + name)) for name in self.model_names]

    def update_learning_rate(self):
        """Step the schedulers, at the end of an epoch."""
        before = self.optimizers[0].param_groups[0]["lr"]
        for step in self.schedulers:
            step.step(self.metric) if self.opt.lr_policy == "plateau" else step.step()
        print(f"learning rate {before:.7f} -> {self.optimizers[0].param_groups[0]['lr']:.7f}")

    def save_networks(self, tag):
        """Write the checkpoints of `tag`; of several processes the first does."""
        if distributed.rank() == 0:
            with distributed.local_only():
                self.write_networks(tag)

    def write_networks(self, tag):
        """Every network to ``<tag>_net_<X>.pth``, as upstream names and stores it."""
        for name in self.model_names:
            state = {key: value.detach().cpu().contiguous() for key, value in self.network_to_save(name).state_dict().items()}
            save_atomic(state, Path(self.save_dir) / f"{tag}_net_{name}.pth")

    def load_networks(self, tag):
        """Load every network of ``<tag>_net_<X>.pth`` strictly.

        Raises:
            ValueError: if there is no such run, or a file does not fit.
        """
        for name, net in self.named_networks():
            path = Path(self.save_dir) / f"{tag}_net_{name}.pth"
            if not path.is_file():
                raise ValueError(f"--name {self.opt.name}: no checkpoint {path}; there are: "
                                 f"{', '.join(sorted(p.name for p in path.parent.glob('*_net_*.pth'))) or 'none'}")
            print(f"loading {path}")
            load_strictly(net, load_state_dict_file(path), path)

    def state(self):
        """Everything an exact resume needs of the model, as tensors and plain data."""
        return {"networks": {name: net.state_dict() for name, net in self.named_networks()},
                "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
                "schedulers": [step.state_dict() for step in self.schedulers],
                "scalers": [self.scaler(optimizer).state_dict() for optimizer in self.optimizers],
                "average": self.average.state_dict() if self.average else {}, "extra": self.extra_state()}

    def load_state(self, state, source="the training state"):
        """The inverse of :meth:`state`; learning rates follow the schedule as it is now.

        Raises:
            ValueError: if it is the state of other networks; `source` says where it is from.
        """
        if set(state["networks"]) != set(self.model_names):
            raise ValueError(f"{source}: holds the networks {', '.join(state['networks'])}; "
                             f"--model {self.opt.model} has {', '.join(self.model_names)}")
        for name, net in self.named_networks():
            load_strictly(net, state["networks"][name], f"{source} (network {name})")
        for optimizer, saved in zip(self.optimizers, state["optimizers"]):
            load_optimizer(optimizer, saved)
        for step, saved in zip(self.schedulers, state["schedulers"]):
            step.load_state_dict({**saved, **({"base_lrs": step.base_lrs} if "base_lrs" in saved else {})})
            if isinstance(step, torch.optim.lr_scheduler.LambdaLR):  # a longer run's schedule differs
                for group, rate, factor in zip(step.optimizer.param_groups, step.base_lrs, step.lr_lambdas):
                    group["lr"] = rate * factor(step.last_epoch)
        for optimizer, saved in zip(self.optimizers, state["scalers"]):
            self.scaler(optimizer).load_state_dict(saved)
        if self.average and state["average"]:
            self.average.load_state_dict(state["average"])
        self.load_extra_state(state["extra"])

    def networks_not_finite(self):
        """Names of the networks that hold a NaN or an infinite weight."""
        return [name for name, net in self.named_networks()
                if not all(value.isfinite().all() for value in net.state_dict().values())]

    def extra_state(self):
        """What a model has to resume beside networks and optimizers."""
        return {}

    def load_extra_state(self, state):
        """The inverse of :meth:`extra_state`."""

    def print_networks(self, verbose):
        """The parameter count of every network, and with `verbose` its layers."""
        print("---------- Networks initialized -------------")
        for name, net in self.named_networks():
            if verbose:
                print(net)
            millions = sum(p.numel() for p in net.parameters()) / 1e6
            print(f"[Network {name}] Total number of parameters : {millions:.3f} M")
        print("-----------------------------------------------")


def load_optimizer(optimizer, saved):
    """Load the state of an optimizer; rates and momenta that the flags have changed (``--override``) are the flags'."""
    flags = [dict(group) for group in optimizer.param_groups]
    optimizer.load_state_dict(saved)
    for group, now in zip(optimizer.param_groups, flags):
        group["betas"] = now["betas"]
        before, rate = group.get("initial_lr"), now.get("initial_lr")
        if before != rate:
            group["lr"], group["initial_lr"] = group["lr"] / before * rate if before else rate, rate


def scheduler(optimizer, opt):
    """The learning-rate scheduler of ``--lr_policy``, stepped once an epoch."""
    from torch.optim import lr_scheduler

    if opt.lr_policy == "linear":
        return lr_scheduler.LambdaLR(optimizer, lambda epoch: 1.0 - max(0, epoch + opt.epoch_count - opt.n_epochs)
                                     / float(opt.n_epochs_decay + 1))
    if opt.lr_policy == "step":
        return lr_scheduler.StepLR(optimizer, step_size=opt.lr_decay_iters, gamma=0.1)
    if opt.lr_policy == "plateau":
        return lr_scheduler.ReduceLROnPlateau(optimizer, mode="min", factor=0.2, threshold=0.01, patience=5)
    return lr_scheduler.CosineAnnealingLR(optimizer, T_max=opt.n_epochs, eta_min=0)


def parts_of(batch, count):
    """A batch in at most `count` parts: (part, its share of the batch, whether it is the last)."""
    total = len(next(iter(batch.values())))
    size = -(-total // count)
    for start in range(0, total, size):
        part = {key: value[start:start + size] for key, value in batch.items()}
        yield part, min(size, total - start) / total, start + size >= total
