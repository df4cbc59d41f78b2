"""Architectures are validated when created, immutable, and convert to plain data."""
import copy
import json
import pickle

import pytest

from compression import Arch
from compression.elastic.families import full_arch, register
from compression.elastic.registry import FAMILIES

RESNET = {"stem": (8, 16), "trunk": 24, "inner": (16, 16, 24), "decoder": (16, 8)}
ALL = [full_arch(netG, 64) for family in FAMILIES.values() for netG in family.full]


@pytest.mark.parametrize("arch", ALL, ids=str)
def test_json_copy_and_pickle_keep_an_architecture(arch):
    for other in (Arch.from_json(json.loads(json.dumps(arch.to_json()))), copy.deepcopy(arch),
                  pickle.loads(pickle.dumps(arch)), arch.with_widths(arch.widths), arch.replace()):
        assert other == arch
        assert hash(other) == hash(arch)
        assert other.skeleton == arch.skeleton


def test_lists_and_tuples_are_equal_and_fields_cannot_change():
    arch = Arch("resnet", **RESNET)
    assert arch == Arch("resnet", **{k: list(v) if isinstance(v, tuple) else v for k, v in RESNET.items()})
    assert arch.widths == (8, 16, 24, 16, 16, 24, 16, 8)
    assert arch.trunk == 24
    with pytest.raises(AttributeError, match="immutable"):
        arch.trunk = 8
    with pytest.raises(AttributeError, match="no field 'encoder'"):
        _ = arch.encoder


@pytest.mark.parametrize(("changes", "fits"), [
    ({}, True), ({"trunk": 16}, True), ({"trunk": 32}, False), ({"inner": (16, 16)}, True),
    ({"inner": (8,) * 4}, False), ({"inner": (17, 16, 24)}, False), ({"stem": (4, 4)}, True)])
def test_an_architecture_fits_only_if_nowhere_wider_or_deeper(changes, fits):
    full = Arch("resnet", **RESNET)
    assert full.replace(**changes).fits(full) is fits


def test_an_architecture_of_another_family_does_not_fit():
    assert not Arch("unet", encoder=(4,) * 5, decoder=(4,) * 4).fits(Arch("resnet", **RESNET))


@pytest.mark.parametrize(("family", "fields", "message"), [
    ("vgg", {}, "unknown family 'vgg', known: resnet, unet, pix2pixhd, pix2pixhd_local, spade"),
    ("resnet", {**RESNET, "width": 3}, r"unknown: \['width'\]"),
    ("resnet", {"trunk": 8}, r"missing: \['decoder', 'inner', 'stem'\]"),
    ("resnet", {**RESNET, "trunk": 0}, "positive"),
    ("resnet", {**RESNET, "trunk": -8}, "'resnet.trunk' are positive integers, got -8"),
    ("resnet", {**RESNET, "trunk": 8.5}, "got 8.5"),
    ("resnet", {**RESNET, "trunk": True}, "got True"),
    ("resnet", {**RESNET, "stem": (8, "16")}, "got '16'"),
    ("resnet", {**RESNET, "stem": (8,)}, "two 'stem' widths"),
    ("resnet", {**RESNET, "inner": ()}, "at least one 'inner' width"),
    ("unet", {"encoder": (8,) * 4, "decoder": (8,) * 3}, "at least 5 'encoder' widths"),
    ("unet", {"encoder": (8,) * 6, "decoder": (8,) * 4}, "6 levels has 5 'decoder' widths"),
])
def test_impossible_architectures_are_refused(family, fields, message):
    with pytest.raises(ValueError, match=message):
        Arch(family, **fields)


@pytest.mark.parametrize(("text", "message"),
                         [("", "cannot read an architecture"), ("[]", "is a JSON object"), ("{}", "'family'"),
                          ('{"family": "vgg"}', "unknown family"),
                          ("\x00\xff", "cannot read an architecture")])
def test_files_without_an_architecture_are_named(tmp_path, text, message):
    path = tmp_path / "arch.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match=f"arch.json: .*{message}"):
        Arch.load(path)


def test_a_family_is_registered_once():
    with pytest.raises(ValueError, match="already registered"):
        register(FAMILIES["resnet"])
