"""Runtimes of generators: PyTorch, ONNX Runtime, and OpenVINO behind one interface, all on the CPU."""
from __future__ import annotations

import json
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..runtime.modes import eval_mode
from ..runtime.text import unknown
from ..runtime.timing import median_ms
from .openvino_norms import average_in_windows
from .packages import require
from .session import InputSpec, Session, one_line

RUNTIMES = ("torch", "onnxruntime", "openvino")
SUFFIXES = {".onnx": "onnxruntime", ".xml": "openvino", ".pt2": "torch", ".ts": "torch"}  # the first choice
METADATA = "ugc"  # name of the entry of an exported file that holds its metadata as JSON


def open_session(path: str | Path, runtime: str | None = None, threads: int | None = None) -> Session:
    """Open an exported file.

    Args:
        path: ``.onnx``, ``.xml`` (OpenVINO), ``.pt2`` (torch.export), or ``.ts`` (TorchScript).
        runtime: one of ``RUNTIMES``; None is the first choice for the suffix, see ``SUFFIXES``. OpenVINO also
            opens ``.onnx``.
        threads: number of CPU threads; None is that of PyTorch.

    Returns:
        The :class:`Session`. It computes in the precision that the file was exported in, else in fp32.

    Raises:
        ValueError: an unknown suffix or runtime, a runtime that does not open such files or is not installed,
            or a file that cannot be read.
    """
    path = Path(path)
    first_choice = SUFFIXES.get(path.suffix)
    if first_choice is None:
        raise ValueError(f"{path}: is not an exported file, which ends in {', '.join(SUFFIXES)}; export.py "
                         "writes them")
    runtime = runtime or first_choice
    if runtime not in RUNTIMES:
        raise ValueError(unknown(f"runtime {runtime}", runtime, RUNTIMES))
    if runtime != first_choice and (runtime, path.suffix) != ("openvino", ".onnx"):
        raise ValueError(f"{path}: {runtime} does not open files ending in {path.suffix}, which are for "
                         f"{first_choice}")
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    open_file = {"torch": _open_torch, "onnxruntime": _open_onnxruntime, "openvino": _open_openvino}[runtime]
    return open_file(path, _thread_count(threads))


def open_network(net: nn.Module, example: Tensor, runtime: str, threads: int | None = None) -> Session:
    """Open a network in a runtime in fp32, through a temporary folder: to measure it, not to keep it.

    Args:
        net: the network, called with one tensor and run in eval mode.
        example: (N, C, H, W), an input; its shape is the only one that the session takes.
        runtime: one of ``RUNTIMES``; ``torch`` runs the module as is (eager mode).
        threads: number of CPU threads; None is that of PyTorch.

    Raises:
        ValueError: an unknown runtime, one that is not installed, or one that cannot run the network.
    """
    if runtime not in RUNTIMES:
        raise ValueError(unknown(f"runtime {runtime}", runtime, RUNTIMES))
    threads = _thread_count(threads)
    name = type(net).__name__
    if runtime == "torch":
        spec = InputSpec("input", tuple(example.shape), example.numpy().dtype)
        return Session(_torch_run(net, threads), runtime, threads, [spec], name=name)
    with tempfile.TemporaryDirectory() as folder, eval_mode(net):
        path = Path(folder) / "network.onnx"
        if runtime == "openvino":
            openvino = require("openvino")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of the deprecation, and of values that a trace fixes
                model = openvino.convert_model(net, example_input=example, input=list(example.shape))
            average_in_windows(model)
            session = _openvino_session(openvino, model, threads, "f32", {})
        else:
            require("onnx")
            trace_onnx(net, example, path)
            session = open_session(path, runtime, threads)
    session.name = name
    return session


def trace_onnx(net: nn.Module, example: Tensor | tuple[Tensor, ...], path: Path, **settings: Any) -> None:
    """Write a network as ONNX by a trace of one forward pass (torch's TorchScript-based exporter).

    Args:
        net: the network, in eval mode.
        example: its input, or its inputs.
        path: the file.
        settings: further arguments of ``torch.onnx.export``.
    """
    inputs = example if isinstance(example, tuple) else (example,)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of the deprecation, and of values that a trace fixes
        torch.onnx.export(net, inputs, path, dynamo=False, **settings)


def latency_ms(session: Session, *inputs: np.ndarray, seconds: float = 1.0) -> float:
    """Measure the latency of a session: the median time of a call in milliseconds.

    Args:
        session: what is called.
        inputs: its inputs.
        seconds: duration of the measurement; at least 3 calls are measured after 2 calls of warm-up.
    """
    return median_ms(lambda: session(*inputs), seconds)


def _thread_count(threads: int | None) -> int:
    if threads is None:
        return torch.get_num_threads()
    if threads < 1:
        raise ValueError(f"--threads must be at least 1, got {threads}")
    return threads


@contextmanager
def _torch_threads(threads: int) -> Iterator[None]:
    """Set PyTorch's number of threads, and restore it."""
    before = torch.get_num_threads()
    if threads == before:
        yield
        return
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _torch_run(net: Any, threads: int, is_program: bool = False) -> Callable[..., np.ndarray]:
    """Return a function that runs a module in eval mode, or an exported program, which has no mode."""
    def run(*inputs: np.ndarray) -> np.ndarray:
        # inputs are copied, because torch has no read-only tensors
        tensors = [torch.from_numpy(array if array.flags.writeable else array.copy()) for array in inputs]
        with _torch_threads(threads), torch.inference_mode():
            if is_program or not net.training:
                return net(*tensors).numpy()
            with eval_mode(net):
                return net(*tensors).numpy()
    return run


def _open_torch(path: Path, threads: int) -> Session:
    """Open a program of torch.export or TorchScript."""
    entries: dict[str, Any] = {f"{METADATA}.json": ""}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if path.suffix == ".ts":
                net = torch.jit.load(path, map_location="cpu", _extra_files=entries)
            else:
                net = torch.export.load(path, extra_files=entries).module()
    except Exception as error:  # torch raises many types for damaged files
        raise ValueError(_unreadable(path, "torch", error)) from None
    metadata = _parse_metadata(entries[f"{METADATA}.json"], path)
    specs = [InputSpec(spec["name"], tuple(spec["shape"]), np.dtype(spec["dtype"]))
             for spec in metadata.get("inputs", ())]
    if not specs:
        raise ValueError(f"{path}: has no metadata of export.py, which says what inputs it takes")
    return Session(_torch_run(net, threads, True), "torch", threads, specs, metadata, str(path))


def _open_onnxruntime(path: Path, threads: int) -> Session:
    onnxruntime = require("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # types of its own
        raise ValueError(_unreadable(path, "onnxruntime", error)) from None
    metadata = _parse_metadata(session.get_modelmeta().custom_metadata_map.get(METADATA, ""), path)
    specs = [InputSpec(value.name, tuple(side if isinstance(side, int) else None for side in value.shape),
                       _onnx_dtype(value.type)) for value in session.get_inputs()]

    def run(*inputs: np.ndarray) -> np.ndarray:
        feeds = {spec.name: array for spec, array in zip(specs, inputs, strict=True)}
        return session.run(None, feeds)[0]

    return Session(run, "onnxruntime", threads, specs, metadata, str(path))


def _onnx_dtype(name: str) -> np.dtype:
    """Convert ONNX Runtime's name of a type, such as ``tensor(float)``."""
    name = name.removeprefix("tensor(").removesuffix(")")
    return np.dtype({"float": "float32", "double": "float64"}.get(name, name))


def _open_openvino(path: Path, threads: int) -> Session:
    openvino = require("openvino")
    try:
        model = openvino.Core().read_model(path)
        text = model.get_rt_info(METADATA).astype(str) if model.has_rt_info(METADATA) else ""
        metadata = _parse_metadata(text, path)
        precision = {"bf16": "bf16", "fp16": "f16"}.get(metadata.get("precision", ""), "f32")
        session = _openvino_session(openvino, model, threads, precision, metadata)
    except ValueError:
        raise
    except Exception as error:  # types of its own
        raise ValueError(_unreadable(path, "openvino", error)) from None
    session.name = str(path)
    return session


def _openvino_session(openvino: Any, model: Any, threads: int, precision: str,
                      metadata: Mapping[str, Any]) -> Session:
    """Compile a model of OpenVINO for the latency of one request at a time."""
    compiled = openvino.Core().compile_model(model, "CPU", {
        "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY",
        # by default it computes in bf16 or fp16 where the processor can
        "INFERENCE_PRECISION_HINT": precision})
    specs = []
    for i, port in enumerate(compiled.inputs):
        shape = tuple(side.get_length() if side.is_static else None for side in port.partial_shape)
        name = port.any_name if port.names else f"input_{i}"
        specs.append(InputSpec(name, shape, np.dtype(port.element_type.to_dtype())))
    request = compiled.create_infer_request()

    def run(*inputs: np.ndarray) -> np.ndarray:
        return request.infer(list(inputs))[0].copy()

    return Session(run, "openvino", threads, specs, metadata)


def _parse_metadata(text: str | bytes, path: Path) -> dict[str, Any]:
    """Parse the metadata of an exported file; a file of other programs has none."""
    if not text:
        return {}
    try:
        metadata = json.loads(text)
    except ValueError:
        raise ValueError(f"{path}: its metadata is damaged (not JSON)") from None
    return metadata if isinstance(metadata, dict) else {}


def _unreadable(path: Path, runtime: str, error: Exception) -> str:
    return f"{path}: cannot be opened in {runtime} ({one_line(error)})"
