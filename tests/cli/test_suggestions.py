"""Messages about values that name something suggest the known value that is similar."""
import pytest

from compression.runtime.text import did_you_mean, unknown
from data.image_folder import make_dataset
from data.phase_folders import phase_folder
from models.builders import canonical_metrics
from options.train_options import TrainOptions


def test_the_most_similar_value_is_suggested_in_any_case_and_none_if_all_differ():
    assert did_you_mean("PIX2PIXX", ["pix2pixhd", "pix2pix", "test"]) == "; did you mean pix2pix?"
    assert did_you_mean("zzz", ["pix2pix", "test"]) == ""
    assert unknown("--norm batc", "batc", ("instance", "batch")) == (
        "--norm batc is unknown, known: instance, batch; did you mean batch?")
    assert did_you_mean("tst", ["te\nst"]) == "; did you mean te\\nst?"


@pytest.mark.parametrize(("flag", "value", "meant"), [
    ("--model", "ugc_distil", "ugc_distill"), ("--model", "UGC_supernet", "ugc_supernet"),
    ("--dataset_mode", "alligned", "aligned"), ("--netG", "resnet_9block", "resnet_9blocks"),
    ("--netD", "n_layer", "n_layers"), ("--norm", "instnace", "instance"), ("--direction", "BToA", "BtoA"),
    ("--lr_policy", "lineer", "linear"), ("--amp", "bf-16", "bf16")])
def test_a_mistyped_value_of_a_flag_is_answered_with_a_similar_one(tmp_path, flag, value, meant):
    arguments = ["--checkpoints_dir", tmp_path, flag, value]
    with pytest.raises(ValueError, match=rf"^{flag} {value} is unknown, known: .*; did you mean {meant}\?$"):
        TrainOptions().parse(list(map(str, arguments)))


def test_a_mistyped_run_is_answered_with_a_similar_one(tmp_path):
    (tmp_path / "exp_supernet").mkdir()
    at = ["--checkpoints_dir", str(tmp_path)]
    with pytest.raises(ValueError, match=r"nothing to continue; .*; did you mean exp_supernet\?$"):
        TrainOptions().parse([*at, "--name", "exp_supernett", "--continue_train"])


def test_a_mistyped_metric_or_criterion_is_answered_with_a_similar_one():
    with pytest.raises(ValueError, match=r"^--criterion SIMM is unknown, known: .*; did you mean SSIM\?$"):
        canonical_metrics(["L1", "SIMM"], "--criterion")


def test_a_mistyped_phase_is_answered_with_a_similar_one(tmp_path):
    for phase in ("train", "val"):
        (tmp_path / phase).mkdir()
    with pytest.raises(ValueError, match=r"folders in .*: train, val; did you mean train\?"):
        make_dataset(tmp_path / "trian")
    with pytest.raises(ValueError, match=r"no images of --phase vall .*; did you mean val\?$"):
        phase_folder(tmp_path, "vall", ["vall"], "--reference")
