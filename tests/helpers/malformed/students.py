"""Student files, which describe their own network, for ``test.py --input``."""
from functools import lru_cache

import torch

from compression import build_generator

from .checkpoints import Payload, saved, touch
from .harness import HANDLED, Case
from .images import encoded

DAMAGED = "file is damaged"
LARGE = "has at most 1000 widths of at most 65536"
UNFIT = "does not fit ResnetGenerator"


@lru_cache
def student():
    """Build the content of a small student file."""
    net = build_generator("resnet_6blocks", ngf=2)
    return {"format": "ugc-student-1", "arch": net.full.to_json(), "config": dict(net.config),
            "state_dict": dict(net.state_dict()), "meta": {}}


def changed(part, **changes):
    """Build a student file with changed entries in one part."""
    return {**student(), part: {**student()[part], **changes}}


def without(name):
    return {key: value for key, value in student().items() if key != name}


def with_weight(tensor):
    """A student with the weight of its first convolution replaced."""
    return changed("state_dict", **{"model.1.weight": tensor})


def without_a_bias():
    state = student()["state_dict"]
    return {**student(), "state_dict": {key: value for key, value in state.items() if key != "model.1.bias"}}


def in_half_precision():
    state = student()["state_dict"]
    return {**student(), "state_dict": {key: value.half() for key, value in state.items()}}


FILES = {  # what is wrong -> a function () -> content of the file, the error message
    "complete": (student, HANDLED),
    "half precision": (in_half_precision, HANDLED),
    "additional data": (lambda: {**student(), "note": "x"}, HANDLED),
    "a billion channels": (lambda: changed("arch", trunk=10 ** 9), LARGE),
    "2**70 channels": (lambda: changed("arch", trunk=2 ** 70), LARGE),
    "65,536 channels": (lambda: changed("arch", trunk=65536, inner=[65536] * 6), UNFIT),
    "100,000 blocks": (lambda: changed("arch", inner=[8] * 100_000), LARGE),
    "900 blocks": (lambda: changed("arch", inner=[8] * 900), UNFIT),
    "one block less": (lambda: changed("arch", inner=[8] * 5), UNFIT),
    "a channel more": (lambda: changed("arch", trunk=9), UNFIT),
    "zero channels": (lambda: changed("arch", trunk=0), DAMAGED),
    "negative channels": (lambda: changed("arch", trunk=-8), DAMAGED),
    "half a channel": (lambda: changed("arch", trunk=8.5), DAMAGED),
    "true channels": (lambda: changed("arch", trunk=True), DAMAGED),
    "a tensor of channels": (lambda: changed("arch", trunk=torch.tensor(8)), DAMAGED),
    "unknown family": (lambda: changed("arch", family="vgg"), DAMAGED),
    "unknown field": (lambda: changed("arch", depth=3), DAMAGED),
    "field of a number": (lambda: {**student(), "arch": {**student()["arch"], 3: 3}}, DAMAGED),
    "architecture is a list": (lambda: {**student(), "arch": [1]}, DAMAGED),
    "no architecture": (lambda: without("arch"), DAMAGED),
    "no configuration": (lambda: without("config"), DAMAGED),
    "no weights": (lambda: without("state_dict"), DAMAGED),
    "configuration is a list": (lambda: {**student(), "config": [1]}, DAMAGED),
    "meta data is a number": (lambda: {**student(), "meta": 3}, DAMAGED),
    "a billion input channels": (lambda: changed("config", input_nc=10 ** 9), "must be an integer from 1"),
    "2**62 input channels": (lambda: changed("config", input_nc=2 ** 62), "must be an integer from 1"),
    "no input channels": (lambda: changed("config", input_nc=0), "must be an integer from 1"),
    "input channels in words": (lambda: changed("config", input_nc="3"), "must be an integer from 1"),
    "input channels null": (lambda: changed("config", input_nc=None), "must be an integer from 1"),
    "unknown norm": (lambda: changed("config", norm="layer"), "cannot be built"),
    "norm is a list": (lambda: changed("config", norm=["batch"]), "cannot be built"),
    "unknown argument": (lambda: changed("config", depth=3), "cannot be built"),
    "norm of another network": (lambda: changed("config", norm="batch"), UNFIT),
    "other format": (lambda: {**student(), "format": "ugc-student-9"}, "has the format 'ugc-student-9'"),
    "a state dict": (lambda: student()["state_dict"], HANDLED),
    "weights are null": (lambda: {**student(), "state_dict": None}, "'state_dict' must be an object"),
    "weights are NaN": (lambda: with_weight(torch.full((2, 3, 7, 7), float("nan"))), "NaN or infinite"),
    "weights are integers": (lambda: with_weight(torch.zeros(2, 3, 7, 7, dtype=torch.int64)),
                             "not floating-point numbers"),
    "a weight missing": (without_a_bias, UNFIT)}


def _input(content):
    def make(folder):
        (folder / "student.pth").write_bytes(saved(content(folder)))
        (folder / "x.png").write_bytes(encoded())
        return ["--model", "ugc_student", "--student", folder / "student.pth",
                "--checkpoints_dir", folder / "ck", "--gpu_ids", "-1",
                "--original", "none", "--input", folder / "x.png", "--output", folder / "out.png"]
    return make


STUDENTS = [*(Case("student file", name, "test", _input(lambda folder, content=content: content()), expected)
              for name, (content, expected) in FILES.items()),
            *(Case("student file with code", f"in its {part}", "test",
                   _input(lambda folder, part=part: {**student(), part: Payload(exec, touch(folder))}),
                   "which are never run")
              for part in ("arch", "config", "state_dict", "meta"))]
