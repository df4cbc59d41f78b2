"""Elastic layers: ordinary layers that can also run with fewer channels, given per call.

Every layer keeps the leading channels of its full weight (slimmable networks, ICLR 2019; once-for-all, ICLR 2020). The
number of input channels is read off the input; the number of output channels is an argument. At full width nothing is
sliced. An input made of several concatenated tensors is passed as a sequence: each part is sliced in its own group of
the weight, so that the second part keeps its weights when the first part shrinks.
"""
from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..runtime import distributed

NORMS = ("instance", "batch", "syncbatch", "none")
Input = Tensor | Sequence[Tensor]


def _join(x: Input) -> Tensor:
    return x if isinstance(x, Tensor) else (x[0] if len(x) == 1 else torch.cat(tuple(x), 1))


def _slice_inputs(weight: Tensor, dim: int, x: Input, groups: Sequence[int]) -> Tensor:
    """The part of `weight` that belongs to the channels present in `x`; `groups` are the full widths of its parts."""
    parts = (x,) if isinstance(x, Tensor) else tuple(x)
    if len(parts) > len(groups):
        raise ValueError(f"the layer takes {len(groups)} inputs, got {len(parts)}")
    widths = tuple(part.shape[1] for part in parts)
    if widths == tuple(groups):
        return weight
    pieces, start = [], 0
    for width, full in zip(widths, groups):
        if width > full:
            raise ValueError(f"the layer has {full} input channels, got {width}")
        pieces.append(weight.narrow(dim, start, width))
        start += full
    return pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim)


def _slice_outputs(tensor: Tensor | None, dim: int, out: int | None) -> Tensor | None:
    return tensor if tensor is None or out is None or out == tensor.shape[dim] else tensor.narrow(dim, 0, out)


def _check_sliceable(layer: nn.Conv2d | nn.ConvTranspose2d) -> None:
    if layer.groups != 1 or layer.padding_mode != "zeros":
        raise ValueError(f"an elastic convolution has groups=1 and padding_mode='zeros' (pad with F.pad), got "
                         f"groups={layer.groups}, padding_mode={layer.padding_mode!r}")


class ElasticConv2d(nn.Conv2d):
    """2-d convolution; `in_channels` may be a sequence of group widths for concatenated inputs."""

    def __init__(self, in_channels: int | Sequence[int], out_channels: int, kernel_size: int, **kwargs):
        self_groups = (in_channels,) if isinstance(in_channels, int) else tuple(in_channels)
        super().__init__(sum(self_groups), out_channels, kernel_size, **kwargs)
        self.input_groups = self_groups
        _check_sliceable(self)

    def forward(self, x: Input, out: int | None = None) -> Tensor:
        """(N, C, H, W) or several of them -> (N, out, H', W'); `out=None` is the full width."""
        weight = _slice_outputs(_slice_inputs(self.weight, 1, x, self.input_groups), 0, out)
        return F.conv2d(_join(x), weight, _slice_outputs(self.bias, 0, out), self.stride, self.padding, self.dilation)


class ElasticConvTranspose2d(nn.ConvTranspose2d):
    """2-d transposed convolution; `in_channels` may be a sequence of group widths for concatenated inputs."""

    def __init__(self, in_channels: int | Sequence[int], out_channels: int, kernel_size: int, **kwargs):
        self_groups = (in_channels,) if isinstance(in_channels, int) else tuple(in_channels)
        super().__init__(sum(self_groups), out_channels, kernel_size, **kwargs)
        self.input_groups = self_groups
        _check_sliceable(self)

    def forward(self, x: Input, out: int | None = None) -> Tensor:
        """(N, C, H, W) or several of them -> (N, out, H', W'); `out=None` is the full width."""
        weight = _slice_outputs(_slice_inputs(self.weight, 0, x, self.input_groups), 1, out)
        return F.conv_transpose2d(_join(x), weight, _slice_outputs(self.bias, 0, out), self.stride, self.padding,
                                  self.output_padding, self.groups, self.dilation)


class ElasticLatent(nn.Linear):
    """A style code to a latent map (N, out, H, W): a linear layer for all channels and positions, elastic in channels."""

    def __init__(self, in_features: int, out_channels: int, size: tuple[int, int]):
        super().__init__(in_features, out_channels * size[0] * size[1])
        self.size = size

    def forward(self, z: Tensor, out: int) -> Tensor:
        """(N, in_features) -> (N, out, H, W); position by position, so that every call is a layer of `out` channels."""
        area = self.size[0] * self.size[1]
        weight, bias = self.weight.view(-1, area, self.in_features), self.bias.view(-1, area)
        found = [F.linear(z, weight[:out, p], bias[:out, p]) for p in range(area)]
        return torch.stack(found, 2).unflatten(2, self.size)


class ElasticBatchNorm2d(nn.BatchNorm2d):
    """Batch norm over the leading channels.

    `track=False` (sub-networks) normalizes by the batch alone while training and leaves the running statistics to the
    full network: they mean nothing for a slice until it is calibrated. Where `shared` is set
    (:func:`share_batch_norms`) the batch is that of all processes.
    """

    shared = False

    def forward(self, x: Tensor, track: bool = True) -> Tensor:
        c = x.shape[1]
        weight, bias = _slice_outputs(self.weight, 0, c), _slice_outputs(self.bias, 0, c)
        if self.training and self.shared and distributed.world_size() > 1:
            return self._shared_batch(x, weight, bias, track)
        if self.training and not track:
            return F.batch_norm(x, None, None, weight, bias, True, 0.0, self.eps)
        if self.training:
            return super().forward(x)
        return F.batch_norm(x, _slice_outputs(self.running_mean, 0, c), _slice_outputs(self.running_var, 0, c),
                            weight, bias, False, 0.0, self.eps)

    def _shared_batch(self, x: Tensor, weight: Tensor | None, bias: Tensor | None, track: bool) -> Tensor:
        """Training mode on the batches of all processes, which are of one size."""
        h = x.float()
        mean = distributed.all_reduce_mean(h.mean((0, 2, 3)))
        centered = h - mean.view(1, -1, 1, 1)
        var = distributed.all_reduce_mean(centered.square().mean((0, 2, 3)))
        if track:
            with torch.no_grad():
                self.num_batches_tracked += 1
                count = distributed.world_size() * x.numel() / x.shape[1]
                momentum = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
                self.running_mean.lerp_(mean, momentum)
                self.running_var.lerp_(var * (count / max(1, count - 1)), momentum)
        scale = torch.rsqrt(var + self.eps) if weight is None else torch.rsqrt(var + self.eps) * weight
        h = centered * scale.view(1, -1, 1, 1)
        return (h if bias is None else h + bias.view(1, -1, 1, 1)).to(x.dtype)


class ElasticInstanceNorm2d(nn.InstanceNorm2d):
    """Instance norm without parameters works at any width."""

    def forward(self, x: Tensor, track: bool = True) -> Tensor:
        return F.instance_norm(x, eps=self.eps)


class NoNorm(nn.Identity):
    """Stands where ``--norm none`` leaves the place empty."""

    def forward(self, x: Tensor, track: bool = True) -> Tensor:
        return x


def make_norm(norm: str, channels: int, affine: bool = True) -> nn.Module:
    """The norm layer of upstream's ``--norm``: instance (no parameters), batch, syncbatch or none.

    ``syncbatch`` is ``batch`` until :func:`share_batch_norms` is asked. Without `affine` batch norm has no weight and bias either.

    Raises:
        ValueError: if `norm` is none of these.
    """
    if norm == "instance":
        return ElasticInstanceNorm2d(channels)
    if norm in ("batch", "syncbatch"):
        return ElasticBatchNorm2d(channels, affine=affine)
    if norm == "none":
        return NoNorm()
    raise ValueError(f"--norm {norm} is unknown, known: {', '.join(NORMS)}")


def share_batch_norms(net: nn.Module) -> nn.Module:
    """Let the batch norms of a network take the batches of all processes for one (``--norm syncbatch``)."""
    for module in net.modules():
        if isinstance(module, ElasticBatchNorm2d):
            module.shared = True
    return net
