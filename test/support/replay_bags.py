"""Bags for the tests of replays, made the same every time."""

from __future__ import annotations

import dataclasses
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from rclpy.serialization import serialize_message
from rosbags.interfaces import Qos
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from skimage import data

from maix_facemesh_ros.bags.message_types import topic_of_type
from maix_facemesh_ros.bags.writer import BagWriter
from maix_facemesh_ros.image import Pixels
from maix_facemesh_ros.messages.compressed_image import JPEG_FORMAT

SECOND = 10**9

#: Nanoseconds: the first image's stamp, from one to the next, and from stamp to recording.
START, INTERVAL, DELAY = 1_700_000_000 * SECOND, SECOND // 10, SECOND // 100

WIDTH, HEIGHT = 320, 240


class BagMaker:
    """Writes messages into a new bag."""

    def __init__(self, folder: Path) -> None:
        self._writer = BagWriter(folder)

    def write(
        self,
        topic: str,
        message: Any,
        log_time: int,
        *,
        message_type: str = "",
        qos: Sequence[Qos] = (),
    ) -> None:
        """Write a message, or the bytes of a serialized one of the given type."""
        if not message_type:
            package, _, _ = type(message).__module__.partition(".")
            message_type = f"{package}/msg/{type(message).__name__}"
        self._writer.add_topic(
            dataclasses.replace(topic_of_type(topic, message_type), offered_qos=tuple(qos))
        )
        serialized = message if isinstance(message, bytes) else serialize_message(message)
        self._writer.write(topic, log_time, serialized)

    def __enter__(self) -> BagMaker:
        return self

    def __exit__(self, error_type: type[BaseException] | None, *rest: object) -> None:
        self._writer.__exit__(error_type, *rest)


def moving_scene() -> Iterator[Pixels]:
    """Give 30 images, 320x240: a face on the move, and for three images a covered lens."""
    photo = np.asarray(data.astronaut(), np.uint8)
    for number in range(30):
        left, top = 40 + 3 * number, 8 + abs(30 - 4 * number) // 2
        image = photo[top : top + HEIGHT, left : left + WIDTH]
        yield np.zeros_like(image) if 14 <= number < 17 else image


def stamps() -> Iterator[int]:
    """Give the stamps of a camera's images, ten in a second and not quite even."""
    number = 0
    while True:
        yield START + number * INTERVAL + 7 * number
        number += 1


def image_message(image: Pixels, stamp: int, *, jpeg: bool = False) -> Image | CompressedImage:
    """Return an RGB image as a camera's message; the stamp is in nanoseconds."""
    message = CompressedImage() if jpeg else Image()
    message.header.stamp = to_time(stamp)
    message.header.frame_id = "camera_optical_frame"
    if jpeg:
        message.format = JPEG_FORMAT
        quality = [cv2.IMWRITE_JPEG_QUALITY, 90]
        _, encoded = cv2.imencode(".jpg", image[:, :, ::-1], quality)
        message.data = array("B", encoded.tobytes())
    else:
        message.height, message.width = image.shape[:2]
        message.encoding, message.step = "rgb8", message.width * 3
        message.data = array("B", image.tobytes())
    return message


def camera_info(stamp: int, focal_length: float = 300.0) -> CameraInfo:
    """Return the calibration that belongs to an image of `moving_scene`."""
    info = CameraInfo(width=WIDTH, height=HEIGHT, distortion_model="plumb_bob", d=[0.0] * 5)
    info.header.stamp = to_time(stamp)
    info.header.frame_id = "camera_optical_frame"
    info.k = [focal_length, 0.0, WIDTH / 2, 0.0, focal_length, HEIGHT / 2, 0.0, 0.0, 1.0]
    return info


def image_bag(folder: Path) -> Path:
    """Return a new bag with one small black image."""
    with BagMaker(folder / "bag") as bag:
        bag.write("/camera/image_raw", image_message(np.zeros((8, 8, 3), np.uint8), START), START)
    return folder / "bag"


def to_time(nanoseconds: int) -> Time:
    """Return a stamp."""
    return Time(sec=nanoseconds // SECOND, nanosec=nanoseconds % SECOND)
