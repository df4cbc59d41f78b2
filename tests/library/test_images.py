"""Inputs and outputs of a generator: images to tensors and back, label maps, and images of any size."""
import io

import numpy as np
import pytest
import torch
from PIL import Image

import use_student
from compression import build_generator, colorize, encode_labels, save_student, to_image, to_tensor, translate
from compression.runtime.encoding import LabelEncoding
from compression.runtime.lab import split_lab

NET = build_generator("resnet_6blocks", ngf=4)
EVERY_VALUE = np.arange(256, dtype=np.uint8).reshape(16, 16)



def jpeg(image):
    """Write an image as JPEG and open it again."""
    file = io.BytesIO()
    image.save(file, "JPEG")
    return Image.open(file)


@pytest.mark.parametrize("array",
                         [EVERY_VALUE, np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)],
                         ids=["gray", "RGB"])
def test_every_8_bit_value_survives_the_round_trip(array):
    channels = 1 if array.ndim == 2 else 3
    for image in (array, Image.fromarray(array)):
        tensor = to_tensor(image, channels)
        assert tensor.shape == (1, channels, *array.shape[:2])
        assert tensor.dtype == torch.float32
        assert tensor.min() >= -1
        assert tensor.max() <= 1
        assert np.array_equal(np.asarray(to_image(tensor)), array)
        assert np.array_equal(np.asarray(to_image(tensor[0])), array)
    assert to_image(tensor).mode == ("L" if channels == 1 else "RGB")


def test_the_ends_of_the_range_map_to_plus_and_minus_one():
    tensor = to_tensor(EVERY_VALUE, 1).flatten()
    assert tensor[0] == -1
    assert tensor[255] == 1
    outside = torch.tensor([-3.0, -1.0, 0.0, 1.0, 7.0]).view(1, 1, 1, 5)
    assert np.asarray(to_image(outside))[0].tolist() == [0, 0, 128, 255, 255]


def test_other_modes_become_what_the_generator_takes():
    red = Image.new("RGB", (3, 2), (255, 0, 0))
    assert to_tensor(red, 1).shape == (1, 1, 2, 3)
    assert to_tensor(red, 1)[0, 0, 0, 0].item() == pytest.approx(76 / 127.5 - 1)  # ITU-R 601 luma
    assert torch.equal(to_tensor(EVERY_VALUE), to_tensor(EVERY_VALUE, 1).repeat(1, 3, 1, 1))
    for mode in ("P", "CMYK"):
        assert torch.equal(to_tensor(red.convert(mode)), to_tensor(red))
    transparent = Image.new("RGBA", (2, 2), (9, 9, 9, 0))
    assert torch.equal(to_tensor(transparent, 1), torch.ones(1, 1, 2, 2))  # blended with white
    deep = Image.fromarray(np.full((2, 2), 65535, np.uint16))
    assert torch.equal(to_tensor(deep, 1), torch.ones(1, 1, 2, 2))
    four = np.zeros((2, 2, 4), np.uint8)
    assert to_tensor(four, 4).shape == (1, 4, 2, 2)


@pytest.mark.parametrize(("call", "message"), [
    (lambda: to_tensor(np.zeros((4, 4, 3))), "uint8 of shape .* got float64"),
    (lambda: to_tensor(np.zeros(4, np.uint8)), r"got uint8 of shape \(4,\)"),
    (lambda: to_tensor(np.zeros((4, 4, 4), np.uint8)), "must have 3, 1 .gray. or 3 .RGB. channels, got 4"),
    (lambda: to_tensor(Image.new("RGB", (4, 4)), 36), "takes 36; convert label maps with encode_labels"),
    (lambda: to_tensor(Image.new("F", (4, 4))), "floating-point pixels"),
    (lambda: to_image(torch.zeros(2, 3, 4, 4)), r"one image .* got \(2, 3, 4, 4\)"),
    (lambda: to_image(torch.zeros(4, 4)), r"got \(4, 4\)"),
    (lambda: encode_labels(np.full((2, 2), 3), 3),
     "class ids from 3 to 3, label_nc 3 allows 0 to 2; with dontcare=True"),
    (lambda: encode_labels(np.full((2, 2), -1), 3, dontcare=True),
     "class ids from -1 to -1, label_nc 3 allows 0 to 3$"),
    (lambda: encode_labels(Image.new("RGB", (2, 2)), 3), "colors instead of ids"),
    (lambda: encode_labels(jpeg(Image.new("L", (2, 2))), 3), "JPEG compression changes the ids"),
    (lambda: encode_labels(np.zeros((2, 2)), 3), "integer array .*, got float64"),
    (lambda: encode_labels(np.zeros((2, 2), int), 3, np.zeros((2, 3), int)),
     r"label map is \(2, 2\), the instance map \(2, 3\)"),
    (lambda: translate(NET, torch.zeros(1, 1, 32, 32)), r"\(N, 3, H, W\), got .* \(1, 1, 32, 32\)"),
    (lambda: translate(NET, torch.zeros(1, 3, 32, 32, dtype=torch.uint8)),
     "floating-point .* got torch.uint8"),
    (lambda: translate(NET, torch.zeros(1, 3, 0, 32)), r"got .*\(1, 3, 0, 32\)")])
def test_unfit_images_and_label_maps_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_label_maps_are_encoded_as_in_training():
    labels = np.array([[0, 1, 255], [2, 1, 3]], np.uint8)
    instances = np.array([[5, 5, 9], [5, 5, 9]], np.int32)
    encoded = encode_labels(labels, 3, instances, dontcare=True)
    ids = torch.tensor([[0, 1, 3], [2, 1, 3]])
    expected = LabelEncoding(3, True, True)(torch.stack((ids, torch.from_numpy(instances).long()))[None])
    assert encoded.shape == (1, 5, 2, 3)
    assert torch.equal(encoded, expected)
    assert torch.equal(encode_labels(Image.fromarray(labels), 3, dontcare=True), expected[:, :4])
    net = build_generator("pix2pixhd", input_nc=5, ngf=4)
    assert translate(net, encoded).shape == (1, 3, 2, 3)


@pytest.mark.parametrize(("netG", "norm"), [("resnet_6blocks", "instance"), ("unet_128", "batch"),
                                            ("spade", "batch")])
@torch.no_grad()
def test_translate_pads_images_of_any_size_and_crops_back(netG, norm):
    net = build_generator(netG, 1, 1, 4, norm).train()
    net(torch.randn(2, 1, *net.example_input_size))  # sets the running statistics
    side = net.min_strides * net.stride
    x = torch.rand(2, 1, side, 2 * side) * 2 - 1
    unpadded = translate(net, x)
    assert net.training
    assert torch.equal(unpadded, net.eval()(x))  # sides that are multiples of the stride
    odd = torch.rand(1, 1, side + 3, 2 * side - 1) * 2 - 1
    mode = "reflect" if net.stride - 3 < side + 3 else "replicate"
    padded = torch.nn.functional.pad(odd, (0, 1, 0, net.stride - 3), mode)
    assert torch.equal(translate(net, odd), net(padded)[..., :side + 3, :2 * side - 1])
    for size in ((1, 1), (2, 45), (side + 1, 1)):
        assert translate(net, torch.zeros(1, 1, *size)).shape == (1, 1, *size)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_example_translates_a_photo(channels, tmp_path):
    save_student(tmp_path / "student.pth", build_generator("resnet_6blocks", channels, channels, 4))
    Image.new("RGB", (37, 21), (200, 30, 60)).save(tmp_path / "photo.jpg")
    use_student.main(str(tmp_path / "student.pth"), str(tmp_path / "photo.jpg"), str(tmp_path / "out.png"))
    assert Image.open(tmp_path / "out.png").size == (37, 21)
    assert Image.open(tmp_path / "out.png").mode == ("L" if channels == 1 else "RGB")


def test_the_example_writes_the_colors_of_colorization_as_rgb(tmp_path):
    net = build_generator("resnet_6blocks", 1, 2, 4).eval()
    save_student(tmp_path / "student.pth", net)
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8))
    photo.save(tmp_path / "photo.png")
    use_student.main(str(tmp_path / "student.pth"), str(tmp_path / "photo.png"), str(tmp_path / "out.png"))
    lightness = split_lab(to_tensor(photo))[0]
    with torch.no_grad():
        expected = to_image(colorize(lightness, net(lightness)))
    written = np.asarray(Image.open(tmp_path / "out.png")).astype(int)
    assert abs(written - np.asarray(expected)).max() <= 1
