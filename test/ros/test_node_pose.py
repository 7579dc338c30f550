"""Heads in meters from the node: calibration in, pose, gaze and frames out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from rcl_interfaces.msg import ParameterType, ParameterValue
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo

from maix_facemesh_ros.image import Pixels
from maix_facemesh_ros.ros.messages import faces_of
from message_packages import build_message_package
from running_node import Robot, StartNode, boolean, camera_info, double, image_message
from scenes import scene

pytest_plugins = ["running_node"]


@pytest.fixture(scope="module")
def image(astronaut: Pixels) -> Pixels:
    return scene(astronaut, (320, 180, 100.0))


def publish_calibration(robot: Robot, message: CameraInfo, topic: str = "camera_info") -> None:
    """Send it until the node has it."""
    publisher = robot.create_publisher(CameraInfo, topic, QoSProfile(depth=1))
    # The focal length on the diagnostics is that of K or of P.
    said = [f"{message.width}x{message.height}, focal length {f:.1f}" for f in (message.k[0], 250)]

    def is_known() -> bool:
        publisher.publish(message)
        known = robot.diagnostics[-1]["calibration"] if robot.diagnostics else ""
        return known.startswith(tuple(said))

    robot.wait_until(is_known, "calibration on /diagnostics")


def test_with_camera_info_faces_have_a_pose(start: StartNode, robot: Robot, image: Pixels) -> None:
    node = start("gaze:=true")
    robot.wait_for_node()
    assert not robot.ask(image_message(image)).faces[0].pose_valid
    publish_calibration(robot, camera_info())
    (face,) = faces_of(robot.ask(image_message(image)))
    assert face.pose is not None
    assert face.points_3d is not None
    assert face.gaze is not None
    # 100 pixels of face before a lens of 500 pixels.
    assert 0.5 < face.pose[2, 3] < 0.9
    assert np.linalg.norm(face.points_3d[1] - face.pose[:3, 3]) < 0.08
    assert face.gaze.direction[2] < -0.7
    assert robot.next_diagnostics()["pose"] == "with the calibration"
    assert "without pose" not in node.output()
    assert robot.set_parameters(pose=boolean(False)) == (
        False,
        "gaze is on and pose is off: gaze needs pose, switch it on",
    )
    assert robot.set_parameters(pose=boolean(False), gaze=boolean(False)) == (True, "")
    message = robot.ask(image_message(image)).faces[0]
    assert not message.pose_valid
    assert not message.gaze_valid
    assert len(message.points_3d) == 0


@pytest.mark.parametrize("width", [0, 1280])
def test_what_pose_needs_is_said_once(
    start: StartNode, robot: Robot, image: Pixels, width: int
) -> None:
    """Without a calibration, and with one for other images."""
    node = start()
    robot.wait_for_node()
    if width:
        publish_calibration(robot, camera_info(width))
    words = "does not fit the images" if width else "none on /camera_info"

    def is_said() -> bool:
        robot.ask(image_message(image))
        return "faces come without pose" in node.output()

    robot.wait_until(is_said, "line on the log")
    for _ in range(3):
        assert not robot.ask(image_message(image)).faces[0].pose_valid
    state = "none: the calibration does not fit" if width else "none: no calibration"
    assert robot.next_diagnostics()["pose"] == state
    (line,) = (line for line in node.output().splitlines() if "without pose" in line)
    assert words in line
    assert "set calibration_file, or assumed_field_of_view" in line


def test_an_assumed_field_of_view_is_said(start: StartNode, robot: Robot, image: Pixels) -> None:
    node = start("assumed_field_of_view:=65.0")
    robot.wait_for_node()
    assert robot.ask(image_message(image)).faces[0].pose_valid
    assert "poses are those of an assumed field of view of 65°" in node.output()
    assert robot.next_diagnostics()["pose"] == "with an assumed field of view of 65°"
    assert robot.set_parameters(assumed_field_of_view=double(80.0)) == (True, "")
    robot.wait_until(
        lambda: "poses are those of an assumed field of view of 80°" in node.output(),
        "line on the log",
    )


def test_a_calibration_may_come_late_change_and_go_wrong(
    start: StartNode, robot: Robot, image: Pixels
) -> None:
    """As when a camera is switched to another resolution: no pose is made of the wrong numbers."""
    start("smoothing:=off")
    robot.wait_for_node()

    def distance() -> float | None:
        (face,) = robot.ask(image_message(image)).faces
        return float(face.pose.position.z) if face.pose_valid else None

    assert distance() is None
    publish_calibration(robot, camera_info())
    first = distance()
    assert first is not None
    publish_calibration(robot, camera_info(focal_length=1000.0))
    second = distance()
    assert second == pytest.approx(2 * first, rel=0.1)
    publish_calibration(robot, camera_info(width=1280))
    assert distance() is None
    publish_calibration(robot, camera_info())
    # The tracker has moved on: landmarks come to rest within a thousandth of the face.
    assert distance() == pytest.approx(first, rel=0.003)


@pytest.mark.parametrize(
    ("parameters", "topic", "expected"),
    [
        ([], "/camera/image_rect", 250.0),
        ([], "/camera/image_rect_color", 250.0),
        ([], "/camera/image_raw", 500.0),
        (["rectified:=yes"], "/camera/image_raw", 250.0),
        (["rectified:=no"], "/camera/image_rect", 500.0),
    ],
)
def test_rectified_images_are_those_of_the_projection(
    start: StartNode, robot: Robot, parameters: list[str], topic: str, expected: float
) -> None:
    start(*parameters, remaps=[f"image_raw:={topic}"])
    publish_calibration(robot, camera_info(), "/camera/camera_info")
    assert f"focal length {expected:.1f}" in robot.diagnostics[-1]["calibration"]


#: Prints what is on /tf until it is stopped, a message a line.
LISTENER = """
import json, rclpy
from tf2_msgs.msg import TFMessage

def show(message):
    print(json.dumps([
        [
            transform.child_frame_id, transform.header.frame_id, transform.header.stamp.sec,
            [getattr(transform.transform.translation, axis) for axis in "xyz"],
            [getattr(transform.transform.rotation, axis) for axis in "xyzw"],
        ]
        for transform in message.transforms
    ]), flush=True)

rclpy.init()
node = rclpy.create_node("listener")
node.create_subscription(TFMessage, "/tf", show, 100)
print("[]", flush=True)
rclpy.spin(node)
"""


@pytest.mark.build
def test_frames_for_tf2(start: StartNode, robot: Robot, astronaut: Pixels, tmp_path: Path) -> None:
    """With tf2_msgs built from the same definition, because PyPI has none."""
    with_tf2 = build_message_package("tf2_msgs", tmp_path / "tf2")
    two = scene(astronaut, (170, 180, 95.0), (470, 170, 120.0))
    start("tf:=true", "gaze:=true", "assumed_field_of_view:=65.0", environment=with_tf2)
    listener = subprocess.Popen(
        [sys.executable, "-c", LISTENER],
        env={**os.environ, **with_tf2},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert listener.stdout is not None
        assert listener.stdout.readline() == "[]\n"
        robot.wait_for_node()
        os.set_blocking(listener.stdout.fileno(), False)
        lines: list[str] = []

        def has_come() -> bool:
            robot.ask(image_message(two))
            lines.extend(listener.stdout or [])
            return bool(lines)

        robot.wait_until(has_come, "frames")
        prefix = ParameterValue(type=ParameterType.PARAMETER_STRING, string_value="left/")
        assert robot.set_parameters(frame_prefix=prefix) == (True, "")
        prefixed: list[str] = []

        def has_come_with_prefix() -> bool:
            robot.ask(image_message(two))
            prefixed.extend(line for line in listener.stdout or [] if "left/" in line)
            return bool(prefixed)

        robot.wait_until(has_come_with_prefix, "frames with a prefix")
    finally:
        listener.kill()
        listener.wait(20)
    answer = robot.answers[-1]
    frames = {name: frame for name, *frame in json.loads(lines[-1])}
    assert frames.keys() == {"face_1", "gaze_1", "face_2", "gaze_2"}
    assert {name for name, *_ in json.loads(prefixed[-1])} == {f"left/{name}" for name in frames}
    for face in answer.faces:
        parent, seconds, place, turned = frames[f"face_{face.id}"]
        assert (parent, seconds) == ("left_eye", answer.header.stamp.sec)
        position, orientation = face.pose.position, face.pose.orientation
        np.testing.assert_allclose(place, (position.x, position.y, position.z), atol=0.02)
        np.testing.assert_allclose(
            turned, (orientation.x, orientation.y, orientation.z, orientation.w), atol=0.05
        )
        _, _, place, (x, y, z, w) = frames[f"gaze_{face.id}"]
        # z of the gaze's frame is where the eyes look.
        forwards = (2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y))
        np.testing.assert_allclose(forwards, (face.gaze.x, face.gaze.y, face.gaze.z), atol=0.1)
        downwards = 1 - 2 * (x * x + z * z)
        assert downwards > 0.7, "y of the gaze's frame is down"


@pytest.mark.skipif(find_spec("tf2_msgs") is not None, reason="tf2 is installed here")
def test_without_tf2_one_line_says_so(start: StartNode, robot: Robot, image: Pixels) -> None:
    node = start("tf:=true", "assumed_field_of_view:=65.0")
    robot.wait_for_node()
    for _ in range(3):
        assert robot.ask(image_message(image)).faces[0].pose_valid
    robot.wait_until(lambda: "tf is on, but no frames" in node.output(), "line on the log")
    assert node.output().count("tf is on, but no frames") == 1
