"""The camera's calibration: what the node says of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSDurabilityPolicy, QoSProfile
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo

from cameras import CALIBRATION
from maix_facemesh_ros.image import Stamp
from maix_facemesh_ros.parameters import ParameterError
from maix_facemesh_ros.ros.calibration import Calibration, read_calibration
from node_results import result_of

TIMEOUT = 60.0


class Camera:
    """A node that listens for a calibration, and one that sends it."""

    def __init__(self) -> None:
        self.node = Node("listener", namespace="eye")
        self.calibration = Calibration(self.node, "", own_camera=False)
        self._publisher = self.node.create_publisher(CameraInfo, "camera_info", 1)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)

    def close(self) -> None:
        self._executor.shutdown()
        self.node.destroy_node()

    def spin_once(self) -> None:
        self._executor.spin_once(timeout_sec=0.1)

    def says(self, message: CameraInfo) -> str:
        """Send a calibration and return what is then said of it."""
        before = self.calibration.state()
        end = time.monotonic() + TIMEOUT
        while self.calibration.state() == before:
            assert time.monotonic() < end, "the calibration does not arrive"
            self._publisher.publish(message)
            self.spin_once()
        return self.calibration.state()


@pytest.fixture
def camera(ros_in_this_process: None) -> Iterator[Camera]:  # noqa: ARG001
    camera = Camera()
    yield camera
    camera.close()


def calibration_of(width: int, height: int) -> CameraInfo:
    message = CameraInfo(width=width, height=height, distortion_model="plumb_bob")
    message.k = [525.0, 0.0, width / 2, 0.0, 530.0, height / 2, 0.0, 0.0, 1.0]
    return message


def test_without_calibration_the_topic_is_named(camera: Camera) -> None:
    assert camera.calibration.state() == "none on /eye/camera_info"


def test_a_calibration_that_fits_is_described(camera: Camera) -> None:
    camera.calibration.publish(result_of(size=(640, 480)))
    assert camera.says(calibration_of(640, 480)) == (
        "640x480, focal length 525.0 and 530.0 pixels, no distortion"
    )
    distorted = calibration_of(640, 480)
    distorted.d = [-0.2, 0.1, 0.0, 0.0, 0.0]
    assert camera.says(distorted) == "640x480, focal length 525.0 and 530.0 pixels, plumb_bob"
    assert camera.calibration.camera is not None
    assert camera.calibration.camera.distortion.tolist() == [-0.2, 0.1, 0.0, 0.0, 0.0]


def test_the_same_calibration_again_is_the_same_camera(camera: Camera) -> None:
    camera.says(calibration_of(640, 480))
    before = camera.calibration.camera
    again = calibration_of(640, 480)
    again.header.stamp.sec = 77
    camera.calibration._on_camera_info(serialize_message(again))
    assert camera.calibration.camera is before
    again.header.frame_id = "another name"
    camera.calibration._on_camera_info(serialize_message(again))
    assert camera.calibration.camera is before
    again.k[0] += 1.0
    camera.calibration._on_camera_info(serialize_message(again))
    assert camera.calibration.camera is not before


def test_a_calibration_that_is_published_once_before_the_node_is_there_arrives(
    ros_in_this_process: None,  # noqa: ARG001
) -> None:
    node = Node("camera", namespace="eye")
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    latched = QoSProfile(depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)
    publisher = node.create_publisher(CameraInfo, "camera_info", latched)
    publisher.publish(calibration_of(640, 480))
    calibration = Calibration(node, "", own_camera=False)
    end = time.monotonic() + TIMEOUT
    while calibration.camera is None:
        assert time.monotonic() < end, "the calibration does not arrive"
        executor.spin_once(timeout_sec=0.1)
    assert calibration.state().startswith("640x480")
    executor.shutdown()
    node.destroy_node()


def test_a_publisher_of_which_no_calibration_arrives_is_named(
    camera: Camera, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("maix_facemesh_ros.ros.calibration.PATIENCE", 0.0)
    for _ in range(3):
        camera.calibration.publish(result_of(size=(640, 480)))
    log = capfd.readouterr().err
    assert log.count("no calibration arrives on /eye/camera_info, though there is") == 1
    assert "/eye/listener with sensor_msgs/msg/CameraInfo RELIABLE VOLATILE" in log


def test_of_rectified_images_the_projection_counts(camera: Camera) -> None:
    calibration = Calibration(camera.node, "", own_camera=False, rectified=True)
    message = calibration_of(640, 480)
    message.d = [-0.2, 0.1, 0.0, 0.0, 0.0]
    message.p = [400.0, 0.0, 320.0, 0.0, 0.0, 401.0, 240.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    calibration._on_camera_info(serialize_message(message))
    assert calibration.state() == "640x480, focal length 400.0 and 401.0 pixels, no distortion"


def test_a_calibration_for_other_images_is_told(
    camera: Camera, capfd: pytest.CaptureFixture[str]
) -> None:
    camera.calibration.publish(result_of(size=(640, 480)))
    assert camera.says(calibration_of(1280, 720)).endswith("; does not fit the images of 640x480")
    assert (
        "/eye/camera_info is for images of 1280x720, but these are 640x480"
        in capfd.readouterr().err
    )


def test_binning_and_a_region_of_interest_are_minded(camera: Camera) -> None:
    camera.calibration.publish(result_of(size=(320, 240)))
    binned = calibration_of(1280, 960)
    binned.binning_x = binned.binning_y = 2
    binned.roi.width, binned.roi.height = 640, 480
    assert camera.says(binned).startswith("320x240, focal length")
    assert "does not fit" not in camera.calibration.state()


def test_an_uncalibrated_camera_says_so(camera: Camera) -> None:
    assert camera.says(CameraInfo(width=640, height=480)).startswith(
        "/eye/camera_info cannot be used: K begins with 0, so this camera is not calibrated"
    )
    assert camera.calibration.camera is None


@pytest.fixture
def calibration_file(tmp_path: Path) -> Path:
    file = tmp_path / "camera.yaml"
    file.write_text(CALIBRATION)
    return file


def test_a_calibration_file_is_read(calibration_file: Path) -> None:
    message = read_calibration(str(calibration_file))
    assert (message.width, message.height) == (640, 480)
    assert message.distortion_model == "plumb_bob"
    assert list(message.d) == [0.1, -0.2, 0.001, 0.002, 0.0]
    assert list(message.k) == [525.0, 0.0, 320.0, 0.0, 530.0, 240.0, 0.0, 0.0, 1.0]
    assert list(message.r) == [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    assert list(message.p)[:4] == [520.0, 0.0, 319.0, 0.0]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[1, 2]",
        "not: [closed",
        CALIBRATION.replace("image_width: 640", "image_width: wide"),
        CALIBRATION.replace("image_width: 640", "image_width: -640"),
        CALIBRATION.replace("[525., 0., 320.,", "["),
        CALIBRATION.replace("525.", "far"),
        CALIBRATION.replace("camera_matrix", "matrix"),
        CALIBRATION.replace("plumb_bob", "5"),
        "\0\1\2",
    ],
)
def test_a_file_that_is_no_calibration_is_refused_by_name(content: str, tmp_path: Path) -> None:
    file = tmp_path / "camera.yaml"
    file.write_text(content)
    with pytest.raises(ParameterError, match=r"camera\.yaml.* not a calibration"):
        read_calibration(str(file))


def test_a_file_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"nowhere.*cannot be read: No such file"):
        read_calibration(str(tmp_path / "nowhere"))


def test_the_own_camera_s_calibration_is_published_with_every_image(
    camera: Camera, calibration_file: Path
) -> None:
    received: list[CameraInfo] = []
    camera.node.create_subscription(CameraInfo, "camera_info", received.append, 1)
    own = Calibration(camera.node, str(calibration_file), own_camera=True)
    assert own.state().startswith("640x480, focal length 525.0 and 530.0 pixels")
    sent = 0
    end = time.monotonic() + TIMEOUT
    while not received:
        assert time.monotonic() < end, "no calibration arrives"
        sent += 1
        own.publish(result_of(stamp=Stamp(sent, 0), frame_id="eye"))
        camera.spin_once()
    assert received[0].header.frame_id == "eye"
    assert 1 <= received[0].header.stamp.sec <= sent
    assert received[0].k[0] == 525.0
