"""The camera's calibration: what the node says of it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo

from maix_facemesh_ros.ros.calibration import Calibration

TIMEOUT = 10.0


class Camera:
    """A node that listens for a calibration, and one that sends it."""

    def __init__(self) -> None:
        self.node = Node("listener", namespace="eye")
        self.calibration = Calibration(self.node)
        self._publisher = self.node.create_publisher(CameraInfo, "camera_info", 1)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)

    def close(self) -> None:
        self._executor.shutdown()
        self.node.destroy_node()

    def says(self, message: CameraInfo) -> str:
        """Send a calibration and return what is then said of it."""
        before = self.calibration.state()
        end = time.monotonic() + TIMEOUT
        while self.calibration.state() == before:
            assert time.monotonic() < end, "the calibration does not arrive"
            self._publisher.publish(message)
            self._executor.spin_once(timeout_sec=0.1)
        return self.calibration.state()


@pytest.fixture
def camera(monkeypatch: pytest.MonkeyPatch) -> Iterator[Camera]:
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "OFF")
    rclpy.init()
    camera = Camera()
    yield camera
    camera.close()
    rclpy.shutdown()


def calibration_of(width: int, height: int) -> CameraInfo:
    message = CameraInfo(width=width, height=height, distortion_model="plumb_bob")
    message.k = [525.0, 0.0, width / 2, 0.0, 530.0, height / 2, 0.0, 0.0, 1.0]
    return message


def test_without_calibration_the_topic_is_named(camera: Camera) -> None:
    assert camera.calibration.state() == "none on /eye/camera_info"


def test_a_calibration_that_fits_is_described(camera: Camera) -> None:
    camera.calibration.picture_size_is(640, 480)
    assert camera.says(calibration_of(640, 480)) == (
        "640x480, focal length 525.0 and 530.0 pixels, plumb_bob"
    )


def test_a_calibration_for_other_pictures_is_told(
    camera: Camera, capfd: pytest.CaptureFixture[str]
) -> None:
    camera.calibration.picture_size_is(640, 480)
    assert camera.says(calibration_of(1280, 720)).endswith("; does not fit the pictures of 640x480")
    assert (
        "/eye/camera_info is for pictures of 1280x720, but these are 640x480"
        in capfd.readouterr().err
    )


def test_binning_and_a_region_of_interest_are_minded(camera: Camera) -> None:
    camera.calibration.picture_size_is(320, 240)
    binned = calibration_of(1280, 960)
    binned.binning_x = binned.binning_y = 2
    binned.roi.width, binned.roi.height = 640, 480
    assert camera.says(binned).startswith("320x240, focal length")
    assert "does not fit" not in camera.calibration.state()


def test_an_uncalibrated_camera_says_so(camera: Camera) -> None:
    assert camera.says(CameraInfo(width=640, height=480)).endswith("says that it is not calibrated")
