"""The node and the view with the rclpy of other ROS distributions."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cv2
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image

from maix_facemesh_ros.image import Pixels
from running_node import Robot, StartNode, image_message
from view_client import frame_with_faces

pytest_plugins = ["running_node"]

SUPPORT = Path(__file__).parents[1] / "support"

#: rclpy with Humble's names, and messages that check their fields, as Humble's always do.
HUMBLE = {
    "PYTHONPATH": str(SUPPORT / "humble_stand_in"),
    "ROS_PYTHON_CHECK_FIELDS": "1",
}

#: rclpy whose context destroys its nodes, as since Kilted.
KILTED = {"PYTHONPATH": str(SUPPORT / "kilted_stand_in")}


def test_the_stand_in_for_humble_has_humbles_names() -> None:
    program = (
        "import rclpy.qos_event as q; q.SubscriptionEventCallbacks\nimport rclpy.event_handler"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **HUMBLE},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "line 2" in ended.stderr
    assert "ModuleNotFoundError" in ended.stderr


def test_node_and_view_give_faces_on_humble(
    start: StartNode, robot: Robot, astronaut: Pixels
) -> None:
    everything = ("assumed_field_of_view:=65.0", "gaze:=true", "blendshapes:=true", "tf:=true")
    node = start(*everything, environment=HUMBLE)
    view = start("port:=0", program="facemesh_view", environment=HUMBLE)
    robot.wait_for_node()

    (face,) = robot.ask(image_message(astronaut)).faces
    frame = frame_with_faces(view, lambda: robot.images.publish(image_message(astronaut)))

    assert (len(face.points), len(face.blendshapes), face.pose_valid) == (956, 52, True)
    assert frame["faces"][0]["arrays"]["points"] == 956
    assert (frame["width"], frame["height"]) == (512, 512)
    assert robot.next_diagnostics()["faces"] == "1"
    assert "[ERROR]" not in node.output() + view.output()


def test_humble_names_a_quality_of_service_that_does_not_fit(
    start: StartNode, robot: Robot
) -> None:
    robot.destroy_publisher(robot.images)
    robot.create_publisher(Image, "image_raw", qos_profile_sensor_data)
    node = start("qos_overrides./image_raw.subscription.reliability:=reliable", environment=HUMBLE)
    robot.wait_until(lambda: "RELIABILITY" in node.output(), "warning")


def test_a_source_that_ends_ends_the_node_cleanly_on_kilted(
    start: StartNode, robot: Robot, astronaut: Pixels, tmp_path: Path
) -> None:
    photo = tmp_path / "photo.png"
    cv2.imwrite(str(photo), astronaut)
    node = start(f"source:={photo}", environment=KILTED)
    robot.wait_until(lambda: node.process.poll() is not None, "end of the node")
    assert "source ended after image 1" in node.output()
    assert node.process.returncode == 0, node.output()
