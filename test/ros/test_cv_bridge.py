"""Encodings that cv_bridge converts: with it, without it, and with one that does not work.

cv_bridge has no wheel. Where a ROS 2 with cv_bridge is sourced, these tests take that one,
elsewhere the stand-in next to this file.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image

from maix_facemesh_ros.image import ImageError, Pixels
from maix_facemesh_ros.ros import cv_bridge_encodings
from maix_facemesh_ros.ros.cv_bridge_encodings import (
    CONVERTED,
    LONGEST_NAME,
    cv_bridge_encoding,
    read_image_of_any_encoding,
    why_not_usable,
)
from running_node import Robot, StartNode, image_message

pytest_plugins = ["running_node"]

HERE = Path(__file__).parents[1] / "support"
STAND_IN = HERE / "cv_bridge_stand_in"
IS_INSTALLED = importlib.util.find_spec("cv_bridge") is not None

#: Channels of each encoding, by their place in red, green, blue, alpha.
CHANNELS = {
    "rgb16": (0, 1, 2),
    "bgr16": (2, 1, 0),
    "rgba16": (0, 1, 2, 3),
    "bgra16": (2, 1, 0, 3),
    "8UC4": (2, 1, 0, 3),
    "16UC3": (2, 1, 0),
    "16UC4": (2, 1, 0, 3),
}


def path_with(folder: Path) -> str:
    return os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    """Let each test look for cv_bridge again."""
    yield
    cv_bridge_encoding.cache_clear()
    why_not_usable.cache_clear()
    if not IS_INSTALLED:
        sys.modules.pop("cv_bridge", None)


@pytest.fixture
def cv_bridge(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make cv_bridge importable here and in the processes that are started from here."""
    if not IS_INSTALLED:
        monkeypatch.syspath_prepend(str(STAND_IN))
        monkeypatch.setenv("PYTHONPATH", path_with(STAND_IN))


def encoded(image: Pixels, encoding: str, padding: int = 0, bigendian: bool = False) -> Image:
    """Return an image, RGB, as a message; the lower bytes of 16 bits are noise."""
    alpha = np.full((*image.shape[:2], 1), 77, np.uint8)
    channels: npt.NDArray[Any] = np.dstack([image, alpha])[:, :, CHANNELS[encoding]]
    if encoding != "8UC4":
        noise = np.random.default_rng(0).integers(0, 256, channels.shape, np.uint16)
        channels = (channels.astype(np.uint16) << 8 | noise).astype(">u2" if bigendian else "<u2")
    rows = np.frombuffer(channels.tobytes(), np.uint8).reshape(len(image), -1)
    padded = np.pad(rows, ((0, 0), (0, padding)), constant_values=255)
    message = image_message(image, encoding)
    message.step = padded.shape[1]
    message.is_bigendian = int(bigendian)
    message.data = padded.tobytes()
    return message


def test_every_encoding_is_tested() -> None:
    assert set(CHANNELS) == set(CONVERTED)


@pytest.mark.usefixtures("cv_bridge")
@pytest.mark.parametrize("bigendian", [False, True])
@pytest.mark.parametrize("padding", [0, 6])
def test_colors_are_those_of_the_camera(padding: int, bigendian: bool) -> None:
    image = np.random.default_rng(1).integers(0, 256, (5, 7, 3), np.uint8)
    for encoding in CONVERTED:
        message = serialize_message(encoded(image, encoding, padding, bigendian))
        seen = read_image_of_any_encoding(message)
        assert seen.order == "bgr"
        assert seen.pixels.dtype == np.uint8
        np.testing.assert_array_equal(seen.pixels[:, :, ::-1], image, err_msg=encoding)


@pytest.mark.usefixtures("cv_bridge")
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("32FC3", "cv_bridge does not convert it to color"),
        ("8UC2", "cv_bridge does not convert it to color"),
        ("hsv8", "cv_bridge does not know it"),
        ("", "cv_bridge does not know it"),
        ("8UC" + "1" * 1_000_000, r"'8UC1{37}': known are"),
    ],
)
def test_what_cv_bridge_does_not_convert_is_named(name: str, reason: str) -> None:
    message = Image(height=2, width=2, encoding=name, step=24, data=bytes(48))
    with pytest.raises(ImageError, match=reason):
        read_image_of_any_encoding(serialize_message(message))


@pytest.mark.usefixtures("cv_bridge")
def test_sizes_that_do_not_fit_the_data_are_named() -> None:
    for height, width, step in ((2, 2, 11), (3, 2, 12), (2**31, 2, 12), (2, 2**31, 12), (0, 2, 12)):
        message = Image(height=height, width=width, encoding="rgb16", step=step, data=bytes(24))
        with pytest.raises(ImageError, match=r"bytes|no pixels"):
            read_image_of_any_encoding(serialize_message(message))


@pytest.mark.skipif(IS_INSTALLED, reason="cv_bridge is installed")
def test_without_cv_bridge_the_error_says_that_it_would_help() -> None:
    for name in CONVERTED:
        with pytest.raises(ImageError, match=r"known are rgb8, .*install ros-\$ROS_DISTRO-cv"):
            cv_bridge_encoding(name)
    for name in ("hsv8", "8UC2", "x" * LONGEST_NAME):
        with pytest.raises(ImageError, match="known are rgb8") as caught:
            cv_bridge_encoding(name)
        assert "cv_bridge" not in str(caught.value)


@pytest.mark.parametrize(
    ("code", "ending"),
    [
        ("import os; os.kill(os.getpid(), 11)", "signal 11"),
        ("raise ImportError('numpy.core.multiarray failed')", "ImportError: numpy.core.multiarray"),
    ],
)
def test_a_cv_bridge_that_does_not_work_costs_a_trial_and_not_this_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: str, ending: str
) -> None:
    package = tmp_path / "cv_bridge"
    package.mkdir()
    (package / "__init__.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", path_with(tmp_path))
    for _ in range(2):
        with pytest.raises(ImageError, match=f"{ending}.*NumPy here is {np.__version__}"):
            cv_bridge_encoding("rgb16")
    # Each image that comes after it costs nothing.
    monkeypatch.setattr(cv_bridge_encodings, "TRIAL_TIMEOUT", 0.0)
    with pytest.raises(ImageError, match=ending):
        cv_bridge_encoding("bgr16")


@pytest.mark.usefixtures("cv_bridge")
def test_node_answers_what_cv_bridge_converts_and_its_image_comes_back_unchanged(
    start: StartNode, robot: Robot, astronaut: Pixels
) -> None:
    from cv_bridge import CvBridge

    start("tracking:=false")
    annotated: list[Image] = []
    robot.create_subscription(Image, "facemesh/image_annotated", annotated.append, 10)
    robot.wait_for_node()
    (known,) = robot.ask(image_message(astronaut)).faces
    for encoding in ("rgb16", "8UC4"):
        annotated.clear()
        (face,) = robot.ask(encoded(astronaut, encoding)).faces
        np.testing.assert_array_equal(face.points, known.points)
        robot.wait_until(lambda: bool(annotated), "annotated image")
        (drawn,) = annotated
        image = CvBridge().imgmsg_to_cv2(drawn, "passthrough")
        assert image.shape == astronaut.shape
        assert image.tobytes() == bytes(drawn.data)
        colors = CvBridge().imgmsg_to_cv2(drawn, "bgr8")[:, :, ::-1]
        is_drawn = (colors != astronaut).any(axis=2)
        # The mesh, the box and their label, and nothing else.
        assert 0.01 < is_drawn.mean() < 0.3
    unknown = encoded(astronaut, "rgb16")
    unknown.encoding = "hsv8"
    robot.images.publish(unknown)
    assert robot.ask(image_message(astronaut, stamp=(9, 9))).faces
