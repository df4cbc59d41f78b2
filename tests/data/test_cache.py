"""--cache and persistent workers: the same batches as without, in every epoch and after a resume."""
import numpy as np
import pytest
import torch
from PIL import Image

import data.cache as cache
from data.aligned_dataset import AlignedDataset
from data.base_dataset import BaseDataset
from data.cache import Budget, ImageCache
from data.loader import DatasetLoader, EpochSampler
from data.single_dataset import SingleDataset
from data_options import data_options
from util import memory


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """A folder with six pair files."""
    folder = tmp_path_factory.mktemp("pairs")
    (folder / "train").mkdir()
    rng = np.random.default_rng(0)
    for i in range(6):
        Image.fromarray(rng.integers(0, 256, (20, 40, 3), np.uint8)).save(folder / "train" / f"{i}.png")
    return folder


def options(folder, **changes):
    opt = data_options(folder)
    settings = {"isTrain": True, "phase": "train", "batch_size": 2, "num_threads": 0, "load_size": 20,
                "crop_size": 16, "preprocess": "resize_and_crop", "no_flip": False, "serial_batches": False,
                "no_pairing_check": True, "input_nc": 3, "output_nc": 3, "direction": "AtoB", "seed": 3,
                "max_dataset_size": float("inf")}
    vars(opt).update({**settings, **changes})
    return opt


def batches(loader, epoch, skip=0):
    loader.set_epoch(epoch, skip)
    return list(loader)


def assert_equal(ours, theirs):
    assert len(ours) == len(theirs)
    for our, their in zip(ours, theirs, strict=True):
        assert our.keys() == their.keys()
        for name, value in our.items():
            same = torch.equal if isinstance(value, torch.Tensor) else lambda a, b: a == b
            assert same(value, their[name]), name


@pytest.mark.parametrize("Dataset", [AlignedDataset, SingleDataset])
@pytest.mark.parametrize("workers", [0, 2])
def test_kept_images_and_kept_workers_change_no_batch(pairs, Dataset, workers, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    plain_options = options(pairs, cache="off")
    opt = options(pairs, cache="on", num_threads=workers)
    kept = DatasetLoader(Dataset(opt), opt)
    for epoch in (1, 2, 3):
        plain = DatasetLoader(Dataset(plain_options), plain_options)
        assert_equal(batches(kept, epoch), batches(plain, epoch))
    assert_equal(batches(kept, 2, skip=2), batches(plain, 2, skip=2))  # as after a resume
    if not workers:
        assert len(kept.dataset.cache) == (12 if Dataset is AlignedDataset else 6)
    assert len(plain.dataset.cache) == 0


class RandomDataset(BaseDataset):
    """Items that use the global generators, as data sets of users may."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return {"A": torch.rand(1) + np.random.rand(), "epoch": self.epoch}


def test_the_generators_of_workers_depend_on_the_epoch_only(pairs, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    opt = options(pairs, num_threads=1)
    loader = DatasetLoader(RandomDataset(opt), opt)
    first, second = batches(loader, 1), batches(loader, 2)
    assert not torch.equal(first[0]["A"], second[0]["A"])
    assert second[0]["epoch"].tolist() == [2, 2]
    assert_equal(batches(DatasetLoader(RandomDataset(opt), opt), 2), second)  # a new process


def test_a_cache_stays_within_its_budget(monkeypatch):
    monkeypatch.setattr(cache, "free_memory", lambda device: 4 * 8 * 100)
    image = np.zeros((10, 10), np.uint8)
    assert Budget("auto").bytes == 8 * 100
    kept = ImageCache(Budget("auto", processes=4))
    for key in range(5):
        assert kept.get(key, image.copy) is not image
    assert len(kept) == 2
    assert kept.get(0, lambda: pytest.fail("it is kept")).shape == (10, 10)
    everything = ImageCache(Budget("on", processes=16))
    everything.get(0, image.copy)
    with pytest.raises(ValueError, match="--cache on: .* use --cache auto"):
        everything.get(1, image.copy)
    monkeypatch.setattr(cache, "free_memory", lambda device: 0)
    assert Budget("on").bytes == 0
    off = ImageCache(Budget("off"))
    off.get(0, image.copy)
    assert len(off) == 0


def test_the_caches_of_a_data_set_and_all_processes_share_one_budget(pairs, monkeypatch):
    from data.adf_dataset import AdfDataset

    monkeypatch.setattr(cache, "free_memory", lambda device: 4 * 4 * 20 * 20 * 3 * 5)
    monkeypatch.setattr(cache.distributed, "local_world_size", lambda: 4)
    opt = options(pairs, base_dataset_mode="aligned", label_ratio=0.5, split_by="random", unlabeled="split",
                  unlabeled_dir=pairs / "train", search_split=0.0,
                  dataset_mode="adf", label_nc=0, input_instance=None, unlabeled_instance_dir=None)
    dataset = AdfDataset(opt)
    caches = [dataset.cache, dataset.base.cache, dataset.unlabeled_folder.cache]
    assert all(kept.budget is dataset.cache.budget for kept in caches)
    for i in range(len(dataset)):
        dataset[i]
    assert sum(map(len, caches)) == 5  # images of 20x20, a quarter of the free memory for four processes


@pytest.mark.parametrize(("files", "free"), [
    ({}, 700 * 1024),
    ({"memory.max": "max", "memory.current": "5", "memory.stat": "inactive_file 1"}, 700 * 1024),
    ({"memory.max": "500000", "memory.current": "300000", "memory.stat": "anon 7\ninactive_file 1000\n"},
     201000),
    ({"memory/memory.limit_in_bytes": "9000", "memory/memory.usage_in_bytes": "9500",
      "memory/memory.stat": "cache 3\ntotal_inactive_file 200\n"}, 0)])
def test_the_free_memory_is_that_of_the_cgroup(tmp_path, monkeypatch, files, free):
    (tmp_path / "meminfo").write_text("MemTotal: 900 kB\nMemAvailable:     700 kB\n")
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    assert memory.free_memory(torch.device("cpu")) == free


@pytest.mark.parametrize(("length", "size", "processes"),
                         [(10, 4, 2), (8, 4, 2), (9, 4, 2), (3, 4, 2), (7, 2, 3)])
def test_the_smallest_batch_of_an_epoch(length, size, processes):
    samplers = [EpochSampler(length, size, True, 0, rank, processes) for rank in range(processes)]
    assert samplers[0].smallest_batch() == min(len(batch) for sampler in samplers for batch in sampler)
