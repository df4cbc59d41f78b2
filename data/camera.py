"""Read the camera with OpenCV, which numbers the cameras of every system. The latest frame wins."""
from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from threading import Condition, Thread
from typing import Any

import numpy as np

from compression.deploy.packages import require
from compression.runtime.text import name_some

from .image_folder import pixel_limit
from .video import Frame

_PATIENCE = 10.0  # seconds without a frame after which a camera counts as gone


class Camera:
    """A camera. Iteration yields its latest frame; those that arrive meanwhile are dropped.

    Args:
        number: number of the camera, from 0.
        max_frames: the number of frames to yield; None for no limit.

    Attributes:
        size: (height, width) of the frames.
        count: `max_frames`.
        rate: frames per second that the camera announces, 30 if it does not.
        dropped: number of frames that were replaced by later ones.

    Raises:
        ValueError: if the camera does not exist or delivers no frames.
    """

    has_audio = False
    aspect = Fraction(1)
    notes: tuple[str, ...] = ()

    def __init__(self, number: int, max_frames: int | None = None):
        self.number = number
        self.count = max_frames
        self.dropped = 0
        cv2 = require("cv2")
        with contextlib.suppress(AttributeError):  # it prints warnings on its own
            cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        self._capture: Any = cv2.VideoCapture(number)
        is_read, first = self._capture.read() if self._capture.isOpened() else (False, None)
        if not is_read:
            self._capture.release()
            raise ValueError(f"--input camera:{number}: camera not found, or it delivers no images "
                             f"(another program may use it){_found()}")
        self.size = first.shape[:2]
        if first.shape[0] * first.shape[1] > pixel_limit():
            self._capture.release()
            raise ValueError(f"--input camera:{number}: its images have more than {pixel_limit():,} pixels; "
                             "--max_image_pixels raises the limit")
        announced = self._capture.get(cv2.CAP_PROP_FPS)
        self.rate = Fraction(round(announced)) if 1 <= announced <= 1000 else Fraction(30)
        self._latest: tuple[np.ndarray, int] | None = None
        self._changed = Condition()
        self._ended = False

    def __iter__(self) -> Iterator[Frame]:
        thread = Thread(target=self._read, daemon=True)
        thread.start()
        start = None
        shown = 0
        try:
            while shown != self.count:
                latest = self._take()
                if latest is None:
                    return
                image, at = latest
                start = at if start is None else start
                yield Frame(np.ascontiguousarray(image[..., ::-1]), Fraction(at - start, 10 ** 9))
                shown += 1
        finally:
            self._ended = True
            thread.join(_PATIENCE)
            self._capture.release()

    def _read(self) -> None:
        """Read frames and keep the latest one, in a thread of its own, until the camera or the user stops."""
        is_read = True
        while is_read and not self._ended:
            is_read, image = self._capture.read()
            with self._changed:
                if is_read and image.shape[:2] == self.size:
                    self.dropped += self._latest is not None
                    self._latest = image, time.monotonic_ns()
                self._changed.notify()
        with self._changed:
            self._ended = True
            self._changed.notify()

    def _take(self) -> tuple[np.ndarray, int] | None:
        """Wait for a frame and take it; None if the camera has ended.

        Raises:
            ValueError: if the camera delivers no frame for some seconds.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._latest is not None or self._ended, _PATIENCE):
                raise ValueError(f"--input camera:{self.number}: no image for {_PATIENCE:.0f} seconds")
            latest, self._latest = self._latest, None
            return latest


def _found() -> str:
    """List the cameras of Linux, as the end of a message."""
    if not Path("/dev").is_dir():
        return ""
    names = sorted(path.name.removeprefix("video") for path in Path("/dev").glob("video[0-9]*"))
    return f"; cameras of this machine: {name_some(names, 10) or 'none'}"
