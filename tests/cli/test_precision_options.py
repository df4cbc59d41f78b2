"""--amp auto and --channels_last auto choose what is measured to be fastest, record it, and print it."""
import pytest
import torch

from commands import train_here
from compression.elastic import step_probe
from compression.elastic.step_probe import SETTINGS, choose_setting, measure_settings
from models.stepping import Stepping
from options import precision_options
from options.test_options import TestOptions
from options.train_options import TrainOptions

LARGE = ["--ngf", "64", "--crop_size", "128", "--load_size", "128", "--netG", "unet_128"]
SMALL = ["--ngf", "4", "--ndf", "4", "--crop_size", "32", "--load_size", "32", "--netG", "resnet_6blocks",
         "--toy_train_images", "4", "--toy_test_images", "2", "--num_threads", "0", "--n_epochs_decay", "0",
         "--no_html"]


def times(contiguous, channels_last, bf16):
    return dict(zip(SETTINGS, (contiguous, channels_last, bf16), strict=True))


@pytest.mark.parametrize(("seconds", "amp", "channels_last", "chosen"), [
    (times(10, 9, 9), "auto", "auto", ("none", False)),  # within the margin of noise
    (times(10, 8, 12), "auto", "auto", ("none", True)),
    (times(10, 8, 7.5), "auto", "auto", ("none", True)),
    (times(10, 8, 5), "auto", "auto", ("bf16", True)),
    (times(10, 12, 5), "auto", "auto", ("bf16", True)),
    (times(10, 8, 5), "auto", False, ("none", False)),
    (times(10, 8, 5), "none", "auto", ("none", True)),
    (times(10, 12, 5), "bf16", "auto", ("bf16", True)),
    (times(10, 12, 12), "fp16", "auto", ("fp16", False)),
    (times(10, 8, 12), "auto", True, ("none", True))])
def test_the_fastest_setting_needs_a_margin(seconds, amp, channels_last, chosen):
    assert choose_setting(seconds, amp, channels_last) == chosen


@pytest.mark.parametrize(("seconds", "channels_last"), [
    (times(10, 10.4, 12), True), (times(10, 10.6, 12), False)])
def test_a_cpu_prefers_channels_last(monkeypatch, tmp_path, seconds, channels_last):
    assert choose_setting(seconds, "auto", "auto", 0.95) == ("none", channels_last)
    assert parse(monkeypatch, tmp_path, seconds, *LARGE, "--gpu_ids", "-1").channels_last == channels_last


def test_a_probe_takes_little_time_and_no_random_numbers():
    state = torch.get_rng_state()
    step_probe.measure_settings.cache_clear()
    seconds = measure_settings(torch.device("cpu"))
    assert torch.equal(torch.get_rng_state(), state)
    assert seconds.keys() == set(SETTINGS)
    assert all(0 < value < 10 for value in seconds.values())
    assert measure_settings(torch.device("cpu")) is seconds


def parse(monkeypatch, tmp_path, seconds, *flags):
    monkeypatch.setattr(precision_options, "measure_settings", lambda device: seconds)
    return TrainOptions().parse(["--checkpoints_dir", str(tmp_path), *flags])


def test_the_choice_is_printed_and_recorded(monkeypatch, tmp_path, capsys):
    opt = parse(monkeypatch, tmp_path, times(0.01, 0.008, 0.005), *LARGE)
    chosen = {"amp": "bf16", "channels_last": True, "validate_fp32": True}
    assert {name: opt.settings[name] for name in chosen} == chosen
    assert ("precision and memory layout: --amp bf16 --channels_last on (measured: fp32 contiguous 10.0 ms, "
            "fp32 channels-last 8.0 ms, bf16 channels-last 5.0 ms)\n") in capsys.readouterr().out
    opt = parse(monkeypatch, tmp_path, times(0.01, 0.008, 0.005), *LARGE, "--amp", "bf16")
    assert (opt.amp, opt.channels_last, opt.validate_fp32) == ("bf16", True, False)


@pytest.mark.parametrize("flags", [[*LARGE, "--amp", "none", "--channels_last", "off"], SMALL])
def test_nothing_is_measured_without_auto_or_for_small_networks(monkeypatch, tmp_path, flags):
    opt = parse(monkeypatch, tmp_path, None, *flags)
    assert (opt.amp, opt.channels_last, opt.settings["channels_last"]) == ("none", False, False)


@pytest.mark.parametrize(("flags", "expected"), [(["--channels_last"], True),
                                                 (["--channels_last", "on"], True),
                                                 (["--channels_last", "auto"], False)])
def test_the_layout_without_a_value_is_on(monkeypatch, tmp_path, flags, expected):
    assert parse(monkeypatch, tmp_path, None, *SMALL, *flags, "--amp", "none").channels_last is expected


def test_other_layouts_are_refused(tmp_path):
    with pytest.raises(ValueError, match="--channels_last must be auto, on, or off, got 'first'"):
        TrainOptions().parse(["--checkpoints_dir", str(tmp_path), "--channels_last", "first"])


def test_a_test_computes_in_fp32_by_default(tmp_path):
    opt = TestOptions().gather(["--checkpoints_dir", str(tmp_path), "--model", "pix2pix"])
    assert (opt.amp, opt.channels_last) == ("none", False)


def test_a_continued_run_and_its_distillation_keep_the_choice(monkeypatch, tmp_path):
    monkeypatch.setattr(precision_options, "SMALLEST_MEASURED", 0)
    monkeypatch.setattr(precision_options, "measure_settings", lambda device: times(0.01, 0.008, 0.005))
    flags = ["--model", "ugc_supernet", "--name", "net", "--checkpoints_dir", str(tmp_path)]
    train_here(*flags, *SMALL, "--n_epochs", "1")
    monkeypatch.setattr(precision_options, "measure_settings", None)
    out, _ = train_here(*flags, "--continue_train", "--n_epochs", "2")
    assert "precision and memory layout" not in out
    opt = TrainOptions().gather(["--model", "ugc_distill", "--supernet", "net", "--checkpoints_dir",
                                 str(tmp_path)])
    assert (opt.amp, opt.channels_last, opt.validate_fp32) == ("bf16", True, True)


def test_validation_computes_in_fp32_if_training_chose_bf16():
    stepping = Stepping()
    stepping.device = torch.device("cpu")
    stepping.opt = type("Options", (), {"amp": "bf16", "validate_fp32": True})
    image = torch.ones(2, 2)
    with stepping.validation_autocast():
        assert (image @ image).dtype == torch.float32
    with stepping.autocast():
        assert (image @ image).dtype == torch.bfloat16
