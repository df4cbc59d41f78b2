"""Augmentation, regularization, and further GAN losses in the training steps of all stages."""
import copy
import json

import pytest
import torch

from commands import train_here
from data import create_dataset
from models import create_model
from options.train_options import TrainOptions
from util.entry import rng_state, set_rng_state

TINY = ["--ngf", "4", "--ndf", "4", "--toy_train_images", "12", "--toy_test_images", "2", "--batch_size", "2",
        "--num_threads", "0", "--n_epochs", "4", "--n_epochs_decay", "0", "--no_html", "--load_size", "32",
        "--crop_size", "32"]
FEW = ["--netG", "resnet_6blocks", "--label_ratio", "0.5"]
STAGES = {"pix2pix": ["--netG", "resnet_6blocks"], "pix2pixhd": [],
          "spade": ["--load_size", "64", "--crop_size", "64"],
          "ugc_supernet": [*FEW, "--lambda_gan_unlabeled", "1", "--lambda_sub_gan", "1"],
          "ugc_distill": ["--lambda_gan_unlabeled", "1", "--lambda_student_gan", "1"]}
REGULARIZED = ["--diffaugment", "color", "translation", "cutout", "--lambda_r1", "1", "--r1_every", "2",
               "--lambda_lecam", "0.1"]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """A folder with a supernet and architectures of a student and two teachers."""
    folder = tmp_path_factory.mktemp("checkpoints")
    train_here("--model", "ugc_supernet", "--name", "net", "--checkpoints_dir", folder, *TINY, *FEW,
               "--n_epochs", "1")
    space = supernet_space(folder)
    for name, arch in (("student", space.smallest), ("teacher_wide", space.largest),
                       ("teacher_deep", space.largest)):
        path = folder / "net" / "search" / f"{name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(arch.to_json()))
    return folder


def supernet_space(folder):
    """The search space of the supernet."""
    return parse_and_create(["--model", "ugc_supernet", "--name", "other", "--checkpoints_dir", folder, *TINY,
                             *FEW])[0].space


def parse_and_create(flags):
    """Build a model for training as train.py does; returns it and its data set."""
    opt = TrainOptions().parse(list(map(str, flags)))
    torch.manual_seed(0)
    dataset = create_dataset(opt)
    model = create_model(opt)
    model.setup(opt)
    dataset.set_epoch(1)
    return model, dataset


def build(checkpoints, stage, *flags):
    """Build the model of a stage; returns it and its batches."""
    name = ["--name", "run", "--checkpoints_dir", checkpoints, "--model", stage]
    start = ["--supernet", "net"] if stage == "ugc_distill" else []
    model, dataset = parse_and_create([*name, *start, *TINY, *STAGES[stage], *flags])
    return model, list(dataset)


def record_pairs(model):
    """Record all pairs that the discriminator gets; returns the list."""
    seen = []
    trunk = model.netD.trunk

    def recording(pairs):
        seen.append(pairs.detach())
        return trunk(pairs)

    model.netD.trunk = recording
    return seen


@pytest.mark.parametrize("stage", list(STAGES))
def test_every_pass_of_a_step_has_the_same_augmentation_and_training_resumes_exactly(checkpoints, stage):
    model, batches = build(checkpoints, stage, *REGULARIZED)
    model.train_step(batches[0])
    seen = record_pairs(model)
    model.train_step(batches[1])
    hidden = [(pairs == 0).all(1) for pairs in seen]
    assert len(seen) >= 2  # real pairs, and generated ones
    assert hidden[0].any()
    assert all(torch.equal(mask[:2], hidden[0][:2]) for mask in hidden)
    del model.netD.trunk
    state, rng = copy.deepcopy(model.state()), rng_state()
    model.train_step(batches[2])
    expected = model.get_current_losses()
    resumed, _ = build(checkpoints, stage, *REGULARIZED)
    resumed.load_state(state)
    set_rng_state(rng)
    resumed.train_step(batches[2])
    assert resumed.get_current_losses() == pytest.approx(expected, rel=1e-6)
    assert {"D_r1", "D_lecam"} <= set(expected) or stage == "ugc_distill"
    assert "student_gan" in expected or stage != "ugc_distill"


def test_teachers_and_discriminator_step_every_third_step_and_their_average_labels(checkpoints):
    model, batches = build(checkpoints, "ugc_distill", "--teacher_every", "3", "--ema_teachers", "0.75")
    changed, teachers = [], []
    batches.append(batches[0])
    for batch in batches:
        nets = (model.netT, model.netD, model.netS)
        before = [[weight.detach().clone() for weight in net.parameters()] for net in nets]
        model.train_step(batch)
        changed.append([any(map(lambda new, old: not torch.equal(new, old), net.parameters(), weights))
                        for net, weights in zip(nets, before, strict=True)])
        teachers.append(next(model.netT.parameters()).detach().clone())
        if len(changed) == 2:
            state, rng = copy.deepcopy(model.state()), rng_state()
    assert changed == [[True, True, True], [False, False, True], [False, False, True], [True, True, True]]
    expected = 2 / 11 * teachers[0] + 9 / 11 * teachers[3]  # the average is still in its warm-up
    torch.testing.assert_close(next(model.labeling_teachers.parameters()), expected)
    assert not torch.equal(teachers[0], teachers[3])
    losses = model.get_current_losses()
    resumed, _ = build(checkpoints, "ugc_distill", "--teacher_every", "3", "--ema_teachers", "0.75")
    resumed.load_state(state)
    set_rng_state(rng)
    for batch in batches[2:]:
        resumed.train_step(batch)
    assert resumed.get_current_losses() == pytest.approx(losses, rel=1e-6)
    torch.testing.assert_close(next(resumed.labeling_teachers.parameters()), expected)


def test_the_gan_loss_of_the_student_is_limited_to_its_epochs(checkpoints):
    model, batches = build(checkpoints, "ugc_distill", "--student_gan_start", "2",
                           "--student_gan_end", "3")
    weights, heads = [], []
    for _ in range(4):
        head = copy.deepcopy(model.netD.heads["student"].state_dict())
        model.train_step(batches[0])
        weights.append(float(model.get_current_losses()["student_gan"]) > 0)
        after = model.netD.heads["student"].state_dict()
        heads.append(any(not torch.equal(after[key], value) for key, value in head.items()))
        model.update_learning_rate()
    assert weights == [False, True, True, False]
    assert heads == [True, True, True, False]


def test_the_gan_loss_of_a_slice_reaches_its_weights_and_the_discriminator(checkpoints):
    losses = {}
    for weight in ("0", "2"):
        model, batches = build(checkpoints, "ugc_supernet", "--lambda_sub_gan", weight,
                               "--lambda_gan_unlabeled", "0")
        seen = record_pairs(model)
        model.train_step(batches[0])
        losses[weight] = model.get_current_losses()
        passes = len(seen)
        assert passes == (2 if weight == "0" else 3)  # real; generated, for G and D; and that of the slice
    assert "sub_gan" not in losses["0"]
    assert losses["2"]["sub_gan"] > 0
    assert losses["2"]["D_fake"] != losses["0"]["D_fake"]
    assert losses["2"]["sub_pseudo"] == losses["0"]["sub_pseudo"]


def test_dcd_compares_activations_that_are_large_enough_for_the_discriminator(checkpoints):
    flags = ["--lambda_dcd", "1", "--load_size", "96", "--crop_size", "96"]
    student = checkpoints / "net" / "search" / "student.json"
    model, batches = build(checkpoints, "ugc_distill", *flags, "--wide_arch", student)
    assert set(model.dcd_sizes((96, 96))) == {(24, 24)}  # of the residual blocks
    for group in model.optimizer_T.param_groups:
        group["lr"] = 0.0
    model.train_step(batches[0])
    assert model.get_current_losses()["wide_dcd"] == pytest.approx(0, abs=1e-6)  # the teacher is the student
    model, _ = build(checkpoints, "ugc_distill", *flags)
    before = next(model.netS.parameters()).detach().clone()
    model.train_step(batches[0])
    assert model.get_current_losses()["wide_dcd"] > 0.01
    assert not torch.equal(next(model.netS.parameters()), before)


@pytest.mark.parametrize(("stage", "flags", "message"), [
    ("ugc_distill", ["--lambda_dcd", "1"], "too small for it at --crop_size 32"),
    ("ugc_distill", ["--lambda_dcd", "1", "--teachers", "deep"], "--lambda_dcd distills from the wide"),
    ("ugc_supernet", ["--n_random_nets", "0"], "--lambda_sub_gan 1 is a loss of random sub-networks"),
    ("ugc_supernet", ["--label_ratio", "1"], "--lambda_gan_unlabeled 1 needs unlabeled inputs"),
    ("ugc_distill", ["--unlabeled", "none"], "--lambda_gan_unlabeled 1 needs unlabeled inputs"),
    ("ugc_distill", ["--student_gan_start", "5", "--student_gan_end", "2"],
     "--student_gan_end 2 must be at least --student_gan_start 5"),
    ("ugc_distill", ["--student_gan_start", "5", "--lr_policy", "plateau", "--eval_every", "1"],
     "need a schedule that counts epochs"),
    ("pix2pix", ["--diffaugment", "none", "color"], "--diffaugment none color")])
def test_flags_that_do_not_fit_are_refused_before_training(checkpoints, stage, flags, message):
    def start():
        model, batches = build(checkpoints, stage, *flags)
        model.memory_needed(batches[0])

    with pytest.raises(ValueError, match=message):
        start()
