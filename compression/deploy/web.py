"""Pages that draw: a static folder in which a generator runs in the browser.

The page opens as a file, without a server and without a network. :func:`write_page` copies the files of the
folder ``page``, writes the networks as ONNX into scripts (``model.js``, ``original.js``), and adds the
runtime (:mod:`compression.deploy.web_runtime`). ``page/page.js`` lists the entries of ``model.js``.
"""
from __future__ import annotations

import base64
import io
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..checkpoints.files import write_text
from ..elastic.generator import ElasticGenerator
from ..runtime.encoding import LabelEncoding, palette
from ..runtime.lab import colorizes
from ..runtime.text import giga
from .packages import require
from .rewrites import GAINS, rewrite
from .runtimes import trace_onnx
from .web_runtime import copy_runtime, packed

KINDS = ("draw", "colors", "paint", "photo")  # lines, areas of colors, maps of class ids, photos
PAGE_FILES = ("index.html", "page.css", "encode.js", "paper.js", "engine.js", "page.js", "serve.py")
_PAGE = Path(__file__).with_name("page")
_LEAST_HALVED = 64  # smaller arrays stay in fp32
_MOST_COLORS = 64  # of images that count as areas of colors
_MOST_CLASSES = 256  # the page holds class ids in bytes


@dataclass(frozen=True)
class Sample:
    """An input to start from.

    Attributes:
        name: its name.
        image: (H, W, 3) uint8 RGB; for label maps, the ids: (H, W) or, with instances, (H, W, 2) integers.
    """

    name: str
    image: np.ndarray


@dataclass(frozen=True)
class PageInput:
    """What the generator of a page takes.

    Attributes:
        kind: one of ``KINDS``.
        encoding: that of the label maps of the kind ``paint``, else None.
        colors: (n, 3) uint8, the colors of the kinds ``colors`` and ``paint``.
        names: the name of each color.
        background: number of the color of an empty paper.
    """

    kind: str
    encoding: LabelEncoding | None
    colors: np.ndarray
    names: tuple[str, ...]
    background: int = 0


@dataclass(frozen=True)
class PageNetwork:
    """A network of a page, see :func:`page_network`.

    Attributes:
        onnx: the content of its ONNX file.
        input_nc, output_nc: its channels.
        params: number of its parameters.
        macs: its MACs for one image, which the page states; None if they are unknown.
    """

    onnx: bytes
    input_nc: int
    output_nc: int
    params: int
    macs: int | None = None


def describe_input(samples: Sequence[Sample], encoding: LabelEncoding | None = None,
                   kind: str | None = None, known: Mapping[tuple[int, ...], str] | None = None,
                   names: Sequence[str] = ()) -> PageInput:
    """Describe what a page lets its user draw.

    Args:
        samples: inputs of the generator.
        encoding: the encoding of label maps; None for images.
        kind: one of ``KINDS``; None finds it: ``paint`` for label maps, ``draw`` for dark lines on white,
            ``colors`` for areas of a few colors, else ``photo``.
        known: names of colors.
        names: names of the classes, in the order of their ids.

    Raises:
        ValueError: a kind that does not fit the inputs.
    """
    if encoding is not None:
        if kind not in (None, "paint"):
            raise ValueError(f"--page {kind}: the generator takes label maps (paint)")
        return _label_input(samples, encoding, names)
    if kind == "paint":
        raise ValueError("--page paint: the generator takes images (draw, colors, or photo), no label maps")
    colors, covered = _frequent_colors(samples)
    if kind is None:
        kind = _kind_of_images(samples, colors, covered)
    if kind != "colors":
        return PageInput(kind, None, np.zeros((0, 3), np.uint8), ())
    if not len(colors):
        raise ValueError("--page colors needs samples, whose colors become the palette")
    known = known or {}
    labels = tuple(known.get(tuple(map(int, color)), f"#{bytes(color).hex()}") for color in colors)
    return PageInput(kind, None, colors, labels)


def page_network(net: ElasticGenerator, size: tuple[int, int], half: bool = False, macs: int | None = None
                 ) -> PageNetwork:
    """Export a generator for a page: fp32 images (1, input_nc, *size) in [-1, 1] in and out.

    Args:
        net: the generator; label maps are encoded by the page.
        size: (height, width) in pixels.
        half: whether to store the weights in fp16, which halves the file; the computation is in fp32.
        macs: its MACs for one image, if they are known.

    Raises:
        ValueError: a size that the generator does not take, or a missing package.
    """
    onnx = require("onnx")
    error = net.size_error(*size)
    if error:
        raise ValueError(f"--size: {error}")
    channels = net.config["input_nc"], net.config["output_nc"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        copy = rewrite(net.eval(), GAINS["onnxruntime-web"])
        trace_onnx(copy, torch.zeros(1, channels[0], *size), path, input_names=["input"],
                   output_names=["output"])
        model = onnx.load(path)
    if half:
        _halve_weights(onnx, model)
    params = sum(parameter.numel() for parameter in net.parameters())
    return PageNetwork(model.SerializeToString(), *channels, params, macs)


def write_page(folder: str | Path, title: str, size: tuple[int, int], page_input: PageInput,
               samples: Sequence[Sample], student: PageNetwork, original: PageNetwork | None = None,
               runtime: Mapping[str, Path] | None = None) -> None:
    """Write the folder of a page; it appears when it is complete, and replaces an earlier page.

    Args:
        folder: the folder.
        title: title of the page.
        size: (height, width) of the images in pixels.
        page_input: what the page lets its user draw.
        samples: inputs of this size to start from.
        student: the network that the page runs.
        original: another network of the same inputs, which the page runs on request.
        runtime: the files of :func:`compression.deploy.web_runtime.fetch_runtime`; None writes none.

    Raises:
        ValueError: a folder that is not an earlier page, or networks that do not fit.
        OSError: if the folder cannot be written.
    """
    folder = Path(folder)
    require_page_or_nothing(folder)
    description = _describe(title, student, size, page_input, samples)
    if original is not None:
        if (original.input_nc, original.output_nc) != (student.input_nc, student.output_nc):
            raise ValueError("--original: it has other input or output channels than the student")
        description["original"] = _facts(original) | {"file": "original.js"}
    with _new_folder(folder) as target:
        for name in PAGE_FILES:
            shutil.copyfile(_PAGE / name, target / name)
        if original is not None:
            write_text(target / "original.js", f'setOriginal("{packed(original.onnx)}");\n')
        write_text(target / "model.js", f"start({json.dumps(description, indent=1)});\n")
        if runtime is not None:
            copy_runtime(target, dict(runtime))


def require_page_or_nothing(folder: Path) -> None:
    """Raise a ValueError if a folder exists and is neither empty nor a page, which a new page may replace."""
    if folder.is_symlink() or folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder}: is not a folder")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "model.js").is_file():
        raise ValueError(f"{folder}: holds other files than a page; name another folder")


def _label_input(samples: Sequence[Sample], encoding: LabelEncoding, names: Sequence[str]) -> PageInput:
    """Describe label maps; an empty paper has the most frequent class of the samples."""
    if encoding.classes > _MOST_CLASSES:
        raise ValueError(f"a page paints at most {_MOST_CLASSES} classes, the generator takes "
                         f"{encoding.classes}")
    colors = ((palette(encoding.classes) + 1) * 127.5).round().to(torch.uint8).numpy()
    labels = tuple(names[i] if i < len(names) else f"class {i}" for i in range(encoding.classes))
    counts = np.zeros(encoding.classes, dtype=np.int64)
    for sample in samples:
        ids = sample.image if sample.image.ndim == 2 else sample.image[..., 0]
        counts += np.bincount(ids.astype(np.int64).ravel(), minlength=encoding.classes)
    return PageInput("paint", encoding, colors, labels, int(counts.argmax()))


def _frequent_colors(samples: Sequence[Sample]) -> tuple[np.ndarray, float]:
    """Return the colors that cover over 0.02 % of the pixels, the most frequent first, and their share."""
    if not samples:
        return np.zeros((0, 3), np.uint8), 0.0
    pixels = np.concatenate([sample.image.reshape(-1, 3) for sample in samples])
    colors, counts = np.unique(pixels, axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    order = order[counts[order] > 2e-4 * counts.sum()]
    return colors[order], float(counts[order].sum() / counts.sum())


def _kind_of_images(samples: Sequence[Sample], colors: np.ndarray, covered: float) -> str:
    """Tell lines, areas of colors, and photos apart."""
    if not samples:
        return "photo"
    pixels = np.concatenate([sample.image.reshape(-1, 3) for sample in samples]).astype(np.int16)
    is_gray = (pixels.max(1) - pixels.min(1) < 24).mean() > 0.99
    if is_gray and (pixels.min(1) > 230).mean() > 0.5:
        return "draw"
    return "colors" if covered > 0.98 and 1 < len(colors) <= _MOST_COLORS else "photo"


def _halve_weights(onnx: Any, model: Any) -> None:
    """Store the large fp32 weights of an ONNX model in fp16, with casts to fp32 in front of their uses."""
    graph = model.graph
    casts = []
    for tensor in graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < _LEAST_HALVED:
            continue
        stored = f"{tensor.name}.half"
        casts.append(onnx.helper.make_node("Cast", [stored], [tensor.name], to=onnx.TensorProto.FLOAT))
        limit = np.finfo(np.float16).max
        tensor.CopyFrom(onnx.numpy_helper.from_array(values.clip(-limit, limit).astype(np.float16), stored))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _describe(title: str, student: PageNetwork, size: tuple[int, int], page_input: PageInput,
              samples: Sequence[Sample]) -> dict[str, Any]:
    """Return the entries of model.js, without those of the original."""
    channels = student.input_nc, student.output_nc
    is_paint = page_input.kind == "paint"
    background: Any = page_input.background
    if not is_paint:
        has_palette = len(page_input.colors) > 0
        background = page_input.colors[background].tolist() if has_palette else [255, 255, 255]
    instances = is_paint and page_input.encoding is not None and page_input.encoding.instance
    classes = [{"name": name, "color": bytes(color).hex()}
               for name, color in zip(page_input.names, page_input.colors, strict=True)]
    entries = [{"name": sample.name, "input": _data_address(sample, is_paint)} for sample in samples]
    return {"title": title, "kind": page_input.kind, "height": size[0], "width": size[1],
            "input_nc": channels[0], "output_nc": channels[1], "lab": colorizes(*channels),
            "instances": bool(instances), "background": background, "classes": classes, "original": None,
            "samples": entries, "student": _facts(student) | {"onnx": packed(student.onnx)}}


def _facts(network: PageNetwork) -> dict[str, Any]:
    """Return the size of a network as the page states it."""
    macs = None if network.macs is None else f"{giga(network.macs)} G"
    return {"megabytes": float(f"{len(network.onnx) / 1e6:.3g}"), "macs": macs,
            "params": f"{network.params / 1e6:.3g} M"}


def _data_address(sample: Sample, is_paint: bool) -> str:
    """Return a sample as a PNG file in a data: address: class ids in red, instance ids in green and blue."""
    image = sample.image
    if is_paint:
        maps = image if image.ndim == 3 else image[..., None]
        image = np.zeros((*maps.shape[:2], 3), dtype=np.uint8)
        image[..., 0] = maps[..., 0]
        if maps.shape[2] == 2:
            _, numbers = np.unique(maps[..., 1], return_inverse=True)  # at most 65536: see the size of pages
            numbers = numbers.reshape(maps.shape[:2])
            image[..., 1], image[..., 2] = numbers % 256, numbers // 256 % 256
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


@contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """Fill a folder next to `folder`, and put it in its place when the block ends without an error."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    token = secrets.token_hex(4)
    target, former = (folder.parent / f".{folder.name[:40]}.{token}.{end}" for end in ("new", "old"))
    try:
        target.mkdir()
        yield target
        if folder.exists():
            os.replace(folder, former)
        os.replace(target, folder)
    except BaseException:
        if former.exists() and not folder.exists():
            os.replace(former, folder)
        raise
    finally:
        for leftover in (target, former):
            shutil.rmtree(leftover, ignore_errors=True)
