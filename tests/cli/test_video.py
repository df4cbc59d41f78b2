"""test.py --input VIDEO or camera."""
import os
import signal
import struct
import time
from argparse import Namespace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

av = pytest.importorskip("av")
cv2 = pytest.importorskip("cv2")

from commands import run_here  # noqa: E402
from compression import build_generator, save_student, to_tensor, translate  # noqa: E402
from data.camera import Camera  # noqa: E402
from data.image_folder import LARGEST_IMAGE, limit_pixels  # noqa: E402
from data.video import Video  # noqa: E402
from util.streaming import check_decodes, check_stream, is_stream, open_stream, translate_stream  # noqa: E402
from videos import moving_squares, read_video, write_video  # noqa: E402


class Negative:
    """A translator without a network."""

    seconds = 0.001

    def __init__(self, after=lambda: None):
        self.after = after

    def photo(self, image):
        self.after()
        return 255 - np.asarray(image)


def options(source, target, **changes):
    return Namespace(**{"input": str(source), "output": str(target), "max_frames": None, "video_quality": 1,
                        "input_size": None, "label_nc": 0, **changes})


def convert(source, target, translator=None, **changes):
    """Translate a video to its negative, or with another translator."""
    opt = options(source, target, **changes)
    assert is_stream(opt)
    check_stream(opt)
    translate_stream(opt, open_stream(opt), translator or Negative())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A student that makes gray images of RGB images, and videos."""
    path = tmp_path_factory.mktemp("video")
    torch.manual_seed(0)
    save_student(path / "s.pth", build_generator("resnet_6blocks", 3, 1, ngf=4).eval())
    write_video(path / "clip.mp4", moving_squares(), audio=True)
    write_video(path / "fast.mp4", moving_squares(40), options={"movflags": "+faststart"})
    write_video(path / "clip.mkv", moving_squares(40))
    return path


def test_a_video_is_translated_frame_by_frame(folder, tmp_path):
    out, _ = run_here("test", "--student", folder / "s.pth", "--input", folder / "clip.mp4", "--output",
                      tmp_path / "out.mp4", "--video_quality", 0, "--gpu_ids", -1, "--checkpoints_dir",
                      tmp_path)
    net = build_generator("resnet_6blocks", 3, 1, ngf=4)
    net.load_state_dict(torch.load(folder / "s.pth", weights_only=True)["state_dict"])
    frames, times = read_video(tmp_path / "out.mp4")
    assert times == [40 * i for i in range(8)]
    for frame, source in zip(frames, read_video(folder / "clip.mp4")[0], strict=True):
        expected = (translate(net, to_tensor(source))[0, 0].numpy() + 1) * 127.5
        assert abs(frame.mean(-1) - expected).mean() < 1.5
    assert "the sound is not copied" in out
    assert "(64x48, 8 frames)" in out
    assert "frames per second: " in out
    assert not list(tmp_path.glob("*.partial.*"))


def test_another_reader_sees_the_colors(tmp_path):
    source = moving_squares(3, 96, 128)
    convert(write_video(tmp_path / "clip.mp4", source), tmp_path / "out.mp4")
    capture = cv2.VideoCapture(str(tmp_path / "out.mp4"))
    image = capture.read()[1][..., ::-1].astype(int)
    capture.release()
    error = image - (255 - source[0])
    assert abs(error).mean() < 3
    assert abs(error.mean((0, 1))).max() < 1.5  # no color is shifted


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_times_of_a_variable_frame_rate_are_kept(suffix, tmp_path):
    times = [0, 40, 80, 500, 520, 900, 1000, 1010]
    convert(write_video(tmp_path / "clip.mkv", moving_squares(), times), tmp_path / f"out{suffix}")
    assert read_video(tmp_path / f"out{suffix}")[1] == times


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm"])
def test_the_last_frame_is_shown_as_long_as_in_the_input(suffix, tmp_path):
    clip = moving_squares(3)
    Image.fromarray(clip[0]).save(tmp_path / "clip.gif", save_all=True, duration=[100, 300, 1500],
                                  append_images=[Image.fromarray(image) for image in clip[1:]])
    convert(tmp_path / "clip.gif", tmp_path / f"out{suffix}")
    assert [round(1000 * float(frame.time)) for frame in Video(tmp_path / f"out{suffix}")] == [0, 100, 400]
    with av.open(str(tmp_path / f"out{suffix}")) as container:
        assert container.duration == 1_900_000  # microseconds


def test_no_frame_of_joined_videos_is_lost(tmp_path):
    clip = write_video(tmp_path / "clip.mpg", moving_squares(), codec="mpeg2video")
    (tmp_path / "joined.mpg").write_bytes(clip.read_bytes() * 2)
    convert(tmp_path / "joined.mpg", tmp_path / "out.mp4")
    frames, times = read_video(tmp_path / "out.mp4")
    assert len(frames) == 16
    assert times == [40 * i for i in range(16)]
    assert abs(frames[3].astype(int) - frames[11]).mean() < 3


def test_repeated_times_do_not_delay_the_rest(tmp_path):
    video = Video(write_video(tmp_path / "clip.mp4", moving_squares()))
    frames = [SimpleNamespace(pts=pts, duration=1, rotation=0, to_ndarray=lambda **_: np.zeros((48, 64, 3)))
              for pts in (0, 1000, 1000, 1000, 4000)]
    video._decode = lambda container, stream: iter(frames)
    with video._opened() as (_, stream):
        unit = 1000 * stream.time_base
    assert [frame.time for frame in video] == [0, unit, unit + Fraction(1, 1000), unit + Fraction(2, 1000),
                                               4 * unit]


def trim(path, start, length):
    """Let the edit list of an MP4 file begin and end later, in milliseconds."""
    content = bytearray(path.read_bytes())
    at = content.index(b"elst")
    scale = struct.unpack_from(">I", content, content.index(b"mdhd") + 16)[0]
    entries = struct.unpack_from(">I", content, at + 8)[0]
    assert entries == 1
    _, media_time = struct.unpack_from(">Ii", content, at + 12)
    struct.pack_into(">Ii", content, at + 12, length, media_time + start * scale // 1000)
    path.write_bytes(content)


def test_a_trimmed_video_has_the_frames_that_players_show(tmp_path):
    source = moving_squares(20)
    trim(write_video(tmp_path / "clip.mp4", source), 400, 200)
    video = Video(tmp_path / "clip.mp4")
    frames = [frame.image for frame in video]
    assert len(frames) == video.count == 5
    limited = Video(tmp_path / "clip.mp4", 2)
    first = [frame.image for frame in limited]
    assert len(first) == limited.count == 2
    for shown in (frames, first):
        assert abs(shown[0].astype(int) - source[10]).mean() < 3
        assert abs(shown[1].astype(int) - source[11]).mean() < 3


def test_the_first_frames_are_those_that_are_shown_first(tmp_path):
    source = moving_squares(20)  # encoded in another order, because frames refer to later ones
    video = Video(write_video(tmp_path / "clip.mp4", source), 3)
    for expected, frame in zip(source, video, strict=False):
        assert abs(frame.image.astype(int) - expected).mean() < 3


def test_the_pixels_of_a_turned_video_are_turned(tmp_path):
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(2, 1)
        for image in moving_squares(2):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    assert Video(path).aspect == 2
    turn(path)
    assert Video(path).aspect == Fraction(1, 2)


def turn(path):
    """Set the matrix of the track to a turn by 90 degrees (clockwise on the screen)."""
    content = bytearray(path.read_bytes())
    start = content.index(b"tkhd") + 44
    content[start:start + 36] = struct.pack(">9i", 0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)
    path.write_bytes(content)


def test_a_turned_video_is_turned(tmp_path, capsys):
    source = moving_squares(2)
    turn(write_video(tmp_path / "clip.mp4", source))
    convert(tmp_path / "clip.mp4", tmp_path / "out.mp4")
    frames, _ = read_video(tmp_path / "out.mp4")
    assert frames.shape == (2, 64, 48, 3)
    assert abs(frames[0].astype(int) - np.rot90(255 - source[0], -1)).mean() < 3
    assert "turned by 270 degrees counterclockwise" in capsys.readouterr().out


def test_odd_sizes_grow_by_an_edge(tmp_path, capsys):
    source = moving_squares(2)[:, :47, :63]
    convert(write_video(tmp_path / "clip.mp4", source), tmp_path / "out.mp4")
    frames, _ = read_video(tmp_path / "out.mp4")
    assert frames.shape == (2, 48, 64, 3)
    assert abs(frames[0, :47, :63].astype(int) - (255 - source[0])).mean() < 3
    assert "the last row or column is repeated, 64x48" in capsys.readouterr().out


def test_frames_are_scaled_and_limited(folder, tmp_path):
    convert(folder / "clip.mp4", tmp_path / "out.mp4", max_frames=3, input_size=[24, 32])
    assert read_video(tmp_path / "out.mp4")[0].shape == (3, 24, 32, 3)


def cut(source, target, part):
    content = source.read_bytes()
    target.write_bytes(content[:int(len(content) * part)])


@pytest.mark.parametrize(("name", "make", "message"), [
    ("cut.mp4", lambda folder, path: cut(folder / "clip.mp4", path, 0.6), "cannot be read as a video"),
    ("cut.mp4", lambda folder, path: cut(folder / "fast.mp4", path, 0.8), "it ends after .* of 40 frames"),
    ("cut.mkv", lambda folder, path: cut(folder / "clip.mkv", path, 0.8), "it ends after "),
    ("text.mp4", lambda folder, path: path.write_text("hello" * 99), "cannot be read as a video"),
    ("list.mp4", lambda folder, path: path.write_text(
        f"#EXTM3U\n#EXTINF:10,\nfile://{folder}/clip.mp4\n#EXT-X-ENDLIST\n"), "cannot be read as a video"),
    ("list.mp4", lambda folder, path: path.write_text(
        f"ffconcat version 1.0\nfile '{folder}/clip.mp4'\n"), "cannot be read as a video"),
    ("codec.mp4", lambda folder, path: path.write_bytes(
        (folder / "clip.mp4").read_bytes().replace(b"avc1", b"xyz1")), "of a format that FFmpeg does not"),
    ("empty.mp4", lambda folder, path: path.touch(), "is empty"),
    ("none.mp4", lambda folder, path: None, "no such file"),
    ("folder.mp4", lambda folder, path: os.mkfifo(path), "is not a regular file")])
def test_a_video_that_cannot_be_decoded(name, make, message, folder, tmp_path):
    make(folder, tmp_path / name)
    opt = options(tmp_path / name, tmp_path / "out.mp4")
    with pytest.raises(ValueError, match=message):
        open_stream(opt)
    assert not list(tmp_path.glob("*out*"))


def test_the_intact_part_of_a_truncated_video(folder, tmp_path):
    cut(folder / "fast.mp4", tmp_path / "cut.mp4", 0.8)
    with pytest.raises(ValueError, match=r"--max_frames \d+") as error:
        Video(tmp_path / "cut.mp4")
    count = int(str(error.value).rpartition("--max_frames ")[2].split()[0])
    assert 0 < count < 40
    convert(tmp_path / "cut.mp4", tmp_path / "out.mp4", max_frames=count)
    assert len(read_video(tmp_path / "out.mp4")[0]) == count


def test_frames_of_too_many_pixels_are_refused(folder):
    limit_pixels(64 * 48 - 1)
    try:
        with pytest.raises(ValueError, match="64x48 pixels, more than 3,071.*--max_image_pixels"):
            Video(folder / "clip.mp4")
    finally:
        limit_pixels(LARGEST_IMAGE)


@pytest.mark.parametrize(("source", "target", "message"), [
    ("clip.mp4", "out.avi", r"a video is written as \.mp4, .*got '\.avi'"),
    ("clip.mp4", "out", "a video is written as"),
    ("clip.mp4", "clip.mp4", "would overwrite the input"),
    (".", "out.mp4", "--input .* is a folder"),
    ("photo.png", "out.mp4", "--input .* is an image")])
def test_outputs_that_do_not_fit(source, target, message, folder, tmp_path):
    (tmp_path / "clip.mp4").symlink_to(folder / "clip.mp4")
    opt = options(tmp_path / source, tmp_path / target)
    with pytest.raises(ValueError, match=message):
        _ = is_stream(opt) and check_stream(opt)


def test_label_maps_are_no_video(folder, tmp_path):
    with pytest.raises(ValueError, match="takes label maps, and the frames of a video .* are none"):
        check_stream(options(folder / "clip.mp4", tmp_path / "out.mp4", label_nc=3))


@pytest.mark.parametrize("existing", [False, True])
def test_ctrl_c_keeps_the_first_frames_under_another_name(existing, folder, tmp_path, capsys):
    target = tmp_path / "out.mp4"
    if existing:
        target.write_bytes(b"earlier")
    signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs of a shell ignore it
    calls = []

    def interrupt():
        calls.append(1)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(SystemExit) as stop:
        convert(folder / "clip.mkv", target, Negative(interrupt))
    assert stop.value.code == 128 + signal.SIGINT
    assert len(read_video(tmp_path / "out.partial.mp4")[0]) == 3
    assert "out.partial.mp4 has the first 3 of 40 frames" in capsys.readouterr().out
    assert target.exists() == existing
    assert {path.name for path in tmp_path.iterdir()} <= {"out.mp4", "out.partial.mp4"}


def test_an_error_leaves_nothing(folder, tmp_path):
    def fail():
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        convert(folder / "clip.mp4", tmp_path / "out.mp4", Negative(fail))
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_nothing(folder, tmp_path):
    resource = pytest.importorskip("resource")
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match=r"out\.partial\.mp4: cannot be written \(File too large\)"):
            convert(folder / "clip.mkv", tmp_path / "out.mp4")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert not list(tmp_path.iterdir())


def test_all_frames_are_checked_on_request(folder):
    opt = options(folder / "clip.mp4", "", max_frames=5)
    assert check_decodes(opt).splitlines()[1:] == ["  frames: 5", "  size: 64x48", "  frames per second: 25"]


class FakeCapture:
    """A camera of 100 frames a second, whose images are their numbers; it ends after `last`."""

    last = 10 ** 9

    def __init__(self, number):
        self.count = 0
        self.number = number

    def isOpened(self):
        return self.number == 0

    def read(self):
        time.sleep(0.01)
        self.count += 1
        return self.count <= self.last, np.full((16, 16, 3), min(self.count, 255), np.uint8)

    def get(self, name):
        return 0.0

    def release(self):
        pass


def test_the_latest_frame_of_the_camera_wins(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(cv2, "VideoCapture", FakeCapture)
    seen = []

    class Slow(Negative):
        def photo(self, image):
            seen.append(np.asarray(image)[0, 0, 0])
            time.sleep(0.035)
            return np.asarray(image)

    convert("camera", tmp_path / "out.mp4", Slow(), max_frames=5)
    steps = np.diff(np.array(seen, int))
    assert steps.min() >= 2  # frames in between were dropped
    times = read_video(tmp_path / "out.mp4")[1]
    assert len(times) == 5
    assert np.diff(times).min() >= 30  # real time
    assert "frames of the camera, because later ones had arrived" in capsys.readouterr().out


def test_ctrl_c_ends_the_camera(monkeypatch, tmp_path):
    monkeypatch.setattr(cv2, "VideoCapture", FakeCapture)
    convert("camera:0", tmp_path / "out.mkv", Negative(lambda: os.kill(os.getpid(), signal.SIGTERM)))
    assert len(read_video(tmp_path / "out.mkv")[0]) == 1


def test_a_camera_that_ends(monkeypatch, tmp_path):
    monkeypatch.setattr(cv2, "VideoCapture", FakeCapture)
    monkeypatch.setattr(FakeCapture, "last", 4)
    convert("camera", tmp_path / "out.mp4")
    assert 1 <= len(read_video(tmp_path / "out.mp4")[0]) <= 3


def test_a_missing_camera(monkeypatch):
    monkeypatch.setattr(cv2, "VideoCapture", FakeCapture)
    with pytest.raises(ValueError, match="camera:7: camera not found"):
        Camera(7)


def test_a_single_image_is_still_an_image(folder, tmp_path):
    Image.fromarray(moving_squares(1)[0]).save(tmp_path / "photo.png")
    assert not is_stream(options(tmp_path / "photo.png", tmp_path / "out.png"))
    run_here("test", "--student", folder / "s.pth", "--input", tmp_path / "photo.png", "--input_size",
             "20x30", "--output", tmp_path / "out.png", "--gpu_ids", -1, "--checkpoints_dir", tmp_path)
    assert Image.open(tmp_path / "out.png").size == (30, 20)
    assert Path(tmp_path / "out.png").stat().st_size
