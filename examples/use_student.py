"""A student in a program of one's own: one photo of any size in, one image out.

    python -m examples.use_student checkpoints/NAME/latest_student.pth photo.jpg out.png

For a student of label maps `encode_labels(labels, label_nc, instances)` takes the place of `to_tensor`.
"""
import sys

from PIL import Image, ImageOps

from compression import load_student, to_image, to_tensor, translate


def main(student: str, photo: str, output: str) -> None:
    """Translate the file `photo` and write `output`."""
    net = load_student(student)  # a torch module that carries its architecture; net.cuda() moves it
    image = ImageOps.exif_transpose(Image.open(photo))  # upright, as the camera was held
    x = to_tensor(image, net.config["input_nc"])  # (1, C, H, W) in [-1, 1]
    to_image(translate(net, x)).save(output)  # padded to what the network takes, and cropped back


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(f"usage: {__doc__.splitlines()[2].strip()}")
    main(*sys.argv[1:])
