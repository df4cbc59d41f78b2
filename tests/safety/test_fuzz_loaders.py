"""Fuzzing of the loaders: they return a result, or raise a ValueError that names the file."""
import json
import pickle
from io import BytesIO

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compression import Arch, load_original, load_original_discriminator, load_student
from compression.checkpoints.archive import read_archive
from compression.originals.discriminators import build_discriminator
from data.check import check_images
from data.image_folder import open_image, open_photo
from malformed.arch_files import RESNET, SPADE
from malformed.checkpoints import legacy, saved, weights, with_pickle
from malformed.images import PHOTO, encoded, rotated
from malformed.students import student

IMAGES = [encoded(), encoded(PHOTO, "JPEG", **rotated()), encoded(PHOTO, "TIFF"), encoded(PHOTO, "WEBP"),
          encoded(PHOTO, "BMP"), encoded(PHOTO, "GIF"), encoded(PHOTO.quantize(4)),
          encoded(PHOTO, "PPM")]
CHECKPOINTS = [saved(weights()), legacy(weights()), saved(student())]
PLAIN = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
                     lambda inner: (st.lists(inner, max_size=4)
                                    | st.dictionaries(st.text(max_size=5), inner, max_size=4)),
                     max_leaves=8)
WIDTHS = st.integers(-1, 40) | st.lists(st.integers(-1, 40) | PLAIN, max_size=8) | PLAIN


def fuzz(examples):
    """Settings of a fuzz test: a fixed number of examples and seed, no deadline."""
    return settings(max_examples=examples, derandomize=True, deadline=None, database=None,
                    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@st.composite
def damaged(draw, files):
    """A file with some bytes overwritten, and perhaps its end removed or bytes appended."""
    data = bytearray(draw(st.sampled_from(files)))
    for _ in range(draw(st.integers(1, 6))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    end = draw(st.just(len(data)) | st.integers(0, len(data)))
    return bytes(data[:end]) + draw(st.binary(max_size=8))


def load_or_refuse(load, path, data):
    """Write and load a file. Returns None if it is refused with a ValueError, which must name the file."""
    path.write_bytes(data)
    try:
        return load(path)
    except ValueError as error:
        message = str(error)
    assert str(path) in message
    return None


@fuzz(150)
@given(data=damaged(IMAGES) | st.binary(max_size=200))
def test_damaged_images_are_read_or_refused(data, tmp_path):
    photo = load_or_refuse(open_photo, tmp_path / "x.png", data)
    assert photo is None or photo.mode == "RGB"
    load_or_refuse(open_image, tmp_path / "x.png", data)
    report = load_or_refuse(lambda path: check_images([path]), tmp_path / "x.png", data)
    assert (report is None) == (photo is None)


@fuzz(60)
@given(data=damaged(CHECKPOINTS) | st.binary(max_size=200))
def test_damaged_checkpoints_are_loaded_or_refused(data, tmp_path):
    for load in (load_original, load_student, load_original_discriminator):
        load_or_refuse(load, tmp_path / "x.pth", data)


@fuzz(60)
@given(value=PLAIN | st.dictionaries(st.text(max_size=3) | st.integers(), PLAIN, max_size=3))
def test_checkpoints_of_random_data_are_refused(value, tmp_path):
    for load in (load_original, load_student, load_original_discriminator):
        assert load_or_refuse(load, tmp_path / "x.pth", saved(value)) is None


@fuzz(150)
@given(data=st.binary(max_size=120)
       | damaged([pickle.dumps({"a": [1, (2.0, "x"), {3}], "b": None}, p) for p in range(5)]))
def test_random_pickles_are_accepted_or_refused_with_a_message(data):
    for content in (data, with_pickle(data)):
        message = "accepted"
        try:
            read_archive(BytesIO(content))
        except ValueError as error:
            message = str(error)
        assert message


SHAPES = st.lists(st.sampled_from((0, 1, 2, 3, 4, 7, 8)), max_size=4)


@fuzz(60)
@given(changes=st.dictionaries(st.sampled_from(sorted(weights())), SHAPES | st.none(), min_size=1,
                               max_size=3))
def test_generators_of_random_shapes_are_loaded_or_refused(changes, tmp_path):
    state = {**weights(), **{key: shape if shape is None else torch.zeros(shape) for key,
                             shape in changes.items()}}
    net = load_or_refuse(load_original, tmp_path / "x.pth",
                         saved({k: v for k, v in state.items() if v is not None}))
    assert net is None or all(net.state_dict()[key].shape == state[key].shape for key in changes)


@pytest.mark.parametrize("netD", ["basic", "pixel", "pix2pixhd", "spade"])
@fuzz(15)
@given(data=st.data())
def test_discriminators_of_random_shapes_are_loaded_or_refused(netD, data, tmp_path):
    state = build_discriminator(netD, ndf=2).state_dict()
    changes = data.draw(st.dictionaries(st.sampled_from(sorted(state)), SHAPES, min_size=1, max_size=2))
    state.update({key: torch.zeros(shape) for key, shape in changes.items()})
    net = load_or_refuse(load_original_discriminator, tmp_path / "x.pth", saved(dict(state)))
    assert net is None or all(net.state_dict()[key].shape == state[key].shape for key in changes)


@fuzz(200)
@given(arch=st.sampled_from([RESNET, SPADE]), data=st.data())
def test_random_architectures_are_valid_or_refused(arch, data, tmp_path):
    fields = data.draw(st.dictionaries(st.sampled_from(sorted(arch)) | st.text(max_size=3), WIDTHS,
                                       max_size=2))
    loaded = load_or_refuse(Arch.load, tmp_path / "a.json", json.dumps({**arch, **fields}).encode())
    assert loaded is None or loaded.to_json() == {**arch, **fields}


@fuzz(100)
@given(data=damaged([json.dumps(RESNET).encode()]) | st.binary(max_size=60)
       | PLAIN.map(lambda v: json.dumps(v).encode()))
def test_random_architecture_files_are_loaded_or_refused(data, tmp_path):
    load_or_refuse(Arch.load, tmp_path / "a.json", data)


@fuzz(40)
@given(data=st.data())
def test_students_of_random_content_are_loaded_or_refused(data, tmp_path):
    part = data.draw(st.sampled_from(("arch", "config", "state_dict", "meta")))
    content = {**student(), part: data.draw(PLAIN | st.just(student()[part]))}
    if data.draw(st.booleans()):
        content["config"] = {**student()["config"],
                             data.draw(st.sampled_from(sorted(student()["config"]))): data.draw(PLAIN)}
    load_or_refuse(load_student, tmp_path / "s.pth", saved(content))
