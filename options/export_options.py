"""Options of export.py."""
import argparse
from pathlib import Path

from compression.cost import parse_size
from compression.deploy.formats import FORMATS
from compression.deploy.interface import LABEL_VALUES, VALUES
from compression.deploy.precision import PRECISIONS, check_precision
from compression.metrics import METRICS
from compression.runtime.numbers import integer, number

from .base_options import BaseOptions
from .metric_options import add_metric_options
from .page_options import add_page_options, check_page_options
from .test_options import TestOptions


class ExportOptions(TestOptions):
    """The flags that select a network and images in test.py, and those of the exported file."""

    __test__ = False  # not a pytest class
    model = "ugc_student"
    runs_files = False

    def gather(self, arguments):
        """Parse `arguments`; a run without a student means its original."""
        finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
        finder.add_argument("--student", "--network", nargs="?")
        for name in ("--model", "--name"):
            finder.add_argument(name)
        finder.add_argument("--checkpoints_dir", default="./checkpoints")
        finder.add_argument("--epoch", default="latest")
        finder.add_argument("--batch_size", default=None)
        known = finder.parse_known_args(arguments)[0]
        self.student = known.student
        self.names_run = known.name is not None
        folder = Path(known.checkpoints_dir) / (known.name or "")
        original = folder / f"{known.epoch}_net_G.pth"
        has_student = (folder / f"{known.epoch}_student.pth").is_file()
        if known.name and not (known.student or known.model or has_student) and original.is_file():
            self.student = str(original)
            arguments = [*arguments, "--student", self.student]
        opt = BaseOptions.gather(self, arguments)
        if known.batch_size is None:
            opt.batch_size = 1  # instead of the data set's
        self.check(opt)
        return opt

    def check(self, opt):
        """Check the flags of the exported file, and set the ones that follow from others.

        Raises:
            ValueError: if flags contradict each other.
        """
        check_page_options(opt)
        entry = FORMATS[opt.format]
        check_precision(opt.format, opt.precision)
        opt.size = parse_size(opt.size) if opt.size else None
        if opt.dynamic_batch and opt.batch_size > 1:
            raise ValueError(f"--dynamic_batch takes any number of images, --batch_size {opt.batch_size} "
                             "fixes it; give one of the two")
        if opt.calibration and opt.precision != "int8":
            raise ValueError(f"--calibration {opt.calibration}: only --precision int8 is calibrated, got "
                             f"--precision {opt.precision}")
        if opt.output and entry.suffix and Path(opt.output).suffix != entry.suffix:
            raise ValueError(f"--output {opt.output}: a file of --format {opt.format} ends in {entry.suffix}")
        if opt.metrics and opt.input:
            raise ValueError("--metrics needs ground truths, which --input has not; give --dataroot and "
                             "--phase instead of --input")

        if opt.metrics and opt.batch_size > 1:
            raise ValueError(f"--metrics runs one image at a time, got --batch_size {opt.batch_size}; export "
                             "with --dynamic_batch")

    def initialize(self, parser):
        """Add the flags of the exported file to those for testing."""
        parser = TestOptions.initialize(self, parser)
        file = parser.add_argument_group("exported file (UGC)")
        file.add_argument("--format", choices=tuple(FORMATS), default="onnx",
                          help="onnx for ONNX Runtime, openvino, torch_export (torch.export), torchscript, "
                               "or web (a folder with a page that draws)")
        file.add_argument("--precision", choices=PRECISIONS, default="fp32",
                          help="of the computation; int8 is calibrated with images. onnx has fp32, fp16, and "
                               "int8, openvino all, the formats of PyTorch all but int8, and web fp32 or "
                               "weights in fp16")
        file.add_argument("--size", help="HEIGHTxWIDTH in pixels that the file takes (default: that of the "
                                         "first image)")
        file.add_argument("--dynamic_size", action="store_true", help="take images of any size")
        file.add_argument("--dynamic_batch", action="store_true",
                          help="take any number of images; else --batch_size is fixed (default: 1)")
        file.add_argument("--pad", action="store_true",
                          help="pad images to the sides that the network takes, and crop the output, in the "
                               "file")
        file.add_argument("--input_values", choices=(*VALUES, *LABEL_VALUES),
                          help="images: signed (float32 in [-1, 1], default), unit (float32 in [0, 1]), or "
                               "uint8 (0 to 255); label maps: one_hot (float32, default) or ids (int32 class "
                               "ids and, if the network takes them, instance ids)")
        file.add_argument("--output_values", choices=tuple(VALUES), default="signed",
                          help="signed, unit, or uint8, as for --input_values")
        add_page_options(parser)
        check = parser.add_argument_group("comparison with PyTorch (UGC)")
        check.add_argument("--images", type=integer(1), default=8,
                           help="number of images of --input, or of the data set, that are compared")
        check.add_argument("--min_psnr", type=number(above=0),
                           help="PSNR to PyTorch in dB that every image must reach (default: a largest "
                                "error of 0.001 on the scale from -1 to 1 in fp32; 45 dB in fp16, 35 in "
                                "bf16, 30 in int8)")
        check.add_argument("--calibration", help="folder of inputs that int8 is calibrated with (default: "
                                                 "those of the training)")
        check.add_argument("--calibration_images", type=integer(1), default=64,
                           help="maximum number of inputs that int8 is calibrated with")
        check.add_argument("--metrics", nargs="+",
                           help="compute these metrics of the file and of PyTorch on --phase (up to "
                                f"--num_test images, default: all): {', '.join(METRICS)}")
        parser.set_defaults(num_test=None)
        return add_metric_options(parser)
