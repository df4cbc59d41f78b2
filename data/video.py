"""Read videos frame by frame, with PyAV (FFmpeg).

OpenCV, the other common library, cannot write H.264, cuts the last row and column of odd sizes without a
message, and loses the times of frames of a variable frame rate.
"""
from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import chain, takewhile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from compression.deploy.packages import require

from .image_folder import pixel_limit

VIDEO_EXTENSIONS = (".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts",
                    ".ogv", ".ts", ".webm", ".wmv")
# accepted by content. FFmpeg also knows lists that lead to other files or to the network; they are refused
_FORMATS = "mov,mp4,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg,gif,mpegvideo,h264,hevc"
# without them, swscale's conversion from 4:2:0 darkens an image by one level, and an image that is converted
# there and back has 44.7 instead of 50.5 dB
SCALER_FLAGS = 4 | 0x40000 | 0x2000 | 0x4000  # bicubic, accurate_rnd, full_chroma_int, full_chroma_inp
_HDR_CURVES = (16, 18)  # PQ and HLG
_STEP = Fraction(1, 1000)  # seconds, at least, from one frame to the next: the unit of Matroska and WebM
_SLACK = Fraction(1, 4)  # seconds by which streams end before the duration that their file states


class Frame(NamedTuple):
    """A frame of a video or a camera.

    Attributes:
        image: (H, W, 3), uint8 RGB.
        time: seconds since the first frame.
        duration: seconds for which it is shown; 0 if that is not known.
    """

    image: np.ndarray
    time: Fraction
    duration: Fraction = Fraction(0)


class Video:
    """A video file. Iteration decodes its frames one at a time, turned as the file says.

    The file is read completely when it is opened, but not decoded: this counts the frames, and detects
    truncated files.

    Args:
        path: the file.
        max_frames: the number of frames to read; None for all of them.

    Attributes:
        size: (height, width) of the frames.
        count: number of frames that are read.
        rate: frames per second, on average.
        aspect: width of a pixel divided by its height.
        has_audio: whether the file has sound, which is not read.
        notes: what a user has to know about the file.

    Raises:
        ValueError: if the file cannot be decoded, is truncated, or has frames of more pixels than
            ``--max_image_pixels``.
    """

    def __init__(self, path: str | Path, max_frames: int | None = None):
        self.path = Path(path)
        self.max_frames = max_frames
        self.notes: list[str] = []
        if not self.path.is_file():
            raise ValueError(f"{path}: {'is not a regular file' if self.path.exists() else 'no such file'}")
        if not self.path.stat().st_size:
            raise ValueError(f"{path}: is empty")
        with self._opened() as (container, stream):
            self.has_audio = bool(container.streams.audio)
            self.rate = stream.average_rate or stream.guessed_rate or Fraction(25)
            self.aspect = stream.sample_aspect_ratio or Fraction(1)
            self.count = self._count_frames(container, stream)
        with self._opened() as (container, stream):
            self.size = self._inspect(next(self._decode(container, stream)))

    def __iter__(self) -> Iterator[Frame]:
        offset = previous = None
        with self._opened() as (container, stream):
            for i, frame in enumerate(self._decode(container, stream)):
                time = i / self.rate if frame.pts is None else frame.pts * stream.time_base
                if offset is None:
                    offset = -time
                elif time + offset < previous - _SLACK:  # where files were joined, times start again
                    offset = previous + 1 / self.rate - time
                # a damaged file may repeat a time
                previous = time + offset if previous is None else max(time + offset, previous + _STEP)
                image = np.rot90(frame.to_ndarray(format="rgb24", interpolation=SCALER_FLAGS),
                                 _quarter_turns(frame))
                if image.shape[:2] != self.size:
                    (height, width), (new_height, new_width) = self.size, image.shape[:2]
                    raise ValueError(f"{self.path}: the frames change from {width}x{height} to {new_width}x"
                                     f"{new_height} pixels at frame {i + 1}; cut the video there, or "
                                     f"--max_frames {i} translates the frames before it")
                yield Frame(np.ascontiguousarray(image), previous, (frame.duration or 0) * stream.time_base)

    @contextmanager
    def _opened(self) -> Iterator[tuple[Any, Any]]:
        """Open the file; any error of FFmpeg in the ``with`` block becomes a ValueError."""
        av = require("av")
        limit = {"max_pixels": str(pixel_limit())}
        try:
            with av.open(str(self.path), options=limit, container_options={"format_whitelist": _FORMATS},
                         metadata_errors="replace") as container:
                stream = next(iter(container.streams.video), None)
                if stream is None:
                    raise ValueError(f"{self.path}: holds no video")
                if stream.codec_context is None:
                    raise ValueError(f"{self.path}: its video is damaged, or of a format that FFmpeg does "
                                     "not decode here")
                if stream.width * stream.height > pixel_limit():
                    raise ValueError(f"{self.path}: the frames have {stream.width}x{stream.height} pixels, "
                                     f"more than {pixel_limit():,}, which can exhaust the memory; "
                                     "--max_image_pixels raises the limit for files that you trust")
                stream.thread_type = "AUTO"
                stream.codec_context.options = limit  # also if the size changes later
                yield container, stream
        except av.error.FFmpegError as error:
            raise ValueError(f"{self.path}: cannot be read as a video ({error.strerror}); it is damaged, or "
                             "of a format that FFmpeg does not decode here") from None

    def _count_frames(self, container: Any, stream: Any) -> int:
        """Count the frames that are shown, without decoding them; a trimmed file also has hidden ones.

        Raises:
            ValueError: if the file ends before the frames that it announces.
        """
        count = hidden = 0
        end = Fraction(0)
        for packet in container.demux(stream):
            if count == self.max_frames:
                return count
            if packet.is_corrupt:
                raise self._truncated(count, stream.frames - hidden)
            if packet.size:
                hidden += packet.is_discard
                count += not packet.is_discard
                if packet.pts is not None:
                    end = max(end, (packet.pts + (packet.duration or 0)) * stream.time_base)
        missing = _expected_end(container, stream) - end if count else Fraction(0)
        if count + hidden < stream.frames or missing > max(_SLACK, 3 / self.rate):
            raise self._truncated(count, stream.frames - hidden)
        return count

    def _truncated(self, count: int, expected: int) -> ValueError:
        """Describe a file that ends after `count` frames although it announces `expected`, 0 if unknown."""
        of = f" of {expected}" if expected > count else ""
        hint = (f"; --max_frames {count} translates the frames that are there, as far as they can be decoded"
                if count else "")
        return ValueError(f"{self.path}: is truncated or damaged: it ends after {count}{of} frames{hint}")

    def _decode(self, container: Any, stream: Any) -> Iterator[Any]:
        """Yield the decoded frames.

        Raises:
            ValueError: if a frame cannot be decoded, or there is none.
        """
        av = require("av")
        done = 0
        reason = ""
        packets = (packet for packet in container.demux(stream) if packet.size)
        packets = takewhile(lambda packet: not packet.is_corrupt, packets)
        for packet in chain(packets, [None]):  # None asks for the frames that the decoder has kept back
            frames = []
            try:
                frames = packet.decode() if packet else stream.codec_context.decode(None)
            except av.error.FFmpegError as error:
                reason = error.strerror
                with contextlib.suppress(av.error.FFmpegError):
                    frames = stream.codec_context.decode(None)
            for frame in frames:
                yield frame
                done += 1
                if done == self.max_frames:
                    return
            if reason:
                hint = f"; --max_frames {done} translates the frames before it" if done else ""
                raise ValueError(f"{self.path}: frame {done + 1} of {self.count} cannot be decoded "
                                 f"({reason}){hint}")
        if not done:
            raise ValueError(f"{self.path}: holds no frame that can be decoded")

    def _inspect(self, frame: Any) -> tuple[int, int]:
        """Return the size of the first frame, and note what is special about it."""
        turns = _quarter_turns(frame)
        if turns % 2:
            self.aspect = 1 / self.aspect
        if turns:
            self.notes.append(f"turned by {90 * turns} degrees counterclockwise, as the file says")
        if getattr(frame, "color_trc", 0) in _HDR_CURVES:
            self.notes.append("the video is HDR; its brightness is not mapped to that of usual screens, so "
                              "that it looks pale")
        if frame.interlaced_frame:
            self.notes.append("the video is interlaced, and is not deinterlaced")
        return (frame.width, frame.height) if turns % 2 else (frame.height, frame.width)


def _quarter_turns(frame: Any) -> int:
    """Return by how many quarters a frame has to be turned counterclockwise, 0 to 3."""
    return round(frame.rotation / 90) % 4


def _expected_end(container: Any, stream: Any) -> Fraction:
    """Return the time in seconds at which the file says that its video ends, 0 if it is not known."""
    start = (stream.start_time or 0) * stream.time_base
    if stream.duration:
        return start + stream.duration * stream.time_base
    text = stream.metadata.get("DURATION", "")  # of Matroska and WebM
    try:
        hours, minutes, seconds = text.split(":")
        return 3600 * int(hours) + 60 * int(minutes) + Fraction(seconds)
    except ValueError:
        pass
    only_video = len(container.streams) == 1
    return Fraction(container.duration or 0, 1_000_000) if only_video else Fraction(0)
