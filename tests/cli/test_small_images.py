"""Images that are too small for a network or a metric are refused before training, with the flags."""
import re

import pytest

from commands import run_here

BASE = ["--netG", "resnet_6blocks", "--ngf", 4, "--ndf", 4, "--toy_train_images", 3, "--n_epochs", 1,
        "--n_epochs_decay", 0, "--num_threads", 0, "--no_html", "--gpu_ids", -1]
LARGER = r"use larger images \(--crop_size, --load_size\)"
SUPERNET = ["--model", "ugc_supernet", "--search_split", 0]


def run(tmp_path, script, *arguments, name="net", status=2):
    _, error = run_here(script, "--checkpoints_dir", tmp_path, "--name", name, *arguments, status=status)
    return error.splitlines()[-1] if status else ""


def side(pixels):
    return ["--load_size", pixels, "--crop_size", pixels]


# of 16 pixels, the convolutions before the last one leave 8, 4, 2, and 1
@pytest.mark.parametrize(("arguments", "message"), [
    ([*side(16), "--norm", "batch", "--batch_size", 2],  # batches of 2 and 1
     rf"images of 16x16 .* in a batch of 1 .*--netD basic only one value per channel: {LARGER}.*--norm.*"
     "--batch_size"),
    ([*side(16), "--norm", "batch", "--batch_size", 3],
     f"too small for the discriminator --netD basic .*: {LARGER}"),
    ([*side(16), "--norm", "instance"], "16x16 .* --netD basic only one value per channel"),
    ([*side(32), "--netD", "n_layers", "--n_layers_D", 4],
     f"--n_layers_D 4.*: {LARGER} or a smaller --n_layers_D"),
    ([*side(32), "--netD", "n_layers", "--n_layers_D", 4, *SUPERNET], "--n_layers_D 4 .*: use larger images"),
    ([*side(8), "--netD", "pixel", "--eval_every", 1],
     f"--eval_metrics L1 PSNR SSIM: SSIM needs .* 11 pixels, .* --eval_phase val have 8x8 .*{LARGER} or"),
])
def test_too_small_training_images_are_refused_before_training(tmp_path, arguments, message):
    model = [] if "--model" in arguments else ["--model", "pix2pix"]
    error = run(tmp_path, "train", *BASE, *model, *arguments)
    assert re.search(message, error), error
    assert not list((tmp_path / "net").glob("*.pth"))


def test_the_stages_refuse_images_that_are_too_small_for_ssim(tmp_path):
    run(tmp_path, "train", *BASE, *SUPERNET, *side(8), "--netD", "pixel", status=0)
    search = ["--population", 2, "--generations", 1, "--search_images", 1]
    error = run(tmp_path, "search", *search, "--criterion", "SSIM")
    assert re.search("--criterion SSIM .*SSIM needs .* --phase val have 8x8", error), error
    run(tmp_path, "search", *search, status=0)  # the automatic metrics leave SSIM out
    error = run(tmp_path, "train", *BASE[6:], "--model", "ugc_distill", "--supernet", "net", name="student")
    assert re.search(f"--model ugc_distill: SSIM needs .* training images have 8x8 .*; {LARGER}$", error)
