"""The size of images outside training: whole images at the scale that the network was trained at."""

_WITHOUT_CROP = {"crop": "whole", "scale_width_and_crop": "scale_width",
                 "scale_shortside_and_crop": "scale_shortside"}
FLAGS = ("preprocess", "load_size", "crop_size")


def whole_images(opt, given=()):
    """Adapt the settings of training to validation, search, test, and evaluation.

    Images are scaled as in training, but not cropped. ``resize_and_crop`` scales them to ``--crop_size``, as
    upstream's test.py does; there ``--load_size`` only makes room for random crops. Values from the command
    line are kept: if it has one of the two sizes, the other one follows; it can also request random crops.

    Args:
        opt: the options of ``FLAGS``, with the values of training.
        given: the flags on the command line.

    Returns:
        The options of ``FLAGS`` by name.
    """
    preprocess, load_size, crop_size = (getattr(opt, name) for name in FLAGS)
    if "preprocess" not in given and preprocess in _WITHOUT_CROP:
        has_one_size = getattr(opt, "use_vae", False)  # SPADE with a style code
        preprocess = "fixed" if has_one_size else _WITHOUT_CROP[preprocess]
    if preprocess == "resize_and_crop":
        if "load_size" not in given:
            load_size = crop_size
        elif "crop_size" not in given:
            crop_size = load_size
    return dict(zip(FLAGS, (preprocess, load_size, crop_size), strict=True))


def describe_size(opt):
    """Describe for the user how ``--preprocess`` treats an image that is not cropped at random."""
    scale = {"resize_and_crop": f"scaled to {opt.load_size}x{opt.load_size}",
             "scale_width": f"scaled to a width of {opt.load_size}",
             "scale_shortside": f"scaled to a shorter side of {opt.load_size}",
             "fixed": f"scaled to a width of {opt.crop_size}",
             "none": "with sides rounded to multiples of 4"}.get(opt.preprocess, "not scaled")
    is_cropped = "crop" in opt.preprocess and not (opt.preprocess == "resize_and_crop"
                                                   and opt.load_size == opt.crop_size)
    if is_cropped:
        return (f"random crops of {opt.crop_size}x{opt.crop_size} (--preprocess {opt.preprocess}); drop the "
                "flags --preprocess, --load_size, and --crop_size to use whole images")
    return f"whole, {scale} (--preprocess {opt.preprocess})"
