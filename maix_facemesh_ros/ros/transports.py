"""How images come on a topic, by the values of the parameter `image_transport`."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple, Protocol

from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image as ImageMessage

from maix_facemesh_ros.image import Image
from maix_facemesh_ros.messages.image import read_compressed_image
from maix_facemesh_ros.messages.video import (
    ReadPacket,
    VideoDecoder,
    VideoError,
    VideoFrame,
    read_compressed_video,
    read_ffmpeg_packet,
)
from maix_facemesh_ros.missing_packages import how_to_install
from maix_facemesh_ros.ros.cv_bridge_encodings import read_image_of_any_encoding
from maix_facemesh_ros.sources.base import SourceError


class Transport(Protocol):
    """Makes images of the messages of one topic."""

    @property
    def message_type(self) -> type:
        """The type of the messages."""
        ...

    def receive(self, message: bytes) -> Any:
        """Take a serialized message when it arrives; returns an item, in the reader's thread.

        Raises:
            ImageError: it cannot be used.
        """
        ...

    def read(self, item: Any) -> Image:
        """Return the image of an item, in the worker's thread.

        Raises:
            ImageError: it cannot be used.
        """
        ...

    def restart(self) -> None:
        """Messages are missing."""
        ...


class SingleImages:
    """Messages of one image each: one that is replaced by the next costs nothing."""

    def __init__(self, message_type: type, read: Callable[[bytes], Image]) -> None:
        self.message_type = message_type
        self._read = read

    def receive(self, message: bytes) -> bytes:
        """See `Transport`."""
        return message

    def read(self, item: bytes) -> Image:
        """See `Transport`; the pixels are a view of the message where nothing is converted."""
        return self._read(item)

    def restart(self) -> None:
        """See `Transport`."""


class VideoStream:
    """Messages of a video, which refer to the ones before: each is decoded when it arrives."""

    def __init__(self, message_type: type, read: ReadPacket) -> None:
        """Prepare.

        Raises:
            VideoError: PyAV is missing.
        """
        self.message_type = message_type
        self._decoder = VideoDecoder(read)

    def receive(self, message: bytes) -> VideoFrame:
        """See `Transport`."""
        return self._decoder.decode(message)

    def read(self, item: VideoFrame) -> Image:
        """See `Transport`."""
        return item.image()

    def restart(self) -> None:
        """See `Transport`."""
        self._decoder.restart()


class _VideoMessages(NamedTuple):
    """The messages of a video transport."""

    package: str
    message: str
    read: ReadPacket


#: By the value of `image_transport`, which is the ending of the topic too.
VIDEO_MESSAGES = {
    "foxglove": _VideoMessages("foxglove_msgs", "CompressedVideo", read_compressed_video),
    "ffmpeg": _VideoMessages("ffmpeg_image_transport_msgs", "FFMPEGPacket", read_ffmpeg_packet),
}


#: By the value of `image_transport`.
SINGLE_IMAGES = {
    "raw": SingleImages(ImageMessage, read_image_of_any_encoding),
    "compressed": SingleImages(CompressedImage, read_compressed_image),
}


def open_transport(name: str) -> Transport:
    """Return the transport of this name.

    Raises:
        SourceError: a package that it needs is missing.
    """
    if name in SINGLE_IMAGES:
        return SINGLE_IMAGES[name]
    package, message, read = VIDEO_MESSAGES[name]
    try:
        message_type = getattr(import_module(f"{package}.msg"), message)
        return VideoStream(message_type, read)
    except ImportError as error:
        raise SourceError(
            f"image_transport is {name!r}, which needs {package}: {how_to_install(package)}"
        ) from error
    except VideoError as error:
        raise SourceError(f"image_transport is {name!r}: {error}") from error
