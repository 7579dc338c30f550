"""Pictures from a camera, a picture file or a video file, each with the time it was taken."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from maix_facemesh_ros.face import Picture

#: A picture file in a loop is shown at this rate, and a video file that does not know its own, in
#: hertz.
ASSUMED_RATE = 30.0


class SourceError(RuntimeError):
    """A source cannot be opened or gives no pictures; the message names it."""


@dataclass(frozen=True, slots=True, eq=False)
class SourcePicture:
    """One picture of a source."""

    #: uint8 (H, W, 3), channels blue, green, red.
    bgr: Picture
    #: Seconds on `time.monotonic`'s clock: a camera's picture when it was read, a file's when it is
    #: due.
    taken_at: float


class PictureSource:
    """A camera, a picture file or a video file."""

    def __init__(self, source: str, *, loop: bool = False) -> None:
        """Open the source.

        Args:
            source: number or path of a camera (`0`, `/dev/video0`), or path of a picture or video
                file.
            loop: start a file again at its end.

        Raises:
            SourceError: there is no such source, or nothing in it that can be read.
        """
        self.is_camera = source.isdigit() or source.startswith("/dev/")
        self._source = source
        self._loop = loop
        self._still: Picture | None = None
        if not self.is_camera and not Path(source).is_file():
            raise SourceError(
                f"source {source!r} is neither a camera (such as 0 or /dev/video0) nor a file"
            )
        if not self.is_camera and cv2.haveImageReader(source):
            self._still = self._read_still()
        self._video = cv2.VideoCapture() if self._still is not None else self._open_video()

    def pictures(self) -> Iterator[SourcePicture]:
        """Give the pictures: a camera's as they come, a file's at its own rate, until it ends.

        Raises:
            SourceError: the camera gives no more pictures.
        """
        return self._camera_pictures() if self.is_camera else self._file_pictures()

    def close(self) -> None:
        """Let go of the camera or file."""
        self._video.release()

    def _read_still(self) -> Picture:
        picture = cv2.imread(self._source, cv2.IMREAD_COLOR)
        if picture is None:
            raise SourceError(f"source {self._source!r} is damaged: OpenCV cannot read it")
        return np.asarray(picture, np.uint8)

    def _open_video(self) -> cv2.VideoCapture:
        video = cv2.VideoCapture(int(self._source) if self._source.isdigit() else self._source)
        if not video.isOpened():
            raise SourceError(
                f"source {self._source!r} cannot be opened: "
                + (
                    "is the camera there, free, and may you read it (group 'video')?"
                    if self.is_camera
                    else "it is no picture and no video that OpenCV can read"
                )
            )
        # The driver's queue would hand out pictures that are already old.
        video.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        return video

    def _camera_pictures(self) -> Iterator[SourcePicture]:
        while True:
            there, picture = self._video.read()
            if not there:
                raise SourceError(f"camera {self._source!r} gives no more pictures")
            yield SourcePicture(np.asarray(picture, np.uint8), time.monotonic())

    def _file_pictures(self) -> Iterator[SourcePicture]:
        own_rate = self._video.get(cv2.CAP_PROP_FPS)
        interval = 1 / (own_rate if own_rate > 0 else ASSUMED_RATE)
        start = time.monotonic()
        for number, picture in enumerate(self._frames()):
            due = start + number * interval
            time.sleep(max(0.0, due - time.monotonic()))
            yield SourcePicture(picture, due)

    def _frames(self) -> Iterator[Picture]:
        while True:
            empty = True
            for picture in self._frames_once():
                empty = False
                yield picture
            if empty:
                raise SourceError(f"source {self._source!r} holds no picture that can be read")
            if not self._loop:
                return

    def _frames_once(self) -> Iterator[Picture]:
        if self._still is not None:
            yield self._still
            return
        self._video.set(cv2.CAP_PROP_POS_FRAMES, 0)
        while True:
            there, picture = self._video.read()
            if not there:
                return
            yield np.asarray(picture, np.uint8)
