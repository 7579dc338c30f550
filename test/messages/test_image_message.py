"""Images read from serialized sensor_msgs/Image without rclpy's copy."""

from __future__ import annotations

from array import array

import numpy as np
import numpy.typing as npt
import pytest
from rclpy.serialization import serialize_message
from rosbags.typesys import Stores, get_typestore
from sensor_msgs.msg import Image

from maix_facemesh_ros.image import ImageError
from maix_facemesh_ros.messages.image import read_image

PIXELS: npt.NDArray[np.uint8] = np.random.default_rng(0).integers(0, 255, (5, 7, 3), np.uint8)


def serialized(
    pixels: npt.NDArray[np.uint8] = PIXELS,
    encoding: str = "rgb8",
    padding: int = 0,
    frame_id: str = "camera",
    **fields: int,
) -> bytes:
    height, width = pixels.shape[:2]
    rows = np.pad(pixels.reshape(height, -1), ((0, 0), (0, padding)))
    message = Image(height=height, width=width, encoding=encoding, step=rows.shape[1])
    message.header.stamp.sec, message.header.stamp.nanosec = -5, 999_999_999
    message.header.frame_id = frame_id
    message.data = array("B", rows.tobytes())
    for name, value in fields.items():
        setattr(message, name, value)
    return bytes(serialize_message(message))


@pytest.mark.parametrize("frame_id", ["", "a", "ab", "abc", "abcd", "camera_ä"])
@pytest.mark.parametrize("padding", [0, 1, 11])
def test_header_and_pixels_are_those_of_the_message(frame_id: str, padding: int) -> None:
    image = read_image(serialized(frame_id=frame_id, padding=padding))
    assert (image.stamp.sec, image.stamp.nanosec, image.frame_id) == (-5, 999_999_999, frame_id)
    np.testing.assert_array_equal(image.pixels, PIXELS)
    assert image.order == "rgb"


def test_bgr8_is_told_apart() -> None:
    assert read_image(serialized(encoding="bgr8")).order == "bgr"


def test_the_pixels_are_a_view_of_the_message() -> None:
    message = serialized()
    image = read_image(message).pixels
    assert np.shares_memory(image, np.frombuffer(message, np.uint8))
    assert not image.flags.writeable


def test_big_endian_messages_are_read() -> None:
    types = get_typestore(Stores.ROS2_JAZZY)
    little = serialized(padding=2)
    message = types.deserialize_cdr(little, "sensor_msgs/msg/Image")
    big = bytes(types.serialize_cdr(message, "sensor_msgs/msg/Image", little_endian=False))
    assert big != little
    np.testing.assert_array_equal(read_image(big).pixels, PIXELS)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (serialized(encoding="rgb48"), "the encoding is 'rgb48': known are rgb8, bgr8"),
        (serialized(width=0), "the image is 0x5: it has no pixels"),
        (serialized(height=0), "the image is 7x0: it has no pixels"),
        (serialized(step=20), "step is 20 bytes where a row of 7 pixels has 21"),
        (serialized(height=6), "the data has 105 bytes where 6 rows of 21 make 126"),
        (serialized(height=2**32 - 1, width=2**30, step=2**32 - 1), "the data has 105 bytes"),
        (b"", "this is not CDR"),
        (b"\x00\x01\x00", "this is not CDR"),
        (b"\x00\x07\x00\x00" + bytes(100), "this is not CDR"),
        (serialized()[:30], "the message ends after 30 bytes"),
        (serialized()[:-1], "the message ends after"),
    ],
)
def test_a_bad_message_says_what_is_wrong(message: bytes, reason: str) -> None:
    with pytest.raises(ImageError, match=reason):
        read_image(message)


def test_damaged_messages_give_an_error_or_a_image_inside_their_bytes() -> None:
    random = np.random.default_rng(1)
    good = np.frombuffer(serialized(padding=3), np.uint8)
    refused = 0
    for _ in range(5000):
        damaged = good.copy()
        places = random.integers(0, 60, random.integers(1, 6))
        damaged[places] = random.integers(0, 256, len(places))
        try:
            read_image(damaged[: random.integers(0, len(damaged) + 1)].tobytes()).pixels.sum()
        except ImageError:
            refused += 1
    assert 4000 < refused < 5000
