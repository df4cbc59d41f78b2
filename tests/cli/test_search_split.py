"""Search and best networks use training images that no training step sees; the report uses others."""
import json

import pytest

from commands import run_here, train_here
from data.label_split import split
from data.toy_dataset import ToyDataset
from options.ugc_options import LabelSettings

COUNT = 40
NET = ["--netG", "resnet_6blocks", "--norm", "batch", "--ngf", "4", "--ndf", "4", "--load_size", "32",
       "--crop_size", "32"]
SHORT = ["--n_epochs", "1", "--n_epochs_decay", "0", "--num_threads", "0", "--no_html", "--batch_size", "4"]
TOY = ["--toy_train_images", str(COUNT), "--toy_test_images", "3", "--no_dropout"]
SEARCH = ["--population", "3", "--generations", "1", "--search_images", "8", "--calibration_images", "4"]


@pytest.fixture(scope="module")
def opened():
    """The items of the toy data set that are opened: {(phase, index, whether with the target)}."""
    items = set()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("__getitem__", "input_item"):
            patch.setattr(ToyDataset, name, recorder(items, getattr(ToyDataset, name), name == "__getitem__"))
        yield items


def recorder(items, load, has_target):
    def load_and_record(dataset, index):
        items.add((dataset.opt.phase, index, has_target))
        return load(dataset, index)

    return load_and_record


def train(folder, *flags):
    return train_here("--checkpoints_dir", folder, *SHORT, *flags)[0]


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory, opened):
    """All stages, with what each has printed and opened."""
    folder = tmp_path_factory.mktemp("pipeline")
    outputs, items = {}, {}

    def stage(name, run, *flags):
        opened.clear()
        outputs[name] = run(*flags)
        items[name] = set(opened)

    split_flags = ["--label_ratio", "0.5", "--split_by", "stretch"]
    stage("original", train, folder, "--model", "pix2pix", "--name", "original", "--dataset_mode", "adf",
          "--unlabeled", "none", *split_flags, *NET, *TOY)
    stage("supernet", train, folder, "--model", "ugc_supernet", "--name", "net", *split_flags, *TOY, *NET,
          "--restore_G", folder / "original/latest_net_G.pth")
    stage("search", lambda: run_here("search", "--checkpoints_dir", folder, "--name", "net", "--seed", "5",
                                     *SEARCH)[0])
    stage("distill", train, folder, "--model", "ugc_distill", "--supernet", "net", "--name", "student",
          "--perceptual", "none", "--seed", "7", "--eval_every", "1", "--eval_metrics", "L1")
    return folder, outputs, items


def parts():
    return split(COUNT, LabelSettings(0.5, 0, "stretch", search_split=0.1))


def test_no_stage_trains_on_the_images_of_the_search(pipeline):
    _, _, items = pipeline
    held_out = {*parts().held_out_labeled, *parts().held_out_unlabeled}
    assert len(held_out) == 4
    trained = {("train", index, True) for index in parts().labeled}
    unlabeled = {("train", index, False) for index in parts().unlabeled}
    assert items["original"] == trained
    assert items["supernet"] == trained | unlabeled
    pairs = {("train", index, True) for index in parts().held_out_labeled}
    assert items["distill"] == trained | unlabeled | pairs  # the last are those of the validation
    inputs = {("train", index, False) for index in held_out}
    calibration = items["search"] - pairs - inputs
    assert items["search"] >= pairs | inputs
    assert len(calibration) == 4
    assert calibration < {("train", index, False) for index in (*parts().labeled, *parts().unlabeled)}


def test_held_out_pairs_count_as_labels(pipeline):
    _, outputs, _ = pipeline
    assert ("training images = 36 (18 labeled pairs, 18 unlabeled inputs; an epoch has 18 items; "
            "--search_split 0.1 holds out 2 labeled pairs and 2 unlabeled inputs, so 20 labels are used)"
            ) in outputs["supernet"]
    assert "scored on 4 images that --search_split has held out of training" in outputs["search"]
    assert "warning" not in "".join(outputs.values())


def test_the_search_records_its_phase(pipeline):
    folder, _, _ = pipeline
    for name in ("student", "teacher_wide", "teacher_deep"):
        assert json.loads((folder / "net/search" / f"{name}.json").read_text())["phase"] == "search_split"
    assert json.loads((folder / "net/search/pareto.json").read_text())["images"] == 2  # those with a target


def test_another_phase_is_used_on_request_and_reported(pipeline, opened, tmp_path):
    opened.clear()
    out, _ = run_here("search", "--checkpoints_dir", pipeline[0], "--name", "net", *SEARCH, "--phase", "val")
    assert "candidates are scored on 3 images of val: report the numbers of other images" in out
    assert {phase for phase, _, has_target in opened if has_target} == {"val"}
    flags = ["--checkpoints_dir", pipeline[0], "--results_dir", tmp_path, "--num_test", "1"]
    out, _ = run_here("test", *flags, "--name", "student", "--model", "ugc_student", "--phase", "val")
    assert "note: images of val decided about the student of this run, so its numbers on val are" in out
    out, _ = run_here("test", *flags, "--name", "student", "--model", "ugc_student")
    assert "decided" not in out


@pytest.mark.parametrize(("flags", "message"), [
    (["--search_split", "0.2"], "--search_split 0.2: the training of net used 0.1"),
    (["--label_ratio", "1"], "--label_ratio 1.0: the training of net used 0.5"),
    (["--front_metrics", "FID", "--search_images", "1"],
     "--front_metrics FID needs at least 2 labeled pairs, but --search_images is 1; raise it")])
def test_a_search_on_other_or_too_few_images_is_an_error(pipeline, flags, message):
    _, err = run_here("search", "--checkpoints_dir", pipeline[0], "--name", "net", *SEARCH, *flags, status=2)
    assert message in err
    assert err.count("\n") == 1
