"""The plugin in the generations of the host: supernet, search, distillation, test, and uninstallation.

The hosts are those of tests/helpers/hosts; all runs are on the CPU with pairs of 32x32 pixels.
"""
import hashlib
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from commands import environment, run, torchrun
from compression import build_discriminator, build_generator, initialize, load_original, load_student
from hosts.make import GENERATIONS, make_host
from paths import ROOT

MADE_BY_RUNS = ("checkpoints", "results", "datasets")
SIZES = ["--load_size", "32", "--crop_size", "32", "--num_threads", "0"]
SHORT = ["--n_epochs", "2", "--n_epochs_decay", "0", "--print_freq", "2", "--display_freq", "2",
         "--save_epoch_freq", "1"]
DEVICE = {"p0": ["--gpu_ids", "-1"], "p1": ["--gpu_ids", "-1"], "p2": []}
DISPLAY = {"p0": ["--display_id", "-1"], "p1": ["--display_id", "-1"], "p2": []}  # as docs/plugin.md says
SUPERNET = ["--model", "ugc_supernet", "--dataroot", "datasets/mine", "--label_ratio", "0.5",
            "--restore_G", "checkpoints/mine/latest_net_G.pth",
            "--restore_D", "checkpoints/mine/latest_net_D.pth"]


class Host:
    """A checkout with data, and its command lines."""

    def __init__(self, generation, folder):
        self.generation, self.folder = generation, make_host(generation, folder)

    def run(self, script, *arguments, processes=1, sizes=SIZES, missing=()):
        """Run a script of the checkout, which must succeed; returns its standard output."""
        return self.execute(script, *arguments, processes=processes, sizes=sizes, missing=missing).stdout

    def fail(self, script, *arguments, sizes=SIZES, missing=()):
        """Run a script that must end with one line on standard error; returns this line."""
        line, = self.execute(script, *arguments, sizes=sizes, missing=missing, status=2).stderr.splitlines()
        return line

    def execute(self, script, *arguments, processes=1, sizes=SIZES, missing=(), status=0):
        """Run a script without the packages in `missing`."""
        if script == "train.py":
            arguments = (*arguments, *DEVICE[self.generation], *DISPLAY[self.generation], *sizes)
        else:
            arguments = (*arguments, *DEVICE[self.generation], *(sizes if script == "test.py" else ()))
        stubs = self.folder.parent / "missing"
        stubs.mkdir(exist_ok=True)
        for package in missing:
            error = f"raise ModuleNotFoundError('no {package}', name={package!r})\n"
            (stubs / f"{package}.py").write_text(error)
        paths = [str(stubs)] if missing else []
        if script != "search.py":
            paths.append(str(ROOT / "tests/helpers/hosts/stubs"))  # wandb
        variables = environment(OMP_NUM_THREADS="1", PYTHONPATH=os.pathsep.join(paths),
                                PYTHONDONTWRITEBYTECODE=None)
        done = run(*torchrun(processes), script, *arguments, cwd=self.folder, env=variables,
                   status=status)
        for package in missing:
            (stubs / f"{package}.py").unlink()
        return done

    def net(self, name, network="G", tag="latest"):
        """The weights of a checkpoint."""
        return torch.load(self.folder / "checkpoints" / name / f"{tag}_net_{network}.pth", weights_only=True)


def install(folder, *flags):
    """Run the installer on a checkout."""
    subprocess.run([sys.executable, ROOT / "scripts/install_plugin.py", folder, *flags], check=True,
                   capture_output=True)


def own_files(folder):
    """The mode and checksum of a checkout's files by path, without compiled modules and files of runs."""
    files = {}
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if parts[0] not in MADE_BY_RUNS and "__pycache__" not in parts:
            content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
            files["/".join(parts)] = (path.stat().st_mode, content)
    return files


def make_pairs(folder):
    """Four training and two validation pairs, A | B: B is A in other colors."""
    rng = np.random.default_rng(0)
    for phase, count in (("train", 4), ("val", 2)):
        (folder / phase).mkdir(parents=True)
        for i in range(count):
            side = np.kron(rng.integers(0, 256, (4, 4, 3)), np.ones((8, 8, 1))).astype(np.uint8)
            pair = np.concatenate((side, 255 - side[..., ::-1]), 1)
            Image.fromarray(pair).save(folder / phase / f"{phase}{i}.png")


def equal(one, two):
    """Whether two checkpoints hold the same weights."""
    assert one.keys() == two.keys()
    return all(torch.equal(one[key], two[key]) for key in one)


@pytest.fixture(scope="module", params=GENERATIONS)
def host(request, tmp_path_factory):
    """A checkout with the plugin, data, and an original that was trained in it."""
    return new_host(request.param, tmp_path_factory.mktemp(request.param) / "host")


def new_host(generation, folder):
    """Put a checkout together, with the plugin, data, and the checkpoints of an original."""
    host = Host(generation, folder)
    host.before = own_files(host.folder)
    make_pairs(host.folder / "datasets/mine")
    (host.folder / "checkpoints/mine").mkdir(parents=True)
    torch.manual_seed(0)
    for name, net in (("G", build_generator("resnet_6blocks", 3, 3, 8, "instance", dropout=False)),
                      ("D", build_discriminator("basic", 6, 4, 3, "instance"))):
        torch.save(initialize(net, "normal", 0.02).state_dict(),
                   host.folder / f"checkpoints/mine/latest_net_{name}.pth")
    install(host.folder)
    return host


@pytest.fixture(scope="module")
def supernet(host):
    """The host, with a trained supernet `net`; what training it printed."""
    host.printed = host.run("train.py", *SUPERNET, *SHORT, "--name", "net")
    return host


def test_search_and_test_use_whole_images_at_the_scale_of_training(supernet):
    run = supernet.folder / "checkpoints/cropped"
    shutil.copytree(supernet.folder / "checkpoints/net", run)
    settings = json.loads((run / "train_opt.json").read_text())
    settings |= {"preprocess": "scale_width_and_crop", "load_size": 46, "crop_size": 16}
    (run / "train_opt.json").write_text(json.dumps(settings))
    out = supernet.run("search.py", "--name", "cropped", "--population", "2", "--generations", "1")
    assert ("images: whole, scaled to a width of 46 (--preprocess scale_width); MACs are for one image of "
            "48x48 (height x width)") in out
    assert json.loads((run / "search/student.json").read_text())["size"] == [48, 48]
    supernet.run("test.py", "--model", "ugc_student", "--name", "cropped", "--dataroot", "datasets/mine",
                 "--phase", "val", sizes=())
    image = supernet.folder / "results/cropped/val_latest/images/val0_student.png"
    assert Image.open(image).size == (46, 46)


@pytest.fixture(scope="module")
def student(supernet):
    """The host, with a searched and distilled student."""
    supernet.run("search.py", "--name", "net", "--population", "4", "--generations", "2",
                 "--search_images", "2")
    supernet.run("train.py", "--model", "ugc_distill", "--supernet", "net", "--name", "student",
                 "--dataroot", "datasets/mine", "--lr", "0.002", *SHORT)
    return supernet


@pytest.mark.parametrize("generation", GENERATIONS)
def test_a_host_works_without_the_plugin(generation, tmp_path):
    host = Host(generation, tmp_path / "host")
    make_pairs(host.folder / "datasets/mine")
    network = ["--model", "pix2pix", "--name", "own", "--dataroot", "datasets/mine", "--ngf", "4"]
    host.run("train.py", *network, "--ndf", "4", *SHORT)
    host.run("test.py", *network, "--phase", "val")
    run = host.folder / "checkpoints/own"
    for name in ("latest_net_G.pth", "latest_net_D.pth", "1_net_G.pth", "train_opt.txt", "loss_log.txt",
                 "web/index.html", "web/images/epoch001_fake_B.png"):
        assert (run / name).is_file(), name
    images = {path.name for path in (host.folder / "results/own/val_latest/images").iterdir()}
    assert images == {f"val{i}_{kind}.png" for i in range(2) for kind in ("real_A", "fake_B", "real_B")}
    assert not equal(host.net("own", tag="1"),
                     {key: torch.zeros_like(value) for key, value in host.net("own").items()})


def test_the_supernet_trains_and_is_an_original(supernet):
    assert not equal(supernet.net("net"), supernet.net("mine"))
    assert not equal(supernet.net("net", "D"), supernet.net("mine", "D"))
    net = load_original(supernet.folder / "checkpoints/net/latest_net_G.pth", netG="resnet_6blocks", ngf=8,
                        norm="instance")
    assert net(torch.zeros(1, 3, 32, 32)).shape == (1, 3, 32, 32)
    run = supernet.folder / "checkpoints/net"
    assert "sub_label" in (run / "loss_log.txt").read_text()
    assert (run / "web/images/epoch001_fake_smallest.png").is_file()


def test_the_supernet_starts_from_exactly_the_original(host):
    host.run("train.py", *SUPERNET, *SHORT, "--name", "still", "--lr", "0")
    for network in ("G", "D"):
        assert equal(host.net("still", network), host.net("mine", network))


def test_training_reports_what_only_our_train_script_supports(supernet):
    lines = [line for line in supernet.printed.splitlines() if "continue_train" in line
             and "docs/plugin.md" in line]
    assert len(lines) == 1


def test_continue_train_continues_the_networks(supernet, tmp_path):
    host = Host(supernet.generation, tmp_path / "host")
    for name in ("datasets", "checkpoints"):
        shutil.copytree(supernet.folder / name, host.folder / name)
    install(host.folder)
    host.run("train.py", *SUPERNET, *SHORT, "--name", "net", "--continue_train", "--epoch_count", "3",
             "--n_epochs", "3", "--lr", "0")
    for network in ("G", "D"):
        assert equal(host.net("net", network), supernet.net("net", network))
        assert equal(host.net("net", network, "3"), supernet.net("net", network))


def run_files(folder):
    """The files of a run by path, without the lock."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*")
            if path.is_file() and path.name != ".lock"}


def test_an_earlier_run_is_only_replaced_with_overwrite(supernet):
    shutil.copytree(supernet.folder / "checkpoints/net", supernet.folder / "checkpoints/again")
    run = supernet.folder / "checkpoints/again"
    (run / "search").mkdir(exist_ok=True)
    (run / "search/student.json").write_text("{}")
    before = run_files(run)
    line = supernet.fail("train.py", *SUPERNET, *SHORT, "--name", "again")
    assert "checkpoints/again holds a run (" in line
    assert run_files(run) == before
    line = supernet.fail("train.py", *SUPERNET, *SHORT, "--name", "../again")
    assert line.startswith("error: --name must be the name of a folder")
    supernet.run("train.py", *SUPERNET, *SHORT, "--name", "again", "--overwrite", "--n_epochs", "1",
                 "--lr", "0")
    assert equal(supernet.net("again"), supernet.net("mine"))
    assert not (run / "2_net_G.pth").exists()
    assert not (run / "search/student.json").exists()


@pytest.mark.parametrize(("name", "reason"),
                         [("mine", "has no train_opt.json"), ("nte", "did you mean net?")])
def test_a_search_needs_the_name_of_a_supernet(supernet, name, reason):
    assert reason in supernet.fail("search.py", "--name", name)
    assert not (supernet.folder / "checkpoints/nte").exists()


def test_the_search_has_three_results(student):
    search = student.folder / "checkpoints/net/search"
    for name in ("student", "teacher_wide", "teacher_deep"):
        result = json.loads((search / f"{name}.json").read_text())
        assert result["macs"] <= result["budget_macs"]
        assert result["size"] == [32, 32]
    assert load_student(student.folder / "checkpoints/net/latest_student.pth").full.family == "resnet"


def test_the_student_learns_and_describes_itself(student):
    start, end = (load_student(student.folder / f"checkpoints/{name}/latest_student.pth")
                  for name in ("net", "student"))
    assert start.full == end.full
    assert not equal(start.state_dict(), end.state_dict())
    assert end.meta["stage"] == "distillation"


def test_the_host_tests_the_student(student):
    student.run("test.py", "--model", "ugc_student", "--name", "student", "--dataroot", "datasets/mine",
                "--phase", "val")
    folder = student.folder / "results/student/val_latest"
    page = (folder / "index.html").read_text()
    for i in range(2):
        for kind in ("real_A", "original", "student", "real_B"):
            assert f"val{i}_{kind}.png" in page
            assert (folder / "images" / f"val{i}_{kind}.png").is_file()
    net = load_student(student.folder / "checkpoints/student/latest_student.pth").eval()
    pair = np.asarray(Image.open(student.folder / "datasets/mine/val/val0.png").convert("RGB"))[:, :32]
    with torch.no_grad():
        image = net(torch.from_numpy(pair.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1)[0].permute(1, 2,
                                                                                                         0)
    shown = np.asarray(Image.open(folder / "images/val0_student.png")).astype(float)
    assert abs(shown - (image.numpy() + 1) * 127.5).max() <= 2


def test_the_second_host_runs_several_processes(tmp_path):
    host = Host("p2", tmp_path / "host")
    make_pairs(host.folder / "datasets/mine")
    out = host.run("train.py", "--model", "pix2pix", "--name", "own", "--dataroot", "datasets/mine",
                   "--ngf", "4", "--ndf", "4", *SHORT, "--print_freq", "1", processes=2)
    assert "[Rank 0] (epoch: 2, iters: 2" in out
    assert "[Rank 1] (epoch: 2, iters: 2" in out
    assert "Rank 1" not in (host.folder / "checkpoints/own/loss_log.txt").read_text()
    assert not any(key.startswith("module.") for key in host.net("own"))


@pytest.mark.parametrize("host", ["p2"], indirect=True)
def test_two_processes_train_in_the_second_host(host):
    out = host.run("train.py", *SUPERNET, *SHORT, "--name", "two", processes=2)
    assert out.count("End of epoch 2 / 2") == 2  # every process prints
    written = {path.name for path in (host.folder / "checkpoints/two").glob("latest_net_*.pth")}
    assert written == {"latest_net_G.pth", "latest_net_D.pth"}
    assert not any(key.startswith("module.") for key in host.net("two"))
    assert not equal(host.net("two"), host.net("mine"))
    load_original(host.folder / "checkpoints/two/latest_net_G.pth", netG="resnet_6blocks", ngf=8,
                  norm="instance")


def prefix_keys(path, prefix):
    """Add a prefix to the keys of a checkpoint, as the wrapper of a network does."""
    torch.save({f"{prefix}{key}": value for key, value in torch.load(path, weights_only=True).items()}, path)


def test_the_host_of_2019_and_clear_messages(tmp_path):
    host = new_host("p0", tmp_path / "host")
    original = host.net("mine")
    prefix_keys(host.folder / "checkpoints/mine/latest_net_G.pth", "module._orig_mod.")
    aligned = ["--dataroot", "datasets/mine", "--dataset_mode", "aligned"]
    out = host.run("train.py", *SUPERNET, *SHORT, "--name", "net", "--dataset_mode", "aligned", "--lr", "0")
    assert "dataset [AdfDataset] was created" in out
    assert equal(host.net("net"), original)
    assert host.net("net").keys() == original.keys()
    assert json.loads((host.folder / "checkpoints/net/train_opt.json").read_text())["ndf"] == 4

    small = ["--load_size", "16", "--crop_size", "16", "--num_threads", "0"]
    line = host.fail("train.py", *SUPERNET, *SHORT, "--name", "small", sizes=small)
    assert line.startswith("error: images of 16x16 (width x height) in a batch of 1 give a normalization of "
                           "the discriminator --netD basic only one value per channel: use larger images")

    distill = ["--model", "ugc_distill", "--supernet", "net", "--name", "student", *aligned, *SHORT]
    assert host.fail("train.py", *distill) == (
        "error: --supernet net: there is no checkpoints/net/search/student.json; run search.py --name net "
        "first, or give the file of an architecture with --student_arch")
    search = ["--name", "net", "--population", "4", "--generations", "2", "--search_images", "2"]
    line = host.fail("search.py", *search, "--phase", "test")
    assert line.startswith("error: --phase test: ")
    assert line.endswith("; datasets/mine has train, val; select another phase with --phase")
    assert host.fail("search.py", *search, missing=["tqdm"]) == (
        "error: this command needs the package tqdm: pip install tqdm")
    out = host.run("search.py", *search, missing=["matplotlib"])
    assert "matplotlib is not installed (pip install matplotlib): the search draws no pareto.png" in out
    results = host.folder / "checkpoints/net/search"
    assert (results / "pareto.json").is_file()
    assert not (results / "pareto.png").exists()
    host.run("train.py", *distill)

    host.run("train.py", "--model", "ugc_supernet", "--name", "net", "--dataroot", "datasets/mine",
             "--continue_train", "--epoch_count", "3", "--n_epochs", "3")
    assert equal(host.net("net", tag="3"), original)  # --lr 0 is a setting of the run
    host.run("test.py", "--model", "ugc_student", "--name", "student", "--dataroot", "datasets/mine",
             "--phase", "val")
    assert (host.folder / "results/student/val_latest/images/val1_student.png").is_file()

    wide = json.loads((results / "teacher_wide.json").read_text())
    (results / "student.json").write_text(json.dumps(wide))  # as after another search
    assert "has another architecture than the search of net" in host.fail(
        "train.py", *distill, "--continue_train")


def test_a_host_of_2018_is_refused(tmp_path):
    folder = make_host("old", tmp_path / "host")
    before = own_files(folder)
    done = run(ROOT / "scripts/install_plugin.py", folder, status=2)
    assert done.stderr == (
        f"error: {folder}: is a checkout from before December 2019, because it lacks the flag --n_epochs in "
        "options/, a constructor in data/base_dataset.py; the plugin needs a later one (git pull in "
        "the checkout); nothing was copied\n")
    assert own_files(folder) == before


def test_uninstalled_the_checkout_is_as_before(student, tmp_path):
    folder = shutil.copytree(student.folder, tmp_path / "host")
    install(folder, "--uninstall")
    assert own_files(folder) == student.before
    compiled = {path.name.partition(".")[0] for path in folder.rglob("__pycache__/*.pyc")}
    assert compiled
    assert not any(name.startswith("ugc") for name in compiled)
    assert not (folder / "compression").exists()
    assert (folder / "checkpoints/student/latest_student.pth").is_file()
