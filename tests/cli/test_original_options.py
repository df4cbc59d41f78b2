"""The family of --netG sets the defaults of the original; models/builders.py builds it from the options."""
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


def values(opt, names):
    return {name: getattr(opt, name) for name in names}


EXPECTED = {  # upstream's defaults
    ("pix2pix",): {
        "netG": "unet_256", "netD": "basic", "gan_mode": "vanilla", "norm": "batch", "label_nc": 0,
        "dataset_mode": "aligned"},
    ("pix2pixhd",): {
        "netG": "pix2pixhd", "netD": "pix2pixhd", "gan_mode": "lsgan", "norm": "instance", "label_nc": 35,
        "n_layers_D": 3, "num_D": 2, "lambda_feat": 10.0, "lambda_vgg": 10.0, "preprocess": "scale_width",
        "load_size": 1024, "crop_size": 512, "dataset_mode": "label"},
    ("spade",): {
        "netG": "spade", "netD": "spade", "gan_mode": "hinge", "norm": "batch", "n_layers_D": 4, "num_D": 2,
        "init_type": "xavier", "norm_G": "spectralspadesyncbatch3x3", "norm_D": "spectralinstance"},
    ("ugc_supernet", "--netG", "resnet_9blocks"): {
        "netD": "basic", "gan_mode": "vanilla", "dataset_mode": "adf", "base_dataset_mode": "aligned"},
    ("ugc_supernet", "--netG", "spade"): {
        "netD": "spade", "gan_mode": "hinge", "base_dataset_mode": "label", "label_nc": 35},
    ("ugc_supernet", "--netG", "global"): {
        "netG": "pix2pixhd", "netD": "pix2pixhd", "gan_mode": "lsgan"},
    ("ugc_supernet", "--netG", "spade", "--gan_mode", "lsgan", "--label_nc", "13"): {
        "gan_mode": "lsgan", "label_nc": 13}}


@pytest.mark.parametrize("arguments", list(EXPECTED), ids=" ".join)
def test_the_family_sets_the_defaults(tmp_path, arguments):
    expected = EXPECTED[arguments]
    assert values(options(tmp_path, "--model", *arguments), expected) == expected


def test_older_spellings_are_accepted_with_a_note(tmp_path, capsys):
    opt = options(tmp_path, "--model", "pix2pixhd", "--batchSize", "3", "--loadSize=600", "--fineSize", "300",
                  "--niter", "7", "--niter_decay", "5", "--nThreads", "1", "--resize_or_crop", "crop",
                  "--which_epoch", "9")
    expected = {"batch_size": 3, "load_size": 600, "crop_size": 300, "n_epochs": 7, "n_epochs_decay": 5,
                "num_threads": 1, "preprocess": "crop", "epoch": "9"}
    assert values(opt, expected) == expected
    assert "note: --loadSize is an older spelling of --load_size\n" in capsys.readouterr().out


@pytest.mark.parametrize("norm", [["--norm", "sync_batch"], ["--norm=sync_batch"]])
def test_spellings_of_upstream_before_2019_are_accepted_with_a_note(tmp_path, capsys, norm):
    opt = options(tmp_path, "--model", "pix2pix", "--which_direction", "BtoA", "--which_model_netG",
                  "unet_128", "--which_model_netD=n_layers", "--no_lsgan", *norm, "--ntest", "inf")
    expected = {"direction": "BtoA", "netG": "unet_128", "netD": "n_layers", "gan_mode": "vanilla",
                "norm": "syncbatch"}
    assert values(opt, expected) == expected
    notes = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note: ")]
    assert notes == ["note: --which_direction is an older spelling of --direction",
                     "note: --which_model_netG is an older spelling of --netG",
                     "note: --which_model_netD is an older spelling of --netD",
                     "note: --no_lsgan is an older spelling of --gan_mode vanilla",
                     "note: --norm sync_batch is an older spelling of --norm syncbatch",
                     "note: --ntest has no effect, as in upstream; --num_test limits the images"]


@pytest.mark.parametrize(("arguments", "kind", "channels"), [
    (["pix2pix", "--input_nc", "1"], ImageEncoding, 1), (["spade"], LabelEncoding, 36),
    (["spade", "--no_instance"], LabelEncoding, 35), (["pix2pixhd", "--label_nc", "0"], ImageEncoding, 3),
    (["spade", "--label_nc", "182", "--contain_dontcare_label"], LabelEncoding, 184)])
def test_the_encoding_follows_the_flags_of_label_maps(tmp_path, arguments, kind, channels):
    encoding = builders.build_encoding(options(tmp_path, "--model", *arguments))
    assert type(encoding) is kind
    assert encoding.channels == channels


@pytest.mark.parametrize(("model", "kind"), [("pix2pix", Pix2PixObjective), ("pix2pixhd", Pix2PixHDObjective),
                                             ("spade", FeatureMatchingObjective)])
def test_the_objective_is_that_of_the_family(tmp_path, monkeypatch, model, kind):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    assert type(builders.build_objective(options(tmp_path, "--model", model))) is kind


def test_without_weights_of_vgg19_the_objective_has_no_perceptual_loss(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    assert builders.build_objective(options(tmp_path, "--model", "spade")).terms == ("GAN", "GAN_Feat")
    assert "perceptual loss of the original: none (no vgg19-dcbb9e9d.pth found)" in capsys.readouterr().out


def test_feature_matching_can_be_disabled(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    objective = builders.build_objective(options(tmp_path, "--model", "spade", "--no_ganFeat_loss"))
    assert objective.terms == ("GAN",)


def test_a_missing_file_of_vgg19_weights_is_an_error(tmp_path):
    opt = options(tmp_path, "--model", "spade", "--vgg19_weights", "missing.pth")
    with pytest.raises(ValueError, match="--vgg19_weights missing.pth: no such file"):
        builders.build_objective(opt)


@pytest.mark.parametrize(("arguments", "network", "lr", "betas"), [
    (["spade"], "G", 0.0001, (0.0, 0.9)), (["spade"], "D", 0.0004, (0.0, 0.9)),
    (["spade", "--no_TTUR"], "D", 0.0002, (0.5, 0.999)), (["pix2pixhd"], "G", 0.0002, (0.5, 0.999))])
def test_spade_uses_two_time_scales(tmp_path, arguments, network, lr, betas):
    opt = options(tmp_path, "--model", *arguments)
    assert builders.adam_settings(opt, network) == {"lr": lr, "betas": betas}


@pytest.mark.parametrize(("text", "norm", "spectral"), [
    ("spectralinstance", "instance", True), ("none", "none", False),
    ("spectralspadesyncbatch3x3", "syncbatch", True), ("spadeinstance3x3", "instance", False)])
def test_norm_flags_are_parsed(text, norm, spectral):
    class Opt:
        norm_D = text
    assert builders.parse_norm(Opt, "norm_D") == (norm, spectral)


def test_an_unknown_norm_is_an_error():
    class Opt:
        norm_D = "spectralgroup"
    message = "--norm_D spectralgroup: expected an optional 'spectral' and one of instance"
    with pytest.raises(ValueError, match=message):
        builders.parse_norm(Opt, "norm_D")


@pytest.fixture
def checkpoints(tmp_path):
    """Flags of a supernet that starts from checkpoints of a generator and a discriminator."""
    generator = build_generator("resnet_6blocks", 3, 1, 12, "batch", dropout=False)
    torch.save(generator.state_dict(), tmp_path / "G.pth")
    torch.save(build_discriminator("pixel", 4, 8, 3, "batch").state_dict(), tmp_path / "D.pth")
    return ["--model", "ugc_supernet", "--checkpoints_dir", str(tmp_path),
            "--restore_G", str(tmp_path / "G.pth"), "--restore_D", str(tmp_path / "D.pth")]


@pytest.mark.parametrize("dataroot", [["--dataroot", "d"], []], ids=["images", "toy"])  # with other defaults
def test_checkpoints_set_defaults(checkpoints, dataroot):
    expected = {"netG": "resnet_6blocks", "ngf": 12, "norm": "batch", "output_nc": 1, "no_dropout": True,
                "netD": "pixel", "ndf": 8}
    assert values(TrainOptions().parse([*checkpoints, *dataroot]), expected) == expected


def test_the_command_line_has_precedence_over_checkpoints(checkpoints):
    assert TrainOptions().parse([*checkpoints, "--ngf", "16"]).ngf == 16


def test_the_source_of_settings_from_checkpoints_is_printed(checkpoints, capsys):
    TrainOptions().parse(checkpoints)
    line = ("from the checkpoint: ndf=8, netD=pixel, netG=resnet_6blocks, ngf=12, no_dropout=True, "
            "norm=batch, output_nc=1")
    assert line in capsys.readouterr().out.splitlines()


def test_a_missing_checkpoint_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="no such checkpoint file"):
        options(tmp_path, "--model", "ugc_supernet", "--restore_G", str(tmp_path / "none.pth"))


def test_the_input_of_a_semantic_generator_depends_on_label_nc(tmp_path):
    net = build_generator("pix2pixhd", 8, 3, 4, "instance", n_downsample_global=3)
    torch.save(net.state_dict(), tmp_path / "G.pth")
    opt = options(tmp_path, "--model", "ugc_supernet", "--restore_G", str(tmp_path / "G.pth"),
                  "--label_nc", "7")
    expected = {"netG": "pix2pixhd", "ngf": 4, "n_downsample_global": 3, "netD": "pix2pixhd",
                "base_dataset_mode": "label"}
    assert values(opt, expected) == expected
    assert builders.restore_original(opt, opt.restore_G).config["input_nc"] == 8
