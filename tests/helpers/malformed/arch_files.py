"""Architecture files for ``python -m compression.cost``."""
import json
import os

from .harness import HANDLED, Case

RESNET = {"family": "resnet", "stem": [16, 24], "trunk": 24, "inner": [32, 16, 16], "decoder": [24, 8]}
SPADE = {"family": "spade", "trunk": 128, "head_inner": [128, 128, 128], "up": [64, 32, 16, 16],
         "hidden": [8] * 7}
WIDTH = "are positive integers"
LARGE = "has at most 1000 widths of at most 65536"


def changed(arch=RESNET, **fields):
    return json.dumps({**arch, **fields})


TEXTS = {  # what is wrong -> the file's text or bytes, the error message
    "byte order mark": (b"\xef\xbb\xbf" + changed().encode(), HANDLED),
    "under the key arch": (json.dumps({"arch": RESNET}), HANDLED),
    "white space": (f"\n\n {changed()}\t\n", HANDLED),
    "more keys than arch": (json.dumps({"arch": RESNET, "score": None}), HANDLED),
    "empty": ("", "cannot read an architecture"), "only white space": (" \n", "cannot read an architecture"),
    "not JSON": ("stem: 16", "cannot read an architecture"),
    "binary": (bytes(range(256)), "cannot read an architecture"),
    "UTF-16": (changed().encode("utf-16"), "cannot read an architecture"),
    "cut": (changed()[:40], "cannot read an architecture"),
    "text after the end": (changed() + "]", "cannot read an architecture"),
    "single quotes": (str(RESNET), "cannot read an architecture"),
    "NaN": (changed(trunk=float("nan")), "NaN is not a JSON number"),
    "Infinity": (changed(trunk=float("inf")), "Infinity is not a JSON number"),
    "a name twice": (changed()[:-1] + ', "trunk": 8}', "has a name twice"),
    "nested 100,000 deep": ("[" * 100_000, "cannot read an architecture"),
    "nested inside a field": (changed()[:-1] + ', "x": ' + "[" * 100_000, "cannot read an architecture"),
    "number of 5,000 digits": (changed().replace("24", "9" * 5000, 1), "cannot read an architecture"),
    "2 MB": (" " * 2_000_000, "2,000,000 bytes"),
    "list": ("[1, 2]", "is a JSON object"), "null": ("null", "is a JSON object"),
    "number": ("3", "is a JSON object"),
    "string": ('"resnet"', "is a JSON object"), "no family": ("{}", "is a JSON object"),
    "arch is null": ('{"arch": null}', "is a JSON object"),
    "family is a number": (changed(family=1), "is a JSON object"),
    "unknown family": (changed(family="vgg"), "unknown family 'vgg'"),
    "family with a line break": (changed(family="a\nerror: b"), "unknown family"),
    "missing field": (json.dumps({k: v for k, v in RESNET.items() if k != "trunk"}), "missing: ['trunk']"),
    "unknown field": (changed(depth=9), "unknown: ['depth']"),
    "field named self": (changed(self=9), "unknown: ['self']"),
    "zero": (changed(trunk=0), "positive"), "negative": (changed(trunk=-8), WIDTH),
    "float": (changed(trunk=8.0), WIDTH),
    "overflowing float": (changed().replace("24", "1e999", 1), WIDTH), "true": (changed(trunk=True), WIDTH),
    "text": (changed(trunk="24"), WIDTH),
    "null width": (changed(inner=[None, 8, 8]), WIDTH), "object": (changed(trunk={"a": 1}), WIDTH),
    "nested list": (changed(inner=[[8], 8, 8]), WIDTH),
    "a billion channels": (changed(trunk=10 ** 9), LARGE),
    "10**300 channels": (changed(trunk=10 ** 300), LARGE),
    "a million blocks": (changed(inner=[8] * 100_000), LARGE),
    "list for a width": (changed(trunk=[8]), "has one 'trunk' width"),
    "width for a list": (changed(stem=8), "has two 'stem' widths"),
    "short list": (changed(stem=[8]), "has two 'stem' widths"),
    "empty list": (changed(inner=[]), "at least one 'inner' width"),
    "few levels": (json.dumps({"family": "unet", "encoder": [8] * 4, "decoder": [8] * 3}),
                   "at least 5 'encoder' widths"),
    "levels that differ": (json.dumps({"family": "unet", "encoder": [8] * 6, "decoder": [8] * 6}),
                           "has 5 'decoder' widths"),
    "SPADE without a head": (changed(SPADE, head_inner=[0, 8, 8]), "widths of a spade are positive"),
    "SPADE of few ups": (changed(SPADE, up=[8] * 3), "4 'up' widths"),
    "SPADE of one width": (changed(SPADE, hidden=8), "several 'hidden' widths")}


def _file(text):
    def make(folder):
        (folder / "arch.json").write_bytes(text if isinstance(text, bytes) else text.encode())
        return ["--arch", folder / "arch.json", "--size", "64x64"]
    return make


def _place(make):
    def case(folder):
        make(folder / "arch.json")
        return ["--arch", folder / "arch.json"]
    return case


ARCH_FILES = [*(Case("Arch file", name, "cost", _file(text), expected)
                for name, (text, expected) in TEXTS.items()),
              Case("Arch file", "missing", "cost", _place(lambda path: None), "No such file"),
              Case("Arch file", "folder", "cost", _place(lambda path: path.mkdir()), "not a regular file"),
              Case("Arch file", "pipe", "cost", _place(os.mkfifo), "not a regular file")]
