"""Label maps are encoded as one channel per class and one channel of instance edges."""
import pytest
import torch

from compression.runtime.encoding import ImageEncoding, LabelEncoding, instance_edges, palette


def test_one_hot_and_edges_by_hand():
    labels = torch.tensor([[0, 1, 1], [2, 1, 1]])
    instances = torch.tensor([[7, 7, 9], [7, 7, 9]])
    encoded = LabelEncoding(3)(torch.stack((labels, instances))[None].int())
    assert encoded.shape == (1, 4, 2, 3)
    assert encoded.dtype == torch.float32
    assert encoded[0, 0].tolist() == [[1, 0, 0], [0, 0, 0]]
    assert encoded[0, 1].tolist() == [[0, 1, 1], [0, 1, 1]]
    assert encoded[0, 2].tolist() == [[0, 0, 0], [1, 0, 0]]
    assert encoded[0, 3].tolist() == [[0, 1, 1], [0, 1, 1]]


def test_edges_look_at_the_four_neighbors():
    maps = torch.zeros(1, 1, 5, 5, dtype=torch.int32)
    maps[0, 0, 2, 2] = 60_000  # does not fit into signed 16 bits
    cross = torch.tensor([[0, 0, 0, 0, 0], [0, 0, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 0, 0],
                          [0, 0, 0, 0, 0]])
    assert torch.equal(instance_edges(maps)[0, 0], cross.float())


@pytest.mark.parametrize(("dontcare", "instance", "channels"),
                         [(False, True, 6), (True, True, 7), (False, False, 5), (True, False, 6)])
def test_the_number_of_channels_counts_dontcare_and_edges(dontcare, instance, channels):
    encoding = LabelEncoding(5, dontcare, instance)
    maps = torch.zeros(2, 1 + instance, 4, 4, dtype=torch.int32)
    maps[:, 0] = 5 if dontcare else 4
    encoded = encoding(maps)
    assert encoding.channels == channels == encoded.shape[1]
    assert encoded[:, 5 if dontcare else 4].eq(1).all()
    assert encoded[:, :4].eq(0).all()


def test_encodings_know_what_they_take():
    labels = LabelEncoding(3)
    ids = torch.zeros(2, 4, 4, dtype=torch.int32)
    assert labels.takes(ids)
    assert labels.takes(torch.zeros(4, 4, 4))  # encoded
    for wrong in (ids + 3, ids - 1, ids[:1], torch.zeros(3, 4, 4), torch.full((4, 4, 4), float("nan"))):
        assert not labels.takes(wrong)
    assert LabelEncoding(3, instance=False).takes(ids[:1])
    assert ImageEncoding(3).takes(torch.zeros(3, 4, 4))
    for wrong in (ids, torch.zeros(1, 4, 4), torch.full((3, 4, 4), float("inf"))):
        assert not ImageEncoding(3).takes(wrong)


def test_pictures_have_a_color_for_each_class():
    encoding = LabelEncoding(4, instance=False)
    ids = torch.tensor([[0, 1], [2, 3]])
    picture = encoding.picture(encoding(ids[None, None]))
    assert picture.shape == (1, 3, 2, 2)
    assert picture.abs().max() <= 1
    assert len({tuple(pixel.tolist()) for pixel in picture[0].flatten(1).t()}) == 4
    assert len({tuple(color.tolist()) for color in palette(183)}) == 183


def test_images_are_encoded_unchanged():
    image = torch.rand(1, 3, 4, 4)
    assert ImageEncoding(3)(image) is image
    assert ImageEncoding(3).picture(image) is image


def test_an_encoding_without_classes_is_refused():
    with pytest.raises(ValueError, match="--label_nc must be at least 1, got 0"):
        LabelEncoding(0)
