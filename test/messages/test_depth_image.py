"""Depth images from serialized messages."""

from __future__ import annotations

import numpy as np
import pytest
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image

from maix_facemesh_ros.image import ImageError
from maix_facemesh_ros.messages.depth_image import read_depth_image

METERS = np.array([[0.0, 0.5, 1.25], [2.0, 4.0, 0.3]])
#: The middles of the six pixels, in rows.
PIXELS = np.array([[x + 0.5, y + 0.5] for y in range(2) for x in range(3)])


def message_of(encoding: str, dtype: str, unit: float, padding: int = 0) -> Image:
    rows = (METERS / unit).astype(dtype)
    data = b"".join(row.tobytes() + bytes(padding) for row in rows)
    message = Image(width=3, height=2, encoding=encoding, step=3 * rows.itemsize + padding)
    message.header.stamp.sec, message.header.frame_id = 7, "eye"
    message.is_bigendian = int(dtype.startswith(">"))
    message.data = list(data)
    return message


@pytest.mark.parametrize("padding", [0, 3])
@pytest.mark.parametrize(
    ("encoding", "dtype", "unit"),
    [
        ("16UC1", "<u2", 0.001),
        ("16UC1", ">u2", 0.001),
        ("mono16", "<u2", 0.001),
        ("32FC1", "<f4", 1.0),
        ("32FC1", ">f4", 1.0),
    ],
)
def test_distances_are_meters(encoding: str, dtype: str, unit: float, padding: int) -> None:
    image = read_depth_image(serialize_message(message_of(encoding, dtype, unit, padding)))
    assert (image.size, image.stamp, image.frame_id) == ((3, 2), (7, 0), "eye")
    np.testing.assert_allclose(image.meters_at(PIXELS), METERS.ravel(), rtol=1e-6)


def test_outside_and_unmeasured_pixels_have_none() -> None:
    message = message_of("32FC1", "<f4", 1.0)
    message.data = list(np.array([np.nan, np.inf, -np.inf, 1, 1, 1], "<f4").tobytes())
    image = read_depth_image(serialize_message(message))
    assert image.meters_at(PIXELS).tolist() == [0, 0, 0, 1, 1, 1]
    outside = np.array([[-0.1, 0.5], [3.0, 0.5], [0.5, 2.0], [np.nan, 1.0], [1e30, 1.0]])
    assert image.meters_at(outside).tolist() == [0] * 5


def test_other_messages_are_refused() -> None:
    whole = serialize_message(message_of("16UC1", "<u2", 0.001))
    for length in range(len(whole) - 4):
        with pytest.raises(ImageError):
            read_depth_image(whole[:length])
    for change, reason in (
        ({"encoding": "rgb8"}, "a depth image has 16UC1, mono16, 32FC1"),
        ({"width": 0}, "it has no pixels"),
        ({"step": 5}, "need rows of 6"),
        ({"height": 3}, "has 12 bytes"),
    ):
        message = message_of("16UC1", "<u2", 0.001)
        for name, value in change.items():
            setattr(message, name, value)
        with pytest.raises(ImageError, match=reason):
            read_depth_image(serialize_message(message))
