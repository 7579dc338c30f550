"""Cameras and URLs: live sources, which never end and always deliver the latest image."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterator

import cv2

from maix_facemesh_ros.image import Image, Stamp
from maix_facemesh_ros.sources.base import Report, SourceError, Watchdog
from maix_facemesh_ros.sources.files import next_frame
from maix_facemesh_ros.sources.names import URL, public_name
from maix_facemesh_ros.wording import counted

#: Seconds that FFMPEG may take to open a URL (name, connection, first images), and to wait for an
#: image before the URL is opened again: a connection whose other end was switched off looks like
#: one that is slow.
OPEN_TIMEOUT = 10.0
READ_TIMEOUT = 5.0

#: Seconds between two attempts to open a live source: the first, and the longest.
FIRST_WAIT = 0.5
LONGEST_WAIT = 5.0


class LiveSource:
    """A camera or a URL: always the latest image.

    If it ends, stalls or vanishes, that is reported once, and it is reopened until it is back. A
    stream that changes the size of its images is scaled to its first size, by OpenCV.
    """

    is_live = True

    def __init__(self, source: str, report: Report) -> None:
        """Open a camera; a URL is opened by `images`.

        A camera that is not there at the start is refused: most likely its number is wrong. A URL
        is tried for as long as it takes, because a network camera that still starts looks like one
        that does not exist, and because opening one may take longer than a start should.

        Raises:
            SourceError: there is no such camera, or it cannot be opened.
        """
        self.name = public_name(source)
        self._source = source
        self._is_url = URL.match(source) is not None
        self._closing = threading.Event()
        self._watchdog = Watchdog(self.name, report)
        self._opened: cv2.VideoCapture | None = None
        if not self._is_url:
            self._opened = self._open()
            if self._opened is None:
                raise SourceError(
                    f"source {source!r} cannot be opened: is the camera there, free, and may you "
                    "read it (group 'video')?"
                )

    def images(self) -> Iterator[Image]:
        """Yield images until the source is closed; a read can block.

        Only this thread touches the camera or connection: OpenCV has no way to end a read from
        another one.
        """
        self._watchdog.start(self._closing)
        wait = FIRST_WAIT
        while not self._closing.is_set():
            lasted = yield from self._images_until_lost()
            # One that breaks down over and over is not opened twice a second.
            if lasted > LONGEST_WAIT:
                wait = FIRST_WAIT
            self._closing.wait(wait)
            wait = min(2 * wait, LONGEST_WAIT)

    def close(self) -> None:
        """End the iteration, from any thread; a blocking read is not interrupted."""
        self._closing.set()

    def _images_until_lost(self) -> Generator[Image, None, float]:
        """Yield images until the source ends; returns the seconds for which it delivered images."""
        video, self._opened = self._opened or self._open(), None
        if video is None:
            self._watchdog.lost("cannot be opened")
            return 0.0
        number = 0
        opened_at = taken_at = time.monotonic()
        try:
            while not self._closing.is_set():
                image = next_frame(video)
                if image is None:
                    self._watchdog.lost(f"has ended after {counted(number, 'image')}")
                    break
                number += 1
                taken_at = time.monotonic()
                self._watchdog.image_came(taken_at)
                yield Image(image, "bgr", Stamp.from_seconds(taken_at))
        finally:
            video.release()
        return taken_at - opened_at

    def _open(self) -> cv2.VideoCapture | None:
        video = _open_url(self._source) if self._is_url else _open_camera(self._source)
        return video if video.isOpened() else None


def _open_camera(source: str) -> cv2.VideoCapture:
    video = cv2.VideoCapture(int(source) if source.isdigit() else source)
    # The driver's queue would hand out images that are already old.
    video.set(cv2.CAP_PROP_BUFFERSIZE, 1)
    return video


def _open_url(url: str) -> cv2.VideoCapture:
    # FFMPEG by name: other backends of OpenCV have no timeouts, and print the URL with its password
    # when they cannot open it.
    parameters = [
        *(cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, round(1000 * OPEN_TIMEOUT)),
        *(cv2.CAP_PROP_READ_TIMEOUT_MSEC, round(1000 * READ_TIMEOUT)),
    ]
    if hasattr(cv2, "CAP_PROP_N_THREADS"):  # OpenCV 4.6
        # FFMPEG decodes as many images at once as it has threads, and holds each back until the
        # next ones have come: with 8 threads and 25 images a second, 0.28 s.
        parameters += [cv2.CAP_PROP_N_THREADS, 1]
    return cv2.VideoCapture(url, cv2.CAP_FFMPEG, parameters)
