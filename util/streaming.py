"""Translate a video or the camera, one frame at a time."""
from __future__ import annotations

import statistics
from argparse import Namespace
from pathlib import Path
from time import perf_counter

from PIL import Image
from tqdm import tqdm

from compression.runtime.text import printable
from data.camera import Camera
from data.image_folder import IMG_EXTENSIONS
from data.video import VIDEO_EXTENSIONS, Frame, Video

from .signals import StopSignals
from .translators import Translator, resized
from .video_writer import FORMATS, VideoWriter, check_video_output, open_video_writer, partial_path

_CAMERA = "camera"


def is_stream(opt: Namespace) -> bool:
    """Return whether ``--input`` is the camera or a video.

    The suffix decides or, if it is of neither an image nor a video, that of ``--output``.

    Raises:
        ValueError: if an image or a folder is to become a video.
    """
    if is_camera(opt.input):
        return True
    source = Path(opt.input)
    has_video_output = Path(opt.output or "").suffix.lower() in FORMATS
    suffix = source.suffix.lower()
    if source.is_dir() or suffix in IMG_EXTENSIONS:
        if has_video_output:
            kind = "a folder" if source.is_dir() else "an image"
            raise ValueError(f"--output {opt.output}: is a video, but --input {source} is {kind}; its "
                             f"translation is {kind}, too")
        return False
    return suffix in VIDEO_EXTENSIONS or has_video_output


def is_camera(source: str) -> bool:
    """Return whether a value of ``--input`` is ``camera`` or ``camera:N``, and not an existing file."""
    name, _, number = source.partition(":")
    return name == _CAMERA and (not number or number.isdecimal()) and not Path(source).exists()


def check_stream(opt: Namespace) -> None:
    """Check what can be checked before the network is loaded.

    Raises:
        ValueError: if the generator takes label maps, or the output is not a video.
    """
    if getattr(opt, "label_nc", 0):
        raise ValueError(f"--input {opt.input}: this generator takes label maps, and the frames of a video "
                         "or a camera are none: compression and conversion of colors change the ids. Give a "
                         "folder of label maps as PNG files")
    if opt.output:
        check_video_output(Path(opt.output))
        if Path(opt.input).exists() and Path(opt.output).exists() \
                and Path(opt.output).samefile(opt.input):
            raise ValueError(f"--output {opt.output}: would overwrite the input")


def open_stream(opt: Namespace) -> Video | Camera:
    """Open the video or the camera of ``--input``."""
    if is_camera(opt.input):
        return Camera(int(opt.input.partition(":")[2] or 0), opt.max_frames)
    return Video(opt.input, opt.max_frames)


def check_decodes(opt: Namespace) -> str:
    """Decode all frames of ``--input`` and describe them (``--check_data``)."""
    stream = open_stream(opt)
    bar = tqdm(stream, total=stream.count, desc="check", unit="frame", dynamic_ncols=True)
    frames = sum(1 for _ in bar)
    height, width = stream.size
    lines = [f"checked {printable(opt.input)}: all usable", f"  frames: {frames}",
             f"  size: {width}x{height}", f"  frames per second: {float(stream.rate):.4g}",
             *(f"  {note}" for note in stream.notes)]
    return "\n".join(lines)


def translate_stream(opt: Namespace, stream: Video | Camera, translator: Translator) -> None:
    """Translate all frames, write them to ``--output``, and print the speed.

    Ctrl-C or SIGTERM ends the camera. For a video it ends the work on it: the frames so far are kept under
    the name :func:`partial_path`, and the exit status tells.
    """
    target = Path(opt.output)
    for note in stream.notes:
        print(f"note: {printable(opt.input)}: {note}")
    if stream.has_audio:
        print(f"note: {printable(opt.input)}: the sound is not copied")
    times: list[float] = []
    start = perf_counter()
    with StopSignals() as signals:
        with open_video_writer(target, stream.rate, opt.video_quality, stream.aspect) as writer:
            frames = tqdm(stream, total=stream.count, desc="translate", unit="frame", dynamic_ncols=True)
            for frame in frames:
                image = translator.photo(resized(opt, Image.fromarray(frame.image)))
                times.append(translator.seconds)
                writer.add(Frame(image, frame.time, frame.duration))
                if signals.received:
                    break
            frames.close()
            writer.is_complete = not signals.received or isinstance(stream, Camera)
        if not times:
            raise ValueError(f"--input {opt.input}: ended before the first frame")
        if not writer.is_complete:
            signals.exit_if_received(f"{partial_path(target)} has the first {len(times)} of {stream.count} "
                                     f"frames; {target} has not been written")
    report(opt, stream, writer, times, perf_counter() - start)


def report(opt: Namespace, stream: Video | Camera, writer: VideoWriter, times: list[float], seconds: float
           ) -> None:
    """Print what has been written, and the frames per second.

    Args:
        opt: parsed options.
        stream: the input.
        writer: the writer of the output.
        times: seconds of the generator for each frame.
        seconds: time of everything, from the first frame to the complete file.
    """
    assert writer.size
    height, width = writer.size
    print(f"{printable(opt.input)} -> {printable(opt.output)} ({width}x{height}, {len(times)} frames)")
    if writer.is_padded:
        print(f"note: H.264 and VP9 store even sizes: the last row or column is repeated, {width}x{height}")
    if isinstance(stream, Camera):
        print(f"dropped {stream.dropped} frames of the camera, because later ones had arrived")
    median = statistics.median(times)
    print(f"frames per second: {len(times) / seconds:.1f} with reading and writing, {1 / median:.1f} for "
          f"only the generator ({1000 * median:.1f} ms, the median)")
