"""An example program that translates one photo, or one label map, of any size with a student.

    python examples/use_student.py checkpoints/NAME/latest_student.pth photo.jpg out.png
    python examples/use_student.py checkpoints/NAME/latest_student.pth labels.png out.png instances.png

The file of the student says how many channels and classes it takes. The third file of a student of label maps
is the instance map, unless it was trained with --no_instance.
"""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # not needed after `pip install .`: import ugc

from PIL import Image, ImageOps

from compression import atomic_file, colorize, encode_input, load_student, to_image, translate
from compression.runtime.text import printable

FORMATS = ("BMP", "JPEG", "PNG", "PPM", "TIFF", "WEBP")


def read(path):
    """Open an image file and apply the orientation of the camera."""
    if not Path(path).is_file():
        raise ValueError(f"{path}: no such image file")
    try:
        with Image.open(path, formats=FORMATS) as image:
            image.load()
        image = Image.open(path, formats=FORMATS)  # ids of few bits are read by the bits in the file
        return ImageOps.exif_transpose(image) if "exif" in image.info else image
    except Exception as error:  # Pillow raises many types for damaged and for very large files
        raise ValueError(f"{path}: cannot be read as an image ({error})") from None


def main(student, image, output, instances=None):
    """Translate the file `image` and write `output`."""
    output_format = Image.registered_extensions().get(Path(output).suffix.lower())
    if output_format not in FORMATS:
        raise ValueError(f"{output}: must end as an image file, such as .png")
    net = load_student(student)  # a torch module that carries its architecture; net.cuda() moves it
    pixels = read(image)
    ids = instances and read(instances)
    try:
        x = encode_input(net, pixels, ids)  # (1, C, H, W)
    except ValueError as error:
        raise ValueError(f"{image}: {error}") from None
    y = translate(net, x)  # pads to valid sides and crops the result
    if net.config["output_nc"] == 2:  # a student of colorization
        y = colorize(x, y)
    with atomic_file(output) as file:  # appears when it is complete
        to_image(y).save(file, output_format)


if __name__ == "__main__":
    if len(sys.argv) not in (4, 5):
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except (OSError, ValueError) as error:
        print(f"error: {printable(error)}", file=sys.stderr)
        sys.exit(2)
