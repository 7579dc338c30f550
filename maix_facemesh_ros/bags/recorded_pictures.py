"""Videos and folders of pictures as recordings: without stamps, so these count from zero."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from maix_facemesh_ros.bags.bag_file import (
    Attachment,
    BagError,
    BagRecord,
    BagTopic,
    Damage,
    MetadataRecord,
)
from maix_facemesh_ros.bags.recordings import SECOND, Camera, RecordedCalibration, RecordedPicture
from maix_facemesh_ros.compressed_image import read_image_file
from maix_facemesh_ros.face import Picture
from maix_facemesh_ros.image_message import ImageMessage, Stamp

#: The topic of the pictures, as if a camera had sent them, and their frame.
TOPIC = "/image_raw"
FRAME = "camera_optical_frame"

#: Pictures a second of a folder, and of a video that does not say it.
ASSUMED_RATE = 30.0


class _Pictures:
    """What videos and folders have in common."""

    cameras = (Camera(TOPIC),)
    topics: Sequence[BagTopic] = ()

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notes: list[str] = []
        self.damage = Damage()

    def first_calibration(self, camera: Camera) -> bytes | None:  # noqa: ARG002
        """See `Recording`: there is none."""
        return None

    def records(self) -> Iterator[BagRecord]:
        """See `Recording`: there are none."""
        return iter(())

    def attachments(self) -> Iterator[Attachment]:
        """See `Recording`: there are none."""
        return iter(())

    def metadata_records(self) -> Iterator[MetadataRecord]:
        """See `Recording`: there are none."""
        return iter(())

    def close(self) -> None:
        """See `Recording`."""


class RecordedFolder(_Pictures):
    """A folder of pictures, in the order in which people count, 30 a second."""

    can_be_cut = True

    def __init__(self, path: Path) -> None:
        """List it.

        Raises:
            BagError: there is no picture in it.
        """
        super().__init__(path)
        files = sorted((each for each in path.iterdir() if each.is_file()), key=_natural)
        self._files = [each for each in files if cv2.haveImageReader(str(each))]
        if not self._files:
            raise BagError(f"{path} is neither a bag nor a folder with pictures in it")
        if len(self._files) < len(files):
            self.notes.append(f"{len(files) - len(self._files)} files are no pictures")

    def log_times(self, camera: Camera) -> npt.NDArray[np.int64]:  # noqa: ARG002
        """See `Recording`."""
        return np.array([_due(n, ASSUMED_RATE) for n in range(len(self._files))], np.int64)

    def pictures(
        self,
        camera: Camera,  # noqa: ARG002
        start: int | None = None,
        stop: int | None = None,
    ) -> Iterator[RecordedPicture | RecordedCalibration]:
        """See `Recording`."""
        for number, path in enumerate(self._files):
            due = _due(number, ASSUMED_RATE)
            if (start is None or due >= start) and (stop is None or due < stop):
                yield RecordedPicture(due, partial(_read_file, path, due))


class RecordedVideo(_Pictures):
    """A video file. It is read from its beginning on, as places in videos are not exact."""

    can_be_cut = False

    def __init__(self, path: Path) -> None:
        """Open it.

        Raises:
            BagError: OpenCV cannot read it.
        """
        super().__init__(path)
        self._video = self._opened()
        rate = self._video.get(cv2.CAP_PROP_FPS)
        self._rate = rate if rate > 0 else ASSUMED_RATE
        #: Number of the picture that is read next.
        self._next = 0

    def log_times(self, camera: Camera) -> npt.NDArray[np.int64]:  # noqa: ARG002
        """See `Recording`; a video only says about how many pictures there are."""
        expected = int(self._video.get(cv2.CAP_PROP_FRAME_COUNT))
        if expected <= 0:
            counted = self._opened()
            expected = 0
            while counted.grab():
                expected += 1
            counted.release()
        return np.array([_due(n, self._rate) for n in range(expected)], np.int64)

    def pictures(
        self,
        camera: Camera,  # noqa: ARG002
        start: int | None = None,
        stop: int | None = None,
    ) -> Iterator[RecordedPicture | RecordedCalibration]:
        """See `Recording`; where the last call has stopped, it goes on without a search."""
        if start is not None and start < _due(self._next, self._rate):
            self._video.release()
            self._video, self._next = self._opened(), 0
        while stop is None or _due(self._next, self._rate) < stop:
            due = _due(self._next, self._rate)
            there, picture = self._video.read()
            if not there:
                return
            self._next += 1
            if start is None or due >= start:
                yield RecordedPicture(due, partial(_message, np.asarray(picture, np.uint8), due))

    def close(self) -> None:
        """See `Recording`."""
        self._video.release()

    def _opened(self) -> cv2.VideoCapture:
        video = cv2.VideoCapture(str(self.path))
        if not video.isOpened():
            raise BagError(
                f"{self.path} cannot be opened: it is no file of a bag (.mcap, .db3), no folder "
                "and no video that OpenCV can read"
            )
        return video


def _due(number: int, rate: float) -> int:
    return round(number * SECOND / rate)


def _read_file(path: Path, due: int) -> ImageMessage:
    return _message(read_image_file(path).picture, due)


def _message(picture: Picture, due: int) -> ImageMessage:
    return ImageMessage(Stamp(due // SECOND, due % SECOND), FRAME, picture, bgr=True)


def _natural(path: Path) -> list[tuple[int, str]]:
    """Return what sorts face2.png before face10.png."""
    parts = re.findall(r"([0-9]+)|([^0-9]+)", path.name.casefold())
    return [(int(number or -1), text) for number, text in parts]
