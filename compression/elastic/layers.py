"""Elastic layers: layers that can also run with fewer channels, chosen at each call.

A narrower layer uses the leading channels of the full weight (slimmable networks, ICLR 2019; once-for-all,
ICLR 2020). The number of input channels is taken from the input, the number of output channels is an
argument. At full width nothing is sliced. Several tensors to be concatenated are passed as a sequence. The
weight has one group of input channels for each of them and each group is sliced separately, so the second
tensor keeps its weights when the first one has fewer channels.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..runtime import distributed
from ..runtime.text import unknown
from . import matrix_convolutions
from .slices import slice_of

NORMS = ("instance", "batch", "syncbatch", "none")
Input = Tensor | Sequence[Tensor]
Shapes = Mapping[str, tuple[int, ...]]  # state-dict key -> shape


def concatenate(x: Input) -> Tensor:
    """Concatenate the tensors of an input along the channels."""
    if isinstance(x, Tensor):
        return x
    return x[0] if len(x) == 1 else torch.cat(tuple(x), 1)


def _slice_weight(weight: Tensor, dim: int, x: Input, groups: Sequence[int], out: int | None) -> Tensor:
    """Slice a weight to the input channels of `x`, in dimension `dim`, and to `out` outputs in the other one.

    Args:
        weight: (outputs, inputs, ...), or (inputs, outputs, ...) with `dim` 0.
        dim: 0 or 1.
        x: the input.
        groups: full widths of its tensors.
        out: None keeps all outputs.
    """
    parts = (x,) if isinstance(x, Tensor) else tuple(x)
    if len(parts) > len(groups):
        raise ValueError(f"the layer takes {len(groups)} inputs, got {len(parts)}")
    widths = tuple(part.shape[1] for part in parts)
    outputs = (1 - dim, 0, weight.shape[1 - dim] if out is None else out)
    if widths == tuple(groups):
        return slice_of(weight, outputs)
    pieces = []
    start = 0
    for width, full in zip(widths, groups, strict=False):  # trailing groups may have no input
        if width > full:
            raise ValueError(f"the layer has {full} input channels, got {width}")
        pieces.append(slice_of(weight, outputs, (dim, start, width)))
        start += full
    return pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim)


def _slice_vector(vector: Tensor | None, out: int | None) -> Tensor | None:
    """Slice a bias or the statistics of a norm to the first `out` channels; a layer without them has None."""
    return vector if vector is None or out is None else slice_of(vector, (0, 0, out))


def _check_sliceable(layer: nn.Conv2d | nn.ConvTranspose2d) -> None:
    if layer.groups != 1 or layer.padding_mode != "zeros":
        raise ValueError("an elastic convolution has groups=1 and padding_mode='zeros' (pad with F.pad), got "
                         f"groups={layer.groups}, padding_mode={layer.padding_mode!r}")


class ElasticConv2d(nn.Conv2d):
    """2-d convolution with elastic width.

    Args:
        in_channels: full input width; a sequence of widths if the layer takes several tensors to concatenate.
        out_channels: full output width.
        kernel_size: height and width of the kernel.
        kwargs: further arguments of PyTorch's layer, except `groups` and `padding_mode`.
    """

    def __init__(self, in_channels: int | Sequence[int], out_channels: int, kernel_size: int, **kwargs):
        groups = (in_channels,) if isinstance(in_channels, int) else tuple(in_channels)
        super().__init__(sum(groups), out_channels, kernel_size, **kwargs)
        self.input_groups = groups
        _check_sliceable(self)

    def forward(self, x: Input, out: int | None = None) -> Tensor:
        """Map one tensor (N, C, H, W), or a sequence of them, to (N, out, H', W'); None is the full width."""
        weight = _slice_weight(self.weight, 1, x, self.input_groups, out)
        bias = _slice_vector(self.bias, out)
        x = concatenate(x)
        if matrix_convolutions.is_faster(self, weight, x):
            return matrix_convolutions.conv2d(x, weight, bias, self)
        return F.conv2d(x, weight, bias, self.stride, self.padding, self.dilation)


class ElasticConvTranspose2d(nn.ConvTranspose2d):
    """2-d transposed convolution with elastic width.

    Args:
        in_channels: full input width; a sequence of widths if the layer takes several tensors to concatenate.
        out_channels: full output width.
        kernel_size: height and width of the kernel.
        kwargs: further arguments of PyTorch's layer, except `groups` and `padding_mode`.
    """

    def __init__(self, in_channels: int | Sequence[int], out_channels: int, kernel_size: int, **kwargs):
        groups = (in_channels,) if isinstance(in_channels, int) else tuple(in_channels)
        super().__init__(sum(groups), out_channels, kernel_size, **kwargs)
        self.input_groups = groups
        _check_sliceable(self)

    def forward(self, x: Input, out: int | None = None) -> Tensor:  # type: ignore[override]
        """Map one tensor (N, C, H, W), or a sequence of them, to (N, out, H', W'); None is the full width."""
        weight = _slice_weight(self.weight, 0, x, self.input_groups, out)
        bias = _slice_vector(self.bias, out)
        x = concatenate(x)
        if matrix_convolutions.is_faster(self, weight, x):
            return matrix_convolutions.conv_transpose2d(x, weight, bias, self)
        return F.conv_transpose2d(x, weight, bias, self.stride,
                                  self.padding,  # type: ignore[arg-type]
                                  self.output_padding, self.groups, self.dilation)


class ElasticLatent(nn.Linear):
    """Linear layer from a style code to a latent map, with an elastic number of channels.

    Args:
        in_features: length of the style code.
        out_channels: full number of channels of the latent map.
        size: (height, width) of the latent map.
    """

    def __init__(self, in_features: int, out_channels: int, size: tuple[int, int]):
        super().__init__(in_features, out_channels * size[0] * size[1])
        self.size = size

    def forward(self, z: Tensor, out: int) -> Tensor:  # type: ignore[override]
        """Map style codes (N, in_features) to latent maps (N, out, H, W).

        Every position is computed separately, so that a trace shows layers of `out` channels.
        """
        area = self.size[0] * self.size[1]
        weight = self.weight.view(-1, area, self.in_features)
        bias = self.bias.view(-1, area)
        positions = [F.linear(z, weight[:out, p], bias[:out, p]) for p in range(area)]
        return torch.stack(positions, 2).unflatten(2, self.size)


class ElasticBatchNorm2d(nn.BatchNorm2d):
    """Batch norm over the leading channels.

    A sub-network calls it with `track=False`: in training mode it then normalizes with the batch statistics
    and leaves the running statistics to the full network, since they are meaningless for a sub-network until
    it is calibrated. If `shared` is set (:func:`share_batch_norms`), the batch statistics are those of all
    processes.
    """

    shared = False

    def forward(self, x: Tensor, track: bool = True) -> Tensor:
        c = x.shape[1]
        weight = _slice_vector(self.weight, c)
        bias = _slice_vector(self.bias, c)
        if self.training and self.shared and distributed.world_size() > 1:
            return self._normalize_over_processes(x, weight, bias, track)
        if self.training and not track:
            return F.batch_norm(x, None, None, weight, bias, True, 0.0, self.eps)
        if self.training:
            return super().forward(x)
        running_mean = _slice_vector(self.running_mean, c)
        running_var = _slice_vector(self.running_var, c)
        return F.batch_norm(x, running_mean, running_var, weight, bias, False, 0.0, self.eps)

    def _normalize_over_processes(self, x: Tensor, weight: Tensor | None, bias: Tensor | None,
                                  track: bool) -> Tensor:
        """Normalize with the statistics of the batches of all processes, which must have the same size."""
        h = x.float()
        mean = distributed.all_reduce_mean(h.mean((0, 2, 3)))
        centered = h - mean.view(1, -1, 1, 1)
        var = distributed.all_reduce_mean(centered.square().mean((0, 2, 3)))
        if track:
            self._update_running_statistics(mean, var, distributed.world_size() * x.numel() / x.shape[1])
        scale = torch.rsqrt(var + self.eps)
        if weight is not None:
            scale = scale * weight
        h = centered * scale.view(1, -1, 1, 1)
        if bias is not None:
            h = h + bias.view(1, -1, 1, 1)
        return h.to(x.dtype)

    @torch.no_grad()
    def _update_running_statistics(self, mean: Tensor, var: Tensor, count: float) -> None:
        """Update the running mean and the unbiased running variance; `count` values per channel were
        averaged."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked += 1
        momentum = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(var * (count / max(1, count - 1)), momentum)


def instance_norm(x: Tensor, eps: float) -> Tensor:
    """Compute F.instance_norm without parameters, on a CPU by the fastest kernels that compute the same.

    F.instance_norm copies tensors in the channels-last layout; batch norm of single images does not. In the
    contiguous layout, group norm with one group per channel has a faster forward pass. Exported graphs keep
    F.instance_norm, which every format has.

    Args:
        x: (N, C, H, W).
        eps: is added to the variances.
    """
    traced = torch.jit.is_tracing() or torch.compiler.is_compiling() or torch.onnx.is_in_onnx_export()
    if traced or x.device.type != "cpu" or x.shape[2:].numel() < 2:  # a traced shape may be symbolic
        return F.instance_norm(x, eps=eps)
    if x.is_contiguous():
        return F.group_norm(x, x.shape[1], eps=eps)
    ones = zeros = None
    if x.dtype in (torch.bfloat16, torch.float16):  # without weights, the means would be rounded
        ones, zeros = torch.ones(x.shape[1]), torch.zeros(x.shape[1])
    images = [F.batch_norm(image, None, None, ones, zeros, True, 0.0, eps) for image in x.split(1)]
    return images[0] if len(images) == 1 else torch.cat(images)


class ElasticInstanceNorm2d(nn.InstanceNorm2d):
    """Instance norm without parameters, which works at any width."""

    def forward(self, x: Tensor, track: bool = True) -> Tensor:
        return instance_norm(x, self.eps)


class NoNorm(nn.Identity):
    """Identity that takes the arguments of a norm (``--norm none``)."""

    def forward(self, x: Tensor, track: bool = True) -> Tensor:
        return x


def make_norm(norm: str, channels: int, affine: bool = True) -> nn.Module:
    """Build the norm layer of upstream's ``--norm``.

    Args:
        norm: instance (no parameters), batch, syncbatch or none; ``syncbatch`` equals ``batch`` until
            :func:`share_batch_norms` is called.
        channels: full width.
        affine: whether batch norm has a weight and a bias.

    Raises:
        ValueError: unknown `norm`.
    """
    if norm == "instance":
        return ElasticInstanceNorm2d(channels)
    if norm in ("batch", "syncbatch"):
        return ElasticBatchNorm2d(channels, affine=affine)
    if norm == "none":
        return NoNorm()
    raise ValueError(unknown(f"--norm {norm}", norm, NORMS))


def infer_norm(shapes: Shapes, conv: str, norm: str) -> str:
    """Infer ``--norm`` of a network whose convolutions have a bias only with instance norm.

    Args:
        shapes: the shapes of its state dict.
        conv, norm: key prefixes of a convolution and of the norm after it.
    """
    if f"{conv}.bias" in shapes:
        return "instance"
    return "batch" if f"{norm}.weight" in shapes else "none"


def share_batch_norms(net: nn.Module) -> nn.Module:
    """Let the batch norms of `net` use the batch statistics of all processes (``--norm syncbatch``)."""
    for module in net.modules():
        if isinstance(module, ElasticBatchNorm2d):
            module.shared = True
    return net
