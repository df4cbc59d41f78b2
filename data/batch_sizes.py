"""Check before training that batches can be formed, and that the generator takes the size of the images."""
import torch

from compression import build_generator
from compression.elastic.families import family_flags, family_of
from compression.runtime.text import name_some

_LISTED = 5  # sizes in a message


def require_equal_sizes(opt, sizes, has_unlabeled):
    """Check that the images of a training batch have one size.

    Args:
        opt: the options.
        sizes: number of inputs of each (width, height) after ``--preprocess``.
        has_unlabeled: whether each batch has labeled and unlabeled inputs, which are processed together.

    Raises:
        ValueError: if they differ and a batch has several images.
    """
    if len(sizes) < 2 or (opt.batch_size == 1 and not has_unlabeled):
        return
    reason = "with unlabeled inputs" if has_unlabeled else f"with --batch_size {opt.batch_size}"
    remedy = "" if has_unlabeled else ", or --batch_size 1"
    raise ValueError(f"{reason} the images of a batch need one size, but after --preprocess "
                     f"{opt.preprocess} the training inputs have {len(sizes)} sizes (width x height): "
                     f"{_list_sizes(sizes)}. Use --preprocess resize_and_crop (with --load_size and "
                     f"--crop_size), or crop with a --crop_size within all images{remedy}")


def require_network_sizes(opt, sizes):
    """Check that the generator takes the images.

    Args:
        opt: the options.
        sizes: number of inputs of each (width, height) after ``--preprocess``.

    Raises:
        ValueError: if it does not take some of the sizes. The message gives the nearest size.
    """
    if getattr(opt, "model", "segmenter") == "segmenter":  # has no generator, and takes all sizes
        return
    family = family_of(opt.netG)
    flags = family_flags(family, vars(opt)) | family.generator.settings_from_flags(vars(opt))
    with torch.device("meta"):  # the layers are not allocated
        net = build_generator(opt.netG, ngf=opt.ngf, **flags)
    unusable = {size: count for size, count in sizes.items() if net.size_error(size[1], size[0])}
    if not unusable:
        return
    width, height = next(iter(unusable))
    raise ValueError(f"--netG {opt.netG}: {net.size_error(height, width)}. {sum(unusable.values())} of "
                     f"{sum(sizes.values())} training inputs have unusable sizes after --preprocess "
                     f"{opt.preprocess} (width x height): {_list_sizes(unusable)}; change --crop_size, "
                     "--load_size, or --preprocess")


def _list_sizes(sizes):
    counts = sorted(sizes.items(), key=lambda item: -item[1])
    return name_some((f"{width}x{height} ({count})" for (width, height), count in counts), _LISTED)
