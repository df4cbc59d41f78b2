"""The family of --netG sets the defaults of the original: networks, objective, input, learning rates."""
import pytest
import torch

from compression import build_discriminator, build_generator
from compression.originals.objectives import FeatureMatchingObjective, Pix2PixHDObjective, Pix2PixObjective
from compression.runtime.encoding import ImageEncoding, LabelEncoding
from models import builders
from options.train_options import TrainOptions


def options(tmp_path, *arguments):
    return TrainOptions().parse([*arguments, "--checkpoints_dir", str(tmp_path), "--gpu_ids", "-1",
                                 "--dataroot", "d"])


EXPECTED = {  # upstream's defaults
    ("pix2pix",): {"netG": "unet_256", "netD": "basic", "gan_mode": "vanilla", "norm": "batch", "label_nc": 0,
                   "dataset_mode": "aligned"},
    ("pix2pixhd",): {"netG": "pix2pixhd", "netD": "pix2pixhd", "gan_mode": "lsgan", "norm": "instance",
                     "label_nc": 35, "n_layers_D": 3, "num_D": 2, "lambda_feat": 10.0, "lambda_vgg": 10.0,
                     "preprocess": "scale_width", "load_size": 1024, "crop_size": 512,
                     "dataset_mode": "label"},
    ("spade",): {"netG": "spade", "netD": "spade", "gan_mode": "hinge", "norm": "batch", "n_layers_D": 4,
                 "num_D": 2, "init_type": "xavier", "norm_G": "spectralspadesyncbatch3x3",
                 "norm_D": "spectralinstance"},
    ("ugc_supernet", "--netG", "resnet_9blocks"): {"netD": "basic", "gan_mode": "vanilla",
                                                   "dataset_mode": "adf", "base_dataset_mode": "aligned"},
    ("ugc_supernet", "--netG", "spade"): {"netD": "spade", "gan_mode": "hinge", "base_dataset_mode": "label",
                                          "label_nc": 35},
    ("ugc_supernet", "--netG", "global"): {"netG": "pix2pixhd", "netD": "pix2pixhd", "gan_mode": "lsgan"},
    ("ugc_supernet", "--netG", "spade", "--gan_mode", "lsgan", "--label_nc", "13"): {"gan_mode": "lsgan",
                                                                                     "label_nc": 13}}


@pytest.mark.parametrize("arguments", list(EXPECTED), ids=" ".join)
def test_defaults_of_each_original_equal_upstreams(tmp_path, arguments):
    opt = options(tmp_path, "--model", *arguments)
    wanted = EXPECTED[arguments]
    assert {name: getattr(opt, name) for name in wanted} == wanted


def test_upstreams_spellings_of_flags_are_accepted(tmp_path):
    opt = options(tmp_path, "--model", "pix2pixhd", "--batchSize", "3", "--loadSize", "600",
                  "--fineSize", "300", "--niter", "7", "--niter_decay", "5", "--nThreads", "1",
                  "--resize_or_crop", "crop", "--which_epoch", "9")
    assert (opt.batch_size, opt.load_size, opt.crop_size, opt.n_epochs, opt.n_epochs_decay, opt.num_threads,
            opt.preprocess, opt.epoch) == (3, 600, 300, 7, 5, 1, "crop", "9")


@pytest.mark.parametrize(("arguments", "kind", "channels"), [
    (["pix2pix", "--input_nc", "1"], ImageEncoding, 1), (["spade"], LabelEncoding, 36),
    (["spade", "--no_instance"], LabelEncoding, 35), (["pix2pixhd", "--label_nc", "0"], ImageEncoding, 3),
    (["spade", "--label_nc", "182", "--contain_dontcare_label"], LabelEncoding, 184)])
def test_the_number_of_input_channels_follows_from_the_labels(tmp_path, arguments, kind, channels):
    encoding = builders.build_encoding(options(tmp_path, "--model", *arguments))
    assert type(encoding) is kind
    assert encoding.channels == channels


def test_each_model_builds_its_objective(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    assert type(builders.build_objective(options(tmp_path, "--model", "pix2pix"))) is Pix2PixObjective
    assert type(builders.build_objective(options(tmp_path, "--model", "pix2pixhd"))) is Pix2PixHDObjective
    objective = builders.build_objective(options(tmp_path, "--model", "spade"))
    assert type(objective) is FeatureMatchingObjective
    assert objective.terms == ("GAN", "GAN_Feat")
    assert "perceptual loss of the original: none (no vgg19-dcbb9e9d.pth found)" in capsys.readouterr().out
    assert builders.build_objective(options(tmp_path, "--model", "spade",
                                            "--no_ganFeat_loss")).terms == ("GAN",)
    with pytest.raises(ValueError, match="--vgg19_weights gone.pth: no such file"):
        builders.build_objective(options(tmp_path, "--model", "spade", "--vgg19_weights", "gone.pth"))


def test_two_time_scales_set_both_learning_rates(tmp_path):
    spade, plain, hd = (options(tmp_path, "--model", *a) for a in (["spade"], ["spade", "--no_TTUR"],
                                                                   ["pix2pixhd"]))
    assert builders.adam_settings(spade, "G") == {"lr": 0.0001, "betas": (0.0, 0.9)}
    assert builders.adam_settings(spade, "D") == {"lr": 0.0004, "betas": (0.0, 0.9)}
    assert builders.adam_settings(plain, "D") == builders.adam_settings(hd, "G") == {"lr": 0.0002,
                                                                                     "betas": (0.5, 0.999)}


@pytest.mark.parametrize(("text", "norm", "spectral"),
                         [("spectralinstance", "instance", True), ("none", "none", False),
                          ("spectralspadesyncbatch3x3", "syncbatch", True),
                          ("spadeinstance3x3", "instance", False)])
def test_norm_strings_of_spade_are_parsed(text, norm, spectral):
    class Opt:
        norm_D = text
    assert builders.parse_norm(Opt, "norm_D") == (norm, spectral)
    Opt.norm_D = "spectralgroup"
    with pytest.raises(ValueError,
                       match="--norm_D spectralgroup: wanted an optional 'spectral' and one of instance"):
        builders.parse_norm(Opt, "norm_D")


@pytest.mark.parametrize("dataroot", [["--dataroot", "d"], []],
                         ids=["own data", "toy data"])  # whose defaults are others
def test_checkpoints_determine_flags_that_are_not_given(tmp_path, dataroot):
    torch.save(build_generator("resnet_6blocks", 3, 1, 12, "batch", dropout=False).state_dict(),
               tmp_path / "G.pth")
    torch.save(build_discriminator("pixel", 4, 8, 3, "batch").state_dict(), tmp_path / "D.pth")
    flags = ["--model", "ugc_supernet", "--checkpoints_dir", str(tmp_path), *dataroot]
    restored = [*flags, "--restore_G", str(tmp_path / "G.pth"), "--restore_D", str(tmp_path / "D.pth")]
    told = {"netG": "resnet_6blocks", "ngf": 12, "norm": "batch", "output_nc": 1, "no_dropout": True,
            "netD": "pixel", "ndf": 8}
    opt = TrainOptions().parse(restored)
    assert {name: getattr(opt, name) for name in told} == told
    assert TrainOptions().parse([*restored,
                                 "--ngf", "16"]).ngf == 16  # what is given is checked when the file is loaded
    with pytest.raises(ValueError, match="no such checkpoint file"):
        TrainOptions().parse([*flags, "--restore_G", str(tmp_path / "none.pth")])


def test_label_data_sets_are_detected_by_their_flags(tmp_path):
    torch.save(build_generator("pix2pixhd", 8, 3, 4, "instance", n_downsample_global=3).state_dict(),
               tmp_path / "G.pth")
    opt = options(tmp_path, "--model", "ugc_supernet", "--restore_G", str(tmp_path / "G.pth"),
                  "--label_nc", "7")
    assert (opt.netG, opt.ngf, opt.n_downsample_global, opt.netD, opt.base_dataset_mode) == ("pix2pixhd", 4,
                                                                                             3, "pix2pixhd",
                                                                                             "label")
    assert builders.restore_original(opt, opt.restore_G).config["input_nc"] == 8
