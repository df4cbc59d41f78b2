"""Options of export.py --format web."""
from compression.deploy.web import KINDS

# flags of exported files that a page does not have
_FIXED = ("dynamic_size", "dynamic_batch", "pad", "input_values", "metrics")


def add_page_options(parser):
    """Add the flags of a page that draws."""
    page = parser.add_argument_group("page of --format web (UGC)")
    page.add_argument("--page", choices=KINDS,
                      help="what the user of the page gives: draw (lines), colors (areas of colors), paint "
                           "(classes of a label map), or photo; default: found from the samples")
    page.add_argument("--title", help="title of the page (default: --name)")
    page.add_argument("--class_names",
                      help="text file with the names of the classes, one per line in the order of the ids; "
                           "those of Cityscapes and of the toy data set are known")
    page.add_argument("--web_runtime",
                      help="package onnxruntime-web that is already downloaded (see "
                           "scripts/fetch_runtime.py), or none for a page without the runtime")


def check_page_options(opt):
    """Check the flags of the page against the others.

    Raises:
        ValueError: if flags contradict each other.
    """
    flags = [f"--{name}" for name in ("page", "title", "class_names", "web_runtime") if getattr(opt, name)]
    if opt.format != "web":
        if flags:
            raise ValueError(f"{', '.join(flags)}: only for --format web, got --format {opt.format}")
        return
    fixed = [f"--{name}" for name in _FIXED if getattr(opt, name)]
    if opt.batch_size > 1:
        fixed.append(f"--batch_size {opt.batch_size}")
    if opt.output_values != "signed":
        fixed.append(f"--output_values {opt.output_values}")
    if fixed:
        raise ValueError(f"{', '.join(fixed)}: a page runs one image of one size (--size) and prepares its "
                         "input itself; leave these flags out")
