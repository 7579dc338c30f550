"""Recordings as cameras with images: bags, videos and folders of images behind one interface."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from maix_facemesh_ros.bags.camera_topics import COMPRESSED, READERS, find_camera_topics
from maix_facemesh_ros.bags.files import METADATA, Storage, kind_of, storage_by_name
from maix_facemesh_ros.bags.message_types import CAMERA_INFO
from maix_facemesh_ros.bags.reader import Bag
from maix_facemesh_ros.bags.storage import (
    Attachment,
    BagError,
    BagRecord,
    BagTopic,
    Damage,
    MetadataRecord,
    UnpackLimits,
)
from maix_facemesh_ros.image import Image, ImageError, Stamp
from maix_facemesh_ros.sources.files import (
    AnimationFile,
    FileImage,
    ImageFileError,
    ImageFolder,
    StillFile,
    VideoFile,
    open_image_file,
)

SECOND = 10**9

#: Topic and frame of the images of a file, as if a camera had sent them.
FILE_TOPIC = "/image_raw"
FILE_FRAME = "camera_optical_frame"


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


class RecordedBag:
    """A bag with images in it."""

    can_be_cut = True
    is_stream = True

    def __init__(
        self,
        path: Path,
        topics: Sequence[str] = (),
        unpack_into: Path | None = None,
        limits: UnpackLimits | None = None,
    ) -> None:
        """Open it.

        Args:
            path: of the bag or of one of its files.
            topics: those of the images; none: all that are cameras, once each.
            unpack_into: folder for the contents of compressed files.
            limits: maximum unpacked sizes.

        Raises:
            BagError: it cannot be read, or has no such topic.
            NoImagesError: none of its topics is a camera.
        """
        self.path = path
        self._bag = Bag(path, unpack_into, limits)
        self.notes = self._bag.notes
        #: Usable image topics of a camera that are not used.
        self.alternatives: list[BagTopic] = []
        try:
            images = self._named(topics) if topics else self._all_images()
        except BagError:
            self._bag.close()
            raise
        self.cameras = tuple(Camera(topic.name, self._camera_info(topic)) for topic in images)

    def path_of(self, log_time: int) -> Path:  # noqa: ARG002
        """See `Recording`."""
        return self.path

    @property
    def topics(self) -> Sequence[BagTopic]:
        """See `Recording`."""
        return self._bag.topics

    @property
    def damage(self) -> Damage:
        """See `Recording`."""
        return self._bag.damage

    def log_times(self, camera: Camera) -> npt.NDArray[np.int64]:
        """See `Recording`."""
        return self._bag.log_times(camera.topic)

    def first_calibration(self, camera: Camera) -> bytes | None:
        """See `Recording`."""
        messages = self._bag.messages([camera.camera_info])
        return next((message.data for message in messages), None)

    def images(
        self, camera: Camera, start: int | None = None, stop: int | None = None
    ) -> Iterator[RecordedImage | RecordedCalibration]:
        """See `Recording`."""
        read = READERS[self._bag.topic(camera.topic).type]
        topics = [camera.topic] + [camera.camera_info] * bool(camera.camera_info)
        for topic, log_time, data in self._bag.messages(topics, start, stop):
            if topic.name == camera.topic:
                yield RecordedImage(log_time, partial(read, data))
            else:
                yield RecordedCalibration(data)

    def records(self) -> Iterator[BagRecord]:
        """See `Recording`."""
        return self._bag.records()

    def attachments(self) -> Iterator[Attachment]:
        """See `Recording`."""
        return self._bag.attachments()

    def metadata_records(self) -> Iterator[MetadataRecord]:
        """See `Recording`."""
        return self._bag.metadata_records()

    def close(self) -> None:
        """See `Recording`."""
        self._bag.close()

    def _named(self, names: Sequence[str]) -> list[BagTopic]:
        topics = [self._bag.topic(name) for name in names]
        for topic in topics:
            if topic.type not in READERS:
                raise BagError(
                    f"{self.path}: {topic.name} is of type {topic.type}, but images are "
                    f"{' or '.join(READERS)}"
                )
        return topics

    def _all_images(self) -> list[BagTopic]:
        """Return the topics that are cameras, and note why the others are not.

        Raises:
            NoImagesError: there are none.
        """
        found = find_camera_topics(self._bag)
        skipped = [str(topic) for topic in found.skipped]
        if not found.cameras:
            there = ", ".join(f"{topic.name} ({topic.type})" for topic in self._bag.topics)
            reasons = f"{'; '.join(skipped)}. Name one with --topics to use it anyway. "
            raise NoImagesError(
                f"{self.path} has no usable images: {reasons if skipped else ''}"
                f"Its topics are {there or 'none'}"
            )
        self.notes += skipped
        self.alternatives = found.alternatives
        return found.cameras

    def _camera_info(self, images: BagTopic) -> str:
        """Return the topic of the calibration, in the namespace of the images."""
        namespace = images.name.removesuffix(COMPRESSED).rpartition("/")[0]
        wanted = f"{namespace}/camera_info"
        there = [topic.name for topic in self._bag.topics if topic.type == CAMERA_INFO]
        return wanted if wanted in there else ""


class _Files:
    """Common base of videos and image files: their times count from zero."""

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


class RecordedStills(_Files):
    """An image file, or a folder of image files in natural order: at 30 Hz."""

    can_be_cut = True
    is_stream = False

    def __init__(self, path: Path, stills: StillFile | ImageFolder) -> None:
        super().__init__(path)
        self._stills = stills
        if isinstance(stills, ImageFolder) and stills.others:
            self.notes.append(f"{len(stills.others)} files are not images that OpenCV can read")

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


class RecordedVideo(_Files):
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


def open_recorded_file(path: Path) -> Recording:
    """Open a video, an image file or a folder of image files.

    Raises:
        BagError: OpenCV cannot read it.
        OSError: the file system does not let it be read.
    """
    try:
        file = open_image_file(path)
    except ImageFileError as error:
        kind = "a bag" if path.is_dir() else "a file of a bag (.mcap, .db3)"
        raise BagError(f"{path} is not {kind}, and {error}") from error
    if isinstance(file, StillFile | ImageFolder):
        return RecordedStills(path, file)
    return RecordedVideo(path, file)


def _message(image: FileImage) -> Image:
    if image.image is None:
        raise ImageError(image.error)
    return Image(image.image, "bgr", Stamp.from_seconds(image.seconds), FILE_FRAME, image.levels)


def open_recording(
    path: Path,
    topics: Sequence[str] = (),
    unpack_into: Path | None = None,
    limits: UnpackLimits | None = None,
) -> Recording:
    """Open a bag, a video or a folder of images.

    Args:
        path: of it.
        topics: of a bag, those of the images; none: all that there are.
        unpack_into: folder for the contents of compressed files.
        limits: maximum unpacked sizes.

    Raises:
        BagError: it cannot be read, or has no images.
    """
    try:
        if not path.exists():
            raise BagError(f"{path} does not exist")
        kind = _kind_of_folder(path) if path.is_dir() else kind_of(path)
        if isinstance(kind, Storage) or (path.is_file() and storage_by_name(path)):
            return RecordedBag(path, topics, unpack_into, limits)
        if kind is not None:
            raise BagError(f"{path} is {kind}")
        return open_recorded_file(path)
    except OSError as error:
        raise BagError(f"{error.filename or path} cannot be read: {error.strerror}") from error


def _kind_of_folder(path: Path) -> Storage | str | None:
    """Return whether a folder is a bag, or holds something else that is known and no images."""
    files = [each for each in path.iterdir() if each.is_file()]
    if any(each.name == METADATA or storage_by_name(each) for each in files):
        return Storage.MCAP
    try:
        open_recorded_file(path).close()
    except BagError:
        for each in files:
            kind = kind_of(each)
            if isinstance(kind, Storage):
                return kind
            if kind is not None:
                return f"no bag: {each.name} in it is {kind}"
    return None
