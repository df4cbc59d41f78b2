"""An example program that translates one photo of any size with a student.

    python -m examples.use_student checkpoints/NAME/latest_student.pth photo.jpg out.png

For a student that reads label maps, use `encode_labels(labels, label_nc, instances)` instead of `to_tensor`.
"""
import sys

from PIL import Image, ImageOps

from compression import load_student, to_image, to_tensor, translate


def main(student: str, photo: str, output: str) -> None:
    """Translate the file `photo` and write `output`."""
    net = load_student(student)  # a torch module that carries its architecture; net.cuda() moves it
    image = ImageOps.exif_transpose(Image.open(photo))  # apply the orientation of the camera
    x = to_tensor(image, net.config["input_nc"])  # (1, C, H, W) in [-1, 1]
    to_image(translate(net, x)).save(output)  # pads to valid sides and crops the result


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(f"usage: {__doc__.splitlines()[2].strip()}")
    main(*sys.argv[1:])
