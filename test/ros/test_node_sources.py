"""The node with a source of its own: a network camera, a folder, and files that are not images."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from maix_facemesh_ros.image import Pixels
from maix_facemesh_ros.sources.live import OPEN_TIMEOUT
from mjpeg_server import MjpegServer
from running_node import NodeProcess, Robot, StartNode

pytest_plugins = ["running_node"]

PASSWORD = "not-for-logs"

CALIBRATION = """
image_width: 256
image_height: 256
distortion_model: plumb_bob
camera_matrix: {rows: 3, cols: 3, data: [250, 0, 128, 0, 250, 128, 0, 0, 1]}
distortion_coefficients: {rows: 1, cols: 5, data: [0, 0, 0, 0, 0]}
rectification_matrix: {rows: 3, cols: 3, data: [1, 0, 0, 0, 1, 0, 0, 0, 1]}
projection_matrix: {rows: 3, cols: 4, data: [250, 0, 128, 0, 0, 250, 128, 0, 0, 0, 1, 0]}
"""


@pytest.fixture
def face(astronaut: Pixels) -> Pixels:
    """256x256, channels blue, green, red."""
    return np.ascontiguousarray(astronaut[:256, 100:356, ::-1])


@pytest.fixture
def camera(face: Pixels) -> Iterator[MjpegServer]:
    """A network camera that is still switched off."""
    camera = MjpegServer(face, password=PASSWORD)
    yield camera
    camera.server_close()


def url_of(camera: MjpegServer) -> str:
    """Return the camera's URL with its password."""
    return camera.url.replace("://", f"://robot:{PASSWORD}@")


def wait_for_faces(robot: Robot, count: int = 5) -> None:
    robot.answers.clear()
    robot.wait_until(
        lambda: sum(len(answer.faces) == 1 for answer in robot.answers) >= count, "faces"
    )


def wait_for_words(robot: Robot, node: NodeProcess, words: str) -> None:
    robot.wait_until(lambda: words in node.output(), f"{words!r} in {node.output()}")


def test_a_network_camera_that_stops_and_comes_back(
    start: StartNode, robot: Robot, camera: MjpegServer, face: Pixels
) -> None:
    before = time.time()
    node = start(f"source:={url_of(camera)}", "frame_id:=door")
    camera.start()
    wait_for_faces(robot)
    answer = robot.answers[-1]
    assert answer.header.frame_id == "door"
    assert (answer.image_width, answer.image_height) == (256, 256)
    assert before <= answer.header.stamp.sec + answer.header.stamp.nanosec / 1e9 <= time.time()

    camera.switch_off()
    wait_for_words(robot, node, "has ended after")
    again = MjpegServer(face, port=camera.server_port, password=PASSWORD)
    again.start()
    wait_for_faces(robot)
    wait_for_words(robot, node, "gives images again, after")

    assert "127.0.0.1" in robot.next_diagnostics()["pictures from"]
    assert PASSWORD not in str(robot.diagnostics)
    assert node.process.poll() is None
    assert node.stop() == 0
    again.switch_off()
    assert node.output().count("has ended after") == 1
    assert node.output().count("gives images again") == 1
    assert PASSWORD not in node.output()


def test_a_network_camera_that_stalls_and_goes_on(
    start: StartNode, robot: Robot, camera: MjpegServer
) -> None:
    camera.start()
    node = start(f"source:={url_of(camera)}")
    wait_for_faces(robot)
    camera.streaming.clear()
    wait_for_words(robot, node, "has given no image for 3.")
    camera.streaming.set()
    wait_for_faces(robot)
    wait_for_words(robot, node, "gives images again, after")
    assert node.output().count("has given no image") == 1
    camera.switch_off()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_while_a_network_camera_does_not_answer(
    start: StartNode, robot: Robot, camera: MjpegServer, how: signal.Signals
) -> None:
    """OpenCV waits `OPEN_TIMEOUT` for it, and nothing ends that: the node must not wait too."""
    camera.streaming.clear()
    camera.start()
    node = start(f"source:={url_of(camera)}")
    wait_for_words(robot, node, "has given no image for 3.")
    begin = time.monotonic()
    assert node.stop(how) == 0
    assert time.monotonic() - begin < OPEN_TIMEOUT / 2
    assert PASSWORD not in node.output()
    camera.switch_off()


def test_a_folder_is_answered_image_for_image_until_it_ends(
    start: StartNode, robot: Robot, face: Pixels, tmp_path: Path
) -> None:
    """Image n is 256 + n pixels wide, so that each answer tells which image it belongs to."""
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(1, 181):
        wider = cv2.copyMakeBorder(face, 0, 0, 0, number, cv2.BORDER_REPLICATE)
        assert cv2.imwrite(str(folder / f"face{number}.jpg"), wider)
    (folder / "face150.jpg").write_bytes(b"no image")
    node = start(f"source:={folder}")

    robot.wait_until(lambda: node.process.poll() is not None, "end of the node")

    assert node.process.returncode == 0
    assert "face150.jpg' is not an image that OpenCV can read; skipped" in node.output()
    assert "source ended after image 179" in node.output()
    # The first images are gone before the two processes have found each other, which may take
    # them some seconds.
    numbers = [answer.image_width - 256 for answer in robot.answers]
    assert len(numbers) > 10
    assert numbers == [n for n in range(numbers[0], 181) if n != 150]
    assert all(len(answer.faces) == 1 for answer in robot.answers)
    stamps = [a.header.stamp.sec + a.header.stamp.nanosec / 1e9 for a in robot.answers]
    np.testing.assert_allclose(np.diff(stamps), 1 / 30, atol=0.015)


def test_a_folder_in_a_loop_starts_again(
    start: StartNode, robot: Robot, face: Pixels, tmp_path: Path
) -> None:
    for number in (1, 2):
        wider = cv2.copyMakeBorder(face, 0, 0, 0, number, cv2.BORDER_REPLICATE)
        assert cv2.imwrite(str(tmp_path / f"{number}.png"), wider)
    node = start(f"source:={tmp_path}", "source_loop:=true")
    wait_for_faces(robot, count=6)
    assert {answer.image_width for answer in robot.answers} == {257, 258}
    assert node.stop() == 0
    assert "source ended" not in node.output()


def test_the_images_of_a_source_are_published_as_a_driver_does(
    start: StartNode, robot: Robot, face: Pixels, tmp_path: Path
) -> None:
    """With the stamps and the frame of their faces, and the calibration of the file."""
    assert cv2.imwrite(str(tmp_path / "face.png"), face)
    calibration = tmp_path / "camera.yaml"
    calibration.write_text(CALIBRATION)
    received: dict[str, list[Any]] = {"image_raw": [], "image_raw/compressed": []}
    received["camera_info"] = []
    for topic, kind in zip(received, (Image, CompressedImage, CameraInfo), strict=True):
        robot.create_subscription(kind, topic, received[topic].append, QoSProfile(depth=50))
    start(
        f"source:={tmp_path}",
        "source_loop:=true",
        "frame_id:=door",
        f"calibration_file:={calibration}",
    )

    def together() -> list[Any]:
        headers = [{str(m.header) for m in messages} for messages in received.values()]
        common = set.intersection(*headers, {str(answer.header) for answer in robot.answers})
        return [m for messages in received.values() for m in messages if str(m.header) in common]

    robot.wait_until(lambda: len(together()) >= 9, "images, calibrations and faces of one stamp")
    raw = next(message for message in together() if isinstance(message, Image))
    assert (raw.header.frame_id, raw.encoding) == ("door", "bgr8")
    assert np.array_equal(np.frombuffer(raw.data, np.uint8).reshape(256, 256, 3), face)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("987", "source '987' cannot be opened: is the camera there"),
        ("/dev/video987", "source '/dev/video987' cannot be opened: is the camera there"),
        ("/", "source '/' cannot be opened: it is a folder without an image in it"),
        (
            f"rstp://me:{PASSWORD}@door/1",
            "source 'rstp://***@door/1' starts with rstp://: known are rtsp",
        ),
    ],
)
def test_what_is_no_source_is_one_clear_line(start: StartNode, source: str, message: str) -> None:
    node = start(f"source:={source}")
    assert node.process.wait(timeout=20.0) == 1
    assert message in node.output()
    assert PASSWORD not in node.output()
