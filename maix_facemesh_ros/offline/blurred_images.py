"""Copies of recorded images with their faces blurred: `facemesh_bag --blur`."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from maix_facemesh_ros.bags.camera_topics import READERS
from maix_facemesh_ros.bags.message_types import deserialize, package, serialize
from maix_facemesh_ros.bags.storage import BagError, BagRecord
from maix_facemesh_ros.blur import GROWTH, HELD_SECONDS, BlurRegion, FaceBlur, blur_region
from maix_facemesh_ros.face import Face
from maix_facemesh_ros.messages.compressed_image import encode_jpeg
from maix_facemesh_ros.offline.segment_faces import ImageFaces

#: Types of messages that show people. Those that are not blurred are not copied either.
IMAGE_TYPES = (
    *READERS,
    "ffmpeg_image_transport_msgs/msg/FFMPEGPacket",
    "foxglove_msgs/msg/CompressedImage",
    "foxglove_msgs/msg/CompressedVideo",
    "foxglove_msgs/msg/RawImage",
    "stereo_msgs/msg/DisparityImage",
    "theora_image_transport/msg/Packet",
)

#: Encodings that are blurred as they are, by their number of channels; of all others the color.
CHANNELS = {
    **dict.fromkeys(("rgb8", "bgr8", "8UC3"), 3),
    **dict.fromkeys(("rgba8", "bgra8", "8UC4"), 4),
    **dict.fromkeys(("mono8", "8UC1"), 1),
}

#: Quality of a JPEG that is encoded a second time, 1 to 100.
JPEG_QUALITY = 95

#: An image and its faces.
Found = tuple[ImageFaces, list[Face]]


class BlurredImages:
    """The images of one camera with their faces blurred, in the order of the recording.

    A face is blurred in the images of `HELD_SECONDS` before its first detection too.
    """

    def __init__(self, found: Iterator[Found]) -> None:
        """Start before the first image.

        Args:
            found: every image of the camera and its faces, in order.
        """
        self._found = found
        self._ahead: deque[Found] = deque()
        self._blur = FaceBlur()
        #: Images that could not be decoded, and so are left out.
        self.left_out = 0

    def next(self, record: BagRecord) -> BagRecord | None:
        """Return the next image of the recording, blurred; None if it cannot be decoded.

        Raises:
            BagError: the records are not in the order of the images.
        """
        self._read_ahead()
        image, faces = self._ahead.popleft() if self._ahead else (None, [])
        if image is None or image.log_time != record.log_time:
            # An image that is not recognized must not be copied as it is.
            raise BagError(f"{record.topic.name} cannot be blurred: its messages are out of order")
        if image.error:
            self.left_out += 1
            return None
        seconds = image.stamp.seconds
        regions = self._blur.regions(faces, seconds)
        regions += self._regions_of_later_faces(faces, seconds)
        if not regions:
            return record
        return record._replace(data=_blurred(record, regions))

    def _read_ahead(self) -> None:
        """Read the images of the next `HELD_SECONDS`, and one at least."""
        while not self._ahead or (
            self._ahead[-1][0].log_time - self._ahead[0][0].log_time <= HELD_SECONDS * 1e9
        ):
            each = next(self._found, None)
            if each is None:
                return
            self._ahead.append(each)

    def _regions_of_later_faces(
        self, faces: Sequence[Face], seconds: float
    ) -> Iterator[BlurRegion]:
        """Yield where faces that are found a moment later may be already."""
        known = {face.id for face in faces} | {0}
        for image, later in self._ahead:
            wait = image.stamp.seconds - seconds
            if not 0.0 <= wait <= HELD_SECONDS:
                continue
            for face in later:
                if face.id not in known:
                    known.add(face.id)
                    region = BlurRegion.of(face)
                    yield region.grown(GROWTH * (region.right - region.left) * wait)


def _blurred(record: BagRecord, regions: Sequence[BlurRegion]) -> bytes:
    """Return a serialized image with some regions blurred.

    Encodings other than those in `CHANNELS` become bgr8; a compressed image becomes a JPEG.
    """
    message = deserialize(record.data, record.topic.type)
    channels = CHANNELS.get(getattr(message, "encoding", ""))
    if channels is not None:
        height, width, step = message.height, message.width, message.step
        rows = message.data[: height * step].reshape(height, step).copy()
        pixels = rows[:, : channels * width].reshape(height, width, channels)
        for region in regions:
            blur_region(pixels, region)
        rows[:, : channels * width] = pixels.reshape(height, -1)
        return serialize(replace(message, data=rows.reshape(-1)))
    image = READERS[record.topic.type](record.data)
    bgr = np.array(image.bgr, np.uint8, order="C")
    for region in regions:
        blur_region(bgr, region)
    make = _compressed if hasattr(message, "format") else _raw
    return serialize(make(message, bgr))


def _compressed(message: Any, bgr: Any) -> Any:
    data = np.frombuffer(encode_jpeg(bgr, JPEG_QUALITY), np.uint8)
    return replace(message, format="bgr8; jpeg compressed bgr8", data=data)


def _raw(message: Any, bgr: Any) -> Any:
    height, width = bgr.shape[:2]
    return package("sensor_msgs").Image(
        header=message.header,
        height=height,
        width=width,
        encoding="bgr8",
        step=3 * width,
        data=bgr.reshape(-1),
    )
