"""Every file that is read back is accepted, or refused with one error that names it."""
import contextlib
import copy
import io
import json
import shutil
import sys

import numpy as np
import pytest
import torch

from compression import save_atomic
from compression.metrics.features import FeatureNetwork, cached_features
from malformed.harness import load
from tiny_runs import TINY

NESTED = [[[[[["x"]]]]]]
COUNT = 8  # changes of each file
VALUES = [None, True, "x", "", -1, 1.5, 2 ** 70, float("nan"), float("inf"), [], ["x"], {}, {"x": 1}, NESTED]
SMALL = ["--ngf", "4", "--ndf", "4", "--toy_train_images", "4", "--toy_test_images", "2", "--netG",
         "resnet_6blocks", "--norm", "instance", "--load_size", "32", "--crop_size", "32", "--n_epochs", "1"]


def call(entry, *arguments):
    """Run an entry point in this process; returns None, or the error that ends it."""
    argv = sys.argv
    sys.argv = [entry, *map(str, arguments)]
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            load(entry)()
    except (Exception, SystemExit) as error:
        return error
    finally:
        sys.argv = argv
    return None


def places(content, path=()):
    """List the paths of all entries that are not deep inside of tensors and long lists."""
    found = [path]
    if isinstance(content, dict):
        for key in list(content)[:12]:
            found += places(content[key], (*path, key))
    elif isinstance(content, list):
        for i in range(min(1, len(content))):
            found += places(content[i], (*path, i))
    return found


def changed(content, path, value):
    """A copy of `content` with another value at `path`."""
    if not path:
        return value
    content = copy.copy(content)
    content[path[0]] = changed(content[path[0]], path[1:], value)
    return content


def without(content, path):
    """A copy of `content` without the entry at `path`."""
    content = copy.copy(content)
    if len(path) == 1:
        del content[path[0]]
    else:
        content[path[0]] = without(content[path[0]], path[1:])
    return content


def mutations(content, count, seed=0):
    """A seeded sample of all changes of one entry."""
    rng = np.random.default_rng(seed)
    paths = [path for path in places(content) if path]
    for _ in range(count):
        path = paths[rng.integers(len(paths))]
        i = rng.integers(len(VALUES) + 1)
        name = ".".join(map(str, path))
        if i == len(VALUES):
            yield f"{name} missing", without(content, path)
        else:
            yield f"{name} = {VALUES[i]!r:.20}", changed(content, path, VALUES[i])


def problems(changes, write, run, name):
    """List the changes that end in something else than success or a ValueError that names the file."""
    found = []
    for change, content in changes:
        write(content)
        error = run()
        is_named = name in str(error) or "--" in str(error)  # a flag: a valid value that does not suit others
        if error is None or (isinstance(error, ValueError) and is_named):
            continue
        found.append(f"{change}: {type(error).__name__}: {error}"[:300])
    return found


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """A supernet that has trained for an epoch and was searched."""
    folder = tmp_path_factory.mktemp("runs")
    where = ["--name", "sup", "--checkpoints_dir", folder, "--gpu_ids", "-1"]
    assert call("train", "--model", "ugc_supernet", *where, *TINY, *SMALL) is None
    assert call("search", *where, "--population", "2", "--generations", "1", "--search_images", "1") is None
    return folder


def run_copy(checkpoints, tmp_path):
    shutil.copytree(checkpoints / "sup", tmp_path / "sup")
    return tmp_path / "sup", ["--name", "sup", "--checkpoints_dir", tmp_path, "--gpu_ids", "-1"]


def test_a_training_state_with_a_changed_entry(checkpoints, tmp_path):
    folder, where = run_copy(checkpoints, tmp_path)
    path = folder / "latest_state.pth"
    state = torch.load(path, weights_only=True)
    assert not problems(mutations(state, COUNT), lambda content: save_atomic(content, path),
                        lambda: call("train", "--model", "ugc_supernet", *where, "--continue_train"),
                        "latest_state.pth")


def test_settings_with_a_changed_entry(checkpoints, tmp_path):
    folder, where = run_copy(checkpoints, tmp_path)
    path = folder / "train_opt.json"
    assert not problems(mutations(json.loads(path.read_text()), COUNT),
                        lambda content: path.write_text(json.dumps(content)),
                        lambda: call("test", "--model", "ugc_student", *where, "--results_dir",
                                     tmp_path / "r"),
                        "train_opt.json")


def test_a_search_state_with_a_changed_entry(checkpoints, tmp_path):
    folder, where = run_copy(checkpoints, tmp_path)
    path = folder / "search" / "state.json"
    assert not problems(mutations(json.loads(path.read_text()), COUNT),
                        lambda content: path.write_text(json.dumps(content)),
                        lambda: call("search", *where, "--continue_train", "--override"), "state.json")


def test_results_of_a_search_with_a_changed_entry(checkpoints, tmp_path):
    from util.report_plots import plot_search

    folder, _ = run_copy(checkpoints, tmp_path)
    for name in ("pareto.json", "student.json"):
        path = folder / "search" / name
        content = path.read_text()

        def run():
            try:
                plot_search(folder / "search")
            except Exception as error:
                return error
            return None

        assert not problems(mutations(json.loads(content), COUNT),
                            lambda changed, path=path: path.write_text(json.dumps(changed)), run, name)
        path.write_text(content)


def test_metrics_with_a_changed_entry_are_refused_and_kept(checkpoints, tmp_path):
    _, where = run_copy(checkpoints, tmp_path)
    results = ["--results_dir", tmp_path / "r", "--metrics", "L1"]
    assert call("evaluate", "--model", "ugc_student", *where, *results) is None
    (path,) = (tmp_path / "r").rglob("metrics.json")
    content = json.loads(path.read_text())
    broken = json.dumps({**content, "networks": {"student": {"macs": "many"}}})
    path.write_text(broken)
    again = ["--results", path.parent, *results, "--gpu_ids", "-1"]
    assert "metrics.json: 'networks.student.macs' must be" in str(call("evaluate", *again))
    assert path.read_text() == broken
    assert not problems(mutations(content, COUNT), lambda content: path.write_text(json.dumps(content)),
                        lambda: call("evaluate", *again), "metrics.json")


def test_a_feature_cache_that_is_damaged_is_replaced(tmp_path):
    image = tmp_path / "x.png"
    image.write_bytes(b"1")
    network = FeatureNetwork("tiny", "00", "none", None)
    features = np.ones((1, 2), np.float32)
    cached_features(network, [image], lambda: features, tmp_path / "cache")
    (path,) = (tmp_path / "cache").iterdir()
    buffers = [b"", b"x", path.read_bytes()[:-1]]
    for array in (np.ones((2, 2)), np.ones(1), np.full((1, 2), np.nan), np.ones((1, 2), int)):
        buffer = io.BytesIO()
        np.save(buffer, array)
        buffers.append(buffer.getvalue())
    for content in buffers:
        path.write_bytes(content)
        loaded = cached_features(network, [image], lambda: features * 3, tmp_path / "cache")
        assert loaded.tolist() == [[3, 3]]
    assert [file.name for file in (tmp_path / "cache").iterdir()] == [path.name]


def test_a_feature_cache_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    def full(file, array):
        raise OSError(28, "No space left on device")

    image = tmp_path / "x.png"
    image.write_bytes(b"1")
    monkeypatch.setattr(np, "save", full)
    network = FeatureNetwork("tiny", "00", "none", None)
    with pytest.raises(OSError, match=r"tiny_.*npy: cannot be written \(No space left on device\)"):
        cached_features(network, [image], lambda: np.ones((1, 2)), tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_results_that_are_interrupted_keep_the_earlier_images_and_metrics(checkpoints, tmp_path, monkeypatch):
    from util import results

    _, where = run_copy(checkpoints, tmp_path)
    arguments = ["--model", "ugc_student", *where, "--results_dir", tmp_path / "r"]
    assert call("test", *arguments) is None
    files = {path: path.read_bytes() for path in (tmp_path / "r").rglob("*") if path.is_file()}
    calls = []

    def stop(array, path, stretch):
        calls.append(path)
        if len(calls) == 2:
            raise KeyboardInterrupt
        path.write_bytes(b"")

    monkeypatch.setattr(results, "save_image", stop)
    with pytest.raises(KeyboardInterrupt):
        call("test", *arguments)
    assert {path: path.read_bytes() for path in files} == files
    monkeypatch.undo()
    assert call("test", *arguments) is None
    assert {path for path in (tmp_path / "r").rglob("*") if path.is_file()} == files.keys()
