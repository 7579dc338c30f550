"""Annotated videos at the times of their source.

With PyAV: H.264, each image at its own time, and the source's sound, copied without change.
Without PyAV, OpenCV writes MPEG-4 Part 2 at a constant rate and without sound: where the source's
rate varies, images are repeated or left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from maix_facemesh_ros.bags.storage import BagError
from maix_facemesh_ros.image import Pixels

#: Ticks per second of the times in a video: MPEG's clock.
TICKS = 90_000

#: Constant rate factor of H.264 (x264: 18 looks like the source, 23 is the default), and how much
#: time it takes for a smaller file.
QUALITY = {"crf": "20", "preset": "veryfast"}

#: Names of FFmpeg's codecs whose packets an MP4 file can hold.
SOUND_IN_MP4 = ("aac", "ac3", "alac", "eac3", "flac", "mp3", "opus")

#: Rates of a video that OpenCV writes, in images per second.
RATES = (1.0, 240.0)


class Video(Protocol):
    """A video file that is written."""

    #: What the file does not have, and why; empty if it has everything.
    remark: str

    def write(self, seconds: float, image: Pixels) -> None:
        """Add an image.

        Args:
            seconds: since the beginning of the source.
            image: uint8 (H, W, 3), blue, green, red; scaled to the size of the first one.
        """
        ...

    def close(self) -> None:
        """Complete the file."""
        ...


def open_video(path: Path, rate: float, sound: Path | None) -> Video:
    """Begin a video.

    Args:
        path: of the new file.
        rate: images per second of the source, on average.
        sound: a video whose sound is wanted; None: without.

    Raises:
        BagError: the file cannot be written.
    """
    if _has_pyav():
        return _PyAvVideo(path, sound)
    return _OpenCvVideo(path, rate)


def _has_pyav() -> bool:
    found = find_spec("av")
    # A folder of this name is one without an origin.
    return found is not None and found.origin is not None


class _PyAvVideo:
    def __init__(self, path: Path, sound: Path | None) -> None:
        import av

        self.remark = ""
        self._av: Any = av
        self._container = av.open(str(path), "w", format="mp4")
        self._stream: Any = None
        self._size = (0, 0)
        self._last = -1
        self._sound = self._open_sound(sound) if sound else None

    def write(self, seconds: float, image: Pixels) -> None:
        """See `Video`."""
        if self._stream is None:
            self._size = _even_size(image)
            self._stream = self._container.add_stream("libx264", options=QUALITY)
            self._stream.width, self._stream.height = self._size
            self._stream.pix_fmt = "yuv420p"
            self._stream.codec_context.time_base = Fraction(1, TICKS)
        start = self._sound.video_start if self._sound else 0.0
        frame = self._av.VideoFrame.from_ndarray(_fitted(image, self._size), format="bgr24")
        # Two images of a bag may have one time, which no video can have.
        self._last = max(round((start + seconds) * TICKS), self._last + 1)
        frame.pts = self._last
        frame.time_base = Fraction(1, TICKS)
        self._container.mux(self._stream.encode(frame))
        if self._sound:
            self._sound.copy_until(start + seconds)

    def close(self) -> None:
        """See `Video`."""
        if self._stream is not None:
            self._container.mux(self._stream.encode())
            if self._sound:
                self._sound.copy_until(float("inf"))
        if self._sound:
            self._sound.close()
        self._container.close()

    def _open_sound(self, path: Path) -> _Sound | None:
        source = self._av.open(str(path))
        if not source.streams.audio:
            source.close()
            return None
        codec = source.streams.audio[0].codec_context.name
        if codec not in SOUND_IN_MP4:
            source.close()
            self.remark = f"without the sound of {path.name}: MP4 cannot hold {codec}"
            return None
        return _Sound(source, self._container)


class _Sound:
    """The packets of a video's first sound, copied to another file as they are."""

    def __init__(self, source: Any, container: Any) -> None:
        self._source = source
        self._container = container
        stream = source.streams.audio[0]
        self._copy = container.add_stream_from_template(stream)
        self._packets: Iterator[Any] = iter(source.demux(stream))
        self._next: Any = next(self._packets, None)
        video = source.streams.video[0]
        #: Seconds from the beginning of the source to its first image.
        self.video_start = max(0.0, float((video.start_time or 0) * video.time_base))

    def copy_until(self, seconds: float) -> None:
        """Copy the packets up to a time: both streams stay next to each other in the file."""
        while self._next is not None:
            packet = self._next
            if packet.pts is not None and float(packet.pts * packet.time_base) > seconds:
                return
            self._next = next(self._packets, None)
            if packet.dts is not None:  # the last one, empty, flushes a decoder
                packet.stream = self._copy
                self._container.mux(packet)

    def close(self) -> None:
        """Close the source."""
        self._source.close()


class _OpenCvVideo:
    def __init__(self, path: Path, rate: float) -> None:
        self.remark = (
            "at a constant rate and without sound, because PyAV is not installed: pip install av"
        )
        self._path = path
        self._rate = min(max(rate, RATES[0]), RATES[1])
        self._video: cv2.VideoWriter | None = None
        self._size = (0, 0)
        self._written = 0
        self._last: Pixels | None = None

    def write(self, seconds: float, image: Pixels) -> None:
        """See `Video`."""
        if self._video is None:
            self._size = _even_size(image)
            codec = cv2.VideoWriter.fourcc(*"mp4v")
            self._video = cv2.VideoWriter(str(self._path), codec, self._rate, self._size)
            if not self._video.isOpened():
                raise BagError(f"{self._path.name} cannot be written by OpenCV: pip install av")
        self._repeat_until(round(seconds * self._rate))
        self._last = _fitted(image, self._size)

    def close(self) -> None:
        """See `Video`."""
        self._repeat_until(self._written + 1)
        if self._video is not None:
            self._video.release()

    def _repeat_until(self, number: int) -> None:
        """Write the last image until the video has this number of images."""
        while self._video is not None and self._last is not None and self._written < number:
            self._video.write(self._last)
            self._written += 1


def _even_size(image: Pixels) -> tuple[int, int]:
    """Return width and height, each rounded up to an even number, as H.264 needs it."""
    height, width = image.shape[:2]
    return width + width % 2, height + height % 2


def _fitted(image: Pixels, size: tuple[int, int]) -> Pixels:
    """Return an image in the size of the video: a row or column repeated, or scaled."""
    if _even_size(image) != size:
        return np.asarray(cv2.resize(image, size), np.uint8)
    height, width = image.shape[:2]
    rows, columns = size[1] - height, size[0] - width
    return np.pad(image, ((0, rows), (0, columns), (0, 0)), "edge") if rows or columns else image
