"""The UGC option groups: defaults of the paper and of OMGD, and clear errors."""
import json
import math
from argparse import ArgumentParser

import pytest

from compression.distill.losses import DistillWeights
from options import ugc_options as groups


def parse(add, *arguments):
    parser = ArgumentParser(allow_abbrev=False)
    add(parser)
    return parser.parse_args(arguments)


def test_distillation_defaults_equal_omgds():
    opt = parse(groups.add_distill_options, "--supernet", "exp")
    assert groups.distill_weights_from(opt) == DistillWeights(ssim=10, feature=10, style=1e4, tv=1e-5, cd=0)
    assert (opt.adf, opt.adf_quantile, opt.perceptual) == ("discriminator", 0.5, "auto")
    assert groups.teachers_from(opt) == ("wide", "deep")


@pytest.mark.parametrize(("kind", "names"),
                         [("multi", ("wide", "deep")), ("wide", ("wide",)), ("deep", ("deep",)),
                          ("largest", ("largest",))])
def test_teachers_are_selected_by_name(kind, names):
    assert groups.teachers_from(parse(groups.add_distill_options, "--supernet", "s",
                                      "--teachers", kind)) == names


def test_agreement_needs_two_teachers():
    with pytest.raises(ValueError, match="--adf agreement.*--teachers wide"):
        groups.teachers_from(parse(groups.add_distill_options, "--supernet", "s", "--teachers", "wide",
                                   "--adf", "agreement"))


def test_distillation_needs_a_supernet(capsys):
    with pytest.raises(SystemExit) as stop:
        parse(groups.add_distill_options)
    assert stop.value.code == 2
    assert "--supernet" in capsys.readouterr().err


def test_supernet_flags_become_supernet_settings():
    opt = parse(groups.add_supernet_options, "--restore_G", "g.pth")
    assert (opt.restore_G, opt.restore_D) == ("g.pth", None)
    assert groups.supernet_from(opt) == groups.SupernetSettings(n_random=1, label=100.0, pseudo=100.0)
    assert groups.supernet_from(parse(groups.add_supernet_options, "--n_random_nets", "3")).n_random == 3
    with pytest.raises(ValueError, match="--n_random_nets must be at least 0, got -1"):
        groups.supernet_from(parse(groups.add_supernet_options, "--n_random_nets", "-1"))
    with pytest.raises(ValueError, match="--lambda_sub_pseudo"):
        groups.supernet_from(parse(groups.add_supernet_options, "--lambda_sub_pseudo", "nan"))


@pytest.mark.parametrize("ratio", [0, -0.5, 1.01, math.nan, math.inf])
def test_a_label_ratio_outside_its_range_is_refused(ratio):
    with pytest.raises(ValueError, match="--label_ratio must be above 0 and at most 1, got"):
        groups.labels_from(parse(groups.add_label_options, f"--label_ratio={ratio}"))


def test_label_flags_become_label_settings():
    opt = parse(groups.add_label_options, "--label_ratio", "0.1", "--split_by", "stretch", "--seed", "4")
    assert groups.labels_from(opt) == groups.LabelSettings(0.1, 4, "stretch", "split", None)
    with pytest.raises(ValueError, match="--unlabeled none.*--unlabeled_dir d"):
        groups.labels_from(parse(groups.add_label_options, "--unlabeled", "none", "--unlabeled_dir", "d"))


def test_a_negative_weight_names_its_flag():
    chosen = parse(groups.add_distill_options, "--supernet", "s", "--lambda_pixel", "3")
    assert groups.distill_weights_from(chosen, 10).pixel == 3
    assert groups.distill_weights_from(parse(groups.add_distill_options, "--supernet", "s"), 10).pixel == 10
    with pytest.raises(ValueError, match="--lambda_style"):
        groups.distill_weights_from(parse(groups.add_distill_options, "--supernet", "s",
                                          "--lambda_style", "-1"))


def test_flags_of_the_host_are_not_added_twice():
    parser = ArgumentParser()
    parser.add_argument("--seed", type=int, default=7)
    assert groups.add_label_options(parser).parse_args([]).seed == 7


def test_every_flag_has_a_help_text():
    parser = ArgumentParser()
    for add in (groups.add_label_options, groups.add_supernet_options, groups.add_distill_options,
                groups.add_student_options):
        add(parser)
    assert all(action.help for action in parser._actions)
    assert "%" not in parser.format_help()


def test_the_original_is_the_checkpoint_that_the_supernet_started_from(tmp_path):
    from options.earlier_runs import original_of

    assert original_of(tmp_path, "latest") == tmp_path / "latest_net_G.pth"  # a run that tells nothing
    (tmp_path / "mine.pth").write_text("weights")
    for restored, expected in ((tmp_path / "mine.pth", "mine.pth"),
                               (tmp_path / "gone.pth", "latest_net_G.pth"), (None, "latest_net_G.pth")):
        (tmp_path / "train_opt.json").write_text(json.dumps({"restore_G": restored and str(restored)}))
        assert original_of(tmp_path, "latest") == tmp_path / expected
