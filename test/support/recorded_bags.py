"""Bags for tests: a face on the move before one or more cameras, in every storage there is."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore
from skimage import data

from maix_facemesh_ros.bags.reader import Bag
from maix_facemesh_ros.image import Pixels, Stamp
from maix_facemesh_ros.messages.compressed_image import JPEG_FORMAT

SECOND = 10**9
START = 1_700_000_000 * SECOND
INTERVAL = SECOND // 30
#: Nanoseconds from the stamp of an image until it is recorded.
LATENCY = 4_000_000

WIDTH, HEIGHT = 320, 240

TYPES = get_typestore(Stores.ROS2_JAZZY)

#: By storage and compression, as `ros2 bag record` and rosbags make them.
KINDS = [
    (StoragePlugin.MCAP, CompressionMode.NONE),
    (StoragePlugin.MCAP, CompressionMode.STORAGE),
    (StoragePlugin.MCAP, CompressionMode.MESSAGE),
    (StoragePlugin.MCAP, CompressionMode.FILE),
    (StoragePlugin.SQLITE3, CompressionMode.NONE),
    (StoragePlugin.SQLITE3, CompressionMode.MESSAGE),
    (StoragePlugin.SQLITE3, CompressionMode.FILE),
]


def kind_name(kind: tuple[StoragePlugin, CompressionMode]) -> str:
    return f"{kind[0].name}-{kind[1].name}".lower()


def scene(count: int, *, offset: int = 0) -> Iterator[Pixels]:
    """Give images, RGB: a face on the move, and for three images out of 40 a covered lens."""
    photo = np.asarray(data.astronaut(), np.uint8)
    for number in range(offset, offset + count):
        left = 70 + round(40 * np.sin(number / 9))
        top = 10 + round(10 * np.cos(number / 7))
        image = photo[top : top + HEIGHT, left : left + WIDTH]
        yield np.zeros_like(image) if number % 40 in (24, 25, 26) else image


def message_type(name: str) -> Any:
    return TYPES.types[name]


def header(stamp: int, frame_id: str = "camera") -> Any:
    time = message_type("builtin_interfaces/msg/Time")(stamp // SECOND, stamp % SECOND)
    return message_type("std_msgs/msg/Header")(time, frame_id)


def jpeg(image: Pixels) -> bytes:
    _, encoded = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])
    return encoded.tobytes()


def compressed_image(stamp: int, encoded: bytes) -> bytes:
    name = "sensor_msgs/msg/CompressedImage"
    pixels = np.frombuffer(encoded, np.uint8)
    message = message_type(name)(header(stamp), JPEG_FORMAT, pixels)
    return bytes(TYPES.serialize_cdr(message, name))


def raw_image(stamp: int, image: Pixels) -> bytes:
    name = "sensor_msgs/msg/Image"
    rows, columns = image.shape[:2]
    pixels = np.ascontiguousarray(image).reshape(-1)
    message = message_type(name)(header(stamp), rows, columns, "rgb8", 0, 3 * columns, pixels)
    return bytes(TYPES.serialize_cdr(message, name))


def camera_info(stamp: int, focal_length: float = 300.0) -> bytes:
    name = "sensor_msgs/msg/CameraInfo"
    f, x, y = focal_length, WIDTH / 2 - 0.5, HEIGHT / 2 - 0.5
    message = message_type(name)(
        header(stamp),
        HEIGHT,
        WIDTH,
        "plumb_bob",
        np.zeros(5),
        np.array([f, 0, x, 0, f, y, 0, 0, 1]),
        np.eye(3).reshape(-1),
        np.array([f, 0, x, 0, 0, f, y, 0, 0, 0, 1, 0]),
        0,
        0,
        message_type("sensor_msgs/msg/RegionOfInterest")(0, 0, 0, 0, False),
    )
    return bytes(TYPES.serialize_cdr(message, name))


def text(content: str) -> bytes:
    message = message_type("std_msgs/msg/String")(content)
    return bytes(TYPES.serialize_cdr(message, "std_msgs/msg/String"))


#: Topic, type, log time, CDR.
Recorded = tuple[str, str, int, bytes]


def camera_messages(
    images: Sequence[Pixels], namespace: str = "/camera", *, raw: bool = False
) -> list[Recorded]:
    """Return what a camera sends: its images, and its calibration before each."""
    recorded: list[Recorded] = []
    for number, pixels in enumerate(images):
        stamp = START + number * INTERVAL + 7 * number
        log_time = stamp + LATENCY
        info = (f"{namespace}/camera_info", "sensor_msgs/msg/CameraInfo")
        recorded.append((*info, log_time - 1000, camera_info(stamp)))
        if raw:
            image = (f"{namespace}/image_raw", "sensor_msgs/msg/Image")
            recorded.append((*image, log_time, raw_image(stamp, pixels)))
        else:
            image = (f"{namespace}/image_raw/compressed", "sensor_msgs/msg/CompressedImage")
            recorded.append((*image, log_time, compressed_image(stamp, jpeg(pixels))))
    return recorded


def write_bag(
    folder: Path,
    messages: Sequence[Recorded],
    kind: tuple[StoragePlugin, CompressionMode] = KINDS[0],
) -> Path:
    """Write messages into a new bag, in the order of their log times."""
    storage, compression = kind
    writer = Writer(folder, version=9, storage_plugin=storage)
    if compression is not CompressionMode.NONE:
        writer.set_compression(compression, CompressionFormat.ZSTD)
    with writer:
        connections: dict[str, Any] = {}
        for topic, name, log_time, serialized in sorted(messages, key=lambda each: each[2]):
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, name, typestore=TYPES)
            writer.write(connections[topic], log_time, serialized)
    return folder


def content_of(bag: Path) -> list[tuple[str, int, bytes]]:
    """Return topic, log time and data of every message."""
    with Bag(bag) as opened:
        return [(topic.name, log_time, data) for topic, log_time, data in opened.messages()]


def fingerprint(path: Path) -> dict[str, str]:
    """Return what changes when anything in a folder, or a file, does."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return {
        str(file.relative_to(path.parent)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
        if file.is_file()
    }


def storage_file(bag: Path) -> Path:
    (path,) = [each for each in bag.iterdir() if each.suffix != ".yaml"]
    return path


def stamp_of(message: Any) -> int:
    """Return the stamp in nanoseconds of a message with a header."""
    return int(message.header.stamp.sec) * SECOND + int(message.header.stamp.nanosec)


def seconds(stamp: int) -> float:
    return Stamp(stamp // SECOND, stamp % SECOND).seconds
