"""Videos, image files and folders of image files as recordings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt

from maix_facemesh_ros.bags.storage import (
    Attachment,
    BagRecord,
    BagTopic,
    Damage,
    MetadataRecord,
)
from maix_facemesh_ros.image import Image, ImageError, Stamp
from maix_facemesh_ros.offline.recordings import (
    SECOND,
    Camera,
    RecordedCalibration,
    RecordedImage,
)
from maix_facemesh_ros.sources.files import (
    AnimationFile,
    FileImage,
    ImageFolder,
    StillFile,
    VideoFile,
)
from maix_facemesh_ros.wording import counted

#: Topic and frame of the images of a file, as if a camera had sent them.
FILE_TOPIC = "/image_raw"
FILE_FRAME = "camera_optical_frame"


class FileRecording:
    """Common base of recordings that are not bags: one camera, no messages."""

    cameras = (Camera(FILE_TOPIC),)
    topics: Sequence[BagTopic] = ()

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notes: list[str] = []
        self.damage = Damage()

    def path_of(self, log_time: int) -> Path:  # noqa: ARG002
        """See `Recording`."""
        return self.path

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


class RecordedStills(FileRecording):
    """An image file, or a folder of image files in natural order: at 30 Hz."""

    can_be_cut = True
    is_stream = False

    def __init__(self, path: Path, stills: StillFile | ImageFolder) -> None:
        super().__init__(path)
        self._stills = stills
        if isinstance(stills, ImageFolder) and stills.others:
            others = counted(len(stills.others), "file")
            self.notes.append(f"not images that OpenCV can read: {others}")

    def path_of(self, log_time: int) -> Path:
        """See `Recording`."""
        if isinstance(self._stills, StillFile):
            return self.path
        return self._stills.files[round(log_time / SECOND / self._stills.interval)]

    def log_times(self, camera: Camera) -> npt.NDArray[np.int64]:  # noqa: ARG002
        """See `Recording`."""
        return np.array([self._due(number) for number in range(len(self._stills))], np.int64)

    def images(
        self,
        camera: Camera,  # noqa: ARG002
        start: int | None = None,
        stop: int | None = None,
    ) -> Iterator[RecordedImage | RecordedCalibration]:
        """See `Recording`."""
        for number in range(len(self._stills)):
            due = self._due(number)
            if (start is None or due >= start) and (stop is None or due < stop):
                yield RecordedImage(due, partial(self._read, number))

    def close(self) -> None:
        """See `Recording`."""

    def _due(self, number: int) -> int:
        return round(number * self._stills.interval * SECOND)

    def _read(self, number: int) -> Image:
        return _message(self._stills.image(number))


class RecordedVideo(FileRecording):
    """A video or animation. It is read from its beginning, as seeking in videos is not exact."""

    can_be_cut = False
    is_stream = True

    def __init__(self, path: Path, video: VideoFile | AnimationFile) -> None:
        super().__init__(path)
        self._video = video
        self._images = video.images()
        #: The image that is given next, and the time of the last one that was given.
        self._waiting: FileImage | None = None
        self._given_until = -1

    def log_times(self, camera: Camera) -> npt.NDArray[np.int64]:  # noqa: ARG002
        """See `Recording`: an estimate, as the file does not tell before it is decoded."""
        numbers = np.arange(self._video.expected_images)
        return np.array(np.rint(numbers * (self._video.interval * SECOND)), np.int64)

    def images(
        self,
        camera: Camera,  # noqa: ARG002
        start: int | None = None,
        stop: int | None = None,
    ) -> Iterator[RecordedImage | RecordedCalibration]:
        """See `Recording`; where the last call has stopped, it continues without a search."""
        if start is None or start <= self._given_until:
            self._images, self._waiting, self._given_until = self._video.images(), None, -1
        waiting = () if self._waiting is None else (self._waiting,)
        for image in chain(waiting, self._images):
            time = round(image.seconds * SECOND)
            if stop is not None and time >= stop:
                self._waiting = image
                return
            self._waiting, self._given_until = None, time
            if start is None or time >= start:
                yield RecordedImage(time, partial(_message, image))

    def close(self) -> None:
        """See `Recording`."""
        self._video.close()


def _message(image: FileImage) -> Image:
    if image.image is None:
        raise ImageError(image.error)
    return Image(image.image, "bgr", Stamp.from_seconds(image.seconds), FILE_FRAME, image.levels)
