"""Nothing to complain about in what the node prints, in each way to start it.

test_launch.py checks the output of the launch files in the same way.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
import rclpy
from rclpy.qos import qos_profile_sensor_data
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage, Image

from image_player import TIMEOUT, ImagePlayer
from maix_facemesh_ros.image import Pixels
from node_output import COMPLAINTS, complaints
from replay_bags import image_message
from running_node import StartNode

# Last, so that the installed package is the one that is tested.
sys.path.append(str(Path(__file__).parents[2]))

from benchmarks.stock_processes import clean_environment

pytest_plugins = ["running_node"]

BACKENDS = ("auto", "onnx")
TRANSPORTS = {
    "raw": ("/image_raw", Image),
    "compressed": ("/image_raw/compressed", CompressedImage),
}


@contextmanager
def a_player(
    topic: str, message_type: type[Image] | type[CompressedImage]
) -> Iterator[ImagePlayer]:
    """Give a player for images on one topic."""
    player = ImagePlayer(topic, message_type)
    try:
        yield player
    finally:
        player.destroy_node()


@pytest.fixture(scope="module", autouse=True)
def _own_network(own_network: None) -> None:
    """Every test here runs nodes."""


@pytest.fixture
def image_file(astronaut: Pixels, tmp_path: Path) -> Path:
    path = tmp_path / "face.png"
    cv2.imwrite(str(path), np.ascontiguousarray(astronaut[:, :, ::-1]))
    return path


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_images_from_a_topic(
    backend: str, transport: str, astronaut: Pixels, start: StartNode
) -> None:
    topic, message_type = TRANSPORTS[transport]
    jpeg = message_type is CompressedImage
    face = serialize_message(image_message(astronaut, 1_700_000_000_000_000_000, jpeg=jpeg))
    node = start(f"backend:={backend}", f"image_transport:={transport}")

    with a_player(topic, message_type) as player:
        player.wait_for_node()
        player.ask(face)
        (answer,) = player.answers

    assert len(answer.faces) == 1
    assert node.stop() == 0
    assert complaints(node.output()) == []


@pytest.mark.parametrize("backend", BACKENDS)
def test_images_from_a_file_until_the_node_is_stopped(
    backend: str, image_file: Path, start: StartNode
) -> None:
    node = start(f"backend:={backend}", f"source:={image_file}", "source_loop:=true")

    with a_player("/unused", Image) as player:
        player.wait_until(lambda: len(player.answers) >= 3, "three answers")
        answers = player.answers

    assert [len(answer.faces) for answer in answers] == [1] * len(answers)
    assert node.stop() == 0
    assert complaints(node.output()) == []


@pytest.fixture
def other_ros_processes() -> Iterator[None]:
    """Two stock ROS processes in another domain, of which one hangs and holds its port."""
    program = (
        "import rclpy, time; rclpy.init(); rclpy.create_node('other')\n"
        "print(flush=True); time.sleep(90)"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            env=clean_environment(ROS_DOMAIN_ID="0"),
            stdout=subprocess.PIPE,
        )
        for _ in range(2)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == b"\n"
        processes[0].send_signal(signal.SIGSTOP)
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


@pytest.mark.usefixtures("other_ros_processes")
def test_other_ros_processes_are_nothing_to_complain_about(
    image_file: Path, start: StartNode
) -> None:
    """Not even in Fast DDS's own lines, which `complaints` leaves out."""
    time.sleep(3.0)  # Until the hanging process is noticed.
    node = start(f"source:={image_file}", environment={"ROS_DOMAIN_ID": "0"})

    assert node.process.wait(timeout=TIMEOUT) == 0
    assert complaints(node.output()) == []
    assert "Failed init_port" not in node.output()


def test_images_from_a_file_until_it_ends(image_file: Path, start: StartNode) -> None:
    node = start(f"source:={image_file}")

    assert node.process.wait(timeout=TIMEOUT) == 0
    assert "source ended after image 1" in node.output()
    assert complaints(node.output()) == []


def test_a_port_of_another_process_is_not_a_complaint() -> None:
    line = (
        "2026-01-01 12:00:00.000 [RTPS_TRANSPORT_SHM Error] Failed init_port fastrtps_port7001: "
        "open_and_lock_file failed -> Function open_port_internal"
    )
    assert COMPLAINTS.search(line)
    assert complaints(line) == []


def test_a_camera_that_the_node_does_not_accept_is_complained_about(start: StartNode) -> None:
    """So the empty lists above are not empty for want of looking."""
    node = start("qos_overrides./image_raw.subscription.reliability:=reliable")
    camera = rclpy.create_node("camera")
    try:
        camera.create_publisher(Image, "/image_raw", qos_profile_sensor_data)
        end = time.monotonic() + TIMEOUT
        while "offers a quality of service" not in node.output():
            assert time.monotonic() < end, node.output()
            rclpy.spin_once(camera, timeout_sec=0.1)
    finally:
        camera.destroy_node()

    (complaint,) = (line for line in complaints(node.output()) if "does not accept" in line)
    assert "a publisher of /image_raw" in complaint
    assert "RELIABILITY" in complaint


@pytest.mark.parametrize(
    "line",
    [
        "Traceback (most recent call last):",
        "[facemesh_node-1] [ERROR] [1700000000.000000000] [facemesh]: image not answered",
        "[WARN] [1700000000.000000000] [facemesh]: image on /image_raw not used: no pixels",
        "Failed to load the entry point",
        "[WARN] [1700000000.0] [facemesh]: New publisher discovered, offering incompatible QoS.",
    ],
)
def test_what_users_worry_about_is_seen(line: str) -> None:
    assert complaints(f"[INFO] [1700000000.000000000] [facemesh]: backend onnx\n{line}") == [line]


def test_what_is_usual_is_no_complaint() -> None:
    usual = (
        "[INFO] [1700000000.000000000] [facemesh]: backend onnx, detector full_range\n"
        "[WARN] [1700000000.000000000] [facemesh]: no image on /image_raw for 5 s: 0 publishers\n"
        "[WARNING] [launch]: user interrupted with ctrl-c (SIGINT)\n"
    )
    assert complaints(usual) == []
