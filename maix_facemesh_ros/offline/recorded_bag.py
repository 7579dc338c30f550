"""A bag as a recording: its cameras, their images and calibrations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from maix_facemesh_ros.bags.camera_topics import READERS, VIDEO_READERS, find_camera_topics
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
from maix_facemesh_ros.image import Image, ImageError
from maix_facemesh_ros.messages.transport_names import base_topic
from maix_facemesh_ros.messages.video import VideoDecoder, why_no_video
from maix_facemesh_ros.offline.recordings import (
    SECOND,
    Camera,
    NoImagesError,
    RecordedCalibration,
    RecordedImage,
)


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
        *,
        videos: bool = True,
    ) -> None:
        """Open it.

        Args:
            path: of the bag or of one of its files.
            topics: those of the images; none: all that are cameras, once each.
            unpack_into: folder for the contents of compressed files.
            limits: maximum unpacked sizes.
            videos: whether H.264 and H.265 count as images.

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
            images = self._named(topics, videos) if topics else self._all_images(videos)
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
        message_type = self._bag.topic(camera.topic).type
        if message_type in VIDEO_READERS:
            yield from self._video_images(camera, start, stop)
            return
        read = READERS[message_type]
        topics = [camera.topic] + [camera.camera_info] * bool(camera.camera_info)
        for topic, log_time, data in self._bag.messages(topics, start, stop):
            if topic.name == camera.topic:
                yield RecordedImage(log_time, partial(read, data))
            else:
                yield RecordedCalibration(data)

    def _video_images(
        self, camera: Camera, start: int | None, stop: int | None
    ) -> Iterator[RecordedImage | RecordedCalibration]:
        """Yield the images of a video; decoding begins with the key frame before `start`."""
        decoder = VideoDecoder(VIDEO_READERS[self._bag.topic(camera.topic).type])
        topics = [camera.topic] + [camera.camera_info] * bool(camera.camera_info)
        begin = None if start is None else self._key_frame_before(camera, start)
        for topic, log_time, data in self._bag.messages(topics, begin, stop):
            is_wanted = start is None or log_time >= start
            if topic.name == camera.topic:
                image = _decoded(decoder, data)
                if is_wanted:
                    yield RecordedImage(log_time, image)
            elif is_wanted:
                yield RecordedCalibration(data)

    def _key_frame_before(self, camera: Camera, start: int) -> int | None:
        """Return the log time of the last key frame before a time; None: decode everything."""
        read_packet = VIDEO_READERS[self._bag.topic(camera.topic).type]
        first, stop = self._bag.log_times(camera.topic)[:1], start
        step = SECOND
        while len(first) and stop > first[0]:
            found = None
            for _, log_time, data in self._bag.messages([camera.topic], stop - step, stop):
                with suppress(ImageError):
                    found = log_time if read_packet(data).is_cut else found
            if found is not None:
                return found
            stop, step = stop - step, 2 * step
        return None

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

    def _named(self, names: Sequence[str], videos: bool) -> list[BagTopic]:
        topics = [self._bag.topic(name) for name in names]
        known = (*READERS, *VIDEO_READERS) if videos else (*READERS,)
        for topic in topics:
            if topic.type not in known:
                raise BagError(
                    f"{self.path}: {topic.name} is of type {topic.type}, but images are "
                    f"{' or '.join(known)}"
                )
            if topic.type in VIDEO_READERS and (reason := why_no_video()):
                raise BagError(f"{self.path}: {topic.name} cannot be decoded: {reason}")
        return topics

    def _all_images(self, videos: bool) -> list[BagTopic]:
        """Return the topics that are cameras, and note why the others are not.

        Raises:
            NoImagesError: there are none.
        """
        found = find_camera_topics(self._bag, videos=videos)
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
        namespace = base_topic(images.name).rpartition("/")[0]
        wanted = f"{namespace}/camera_info"
        there = [topic.name for topic in self._bag.topics if topic.type == CAMERA_INFO]
        return wanted if wanted in there else ""


def _decoded(decoder: VideoDecoder, message: bytes) -> Callable[[], Image]:
    """Decode the next message of a video; its error is raised where its image is wanted."""
    try:
        return decoder.decode(message).image
    except ImageError as error:
        return partial(_raise, error)


def _raise(error: ImageError) -> Image:
    raise error
