"""Recognizes the camera topics of a bag, by their messages and not by words in their names.

A topic of images is not a camera when it contains depth or a mask, when this package has published
it, or when none of its messages can be used. Of the same images raw and compressed, the topic with
more usable messages is used.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from maix_facemesh_ros.bags.message_types import deserialize
from maix_facemesh_ros.bags.reader import Bag
from maix_facemesh_ros.bags.storage import BagTopic
from maix_facemesh_ros.image import Image, ImageError
from maix_facemesh_ros.messages.compressed_image import check_compressed, decode_unchanged
from maix_facemesh_ros.messages.image import read_compressed_image, read_image
from maix_facemesh_ros.messages.transport_names import base_topic
from maix_facemesh_ros.messages.video import (
    ReadPacket,
    read_compressed_video,
    read_ffmpeg_packet,
    why_no_video,
)
from maix_facemesh_ros.wording import counted

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"

#: Function that reads an image, by the type of its topic: each message has a whole one.
READERS: dict[str, Callable[[bytes], Image]] = {
    IMAGE: read_image,
    COMPRESSED_IMAGE: read_compressed_image,
}

#: Function that reads a packet of a video, by the type of its topic.
VIDEO_READERS: dict[str, ReadPacket] = {
    "foxglove_msgs/msg/CompressedVideo": read_compressed_video,
    "ffmpeg_image_transport_msgs/msg/FFMPEGPacket": read_ffmpeg_packet,
}

#: Images that this package publishes, and those of REP-155's other publishers, by any transport.
PUBLISHED_BY_US = re.compile(
    r"/image_(annotated|blurred)(/\w+)?$|^(/.*)?/humans/faces/[^/]+/(cropped|aligned)(/\w+)?$"
)

#: Encodings of distances (REP-118): 16 bits are millimeters, floating point are meters.
DISTANCE_ENCODINGS = ("16UC1", "32FC1", "64FC1")

#: Messages of a topic that are looked into, spread over all of it; of a topic with fewer, all.
SAMPLES = 24

#: A 16-bit gray image holds distances where this part of its pixels is zero, without a measurement,
#: and all but this part of the others is above the shortest distance that a sensor measures, in
#: millimeters, and above this multiple of the usual step from one level to the next. Levels of an
#: image begin next to zero.
NOT_MEASURED = 1e-3
SHORTEST_DISTANCE = 100
STEPS_FROM_ZERO = 10

#: An 8-bit gray image with at most this number of levels is a mask or a confidence, such as the 16
#: of a RealSense, if the levels are far apart. Those of a dark image are next to each other.
MASK_LEVELS = 16
LEVELS_APART = 4


@dataclass(frozen=True, slots=True)
class SkippedTopic:
    """An image topic that is not a camera."""

    name: str
    reason: str
    #: Messages on it.
    count: int

    def __str__(self) -> str:
        return f"{self.name} is skipped ({counted(self.count, 'message')}): {self.reason}"


@dataclass(slots=True)
class CameraTopics:
    """The topics of images in a bag."""

    cameras: list[BagTopic] = field(default_factory=list)
    #: Usable too, but another topic has the same images.
    alternatives: list[BagTopic] = field(default_factory=list)
    #: In the order of their names, with `alternatives`.
    skipped: list[SkippedTopic] = field(default_factory=list)


@dataclass(slots=True)
class _Content:
    """Content of the examined messages of a topic."""

    topic: BagTopic
    usable: int = 0
    #: Messages that are no image of a camera, and those that cannot be used, by the reason.
    other: Counter[str] = field(default_factory=Counter)

    @property
    def seen(self) -> int:
        return self.usable + self.other.total()

    @property
    def usable_messages(self) -> int:
        """How many messages of the topic are usable; an estimate where not all were seen."""
        return round(self.topic.message_count * self.usable / max(self.seen, 1))

    @property
    def number(self) -> str:
        """The same in words."""
        exact = self.seen >= self.topic.message_count
        return f"{'' if exact else 'about '}{counted(self.usable_messages, 'usable message')}"


def find_camera_topics(bag: Bag, *, videos: bool = True) -> CameraTopics:
    """Return which topics of a bag are cameras, and why the others are not.

    Args:
        bag: with any topics.
        videos: whether H.264 and H.265 count as images.
    """
    known = {*READERS, *VIDEO_READERS} if videos else {*READERS}
    found = CameraTopics()
    groups: defaultdict[str, list[_Content]] = defaultdict(list)
    for topic in bag.topics:
        if topic.type not in known:
            continue
        if reason := _reason_by_name(topic):
            found.skipped.append(SkippedTopic(topic.name, reason, topic.message_count))
            continue
        content = _look_into(bag, topic)
        if content.usable:
            groups[base_topic(topic.name)].append(content)
        else:
            reason = _main_reason(content)
            found.skipped.append(SkippedTopic(topic.name, reason, topic.message_count))
    for contents in groups.values():
        # Of as many, the topic that is not compressed, whose name is the shortest; no video.
        best = min(
            contents,
            key=lambda each: (
                -each.usable_messages,
                each.topic.type in VIDEO_READERS,
                len(each.topic.name),
            ),
        )
        found.cameras.append(best.topic)
        for other in contents:
            if other is not best:
                found.alternatives.append(other.topic)
                reason = (
                    f"{best.topic.name} has the same images: {best.number} there, "
                    f"{other.number} here"
                )
                found.skipped.append(
                    SkippedTopic(other.topic.name, reason, other.topic.message_count)
                )
    found.skipped.sort(key=lambda skipped: skipped.name)
    return found


def _reason_by_name(topic: BagTopic) -> str:
    """Return why a topic is not a camera by its name and type; empty if it may be one."""
    if not topic.message_count:
        return "it has no messages"
    if PUBLISHED_BY_US.search(topic.name):
        return "these images are published by facemesh_node, not by a camera"
    return ""


def _main_reason(content: _Content) -> str:
    if not content.seen:
        return "none of its messages can be read"
    (reason, count), *rest = content.other.most_common()
    more = f" ({count} of {content.seen}, and {counted(len(rest), 'other reason')})" if rest else ""
    return reason + more


def _look_into(bag: Bag, topic: BagTopic) -> _Content:
    """Examine some messages of a topic, and all of them until one is usable."""
    content = _Content(topic)
    for data in _samples(bag, topic):
        if reason := _why_no_image(topic.type, data):
            content.other[reason] += 1
        else:
            content.usable += 1
    if content.usable or content.seen >= topic.message_count or _is_of_another_kind(content):
        return content
    rest = _Content(topic)
    for message in bag.messages([topic.name]):
        if reason := _why_no_image(topic.type, message.data):
            rest.other[reason] += 1
        else:
            rest.usable += 1
            break
    return rest


def _is_of_another_kind(content: _Content) -> bool:
    """Whether all that was seen is something else than images, and well readable."""
    return set(content.other) <= {*_OTHER_KINDS.values()}


def _samples(bag: Bag, topic: BagTopic) -> Iterator[bytes]:
    if topic.message_count <= SAMPLES:
        yield from (message.data for message in bag.messages([topic.name]))
        return
    times = bag.log_times(topic.name)
    places = np.unique(np.linspace(0, len(times) - 1, min(SAMPLES, len(times))).astype(int))
    for time in np.unique(times[places]).tolist():
        for message in bag.messages([topic.name], time, time + 1):
            yield message.data
            break


_OTHER_KINDS = {
    "distances": "its images hold distances",
    "mask": "its images hold a mask or a confidence, with a few gray levels far apart",
}


def _why_no_image(message_type: str, data: bytes) -> str:
    """Return why a message is not an image of a camera; empty if it is one."""
    if message_type in VIDEO_READERS:
        return _why_no_packet(message_type, data)
    encoding, gray = "", None
    try:
        message = deserialize(data, message_type)
        encoding = message.encoding if message_type == IMAGE else message.format
    except Exception:  # damaged, with a reason from the reader
        message = None
    if encoding.startswith(DISTANCE_ENCODINGS) or "compressedDepth" in encoding:
        return _OTHER_KINDS["distances"]
    try:
        READERS[message_type](data)
    except ImageError as error:
        return str(error)
    if message is not None:
        gray = _gray_of(message) if message_type == IMAGE else _gray_of_compressed(message)
    if gray is None:
        return ""
    if gray.dtype.itemsize == 2:
        return _OTHER_KINDS["distances"] if _are_distances(gray) else ""
    return _OTHER_KINDS["mask"] if _is_mask(gray) else ""


def _why_no_packet(message_type: str, data: bytes) -> str:
    """Return why a message is not a packet of a video; it is not decoded."""
    try:
        VIDEO_READERS[message_type](data)
    except ImageError as error:
        return str(error)
    return why_no_video()


def _gray_of(message: Any) -> npt.NDArray[Any] | None:
    """Return the pixels of a gray image, uint8 or uint16 (height, width); None of any other."""
    if message.encoding not in ("mono8", "8UC1", "mono16"):
        return None
    rows = message.data[: message.height * message.step].reshape(message.height, message.step)
    if message.encoding != "mono16":
        return np.asarray(rows[:, : message.width])
    kind = ">u2" if message.is_bigendian else "<u2"
    return np.ascontiguousarray(rows[:, : 2 * message.width]).view(kind)


def _gray_of_compressed(message: Any) -> npt.NDArray[Any] | None:
    if not message.format.startswith(("mono", "8UC1")):
        return None
    gray = decode_unchanged(check_compressed(message.data.tobytes()))
    return gray if gray is not None and gray.ndim == 2 else None


def _are_distances(gray: npt.NDArray[Any]) -> bool:
    measured = gray[gray > 0]
    if not len(measured) or 1.0 - measured.size / gray.size < NOT_MEASURED:
        return False
    shortest = float(np.quantile(measured, NOT_MEASURED))
    steps = np.diff(np.unique(measured).astype(np.int64))
    step = float(np.median(steps)) if len(steps) else 0.0
    return shortest >= max(SHORTEST_DISTANCE, STEPS_FROM_ZERO * step)


def _is_mask(gray: npt.NDArray[Any]) -> bool:
    (levels,) = np.nonzero(np.bincount(gray.reshape(-1), minlength=256))
    return 1 < len(levels) <= MASK_LEVELS and int(levels[-1]) >= LEVELS_APART * len(levels)
