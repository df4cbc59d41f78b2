"""Check before training, validation, and search that networks and metrics take images as small as these."""
from __future__ import annotations

from argparse import Namespace
from collections.abc import Collection, Iterable

from torch import Tensor, nn
from torch.utils.data import default_collate

from compression.metrics.image import SSIM_SIDE
from compression.originals.discriminators import Discriminator
from compression.runtime.input_sizes import training_error
from models.stepping import micro_batches


def require_trainable_sizes(opt: Namespace, model, loader) -> None:
    """Check that the networks can be trained with the smallest images and the smallest batch.

    Args:
        opt: parsed options of train.py.
        model: the model; its ``trained_shapes()`` has the networks with the shapes of their inputs.
        loader: the loader of the training set.

    Raises:
        ValueError: if a layer has no pixel left, a norm a single value, or SSIM no complete window.
    """
    batch = default_collate([loader.dataset[0]] * loader.sampler.smallest_batch())
    *_, (samples, _) = micro_batches(batch, opt.accumulate)
    model.set_input(samples)
    require_trainable(opt, model, smallest(loader.dataset.item_sizes))


def require_trainable(opt: Namespace, model, sizes: Collection[tuple[int, int]] = ()) -> None:
    """Check that the networks can be trained with batches like the one that the model has.

    Args:
        opt: parsed options.
        model: the model, after ``set_input``.
        sizes: (width, height) to check instead of those of the batch.

    Raises:
        ValueError: if a layer has no pixel left, a norm a single value, or SSIM no complete window.
    """
    for net, shape in model.trained_shapes():
        for width, height in sizes or [(shape[3], shape[2])]:
            error = training_error(net, (*shape[:2], height, width))
            if error:
                raise ValueError(_explain(opt, net, shape[0], f"{width}x{height}", error))
    if hasattr(opt, "lambda_ssim"):  # distillation, which computes and logs the SSIM at any weight
        images = sizes or [(shape[3], shape[2]) for _, shape in model.trained_shapes()]
        require_ssim(images, f"--model {opt.model}", "training images")


def smallest(sizes: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Choose the sizes (width, height) with the smallest width and with the smallest height."""
    sizes = list(sizes)
    return list(dict.fromkeys((min(sizes), min(sizes, key=lambda size: size[::-1])))) if sizes else []


def _explain(opt: Namespace, net: nn.Module, count: int, size: str, error: str) -> str:
    """Name the flags that make images too small for a network.

    Args:
        opt: parsed options.
        net: the network.
        count: images of the batch.
        size: width x height of the images.
        error: the message of torch.
    """
    name, smaller = f"generator --netG {opt.netG}", ""
    if isinstance(net, Discriminator):
        name, smaller = f"discriminator --netD {opt.netD}", " or another --netD, such as pixel"
        if opt.netD != "basic":
            name, smaller = f"{name} --n_layers_D {opt.n_layers_D}", " or a smaller --n_layers_D"
    larger = f"use larger images (--crop_size, --load_size){smaller}"
    if "more than 1" in error:  # torch's words about batch norm and instance norm
        return (f"images of {size} (width x height) in a batch of {count} give a normalization of the {name} "
                f"only one value per channel: {larger}, another --norm, or a --batch_size with which all "
                "batches, also the last one of an epoch, have at least 2 images")
    return f"images of {size} (width x height) are too small for the {name} ({error}): {larger}"


def require_calibration_sizes(net: nn.Module, batches: Iterable[Tensor]) -> None:
    """Check that batch norms have several values to compute statistics from.

    Args:
        net: the supernet.
        batches: the calibration batches, (N, C, H, W).

    Raises:
        ValueError: if not.
    """
    for shape in {tuple(batch.shape) for batch in batches}:
        error = training_error(net, shape)
        if error:
            raise ValueError(f"{shape[0]} images of {shape[3]}x{shape[2]} (width x height) are too few to "
                             f"calibrate the batch norms ({error}): change --calibration_images, or use "
                             "larger images (--crop_size, --load_size)")


def require_ssim(sizes: Iterable[tuple[int, int]], flag: str, images: str, remedy: str = "") -> None:
    """Check that images are as large as the window of SSIM.

    Args:
        sizes: their (width, height).
        flag: the flag that requests SSIM.
        images: which images they are.
        remedy: what else can be done than to use larger images, as the end of the message.

    Raises:
        ValueError: if they are smaller.
    """
    too_small = [size for size in sizes if min(size) < SSIM_SIDE]
    if too_small:
        width, height = min(too_small)
        raise ValueError(f"{flag}: SSIM needs sides of at least {SSIM_SIDE} pixels, but the {images} have "
                         f"{width}x{height} (width x height); use larger images (--crop_size, --load_size)"
                         f"{remedy}")


def require_scored_sizes(opt: Namespace, pairs: Collection, front_metrics: Collection[str]) -> None:
    """Check that SSIM, if a search uses it, can score its images, the (input, ground truth) of `pairs`."""
    if "SSIM" in (opt.criterion, *front_metrics):
        require_ssim({(x.shape[3], x.shape[2]) for x, _ in pairs},
                     f"--criterion {opt.criterion} --front_metrics {' '.join(front_metrics)}",
                     f"images of --phase {opt.phase}", " or other metrics")
