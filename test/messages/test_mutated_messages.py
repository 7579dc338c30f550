"""Mutated messages of every subscribed type, into what a program does with each.

Over DDS, with the count of every message: `soak.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CameraInfo

from maix_facemesh_ros.browser.frame_packet import pack_frame
from maix_facemesh_ros.camera.calibration import camera_of, check_camera_info
from maix_facemesh_ros.camera.model import CalibrationError
from maix_facemesh_ros.image import ImageError, Pixels, Stamp
from maix_facemesh_ros.messages.image import read_compressed_image, read_image
from maix_facemesh_ros.ros.messages import faces_of, read_faces
from mutated_messages import honest, mutated

#: With `--long`; 5,000 without.
COUNT = 50_000

#: Bytes that the process may take more than before, whatever the messages say.
MOST_MEMORY = 64 << 20


class MiddlewareError(Exception):
    """The middleware does not take a message; each distribution of ROS has its own error."""


def _image(message: bytes) -> None:
    assert read_image(message).pixels.ndim == 3


def _compressed(message: bytes) -> None:
    assert read_compressed_image(message).pixels.ndim == 3


def _camera_info(message: bytes) -> None:
    check_camera_info(message)
    info = _deserialized(message, CameraInfo)
    for rectified in (False, True):
        camera = camera_of(info, rectified=rectified)
        camera.rays(np.array([[0.0, 0.0], [320.0, 240.0]]))


def _faces(message: bytes) -> None:
    array = read_faces(message)
    pack_frame(
        stamp=Stamp(array.header.stamp.sec, array.header.stamp.nanosec),
        delay=None,
        size=(array.image_width, array.image_height),
        faces=faces_of(array),
        jpeg=b"",
        drawn=False,
    )


def _deserialized(message: bytes, kind: type) -> Any:
    try:
        return deserialize_message(message, kind)
    except Exception as error:
        raise MiddlewareError from error


@pytest.mark.parametrize(
    ("kind", "use"),
    [
        ("Image", _image),
        ("CompressedImage", _compressed),
        ("CameraInfo", _camera_info),
        ("FaceArray", _faces),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_every_mutated_message_is_used_or_refused(
    astronaut: Pixels,
    repetitions: Callable[[int], int],
    kind: str,
    use: Callable[[bytes], None],
) -> None:
    small = np.asarray(cv2.resize(astronaut, (64, 48)), np.uint8)
    messages = honest(kind, small)
    for message in messages:
        use(message)
    Path("/proc/self/clear_refs").write_text("5")
    before = _memory("VmRSS")
    ends = Counter[str]()
    count = repetitions(COUNT)
    for message in mutated(messages, count, seed=17):
        try:
            use(message)
            ends["used"] += 1
        except (ImageError, CalibrationError, MiddlewareError) as error:
            assert len(str(error)) < 1000
            ends[type(error).__name__] += 1
    taken = _memory("VmHWM") - before
    print(f"{kind}: {dict(ends)}, {taken / 2**20:.0f} MiB at most")
    assert ends["used"] > count / 100
    assert ends["ImageError"] > count / 100
    # What a JPEG or PNG may take is in test_compressed_image.py.
    assert taken < MOST_MEMORY or kind == "CompressedImage"


def _memory(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(field)).split()[1])
