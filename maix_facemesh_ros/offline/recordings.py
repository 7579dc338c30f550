"""Recordings as cameras with images: bags, videos and folders of images behind one interface."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from maix_facemesh_ros.bags.storage import (
    Attachment,
    BagError,
    BagRecord,
    BagTopic,
    Damage,
    MetadataRecord,
)
from maix_facemesh_ros.image import Image

SECOND = 10**9


class NoImagesError(BagError):
    """The recording has no usable image; the message gives the reasons."""


@dataclass(frozen=True, slots=True)
class Camera:
    """A stream of images."""

    #: The topic of its images.
    topic: str
    #: The topic of its calibration; empty where there is none.
    camera_info: str = ""


class RecordedImage(NamedTuple):
    """A recorded image."""

    #: Nanoseconds.
    log_time: int
    #: Decodes it; raises ImageError where it cannot be used.
    read: Callable[[], Image]


class RecordedCalibration(NamedTuple):
    """The calibration of a camera, which holds for the images after it."""

    #: A serialized sensor_msgs/CameraInfo.
    data: bytes


class Recording(Protocol):
    """Something that is recorded."""

    @property
    def path(self) -> Path:
        """Where it is."""
        ...

    def path_of(self, log_time: int) -> Path:
        """Return the file of an image; where one file has several, the path of the recording."""
        ...

    @property
    def cameras(self) -> tuple[Camera, ...]:
        """The streams of images in it, at least one."""
        ...

    @property
    def can_be_cut(self) -> bool:
        """Whether images can be read from any place on, and so by several at once."""
        ...

    @property
    def is_stream(self) -> bool:
        """Whether the images are the frames of a stream, or independent stills."""
        ...

    @property
    def notes(self) -> list[str]:
        """Remarks on unusual parts."""
        ...

    @property
    def damage(self) -> Damage:
        """Damage found so far."""
        ...

    @property
    def topics(self) -> Sequence[BagTopic]:
        """The topics of its messages; none for a recording that is not a bag."""
        ...

    def log_times(self, camera: Camera) -> npt.NDArray[np.int64]:
        """Return the log time of each image in nanoseconds, in order."""
        ...

    def first_calibration(self, camera: Camera) -> bytes | None:
        """Return the first serialized CameraInfo of a camera; None where there is none."""
        ...

    def images(
        self, camera: Camera, start: int | None = None, stop: int | None = None
    ) -> Iterator[RecordedImage | RecordedCalibration]:
        """Yield the images of a camera, with log times from `start` to before `stop`, in order."""
        ...

    def records(self) -> Iterator[BagRecord]:
        """Yield all messages in the order of their log times."""
        ...

    def attachments(self) -> Iterator[Attachment]:
        """Yield its attachments."""
        ...

    def metadata_records(self) -> Iterator[MetadataRecord]:
        """Yield its metadata records."""
        ...

    def close(self) -> None:
        """Close the files."""
        ...
