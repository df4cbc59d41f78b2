"""Write videos with PyAV (FFmpeg), one frame at a time and atomically."""
from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from compression.checkpoints.files import atomic_file, require_replaceable
from compression.deploy.packages import require
from data.video import SCALER_FLAGS, Frame

# suffix -> (container, codec, and its options)
_H264 = ("libx264", {"preset": "fast"})
_VP9 = ("libvpx-vp9", {"b": "0", "deadline": "good", "cpu-used": "4", "row-mt": "1"})
FORMATS = {".mp4": ("mp4", *_H264), ".m4v": ("mp4", *_H264), ".mov": ("mov", *_H264),
           ".mkv": ("matroska", *_H264), ".webm": ("webm", *_VP9)}
_TIME_BASE = Fraction(1, 90_000)
_HD_HEIGHT = 720  # from this height on, players expect the colors of BT.709, and of BT.601 below


class _Colors(NamedTuple):
    """Colors of a video: their name in PyAV, and the numbers of ITU-T H.273 for its parts."""

    name: str
    matrix: int
    primaries: int
    curve: int


_BT601 = _Colors("ITU601", 6, 6, 6)
_BT709 = _Colors("ITU709", 1, 1, 1)


def check_video_output(path: Path) -> None:
    """Check that a video can be written to a path.

    Raises:
        ValueError: an unknown suffix, or a codec that this installation of PyAV lacks.
        OSError: if a folder, a pipe, or a device is in the place of the file.
    """
    written = FORMATS.get(path.suffix.lower())
    if written is None:
        raise ValueError(f"--output {path}: a video is written as {', '.join(FORMATS)}, got "
                         f"'{path.suffix or path.name}'")
    if written[1] not in require("av").codecs_available:
        raise ValueError(f"--output {path}: the installed PyAV lacks the encoder {written[1]}; pip install "
                         "--force-reinstall --only-binary av av, or choose another suffix")
    require_replaceable(path)


def partial_path(path: Path) -> Path:
    """Return the name of the file that holds the first frames of an interrupted video."""
    return path.with_name(f"{path.stem}.partial{path.suffix}")


class VideoWriter:
    """Encodes frames into a file that is open for writing; :func:`open_video_writer` makes one.

    Args:
        file: path of the file; it is replaced.
        suffix: one of ``FORMATS``.
        rate: frames per second; every frame has its own time, so that it need not be exact.
        quality: constant rate factor (CRF), from 0, nearly lossless, to 51.
        aspect: width of a pixel divided by its height.

    Attributes:
        frames: number of frames so far.
        size: (height, width) of the video, None before the first frame. Odd sizes grow by a row or column.
        is_padded: whether they did.
        is_complete: set to True to keep the file under its final name.
    """

    def __init__(self, file: str, suffix: str, rate: Fraction, quality: int, aspect: Fraction):
        self._av = require("av")
        container, self._codec, options = FORMATS[suffix]
        self._options = {**options, "crf": str(quality)}
        self._rate = rate
        self._aspect = aspect
        self.frames = 0
        self.size: tuple[int, int] | None = None
        self.is_padded = False
        self.is_complete = False
        self._stream: Any = None
        self._durations: dict[int, int] = {}  # time of a frame -> its duration, in units of the time base
        self._times = [0, 0, 0]  # of the last two frames, and the end of the last one
        # there, frames last until the next one in the order of the file, whatever their duration is
        self._has_intervals = container in ("mp4", "mov")
        moov = {"movflags": "+faststart"} if container in ("mp4", "mov") else {}
        with _as_os_error(self._av):
            self._container = self._av.open(file, "w", format=container, options=moov)

    def add(self, frame: Frame) -> None:
        """Encode a frame; all have the size of the first one, and increasing times."""
        height, width = frame.image.shape[:2]
        # 4:2:0, the only chroma format that all players know, halves both sides
        image = np.pad(frame.image, ((0, height % 2), (0, width % 2), (0, 0)), "edge")
        self.is_padded = image.shape != frame.image.shape
        with _as_os_error(self._av):
            if self._stream is None:
                self._start(image.shape[0], image.shape[1])
            picture = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24").reformat(
                format="yuv420p", dst_colorspace=self._colors.name, interpolation=SCALER_FLAGS)
            picture.pts = round(frame.time / _TIME_BASE)
            picture.time_base = _TIME_BASE
            self._durations[picture.pts] = round((frame.duration or 1 / self._rate) / _TIME_BASE)
            self._times = [self._times[1], picture.pts, picture.pts + self._durations[picture.pts]]
            self._mux(picture)
        self.frames += 1

    def _mux(self, picture: Any) -> None:
        """Write the packets of a picture, or for None those that the encoder has kept back."""
        packets = self._stream.encode(picture)
        for packet in packets:
            packet.duration = self._durations.pop(packet.pts, 0)
        before, last, end = self._times
        if picture is None and packets and self._has_intervals and end - last > last - before:
            packets[-1].duration = end - packets[-1].pts
        self._container.mux(packets)

    def _start(self, height: int, width: int) -> None:
        """Add the stream, whose size is that of the first frame."""
        self.size = (height, width)
        self._stream = self._container.add_stream(self._codec, rate=self._rate, options=self._options)
        self._stream.width, self._stream.height = width, height
        self._stream.pix_fmt = "yuv420p"
        self._colors = _BT709 if height >= _HD_HEIGHT else _BT601
        context = self._stream.codec_context
        context.time_base = _TIME_BASE
        context.sample_aspect_ratio = self._aspect
        context.color_range = 1  # 16 to 235
        context.colorspace = self._colors.matrix
        context.color_primaries = self._colors.primaries
        context.color_trc = self._colors.curve

    def close(self) -> None:
        """Encode what the encoder has kept back, and close the file."""
        with _as_os_error(self._av):
            try:
                if self._stream is not None:
                    self._mux(None)
            finally:
                self._container.close()


@contextmanager
def open_video_writer(path: Path, rate: Fraction, quality: int, aspect: Fraction = Fraction(1)
                      ) -> Iterator[VideoWriter]:
    """Open a :class:`VideoWriter` for a file that appears when the block ends without an error.

    Its name is then :func:`partial_path`, and `path` if ``is_complete`` has been set. Nothing is kept of a
    video without frames.

    Raises:
        OSError: if the file cannot be written; an earlier file is unchanged.
    """
    kept = partial_path(path)
    with atomic_file(kept) as file:
        writer = VideoWriter(file.name, path.suffix.lower(), rate, quality, aspect)
        try:
            yield writer
        finally:
            writer.close()
    if not writer.frames:
        kept.unlink()
    elif writer.is_complete:
        os.replace(kept, path)


@contextmanager
def _as_os_error(av: Any) -> Iterator[None]:
    """Convert errors of FFmpeg to OSErrors, which :func:`atomic_file` explains."""
    try:
        yield
    except av.error.FFmpegError as error:
        raise OSError(error.errno, error.strerror) from None
