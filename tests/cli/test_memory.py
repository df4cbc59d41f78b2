"""The memory of a training step: the estimate next to what PyTorch allocates, and what is printed."""
import copy
import gc
from argparse import Namespace

import pytest
import torch

from benchmarks.step_profile import allocated_bytes
from compression.runtime.memory import AllocationTrace, StepMemory, step_memory
from hed_weights import write_hed
from models import create_model
from modules import load_module
from paths import ROOT
from util.memory import report_memory

FAMILIES = {"resnet": ("pix2pix", "resnet_6blocks", "64x64", "instance"),
            "unet": ("pix2pix", "unet_128", "128x128", "batch"),
            "pix2pixhd": ("pix2pixhd", "pix2pixhd", "64x128", None),
            "spade": ("spade", "spade", "64x128", None)}


@pytest.fixture(scope="module", params=list(FAMILIES))
def run(request, tmp_path_factory):
    """The benchmark of training steps, with an untrained supernet: (module, folder, settings, original)."""
    train_step = load_module(ROOT / "benchmarks" / "train_step.py")
    folder = tmp_path_factory.mktemp(request.param)
    original, netG, size, norm = FAMILIES[request.param]
    settings = Namespace(netG=netG, ngf=12, ndf=16, size=size, norm=norm, batch_size=2, channels_last=True)
    (folder / "net" / "search").mkdir(parents=True)
    train_step.make_supernet(folder, settings)
    return train_step, folder, settings, original


def allocated(work):
    """Run `work`; returns its result, the bytes that it leaves allocated, and their peak while it ran."""
    gc.collect()  # or what earlier tests left would be freed meanwhile
    return allocated_bytes(work)


def compare(run, stage, amp="none", batch_size=2, channels_last=True, flags="", steps=2):
    """Return the peak of a step as computed before it, divided by the peak of real steps."""
    train_step, folder, settings, original = run
    settings = Namespace(**vars(settings) | {"batch_size": batch_size, "channels_last": channels_last})
    stage = original if stage == "original" else stage

    def build():
        opt = train_step.options(stage, amp, settings, folder, flags)
        torch.manual_seed(0)
        model = create_model(opt)
        model.setup(opt)
        return model, train_step.random_batch(opt, settings)

    (model, batch), held, _ = allocated(build)
    state = torch.get_rng_state()
    weights = copy.deepcopy(dict(model.named_networks()))
    need = model.memory_needed(batch)
    assert torch.equal(torch.get_rng_state(), state)
    for name, net in model.named_networks():
        for key, value in weights[name].state_dict().items():
            assert torch.equal(net.state_dict()[key], value)
    assert need.held == pytest.approx(held, rel=0.02)
    _, _, peak = allocated(lambda: [model.train_step(batch) for _ in range(steps)])
    return need.peak / (held + peak)


@pytest.mark.parametrize(("stage", "settings"), [
    ("original", {"batch_size": 1}), ("ugc_supernet", {"amp": "bf16"}),
    ("ugc_distill", {"channels_last": False})], ids=["original", "ugc_supernet", "ugc_distill"])
def test_the_estimate_is_within_a_tenth_of_the_peak(run, stage, settings):
    assert compare(run, stage, **settings) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("run", ["resnet"], indirect=True)
@pytest.mark.parametrize(("stage", "flags"), [
    ("original", "--ema 0.9"), ("original", "--gan_mode wgangp --accumulate 3"),
    ("ugc_supernet", "--accumulate 2 --diffaugment color translation cutout --n_random_nets 2"),
    ("ugc_distill", "--ema 0.9 --ema_teachers 0.9 --lambda_cd 1 --lambda_student_gan 1 --lambda_r1 1"),
    ("ugc_distill", "--lambda_gan_unlabeled 1 --adf soft --teacher_every 2 --accumulate 2")])
def test_options_that_need_memory_are_counted(run, stage, flags):
    assert compare(run, stage, batch_size=3, flags=flags, steps=3) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("run", ["resnet", "unet"], indirect=True)
def test_the_gradient_penalty_of_later_steps_is_counted(run):
    # the first penalty is before the first step of Adam, which allocates its moments; the next is step 17
    ratio = compare(run, "original", batch_size=3, flags="--lambda_r1 1", steps=17)
    assert ratio == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("run", ["resnet"], indirect=True)
def test_the_features_of_hed_are_counted(run, monkeypatch, tmp_path):
    write_hed(tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    flags = "--perceptual hed --perceptual_area 1"
    assert compare(run, "ugc_distill", batch_size=4, flags=flags) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("run", ["unet"], indirect=True)
def test_the_largest_sub_networks_need_most(run):
    train_step, folder, settings, _ = run
    opt = train_step.options("ugc_supernet", "none", settings, folder)
    model = create_model(opt)
    model.setup(opt)
    batch = train_step.random_batch(opt, settings)
    most = model.memory_needed(batch, largest=True).peak
    assert most > model.memory_needed(batch).peak
    model.choose_largest()
    assert most == model.memory_needed(batch).peak
    assert model.space.sandwich(model.rng, 2)[1:] == [model.netG.full] * 2


def test_allocations_by_hand():
    def work(values):
        a = values * 2  # 4000 bytes
        b = a.sum() + 1  # 4 bytes each; the sum is freed
        del a
        values.grad = values + 1  # 4000 bytes, which remain
        return b

    memory = step_memory(torch.zeros(1000), work, torch.device("cpu"))
    assert memory.held == 4000
    assert memory.peak == 4000 + 4000 + 4 + 4 + 4000  # a repetition starts with the gradient

    trace = AllocationTrace(torch.device("cpu"))
    with trace:
        kept = torch.zeros(10)
        torch.zeros(20)
    assert (trace.live, max(trace.levels)) == (kept.nbytes, 120)


@pytest.mark.parametrize(("need", "warned"), [(2 ** 20, False), (2 ** 60, True)])
def test_too_little_memory_is_reported_before_the_first_step(capsys, need, warned):
    class Model:
        device = torch.device("cpu")

        def steps_differ(self):
            return warned

        def memory_needed(self, batch, largest=False):
            assert batch["A"].shape == (3, 1)
            return StepMemory(2 ** 19, need + largest * 2 ** 40)

    report_memory(Model(), [{"A": torch.zeros(1)}], 3)
    printed = capsys.readouterr()
    assert f"memory of a step: about {need / 2 ** 30:.2f} GiB, " in printed.out
    assert ("at most" in printed.out) == warned
    assert ("--batch_size, --accumulate, --amp bf16" in printed.err) == warned


def test_a_step_that_cannot_run_without_data_is_no_error(capsys):
    class Model:
        def memory_needed(self, batch):
            raise NotImplementedError("no shapes")

    report_memory(Model(), [{"A": torch.zeros(1)}], 3)
    assert capsys.readouterr().out == "memory of a step: not known (no shapes)\n"
