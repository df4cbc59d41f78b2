"""--ema, --amp, --accumulate, --compile, and batches shared among processes."""
import copy

import pytest
import torch
from torch import nn

from data import create_dataset
from data.loader import EpochSampler
from models import create_model
from models.stepping import MicroBatch, micro_batches
from options.test_options import TestOptions
from options.train_options import TrainOptions

TINY = ["--model", "ugc_supernet", "--netG", "resnet_6blocks", "--ngf", "8", "--ndf", "4",
        "--load_size", "32", "--crop_size", "32", "--toy_train_images", "4", "--toy_test_images", "2",
        "--num_threads", "0", "--no_dropout", "--batch_size", "2", "--norm", "instance",
        "--label_ratio", "0.5"]


def trained(tmp_path, *flags, steps=3):
    """Train a tiny supernet: returns (model, the generator's weights after each step, the batch)."""
    opt = TrainOptions().parse([*TINY, "--checkpoints_dir", str(tmp_path), *flags])
    torch.manual_seed(0)
    dataset = create_dataset(opt)
    model = create_model(opt)
    model.setup(opt)
    batch, history = next(iter(dataset)), []
    for _ in range(steps):
        model.train_step(batch)
        history.append(copy.deepcopy(model.netG.state_dict()))
    return model, history, batch


def test_the_saved_generator_is_the_moving_average(tmp_path):
    model, history, _ = trained(tmp_path, "--ema", "0.2")
    model.save_networks("latest")
    saved = torch.load(tmp_path / "experiment_name" / "latest_net_G.pth", weights_only=True)
    for key, value in saved.items():
        first, second, third = (weights[key] for weights in history)
        early = 2 / 11 * first + 9 / 11 * second  # the decay is at most (1 + n) / (10 + n)
        assert torch.allclose(value, 0.2 * early + 0.8 * third, atol=1e-6), key
    assert not torch.equal(saved["model.1.weight"], history[-1]["model.1.weight"])


def test_a_resumed_run_restores_the_moving_average(tmp_path):
    model, _, batch = trained(tmp_path, "--ema", "0.75")
    other, _, _ = trained(tmp_path, "--ema", "0.75", steps=0)
    other.load_state(copy.deepcopy(model.state()))
    for m in (model, other):
        m.train_step(batch)
    resumed = other.network_to_save("G").state_dict()
    for name, average in model.network_to_save("G").state_dict().items():
        assert torch.equal(resumed[name], average), name


def test_an_average_that_begins_in_a_continued_run_starts_from_its_weights(tmp_path):
    model, history, batch = trained(tmp_path)
    other, _, _ = trained(tmp_path, "--ema", "0.75", steps=0)
    other.load_state(copy.deepcopy(model.state()))
    for name, average in other.network_to_save("G").state_dict().items():
        assert torch.equal(average, history[-1][name]), name
    other.train_step(batch)
    average = other.network_to_save("G").state_dict()["model.1.weight"]
    assert torch.allclose(average, other.netG.state_dict()["model.1.weight"], atol=1e-3)


@pytest.mark.parametrize(("amp", "dtype"), [("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_reduced_precision_comes_near_float32(tmp_path, amp, dtype):
    exact, _, _ = trained(tmp_path, steps=1)
    model, _, _ = trained(tmp_path, "--amp", amp, steps=1)
    with model.autocast():
        assert model.netG(model.condition).dtype == dtype
    for name, value in exact.get_current_losses().items():
        assert model.get_current_losses()[name] == pytest.approx(value, rel=0.05, abs=0.01)
    scales = [state.get("scale") for state in model.state()["scalers"]]
    if amp == "fp16":  # an overflow halves the scale
        assert all(0 < scale <= 65536 for scale in scales)
    else:
        assert scales == [None, None]
    assert not model.networks_not_finite()


def test_a_student_is_tested_in_the_precision_of_amp(tmp_path):
    model, _, batch = trained(tmp_path, steps=1)
    model.save_networks("latest")
    path = tmp_path / "experiment_name" / "latest_net_G.pth"
    images = {}
    for amp in ("none", "bf16"):
        opt = TestOptions().parse(["--model", "ugc_student", "--student", str(path), "--amp", amp,
                                   "--name", "x", "--checkpoints_dir", str(tmp_path),
                                   "--dataset_mode", "toy"])
        tester = create_model(opt)
        tester.setup(opt)
        tester.set_input(batch)
        tester.test()
        images[amp] = tester.original
        with torch.no_grad(), tester.autocast():
            expected = model.netG.eval()(batch["A"])
        assert images[amp].dtype is torch.float32
        assert torch.allclose(images[amp], expected.float(), atol=1e-6)
    assert 0 < (images["bf16"] - images["none"]).abs().max() < 0.1


def test_fp16_skips_a_step_whose_gradients_overflow(tmp_path):
    model, _, batch = trained(tmp_path, "--amp", "fp16", steps=1)
    before = copy.deepcopy(model.netG.state_dict())
    scaler = model.scaler(model.optimizer_G)
    scaler.load_state_dict({**scaler.state_dict(), "scale": 2.0 ** 127})
    model.train_step(batch)
    assert all(torch.equal(value, before[key]) for key, value in model.netG.state_dict().items())
    assert scaler.get_scale() == 2.0 ** 126


def test_micro_batches_cover_the_batch():
    batch = {"A": torch.arange(5), "A_paths": list("abcde")}
    (first, first_position), (second, second_position) = micro_batches(batch, 2)
    assert first["A"].tolist() == [0, 1, 2]
    assert second["A"].tolist() == [3, 4]
    assert second["A_paths"] == ["d", "e"]
    assert first_position == MicroBatch(share=0.6, is_last=False)
    assert second_position == MicroBatch(share=0.4, is_last=True)


def test_a_micro_batch_has_at_least_one_sample():
    batch = {"A": torch.arange(5)}
    assert [len(samples["A"]) for samples, _ in micro_batches(batch, 9)] == [1] * 5


@pytest.mark.parametrize(("flags", "message"), [
    (["--ema", "1"], "--ema must be a number of at least 0 and below 1, got 1"),
    (["--accumulate", "0"], "--accumulate must be an integer from 1 to 65536, got 0")])
def test_values_out_of_range_name_their_flag(tmp_path, flags, message):
    with pytest.raises(ValueError, match=message):
        TrainOptions().parse([*TINY, "--checkpoints_dir", str(tmp_path), *flags])


def test_a_supernet_is_not_compiled(tmp_path):
    with pytest.raises(ValueError, match="--compile: the generator of a supernet changes its size"):
        trained(tmp_path, "--compile", steps=0)


def test_a_compiled_generator_has_the_same_losses(tmp_path, monkeypatch):
    compile = nn.Module.compile  # everything but the building of kernels, which takes half a minute
    monkeypatch.setattr(nn.Module, "compile", lambda net: compile(net, backend="aot_eager"))
    original = ["--model", "pix2pix", "--dataset_mode", "adf"]
    plain, _, _ = trained(tmp_path, *original, steps=2)
    compiled, _, _ = trained(tmp_path, *original, "--compile", steps=2)
    assert compiled.netG._compiled_call_impl
    assert not plain.netG._compiled_call_impl
    for name, value in plain.get_current_losses().items():
        assert compiled.get_current_losses()[name] == pytest.approx(value, rel=1e-3, abs=1e-3)
    compiled.save_networks("latest")  # under the names that uncompiled networks have
    saved = torch.load(tmp_path / "experiment_name" / "latest_net_G.pth", weights_only=True)
    assert saved.keys() == plain.netG.state_dict().keys()


@pytest.mark.parametrize(("length", "batch", "processes"),
                         [(16, 2, 2), (9, 2, 2), (10, 3, 4), (3, 2, 4), (7, 1, 1)])
def test_processes_share_the_batches_of_one_process(length, batch, processes):
    one = list(EpochSampler(length, batch * processes, True, 5))
    parts = [list(EpochSampler(length, batch, True, 5, rank, processes)) for rank in range(processes)]
    assert len({len(batches) for batches in parts}) == 1
    assert len(parts[0]) == len(one) == len(EpochSampler(length, batch, True, 5, 0, processes))
    for step, expected in enumerate(one):
        joined = [index for batches in parts for index in batches[step]]
        assert len({len(batches[step]) for batches in parts}) == 1
        assert joined[:len(expected)] == expected
        assert len(joined) - len(expected) < processes


def test_an_epoch_resumes_at_its_next_batch():
    epoch = [index for batch in EpochSampler(10, 2, True, 1) for index in batch]
    sampler = EpochSampler(10, 2, True, 1)
    sampler.start = 6
    assert [index for batch in sampler for index in batch] == epoch[6:]
    assert len(sampler) == 2
