"""Without subscribers the node receives and computes nothing; the first subscriber wakes it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo, PointCloud2

from maix_facemesh_ros.msg import FaceArray
from running_node import TIMEOUT, NodeProcess, Robot, StartNode, camera_info, image_message

pytest_plugins = ["running_node"]

RATE = 30.0
RESTING = "resting: no subscribers"


@pytest.fixture
def camera(robot: Robot) -> Robot:
    """A robot that sends images and has not subscribed to faces."""
    robot.unsubscribe_from_faces()
    return robot


def send_for(camera: Robot, seconds: float) -> int:
    """Send images at camera rate; returns how many."""
    message = image_message(np.zeros((480, 640, 3), np.uint8))
    end, count = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        camera.images.publish(message)
        count += 1
        camera.spin_for(1 / RATE)
    return count


def processor_seconds(node: NodeProcess) -> float:
    fields = Path(f"/proc/{node.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wait_until_it_rests(camera: Robot, node: NodeProcess) -> None:
    camera.wait_until(lambda: bool(camera.diagnostics), "diagnostics")
    camera.wait_until(
        lambda: (
            camera.status == RESTING
            and camera.count_subscribers("/image_raw") == 0
            and camera.count_subscribers("/camera_info") == 0
        ),
        f"rest of the node; {node.output()}",
    )


def test_without_subscribers_it_rests_and_the_first_one_wakes_it(
    start: StartNode, camera: Robot
) -> None:
    node = start()
    wait_until_it_rests(camera, node)
    arrived = camera.next_diagnostics().get("pictures arrived", "0")
    before, begin = processor_seconds(node), time.monotonic()
    send_for(camera, 3.0)
    share = (processor_seconds(node) - before) / (time.monotonic() - begin)
    print(f"a resting node takes {100 * share:.2f} % of a core")
    assert camera.diagnostics[-1].get("pictures arrived", "0") == arrived

    answers: list[FaceArray] = []
    subscription = camera.create_subscription(
        FaceArray, "faces", answers.append, QoSProfile(depth=100)
    )
    begin = time.monotonic()
    while not answers:
        assert time.monotonic() - begin < TIMEOUT, node.output()
        send_for(camera, 0.1)
    print(f"first faces {1e3 * (time.monotonic() - begin):.0f} ms after the subscription")

    camera.destroy_subscription(subscription)
    wait_until_it_rests(camera, node)
    assert "no image on" not in node.output()


def test_any_output_keeps_it_awake(start: StartNode, camera: Robot) -> None:
    camera.create_subscription(PointCloud2, "facemesh/points", lambda _: None, QoSProfile(depth=2))
    start()
    camera.wait_until(lambda: camera.count_subscribers("/image_raw") == 1, "subscription")
    sent = send_for(camera, 3.0)
    camera.wait_until(
        lambda: int(camera.next_diagnostics().get("pictures arrived", 0)) > sent / 2, "images"
    )


def test_it_can_be_told_to_process_always(start: StartNode, camera: Robot) -> None:
    start("always_process:=true")
    camera.wait_until(lambda: camera.count_subscribers("/image_raw") == 1, "subscription")
    send_for(camera, 2.5)
    assert int(camera.next_diagnostics()["pictures answered"]) > 0
    assert camera.count_subscribers("/image_raw") == 1


def test_a_calibration_that_a_publisher_sent_meanwhile_is_there_after_the_rest(
    start: StartNode, camera: Robot
) -> None:
    node = start()
    wait_until_it_rests(camera, node)
    assert camera.diagnostics[-1]["calibration"] == "none on /camera_info"
    kept = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    publisher = camera.create_publisher(CameraInfo, "camera_info", kept)
    publisher.publish(camera_info())

    camera.create_subscription(FaceArray, "faces", lambda _: None, QoSProfile(depth=100))

    camera.wait_until(
        lambda: camera.diagnostics[-1]["calibration"].startswith("640x360"), "calibration"
    )
