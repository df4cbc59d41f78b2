"""The option groups of UGC have the defaults of the paper and of OMGD, and report wrong values."""
import json
import math
from argparse import ArgumentParser, Namespace

import pytest

from compression.distill.losses import DistillWeights
from compression.elastic.registry import FAMILIES
from options import ugc_options as groups
from options.earlier_runs import labels_outside_the_split, original_of, settings_to_continue
from options.train_options import TrainOptions


def parse(add, *arguments):
    parser = ArgumentParser(allow_abbrev=False)
    add(parser)
    return parser.parse_args(arguments)


def parse_distill(*arguments):
    opt = parse(groups.add_distill_options, "--supernet", "exp", *arguments)
    return Namespace(**vars(opt), output_nc=3)


@pytest.mark.parametrize(("direction", "sides"), [("AtoB", ("A", "B")), ("BtoA", ("B", "A"))])
def test_the_direction_selects_input_and_target(direction, sides):
    assert groups.sides(Namespace(direction=direction)) == sides


@pytest.mark.parametrize(("load_iter", "tag"), [(0, "7"), (300, "iter_300")])
def test_the_iteration_has_precedence_over_the_epoch(load_iter, tag):
    assert groups.checkpoint_tag(Namespace(epoch="7", load_iter=load_iter)) == tag


@pytest.mark.parametrize("model", ["ugc_supernet", "ugc_distill"])
@pytest.mark.parametrize(("mode", "flags"), [
    ("aligned", ["--dataroot", "d"]), ("toy", []), ("toy", ["--dataroot", "d"]),
    ("colorization", ["--dataroot", "d"]), ("label", ["--dataroot", "d", "--label_nc", "5"])])
def test_a_paired_data_set_is_the_base_data_set_of_adf(model, mode, flags):
    supernet = ["--supernet", "none"] if model == "ugc_distill" else []
    opt = TrainOptions().gather(["--model", model, "--dataset_mode", mode, "--label_ratio", "0.25", *flags,
                                 *supernet])
    assert (opt.dataset_mode, opt.base_dataset_mode, opt.label_ratio) == ("adf", mode, 0.25)


def test_a_data_set_without_pairs_is_refused():
    with pytest.raises(ValueError, match="single has no pairs; choose a paired data set"):
        TrainOptions().gather(["--model", "ugc_supernet", "--dataset_mode", "single", "--dataroot", "d"])


def test_distillation_weights_are_those_of_omgd():
    opt = parse_distill("--perceptual", "hed")
    groups.resolve_features(opt)
    weights = groups.distill_weights_from(opt)
    assert weights == DistillWeights(ssim=10, feature=10, style=1e4, tv=1e-5, cd=0, pixel=0)


def test_filter_and_features_have_the_defaults_of_the_paper():
    opt = parse_distill()
    assert (opt.adf, opt.adf_keep, opt.adf_quantile, opt.perceptual) == ("consistency", 0.75, 0.5, "auto")


def test_both_teachers_are_the_default():
    assert groups.teachers_from(parse_distill()) == ("wide", "deep")


@pytest.mark.parametrize(("kind", "names"), [
    ("multi", ("wide", "deep")), ("wide", ("wide",)), ("deep", ("deep",)), ("largest", ("largest",))])
def test_teachers_are_selected_by_name(kind, names):
    assert groups.teachers_from(parse_distill("--teachers", kind)) == names


def test_distillation_requires_a_supernet(capsys):
    with pytest.raises(SystemExit) as stop:
        parse(groups.add_distill_options)
    assert stop.value.code == 2
    assert "--supernet" in capsys.readouterr().err


def test_a_supernet_starts_from_checkpoints_only_on_request():
    opt = parse(groups.add_supernet_options, "--restore_G", "g.pth")
    assert (opt.restore_G, opt.restore_D) == ("g.pth", None)


@pytest.mark.parametrize("family", FAMILIES)
def test_slices_learn_from_labels_with_the_weight_that_the_original_has(family):
    label = 0.0 if family in ("pix2pixhd", "pix2pixhd_local", "spade") else 100.0  # the L1 loss of Pix2Pix
    l1 = FAMILIES[family].objective().lambda_L1
    settings = groups.supernet_from(parse(groups.add_supernet_options), l1)
    assert settings == groups.SupernetSettings(1, label, 100.0, pseudo_on_labeled=not label)


@pytest.mark.parametrize(("flags", "label", "on_labeled"), [
    ([], 7.0, False), (["--lambda_sub_label", "0"], 0.0, True), (["--lambda_sub_label", "3"], 3.0, False),
    (["--sub_pseudo_inputs", "all"], 7.0, True),
    (["--lambda_sub_label", "0", "--sub_pseudo_inputs", "unlabeled"], 0.0, False)])
def test_an_input_of_a_slice_has_one_target_unless_flags_say_otherwise(flags, label, on_labeled):
    settings = groups.supernet_from(parse(groups.add_supernet_options, *flags), l1=7.0)
    assert (settings.label, settings.pseudo_on_labeled) == (label, on_labeled)


def test_a_run_of_an_earlier_version_keeps_both_targets(tmp_path):
    (tmp_path / "train_opt.json").write_text(json.dumps({"lambda_sub_label": 100.0}))
    saved = settings_to_continue(tmp_path)
    assert (saved["lambda_sub_label"], saved["sub_pseudo_inputs"]) == (100.0, "all")


def test_supernet_settings_follow_the_flags():
    assert groups.supernet_from(parse(groups.add_supernet_options, "--n_random_nets", "3")).n_random == 3


@pytest.mark.parametrize(("settings", "message"), [
    ({"n_random": -1}, "--n_random_nets must be at least 0, got -1"),
    ({"pseudo": math.nan}, "--lambda_sub_pseudo must be at least 0, got nan")])
def test_a_supernet_setting_out_of_range_is_an_error(settings, message):
    with pytest.raises(ValueError, match=message):
        groups.SupernetSettings(**settings)


@pytest.mark.parametrize("ratio", [0, -0.5, 1.01, math.nan, math.inf])
def test_a_label_ratio_out_of_range_is_an_error(ratio):
    with pytest.raises(ValueError, match="--label_ratio must be above 0 and at most 1, got"):
        groups.LabelSettings(ratio=ratio)


def test_label_settings_follow_the_flags():
    opt = parse(groups.add_label_options, "--label_ratio", "0.1", "--split_by", "stretch", "--seed", "4")
    assert groups.labels_from(opt) == groups.LabelSettings(0.1, 4, "stretch", "split", None, 0.1)
    assert groups.labels_from(parse(groups.add_label_options, "--seed", "4", "--split_seed", "2")).seed == 2


def test_a_folder_of_unlabeled_inputs_contradicts_training_without_them():
    with pytest.raises(ValueError, match="--unlabeled none.*--unlabeled_dir d"):
        groups.labels_from(parse(groups.add_label_options, "--unlabeled", "none", "--unlabeled_dir", "d"))


@pytest.mark.parametrize(("flags", "pixel", "style"), [
    ([], 10, 1e4), (["--perceptual", "none"], 10, 1e4), (["--vgg_weights", "vgg.pth"], 0, 1e4),
    (["--lambda_pixel", "3"], 3, 1e4), (["--lambda_pixel", "3", "--perceptual", "hed"], 3, 1e4)])
def test_the_weight_of_the_pixel_loss_depends_on_the_features(flags, pixel, style, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    opt = parse_distill(*flags)
    groups.resolve_features(opt)
    weights = groups.distill_weights_from(opt)
    assert (weights.pixel, weights.style) == (pixel, style)


def test_a_negative_weight_is_an_error_that_names_its_flag():
    with pytest.raises(ValueError, match="--lambda_style"):
        DistillWeights(style=-1)


def test_flags_of_the_host_are_not_added_twice():
    parser = ArgumentParser()
    parser.add_argument("--seed", type=int, default=7)
    assert groups.add_label_options(parser).parse_args([]).seed == 7


def test_every_flag_has_a_help_text():
    parser = ArgumentParser()
    for add in (groups.add_label_options, groups.add_supernet_options, groups.add_distill_options,
                groups.add_student_options):
        add(parser)
    assert [action.dest for action in parser._actions if not action.help] == []
    assert "%" not in parser.format_help()


@pytest.mark.parametrize(("restored", "original"), [
    ("mine.pth", "mine.pth"), ("missing.pth", "latest_net_G.pth"), (None, "latest_net_G.pth")])
def test_the_original_is_the_checkpoint_that_the_supernet_started_from(tmp_path, restored, original):
    (tmp_path / "mine.pth").write_text("weights")
    restore_G = str(tmp_path / restored) if restored else None
    (tmp_path / "train_opt.json").write_text(json.dumps({"restore_G": restore_G}))
    assert original_of(tmp_path, "latest") == tmp_path / original


def test_the_original_of_a_run_without_settings_is_its_largest_network(tmp_path):
    assert original_of(tmp_path, "latest") == tmp_path / "latest_net_G.pth"


def test_a_continued_run_of_a_checkout_takes_its_settings_and_existing_files(tmp_path):
    (tmp_path / "D.pth").touch()
    saved = {"netG": "unet_128", "ndf": 8, "restore_G": "gone.pth", "restore_D": str(tmp_path / "D.pth"),
             "name": "run", "epoch_count": 1, "continue_train": False, "feature_network": "code.pt"}
    (tmp_path / "train_opt.json").write_text(json.dumps(saved))
    before = {"sub_pseudo_inputs": "all", "search_split": 0.0, "amp": "none",
              "channels_last": False, "halving_images": 0}  # which the run does not record
    assert settings_to_continue(tmp_path) == {"netG": "unet_128", "ndf": 8, **before,
                                              "restore_D": str(tmp_path / "D.pth")}


@pytest.mark.parametrize(("original", "supernet", "warned"), [
    ({"dataset_mode": "aligned"}, {}, True),  # all images
    ({"dataset_mode": "adf", "label_ratio": 1.0, "search_split": 0.1}, {}, False),
    ({"dataset_mode": "adf", "label_ratio": 1.0}, {}, True),  # of an earlier version
    ({"dataset_mode": "aligned"}, {"search_split": 0.0}, False),  # nothing is held out
    ({"dataset_mode": "adf", "label_ratio": 1.0, "search_split": 0.1, "seed": 5}, {}, True),
    ({"dataset_mode": "adf", "label_ratio": 1.0, "search_split": 0.1, "seed": 5, "split_seed": 0}, {}, False),
    ({"dataset_mode": "adf", "label_ratio": 0.5, "search_split": 0.1}, {}, False)])
def test_a_supernet_warns_if_its_original_has_seen_held_out_images(tmp_path, original, supernet, warned):
    (tmp_path / "train_opt.json").write_text(json.dumps({"seed": 0, "split_by": "random", **original}))
    own = {"dataset_mode": "adf", "label_ratio": 1.0, "search_split": 0.1, "split_by": "random", "seed": 0,
           "split_seed": None, "restore_G": str(tmp_path / "latest_net_G.pth"), "restore_D": None, **supernet}
    lines = labels_outside_the_split(Namespace(**own))
    found = ["also trained on images that --search_split 0.1 holds out" in line for line in lines]
    assert found == [True] * warned
