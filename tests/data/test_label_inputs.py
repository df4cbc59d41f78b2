"""Label maps without photos (unlabeled, single, `--input`, `--model test`), and `--label_nc 0`."""
import struct
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

import use_student
from commands import train_here
from compression import build_generator, encode_labels
from data.ids import read_ids
from data.single_dataset import SingleDataset
from data_options import data_options
from models import create_model
from models.builders import build_encoding
from options.test_options import TestOptions
from options.train_options import TrainOptions

LABELS = {"label_nc": 5, "contain_dontcare_label": True, "no_instance": True, "input_instance": None}


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def label_map(seed, size=(32, 32), classes=5):
    """A map of squares of 4x4 pixels, some of them 255 (unknown)."""
    squares = np.random.default_rng(seed).integers(0, classes + 1, (size[0] // 4, size[1] // 4))
    squares[squares == classes] = 255
    return squares.repeat(4, 0).repeat(4, 1).astype(np.uint8)


def counts(path):
    """Count the pixels of each id with Pillow; 255 counts as class 5."""
    return {min(value, 5): count for count, value in Image.open(path).getcolors()}


def pixels_per_class(condition):
    """Sum the one-hot channels (5 classes and unknown) of one generator input."""
    return {k: int(total) for k, total in enumerate(condition[:6].sum((1, 2))) if total}


@pytest.fixture
def maps(tmp_path):
    """A CamVid-like data set with two pairs, and three label maps without photos."""
    for i in range(2):
        save(tmp_path / "data" / "trainannot" / f"{i}.png", label_map(i))
        save(tmp_path / "data" / "train" / f"{i}.png", np.full((32, 32, 3), 90 * i, np.uint8))
    for i in range(3):
        save(tmp_path / "more" / f"u{i}.png", label_map(10 + i))
    return tmp_path


def test_single_label_maps_have_the_pixels_of_the_file(maps):
    opt = data_options(maps / "more", **LABELS)
    dataset = SingleDataset(opt)
    dataset.check()
    for item in (dataset[i] for i in range(3)):
        assert pixels_per_class(build_encoding(opt)(item["A"][None])[0]) == counts(item["A_paths"])


def test_a_single_photo_is_not_read_as_a_label_map(maps):
    save(maps / "more" / "photo.png", np.full((32, 32, 3), 9, np.uint8))
    with pytest.raises(ValueError, match=r"photo.png: a map of ids has one channel, got 3 \(colors"):
        SingleDataset(data_options(maps / "more", **LABELS)).check()


def gray_png(ids, bits):
    """Encode ids below 2**bits as a gray PNG file with `bits` bits per pixel, which Pillow cannot write."""
    def chunk(kind, content):
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    rows = np.packbits(np.unpackbits(ids[..., None], axis=2)[..., -bits:].reshape(len(ids), -1), axis=1)
    header = struct.pack(">IIBBBBB", ids.shape[1], ids.shape[0], bits, 0, 0, 0, 0)
    content = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", content) + chunk(b"IEND", b""))


@pytest.mark.parametrize("encode", [
    lambda ids: gray_png(ids, 2),
    lambda ids: gray_png(ids, 4),
    lambda ids: b"P5 16 8 3\n" + ids.tobytes(),
    lambda ids: b"P2 16 8 3\n" + b" ".join(b"%d" % value for value in ids.flat),
    lambda ids: b"P5 16 8 1000\n" + ids.astype(">u2").tobytes(),
], ids=["2_bits", "4_bits", "pgm", "text_pgm", "16_bit_pgm"])
def test_ids_are_not_scaled_like_the_gray_values_of_photos(tmp_path, encode):
    """Pillow scales the values of such files to 0 to 255 or 65535."""
    ids = np.random.default_rng(0).integers(0, 4, (8, 16), dtype=np.uint8)
    path = tmp_path / "map"
    path.write_bytes(encode(ids))
    assert np.array_equal(read_ids(path), ids)
    for image in (Image.open(path), use_student.read(path)):
        assert np.array_equal(encode_labels(image, 4).argmax(1)[0], ids)


def test_jpeg_label_maps_are_refused(maps):
    Image.fromarray(label_map(0)).save(maps / "more" / "x.jpg")
    Image.fromarray(label_map(0)).save(maps / "more" / "y.png", format="JPEG")  # by content, not by name
    with pytest.raises(ValueError, match="2 of 5 .*JPEG compression changes the ids.*x.jpg, .*y.png"):
        SingleDataset(data_options(maps / "more", **LABELS)).check()


def test_instance_maps_are_found_or_asked_for(maps):
    with_instances = {**LABELS, "no_instance": False}
    with pytest.raises(ValueError, match="3 label maps have no instance map.*--input_instance"):
        SingleDataset(data_options(maps / "more", **with_instances))
    for i in range(3):
        save(maps / "inst" / f"u{i}.png", np.full((32, 32), 1000 * i, np.uint16))
    opt = data_options(maps / "more", **{**with_instances, "input_instance": str(maps / "inst")})
    dataset = SingleDataset(opt)
    dataset.check()
    assert dataset[2]["A"].shape == (2, 32, 32)
    assert (dataset[2]["A"][1] == 2000).all()


def test_cityscapes_files_are_told_apart_by_their_names(tmp_path):
    for kind in ("labelIds", "labelTrainIds", "instanceIds"):
        save(tmp_path / f"a_000000_000019_gtFine_{kind}.png", np.full((8, 8), len(kind), np.uint8))
    dataset = SingleDataset(data_options(tmp_path, **{**LABELS, "label_nc": 35, "no_instance": False}))
    assert len(dataset) == 1
    assert dataset[0]["A"][:, 0, 0].tolist() == [len("labelIds"), len("instanceIds")]


def test_ade20k_classes_start_at_one(tmp_path):
    save(tmp_path / "ADE_val_00000001.png", np.arange(4, dtype=np.uint8).repeat(16).reshape(8, 8))
    ids = SingleDataset(data_options(tmp_path, **LABELS))[0]["A"]
    assert ids.unique().tolist() == [0, 1, 2, 5]  # 0 in the file is unknown


@pytest.mark.parametrize("netG", ["pix2pixhd", "spade"])
def test_unlabeled_label_maps_are_one_hot_in_training(maps, netG):
    flags = ["--model", "ugc_supernet", "--netG", netG, "--ngf", "4", "--ndf", "4", "--gpu_ids", "-1",
             "--dataroot", maps / "data", "--checkpoints_dir", maps / "runs", "--label_nc", "5",
             "--contain_dontcare_label", "--no_instance", "--preprocess", "none", "--no_flip",
             "--batch_size", "1", "--num_threads", "0", "--unlabeled_dir", maps / "more",
             *(["--num_upsampling_layers", "normal"] if netG == "spade" else [])]
    opt = TrainOptions().parse(list(map(str, flags)))
    from data import create_dataset

    model = create_model(opt)
    seen = set()
    for batch in create_dataset(opt):
        model.set_input(batch)
        labeled, unlabeled = model.inputs
        assert pixels_per_class(labeled) == counts(batch["A_paths"][0])
        assert pixels_per_class(unlabeled) == counts(batch["unlabeled_paths"][0])
        seen.add(batch["unlabeled_paths"][0])
    assert len(seen) == 3


def test_model_test_reads_label_maps(maps):
    folder = maps / "runs" / "net"
    folder.mkdir(parents=True)
    torch.save(build_generator("pix2pixhd", 6, 3, 4, "instance").state_dict(), folder / "latest_net_G.pth")
    flags = ["--model", "test", "--name", "net", "--checkpoints_dir", str(maps / "runs"), "--gpu_ids", "-1",
             "--dataroot", str(maps / "more"), "--preprocess", "none"]
    with pytest.raises(ValueError, match="has 6 input channels, which are label maps.*--label_nc"):
        create_model(TestOptions().parse(flags))
    opt = TestOptions().parse([*flags, "--label_nc", "5", "--contain_dontcare_label", "--no_instance"])
    model = create_model(opt)
    path = maps / "more" / "u1.png"
    item = SingleDataset(opt)[1]
    model.set_input({"A": item["A"][None], "A_paths": [item["A_paths"]]})
    assert pixels_per_class(model.condition[0]) == counts(path)
    model.test()
    assert model.get_current_visuals()["real"].shape == (1, 3, 32, 32)


def images(root, folder, size=32, suffix=".png"):
    for i in range(2):
        array = np.random.default_rng(i).integers(0, 255, (size, size, 3)).astype(np.uint8)
        save(root / folder / f"x{i}{suffix}", array)


def test_label_nc_0_uses_image_pairs(tmp_path):
    """The layout of pix2pixHD with images as input, for the original and for UGC."""
    for side in "AB":
        images(tmp_path, f"train_{side}")
        images(tmp_path, f"test_{side}")
    at = ["--dataroot", tmp_path, "--checkpoints_dir", tmp_path / "runs", "--netG", "pix2pixhd"]
    tiny = ["--label_nc", "0", "--ngf", "4", "--ndf", "4", "--load_size", "32", "--crop_size", "32",
            "--num_threads", "0", "--n_epochs", "1", "--n_epochs_decay", "0", "--no_html"]
    out, _ = train_here("--model", "pix2pixhd", "--name", "net", *at, *tiny)
    assert "dataset [AlignedDataset] was created" in out
    opt = TestOptions().parse([*map(str, at), "--model", "pix2pixhd", "--name", "net", "--gpu_ids", "-1"])
    assert (opt.dataset_mode, opt.label_nc, opt.ngf) == ("aligned", 0, 4)
    model = create_model(opt)
    model.setup(opt)
    assert model.netG.config["input_nc"] == 3
    train_here("--model", "ugc_supernet", "--name", "super", *at, "--label_ratio", "0.5", *tiny[:2],
               *tiny[4:], "--restore_G", tmp_path / "runs" / "net" / "latest_net_G.pth")


def test_pairs_are_scaled_to_the_aspect_ratio(tmp_path):
    from data.aligned_dataset import AlignedDataset

    for side in "AB":
        images(tmp_path, f"train{side}")
    flags = ["--dataroot", tmp_path, "--checkpoints_dir", tmp_path / "runs", "--preprocess", "fixed",
             "--crop_size", "16", "--aspect_ratio", "2", "--gpu_ids", "-1"]
    opt = TrainOptions().parse(list(map(str, flags)))
    item = AlignedDataset(opt)[0]
    assert item["A"].shape == item["B"].shape == (3, 8, 16)
    with pytest.raises(ValueError, match="--aspect_ratio must be above 0, got 0"):
        AlignedDataset(SimpleNamespace(**{**vars(opt), "aspect_ratio": 0.0}))


def test_distillation_refuses_other_inputs_than_those_of_the_supernet(maps):
    """Without the channel of instance edges, five of the six channels would be used."""
    folder = maps / "runs" / "super"
    folder.mkdir(parents=True)
    torch.save(build_generator("pix2pixhd", 6, 3, 4, "instance").state_dict(), folder / "latest_net_G.pth")
    (folder / "train_opt.json").write_text('{"model": "ugc_supernet"}')
    _, err = train_here("--model", "ugc_distill", "--supernet", "super", "--name", "student", "--netG",
                        "pix2pixhd", "--ngf", "4", "--dataroot", maps / "data", "--checkpoints_dir",
                        maps / "runs", "--label_nc", "4", "--contain_dontcare_label", "--no_instance",
                        "--preprocess", "none", "--num_threads", "0", status=2)
    assert "latest_net_G.pth: the generator has 6 input channels, but the options result in 5" in err


def test_distillation_refuses_the_other_direction_than_that_of_the_supernet(tmp_path):
    for side in "AB":
        images(tmp_path, f"train{side}")
    run = tmp_path / "runs" / "super"
    run.mkdir(parents=True)
    (run / "train_opt.json").write_text('{"model": "ugc_supernet", "direction": "BtoA"}')
    _, err = train_here("--model", "ugc_distill", "--supernet", "super", "--name", "student", "--dataroot",
                        tmp_path, "--checkpoints_dir", tmp_path / "runs", "--direction", "AtoB",
                        "--num_threads", "0", status=2)
    assert "--direction AtoB: the supernet super was trained with --direction BtoA" in err


@pytest.mark.parametrize(("flag", "model"), [("--input_nc", "pix2pix"), ("--output_nc", "pix2pix")])
def test_images_have_one_or_three_channels(tmp_path, flag, model):
    for side in "AB":
        images(tmp_path, f"train{side}")
    _, err = train_here("--model", model, flag, "4", "--dataroot", tmp_path, "--checkpoints_dir",
                        tmp_path / "runs", "--name", "x", status=2)
    assert f"{flag} 4: images have 1 channel (gray) or 3 (RGB)" in err
