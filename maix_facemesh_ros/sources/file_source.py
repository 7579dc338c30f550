"""A file or folder as an image source: every image, each when it is due."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

from maix_facemesh_ros.image import Image, Levels, Pixels, Stamp
from maix_facemesh_ros.sources.base import Report, SourceError, SourceNotice
from maix_facemesh_ros.sources.files import ImageFile, ImageFolder
from maix_facemesh_ros.wording import counted


class FileSource:
    """An image file, a video file or a folder: every image, each when it is due."""

    is_live = False

    def __init__(self, name: str, file: ImageFile, loop: bool, report: Report) -> None:
        self.name = name
        self._file = file
        self._loop = loop
        self._report = report
        self._named: set[str] = set()
        self._closing = threading.Event()

    def images(self) -> Iterator[Image]:
        """Yield the images at the times of the file until it ends or is closed.

        Raises:
            SourceError: no image in it can be read.
        """
        start = time.monotonic()
        for seconds, image, levels in self._all_images():
            due = start + seconds
            if self._closing.wait(max(0.0, due - time.monotonic())):
                return
            yield Image(image, "bgr", Stamp.from_seconds(due), levels=levels)
        if not self._closing.is_set():
            self._file.close()

    def close(self) -> None:
        """End the iteration, from any thread."""
        self._closing.set()

    def _all_images(self) -> Iterator[tuple[float, Pixels, Levels | None]]:
        """Yield the images with the seconds since the first one, optionally in a loop."""
        begin = 0.0
        if isinstance(self._file, ImageFolder):
            for path in self._file.others:
                self._name_once(f"{str(path)!r} is not an image that OpenCV can read")
        while True:
            skipped = given = 0
            seconds = 0.0
            for image in self._file.images():
                if image.image is None:
                    skipped += 1
                    if isinstance(self._file, ImageFolder):
                        self._name_once(image.error)
                    continue
                given += 1
                seconds = image.seconds
                yield begin + seconds, image.image, image.levels
            if not given:
                raise SourceError(f"source {self.name!r} holds no image that can be read")
            if skipped and not isinstance(self._file, ImageFolder):
                self._name_once(
                    f"source {self.name!r}: {counted(skipped, 'frame')} cannot be decoded"
                )
            if not self._loop:
                return
            begin += seconds + self._file.interval

    def _name_once(self, what: str) -> None:
        if what not in self._named:
            self._named.add(what)
            self._report(SourceNotice(f"{what}; skipped", warning=True))
