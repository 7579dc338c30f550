"""`facemesh_node` as its users meet it: in a process of its own, over DDS."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
import time
from array import array
from pathlib import Path

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import Image

from maix_facemesh_ros import FaceMesh
from maix_facemesh_ros.image import Pixels
from maix_facemesh_ros.msg import FaceArray
from maix_facemesh_ros.ros.messages import faces_of
from running_node import TIMEOUT, Robot, StartNode, double, image_message, integer

pytest_plugins = ["running_node"]


def test_a_face_comes_back_under_the_images_own_header(
    start: StartNode, robot: Robot, astronaut: Pixels
) -> None:
    start()
    robot.wait_for_node()

    answer = robot.ask(image_message(astronaut, stamp=(1_700_000_000, 123_456_789)))

    assert (answer.header.stamp.sec, answer.header.stamp.nanosec) == (1_700_000_000, 123_456_789)
    assert answer.header.frame_id == "left_eye"
    assert (answer.image_width, answer.image_height) == (512, 512)
    with FaceMesh(tracking=True) as mesh:
        (expected,) = mesh.process(astronaut, 1_700_000_000.123456789)
    (face,) = faces_of(answer)
    assert face.id == 1
    assert face.score == pytest.approx(expected.score)
    assert face.box == pytest.approx(expected.box)
    np.testing.assert_array_equal(face.points, expected.points)
    np.testing.assert_array_equal(face.points_z, expected.points_z)
    np.testing.assert_array_equal(face.box_keypoints, expected.box_keypoints)
    assert len(face.points) == 478
    assert len(face.points_rel) == 0


def test_bgr8_and_padded_rows_give_the_same_faces(
    start: StartNode, robot: Robot, astronaut: Pixels
) -> None:
    start("tracking:=false")
    robot.wait_for_node()
    rgb = robot.ask(image_message(astronaut))
    bgr = robot.ask(image_message(np.ascontiguousarray(astronaut[:, :, ::-1]), "bgr8"))
    padded = image_message(astronaut)
    padded.step += 60
    padded.data = array("B", np.pad(astronaut.reshape(512, -1), ((0, 0), (0, 60))).tobytes())

    for answer in (bgr, robot.ask(padded)):
        np.testing.assert_array_equal(answer.faces[0].points, rgb.faces[0].points)


def test_a_image_without_a_face_is_answered_too(start: StartNode, robot: Robot) -> None:
    start()
    robot.wait_for_node()

    answer = robot.ask(image_message(np.full((120, 160, 3), 90, np.uint8)))

    assert answer.faces == []
    assert answer.header.frame_id == "left_eye"


def test_a_camera_of_10_bits_sees_a_face_and_its_levels_are_told(
    start: StartNode, robot: Robot, astronaut: Pixels
) -> None:
    start()
    robot.wait_for_node()
    assert "black and white of 16 bits" not in robot.next_diagnostics()
    gray = cv2.cvtColor(astronaut, cv2.COLOR_RGB2GRAY).astype("<u2") * 4
    message = image_message(astronaut)
    message.encoding, message.step, message.data = "mono16", 1024, array("B", gray.tobytes())

    assert len(robot.ask(message).faces) == 1
    robot.next_diagnostics()  # It may have been on its way before the image.
    black, _, white = robot.next_diagnostics()["black and white of 16 bits"].partition(" to ")
    assert (int(black), 1000 < int(white) < 1500) == (0, True)


def test_parameters_do_what_they_say(start: StartNode, robot: Robot, astronaut: Pixels) -> None:
    two = np.concatenate([astronaut, cv2.resize(astronaut, (256, 256))[:, :256].repeat(2, 0)], 1)
    two[256:, 512:] = 0
    start("landmarks_num:=68", "landmarks_rel:=true", "landmarks_abs:=false", "max_face_num:=1")
    robot.wait_for_node()

    answer = robot.ask(image_message(np.ascontiguousarray(two)))

    (face,) = answer.faces
    assert len(face.indices) == 68
    assert len(face.points_z) == 68
    assert len(face.points_rel) == 2 * 68
    assert len(face.points) == 0


def test_thresholds_change_at_run_time_and_a_bad_set_is_refused_whole(
    start: StartNode, robot: Robot, astronaut: Pixels
) -> None:
    start("tracking:=false")
    robot.wait_for_node()
    assert len(robot.ask(image_message(astronaut)).faces) == 1

    assert robot.set_parameters(detect_conf_th=double(0.99)) == (True, "")
    assert robot.ask(image_message(astronaut)).faces == []

    good, reason = robot.set_parameters(
        detect_conf_th=double(0.5), detect_interval=integer(0), max_face_num=integer(1)
    )
    assert not good
    assert "detect_interval" in reason or "0" in reason
    assert robot.get_double("detect_conf_th") == 0.99
    assert robot.ask(image_message(astronaut)).faces == []

    good, reason = robot.set_parameters(tracking=integer(1))
    assert not good
    assert reason


def test_bad_images_are_named_and_the_next_good_one_is_answered(
    start: StartNode, robot: Robot, astronaut: Pixels
) -> None:
    node = start()
    robot.wait_for_node()
    short = image_message(astronaut)
    short.data = short.data[:1000]
    unknown = image_message(astronaut, encoding="rgb48")
    for message in (short, unknown):
        robot.images.publish(message)
        robot.wait_until(lambda: "not used" in node.output(), "warning")

    assert len(robot.ask(image_message(astronaut)).faces) == 1
    assert "not used: the data has 1000 bytes" in node.output()
    assert node.process.poll() is None


def test_a_wait_is_not_silent(start: StartNode, robot: Robot) -> None:
    node = start()
    robot.wait_until(lambda: "no image on /image_raw" in node.output(), "warning")
    assert "1 publisher, /robot with sensor_msgs/msg/Image RELIABLE" in node.output()


def test_a_video_file_is_answered_image_for_image_until_it_ends(
    start: StartNode, robot: Robot, astronaut: Pixels, tmp_path: Path
) -> None:
    video = tmp_path / "face.avi"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"MJPG"), 10, (512, 512))
    for _ in range(60):
        writer.write(np.ascontiguousarray(astronaut[:, :, ::-1]))
    writer.release()
    node = start(f"source:={video}", "frame_id:=film")

    robot.wait_until(lambda: node.process.poll() is not None, "end of the node")

    assert node.process.returncode == 0
    assert "source ended after image 60" in node.output()
    # The first images may be gone before the two processes have found each other.
    assert len(robot.answers) > 10
    assert {answer.header.frame_id for answer in robot.answers} == {"film"}
    stamps = [
        answer.header.stamp.sec + answer.header.stamp.nanosec / 1e9 for answer in robot.answers
    ]
    np.testing.assert_allclose(np.diff(stamps), 0.1, atol=0.015)
    assert all(len(answer.faces) == 1 for answer in robot.answers)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("detect_conf_th:=2.0",), "detect_conf_th is 2.0: give 0 to 1"),
        (("landmarks_num:='68'",), "landmarks_num is '68', a str: give a whole number"),
        (("detect_conf:=0.7",), "no parameter 'detect_conf': did you mean 'detect_conf_th'?"),
        (("landmarks_abs:=false",), "landmarks_abs and landmarks_rel are both off"),
        (("source:=nowhere.mp4",), "source 'nowhere.mp4' is neither a camera"),
        (("detector:=yunet",), "detector 'yunet' needs detector_model"),
        (("detector:=yunet", "detector_model:=x.onnx"), "there is no model file x.onnx"),
    ],
)
def test_a_wrong_start_is_one_clear_line(
    start: StartNode, arguments: tuple[str, ...], message: str
) -> None:
    node = start(*arguments)
    assert node.process.wait(timeout=TIMEOUT) == 1
    assert message in node.output()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_cleanly_in_the_middle_of_its_work(
    start: StartNode, robot: Robot, astronaut: Pixels, how: signal.Signals
) -> None:
    node = start()
    robot.wait_for_node()
    robot.ask(image_message(astronaut))
    robot.images.publish(image_message(astronaut))
    assert node.stop(how) == 0


def test_two_nodes_with_two_cameras_do_not_mix(robot: Robot, astronaut: Pixels) -> None:
    """Two namespaces: one sees a face, the other an empty room."""
    nodes = [
        subprocess.Popen(
            [sys.executable, "-m", "maix_facemesh_ros.ros.facemesh_node"]
            + ["--ros-args", "-r", f"__ns:=/{side}"]
        )
        for side in ("left", "right")
    ]
    try:
        answers: dict[str, list[FaceArray]] = {"left": [], "right": []}
        publishers = {}
        for side, received in answers.items():
            publishers[side] = robot.create_publisher(Image, f"/{side}/image_raw", 10)
            robot.create_subscription(FaceArray, f"/{side}/faces", received.append, 10)
        room = np.zeros((90, 120, 3), np.uint8)
        end = time.monotonic() + TIMEOUT
        for number in itertools.count():
            publishers["left"].publish(image_message(astronaut, stamp=(number, 1)))
            publishers["right"].publish(image_message(room, stamp=(number, 2)))
            robot.executor_of_test.spin_once(timeout_sec=0.1)
            if all(len(received) >= 5 for received in answers.values()):
                break
            assert time.monotonic() < end, "the nodes do not answer"
        assert [len(answer.faces) for answer in answers["left"]] == [1] * len(answers["left"])
        assert [len(answer.faces) for answer in answers["right"]] == [0] * len(answers["right"])
        assert {answer.header.stamp.nanosec for answer in answers["left"]} == {1}
        assert {answer.header.stamp.nanosec for answer in answers["right"]} == {2}
    finally:
        for node in nodes:
            node.terminate()
            node.wait()


def test_qos_of_faces_is_reliable(start: StartNode, robot: Robot) -> None:
    """That of images follows their publishers: test_stock_driver.py."""
    start()
    robot.wait_for_node()
    (faces,) = robot.get_publishers_info_by_topic("faces")
    assert faces.qos_profile.reliability.name == "RELIABLE"
