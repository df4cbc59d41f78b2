"""Measure how the terms of the distillation loss differ from those of OMGD's code; print JSON.

    python benchmarks/loss_terms.py --photos CamVid/val
    python benchmarks/loss_terms.py --photos CamVid/val --hed      # after scripts/fetch_hed.py
    python benchmarks/loss_terms.py --photos CamVid/val --vgg_weights vgg16-397923af.pth

Photos are compared with versions of them that have a color cast or are blurred. The factors under "ssim" are
OMGD's 1 - SSIM divided by ours. With a VGG-16, those under "feature" and "style" are our terms divided by
OMGD's, before the weights, which are the same; "input" is the part of the first that the scale of the input
causes. OMGD's SSIM is that of values in [-1, 1] with the constants of values in [0, 1] and zero padding; its
feature term is that of relu2_2; its VGG-16 gets values in [0, 1]. docs/method.md has the table.
"""
import argparse
import json
import sys
from pathlib import Path

import torch
from PIL import Image, ImageFilter
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from compression.distill.features import VGG16Features
from compression.distill.hed import HED_LAYERS, load_hed
from compression.distill.losses import gram
from compression.distill.ssim import ssim
from compression.runtime.images import to_tensor
from compression.runtime.numbers import SIDE, integer
from data.held_out import evenly_spaced
from data.image_folder import make_dataset, open_photo
from scripts.fetch_hed import RMS
from util.entry import run_main

CASTS = {"red +0.1": (0.1, 0, 0), "red +0.2": (0.2, 0, 0), "red +0.4": (0.4, 0, 0), "all +0.1": (0.1,) * 3,
         "all +0.2": (0.2,) * 3, "red +0.2, blue -0.2": (0.2, 0, -0.2)}
BLURS = (1, 2, 4)  # standard deviations in pixels
LAYERS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3")
STD = 0.226  # mean standard deviation of a color in torchvision's normalization


def main() -> None:
    """Parse the command line, compare, and print."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", required=True, help="folder of photos")
    parser.add_argument("--count", type=integer(1), default=16, help="number of photos, evenly spaced")
    parser.add_argument("--size", type=SIDE, default=256, help="side in pixels that photos are scaled to")
    parser.add_argument("--vgg_weights", help="file of torchvision's VGG-16 (default: no features)")
    parser.add_argument("--hed", action="store_true", help="use the VGG-16 of HED, its layers unscaled")
    args = parser.parse_args()
    torch.manual_seed(0)
    paths = make_dataset(args.photos, flag="--photos")
    photos = [open_photo(paths[i]).resize((args.size, args.size), Image.BICUBIC)
              for i in evenly_spaced(len(paths), args.count)]
    originals = as_batch(photos)
    changed = {name: (originals + torch.tensor(cast).view(1, 3, 1, 1)).clamp(-1, 1)
               for name, cast in CASTS.items()}
    changed |= {f"blur {sigma}": as_batch([photo.filter(ImageFilter.GaussianBlur(sigma)) for photo in photos])
                for sigma in BLURS}
    activations = None
    if args.hed or args.vgg_weights:
        activations = of_hed() if args.hed else of_vgg(args.vgg_weights)
    factors = {name: compare(images, originals, activations) for name, images in changed.items()}
    print(json.dumps({"photos": len(photos), "size": args.size, "factors": factors}, indent=1))


def as_batch(photos: list[Image.Image]) -> torch.Tensor:
    """Convert photos to a batch (N, 3, H, W) in [-1, 1]."""
    return torch.stack([to_tensor(photo) for photo in photos]).reshape(len(photos), 3, *photos[0].size[::-1])


def of_vgg(path):
    """Load torchvision's VGG-16.

    Returns:
        A function from images in [-1, 1], and whether to normalize them by ImageNet, to four activations.
    """
    vgg = VGG16Features(path)

    def activations(images, normalized):
        return vgg(images if normalized else (images / 2 + 0.5) * 2 * vgg.std + 2 * vgg.mean - 1)

    return activations


def of_hed():
    """Load the VGG-16 of HED, whose weights are for values of 0 to 255; as :func:`of_vgg`."""
    net = load_hed("--hed")
    scales = dict(zip(HED_LAYERS, RMS, strict=True))

    def activations(images, normalized):
        images = images if normalized else (images / 2 + 0.5) * 2 * STD + net.mean
        return [scales[name] * layer for name, layer in zip(LAYERS, net(images, LAYERS), strict=True)]

    return activations


@torch.no_grad()
def compare(images, originals, activations=None) -> dict[str, float]:
    """Compute the factor of each term for images that differ from the originals."""
    padded = [F.pad(batch, (5, 5, 5, 5)) for batch in (images, originals)]
    theirs = 1 - ssim(*padded, data_range=1.0, low=0.0).mean()
    factors = {"ssim": float(theirs / (1 - ssim(images, originals).mean()))}
    if activations is not None:
        ours = [activations(batch, normalized=True) for batch in (images, originals)]
        theirs = [activations(batch, normalized=False) for batch in (images, originals)]
        their_feature = l1_of_layers(*(layers[1:2] for layers in theirs))
        factors["feature"] = l1_of_layers(*ours) / their_feature
        factors["input"] = l1_of_layers(*(layers[1:2] for layers in ours)) / their_feature
        grams = [[[gram(layer) for layer in layers] for layers in pair] for pair in (ours, theirs)]
        factors["style"] = l1_of_layers(*grams[0]) / l1_of_layers(*grams[1])
    return {name: round(value, 2) for name, value in factors.items()}


def l1_of_layers(a: list[torch.Tensor], b: list[torch.Tensor]) -> float:
    """Compute the sum over layers of the mean absolute differences."""
    return sum(float((x - y).abs().mean()) for x, y in zip(a, b, strict=True))


if __name__ == "__main__":
    run_main(main)
