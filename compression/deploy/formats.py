"""The formats of exported files: ONNX, OpenVINO, torch.export, and TorchScript."""
from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .graph import DeployedGenerator
from .interface import IDS, VALUES
from .openvino_norms import average_in_windows
from .packages import require
from .runtimes import METADATA, trace_onnx

OPSET = 17  # of ONNX: ONNX Runtime since 1.12, its version for browsers, and OpenVINO know it


@dataclass(frozen=True)
class Shapes:
    """The shapes that a file takes.

    Attributes:
        size: (height, width), also that of examples if the size is dynamic.
        batch: number of images.
        dynamic_size, dynamic_batch: whether the file takes any.
    """

    size: tuple[int, int]
    batch: int = 1
    dynamic_size: bool = False
    dynamic_batch: bool = False


@dataclass(frozen=True)
class Format:
    """A format of exported files.

    Attributes:
        suffix: of the file.
        runtime: the runtime that the file is for; its rewrites are applied.
        precisions: the values of ``--precision``.
        write: writes a graph, see :func:`write`.
        companions: suffixes of further files next to the file.
    """

    suffix: str
    runtime: str
    precisions: tuple[str, ...]
    write: Callable[[DeployedGenerator, Shapes, Mapping[str, Any], Path], None]
    companions: tuple[str, ...] = ()


def examples(graph: DeployedGenerator, shapes: Shapes) -> tuple[Tensor, ...]:
    """Return inputs of the graph, zeros. A dynamic batch has 2 images: exporters take 1 as a constant."""
    interface = graph.interface
    batch = 2 if shapes.dynamic_batch else shapes.batch
    if interface.input_values == IDS:
        return tuple(torch.zeros(batch, 1, *shapes.size, dtype=torch.int32) for _ in interface.input_names)
    dtype = torch.float32
    if not interface.classes and VALUES[interface.input_values][0] is np.uint8:
        dtype = torch.uint8
    return (torch.zeros(batch, interface.input_nc, *shapes.size, dtype=dtype),)


def describe_inputs(graph: DeployedGenerator, shapes: Shapes) -> list[dict[str, Any]]:
    """Describe the inputs of the graph for its metadata: name, shape with None where dynamic, and dtype."""
    rows = []
    for name, tensor in zip(graph.interface.input_names, examples(graph, shapes), strict=True):
        shape = [None if shapes.dynamic_batch else shapes.batch, tensor.shape[1],
                 *([None, None] if shapes.dynamic_size else shapes.size)]
        rows.append({"name": name, "shape": shape, "dtype": str(tensor.dtype).removeprefix("torch.")})
    return rows


def write(name: str, graph: DeployedGenerator, shapes: Shapes, metadata: Mapping[str, Any],
          path: Path) -> None:
    """Write a graph in a format.

    Args:
        name: one of ``FORMATS``.
        graph: the graph.
        shapes: the shapes that it takes.
        metadata: plain data that the file says about itself.
        path: the file, with the suffix of the format.

    Raises:
        ValueError: if a package is missing, or the format cannot hold the graph.
    """
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # of deprecations, and of values that a trace fixes
            FORMATS[name].write(graph, shapes, metadata, path)
    except (ValueError, OSError, MemoryError):
        raise
    except Exception as error:  # each exporter has types of its own
        network = type(graph.net).__name__
        raise ValueError(f"--format {name} cannot hold {network}: {_first_line(error)}; try another --format "
                         f"({', '.join(FORMATS)}), or a fixed size and batch") from error


def _first_line(error: Exception) -> str:
    """Return what an exporter says, without its explanations."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300]


def write_onnx(graph: DeployedGenerator, shapes: Shapes, metadata: Mapping[str, Any], path: Path) -> None:
    """Write ONNX."""
    onnx = require("onnx")
    names = list(graph.interface.input_names)
    axes: dict[int, str] = {0: "batch"} if shapes.dynamic_batch else {}
    if shapes.dynamic_size:
        axes |= {2: "height", 3: "width"}
    trace_onnx(graph, examples(graph, shapes), path, input_names=names, output_names=["image_out"],
               dynamic_axes=dict.fromkeys([*names, "image_out"], axes) if axes else None,
               opset_version=OPSET)
    model = onnx.load(path)
    save_onnx(model, metadata, path)


def save_onnx(model: Any, metadata: Mapping[str, Any], path: Path) -> None:
    """Check a model of ONNX and save it with its metadata."""
    onnx = require("onnx")
    onnx.helper.set_model_props(model, {METADATA: json.dumps(metadata, allow_nan=False)})
    model.producer_name = "ugc"
    onnx.checker.check_model(model)
    onnx.save(model, path)


def write_openvino(graph: DeployedGenerator, shapes: Shapes, metadata: Mapping[str, Any], path: Path) -> None:
    """Write the intermediate representation of OpenVINO, an ``.xml`` and a ``.bin``, through ONNX.

    Weights of fp16 and bf16 are stored in 16 bits; the session selects the precision of the computation.
    """
    model = load_as_openvino(graph, shapes, path.parent)
    if metadata.get("precision") == "fp32":
        average_in_windows(model)
    save_openvino(model, metadata, path)


def load_as_openvino(graph: DeployedGenerator, shapes: Shapes, folder: Path) -> Any:
    """Convert a graph to a model of OpenVINO; `folder` is for temporary files."""
    openvino = require("openvino")
    onnx_file = folder / "network.onnx"
    write_onnx(graph, shapes, {}, onnx_file)
    model = openvino.convert_model(onnx_file)
    onnx_file.unlink()
    return model


def save_openvino(model: Any, metadata: Mapping[str, Any], path: Path) -> None:
    """Save a model of OpenVINO with its metadata."""
    openvino = require("openvino")
    model.set_rt_info(json.dumps(metadata, allow_nan=False), METADATA)
    openvino.save_model(model, path, compress_to_fp16=metadata.get("precision") in ("fp16", "bf16"))


def write_torch_export(graph: DeployedGenerator, shapes: Shapes, metadata: Mapping[str, Any],
                       path: Path) -> None:
    """Write a program of torch.export."""
    arguments = examples(graph, shapes)
    axes: dict[int, Any] = {}
    if shapes.dynamic_batch:
        axes[0] = torch.export.Dim.AUTO
    if shapes.dynamic_size:
        axes |= {2: torch.export.Dim.AUTO, 3: torch.export.Dim.AUTO}
    dynamic = (tuple(axes for _ in arguments),) if axes else None
    program = torch.export.export(graph, arguments, dynamic_shapes=dynamic, strict=False)
    torch.export.save(program, path, extra_files={f"{METADATA}.json": json.dumps(metadata, allow_nan=False)})


def write_torchscript(graph: DeployedGenerator, shapes: Shapes, metadata: Mapping[str, Any],
                      path: Path) -> None:
    """Write TorchScript, by a trace."""
    module = torch.jit.freeze(torch.jit.trace(graph, examples(graph, shapes), check_trace=False).eval())
    torch.jit.save(module, path, _extra_files={f"{METADATA}.json": json.dumps(metadata, allow_nan=False)})


FORMATS: dict[str, Format] = {
    "onnx": Format(".onnx", "onnxruntime", ("fp32", "fp16", "int8"), write_onnx),
    "openvino": Format(".xml", "openvino", ("fp32", "fp16", "bf16", "int8"), write_openvino, (".bin",)),
    "torch_export": Format(".pt2", "torch", ("fp32", "fp16", "bf16"), write_torch_export),
    "torchscript": Format(".ts", "torch", ("fp32", "fp16", "bf16"), write_torchscript),
    "web": Format("", "onnxruntime", ("fp32", "fp16"), write_onnx),  # a folder (web.py), compared as ONNX
}
