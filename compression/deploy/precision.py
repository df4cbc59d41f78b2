"""Precisions of exported files below fp32, by the runtimes' own tools."""
from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .formats import FORMATS, Shapes, load_as_openvino, save_onnx, save_openvino, write, write_onnx
from .graph import DeployedGenerator
from .packages import require

PRECISIONS = ("fp32", "fp16", "bf16", "int8")
_TORCH_TYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
Sample = Sequence[np.ndarray]  # one array for each input of the file


def check_precision(format_name: str, precision: str) -> None:
    """Check that a format has a precision.

    Raises:
        ValueError: if it has not; the message names the formats that have.
    """
    if precision in FORMATS[format_name].precisions:
        return
    others = [name for name, entry in FORMATS.items() if precision in entry.precisions]
    reason = {"bf16": "ONNX Runtime has no convolutions in bf16 on CPUs",
              "int8": "int8 needs the tools of ONNX Runtime or OpenVINO"}.get(precision, "")
    reason = f" ({reason})" if reason else ""
    raise ValueError(f"--format {format_name} has no --precision {precision}{reason}; it has "
                     f"{', '.join(FORMATS[format_name].precisions)}, and {precision} is for --format "
                     f"{' or '.join(others)}")


def write_in_precision(format_name: str, precision: str, graph: DeployedGenerator, shapes: Shapes,
                       metadata: Mapping[str, Any], path: Path, calibration: Iterable[Sample] = ()) -> None:
    """Write a graph in a format and a precision.

    Args:
        format_name: one of ``FORMATS``.
        precision: one of ``PRECISIONS`` that the format has.
        graph: the graph, in fp32.
        shapes: the shapes that it takes.
        metadata: plain data that the file says about itself.
        path: the file.
        calibration: inputs that the ranges of int8 are measured on, of the shapes of the file.

    Raises:
        ValueError: if a package is missing, the format cannot hold the graph, or there are no inputs to
            calibrate int8 with.
    """
    check_precision(format_name, precision)
    if precision == "int8":
        samples = list(calibration)
        if not samples:
            raise ValueError("--precision int8 needs images to calibrate it with, got none; --calibration "
                             "FOLDER or --dataroot names them")
        _quantizing(_QUANTIZERS[format_name], graph, shapes, metadata, path, samples)
    elif format_name == "onnx" and precision == "fp16":
        _quantizing(_write_onnx_fp16, graph, shapes, metadata, path, ())
    elif FORMATS[format_name].runtime == "torch" and precision != "fp32":
        dtype = _TORCH_TYPES[precision]
        half = DeployedGenerator(copy.deepcopy(graph.net), graph.interface, graph.dynamic, dtype)
        write(format_name, half, shapes, metadata, path)
    else:  # OpenVINO computes in the precision that the metadata name
        write(format_name, graph, shapes, metadata, path)


def _quantizing(write_file: Callable[..., None], graph: DeployedGenerator, shapes: Shapes,
                metadata: Mapping[str, Any], path: Path, samples: Sequence[Sample]) -> None:
    """Run a tool that lowers the precision, without its log."""
    try:
        with _quiet(), torch.no_grad():
            write_file(graph, shapes, metadata, path, samples)
    except (ValueError, OSError, MemoryError):
        raise
    except Exception as error:  # each tool has types of its own
        text = " ".join(str(error).split())[:300] or type(error).__name__
        precision = metadata.get("precision")
        raise ValueError(f"--precision {precision}: the network cannot be converted ({text}); try "
                         "--format openvino, or another precision") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence warnings, and the logs and progress bars of the tools."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _write_openvino_int8(graph: DeployedGenerator, shapes: Shapes, metadata: Mapping[str, Any], path: Path,
                         samples: Sequence[Sample]) -> None:
    """Quantize weights and activations of the convolutions with NNCF.

    The ranges of activations come from their histograms over all samples. NNCF's default, the mean over the
    samples of their minima and maxima, clips images with large activations.
    """
    nncf = require("nncf")
    ranges = require("nncf.quantization.range_estimator").RangeEstimatorParametersSet.HISTOGRAM
    model = load_as_openvino(graph, shapes, path.parent)
    dataset = nncf.Dataset(samples, lambda sample: list(sample))
    advanced = nncf.AdvancedQuantizationParameters(activations_range_estimator_params=ranges)
    model = nncf.quantize(model, dataset, preset=nncf.QuantizationPreset.MIXED, subset_size=len(samples),
                          advanced_parameters=advanced)
    save_openvino(model, metadata, path)


def _write_onnx_int8(graph: DeployedGenerator, shapes: Shapes, metadata: Mapping[str, Any], path: Path,
                     samples: Sequence[Sample]) -> None:
    """Quantize the convolutions with onnxruntime.quantization (QDQ, one scale for each output channel)."""
    onnx = require("onnx")
    quantization = require("onnxruntime.quantization")
    prepared = path.with_name("prepared.onnx")
    require("onnxruntime.quantization.shape_inference")
    write_onnx(graph, shapes, {}, path)
    quantization.shape_inference.quant_pre_process(path, prepared, skip_symbolic_shape=True)
    quantization.quantize_static(
        prepared, path, _Reader(graph.interface.input_names, samples),
        quant_format=quantization.QuantFormat.QDQ, per_channel=True,
        op_types_to_quantize=["Conv", "ConvTranspose"],
        activation_type=quantization.QuantType.QUInt8, weight_type=quantization.QuantType.QInt8,
        extra_options={"ActivationSymmetric": False, "WeightSymmetric": True})
    prepared.unlink()
    save_onnx(onnx.load(path), metadata, path)


class _Reader:
    """Yields samples as onnxruntime.quantization reads them."""

    def __init__(self, names: Sequence[str], samples: Sequence[Sample]):
        self.feeds = iter([dict(zip(names, sample, strict=True)) for sample in samples])

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Return the next inputs by name, None after the last ones."""
        return next(self.feeds, None)

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        return self.feeds

    def __next__(self) -> dict[str, np.ndarray]:
        return next(self.feeds)


def _write_onnx_fp16(graph: DeployedGenerator, shapes: Shapes, metadata: Mapping[str, Any], path: Path,
                     samples: Sequence[Sample]) -> None:
    """Convert weights and activations to fp16; inputs and outputs keep their types."""
    onnx = require("onnx")
    float16 = require("onnxruntime.transformers.float16")
    write_onnx(graph, shapes, {}, path)
    model = float16.convert_float_to_float16(onnx.load(path), keep_io_types=True)
    sorted_model = require("onnxruntime.transformers.onnx_model").OnnxModel(model)
    sorted_model.topological_sort()  # the conversions of inputs are appended at the end
    save_onnx(sorted_model.model, metadata, path)


_QUANTIZERS = {"openvino": _write_openvino_int8, "onnx": _write_onnx_int8}
