"""Tiny videos, written with PyAV."""
from fractions import Fraction

import av
import numpy as np


def moving_squares(count=8, height=48, width=64):
    """A square that moves over a smooth background, (count, H, W, 3) uint8."""
    y, x = np.mgrid[:height, :width]
    frames = np.stack([np.stack([4 * y + 20, 3 * x + 20, 2 * x + y + 10], -1)] * count).clip(0, 255)
    for i, frame in enumerate(frames):
        frame[8:20, 4 * i:4 * i + 12] = 220, 60, 40
    return frames.astype(np.uint8)


def write_video(path, frames, times=None, codec="libx264", options=None, audio=False):
    """Write frames (N, H, W, 3) with 25 frames per second, or at `times` in milliseconds."""
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=25, options={"crf": "1"} if codec == "libx264" else {})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv444p" if codec == "libx264" else "yuv420p"
        unit = Fraction(1, 1000 if times else 25)
        stream.codec_context.time_base = unit
        sound = container.add_stream("aac", rate=8000) if audio else None
        for i, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = times[i] if times else i
            frame.time_base = unit
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if sound:
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            silence.sample_rate = 8000
            container.mux(sound.encode(silence))
            container.mux(sound.encode(None))
    return path


def read_video(path):
    """Return the frames (N, H, W, 3) and their times in milliseconds."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        return (np.stack([frame.to_ndarray(format="rgb24") for frame in frames]),
                [round(1000 * frame.time) for frame in frames])
