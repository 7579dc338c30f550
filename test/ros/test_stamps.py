"""Stamps and frames as cameras, bags and simulators send them: answers have their image's own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.time import Time
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image

from maix_facemesh_ros.image import Pixels
from running_node import (
    TIMEOUT,
    Robot,
    StartNode,
    image_message,
    new_robot,
    stamp_of,
    starting_in,
)

pytest_plugins = ["running_node"]


@pytest.fixture
def half(astronaut: Pixels) -> Pixels:
    """A small image with a face, quick to answer."""
    return np.ascontiguousarray(astronaut[0:240, 80:400])


@pytest.fixture(scope="module")
def robot_of_running_node(
    own_network: None,  # noqa: ARG001
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Robot]:
    """One node for many tests: its stream goes on from one test to the next."""
    with starting_in(tmp_path_factory.mktemp("node")) as start_node, new_robot() as robot:
        start_node()
        robot.wait_for_node()
        yield robot


def ids(robot: Robot, message: Image) -> list[int]:
    """Return the ids of the faces in an image's answer."""
    return [face.id for face in robot.ask(message).faces]


@pytest.mark.parametrize(
    "stamp",
    [
        (0, 0),
        (0, 999_999_999),
        (-1, 0),
        (-(2**31), 0),
        (2**31 - 1, 999_999_999),
        # Nanoseconds that are more than a second: not valid, and still the image's own.
        (5, 2**32 - 1),
    ],
)
def test_any_stamp_comes_back_as_it_was(
    stamp: tuple[int, int], robot_of_running_node: Robot, half: Pixels
) -> None:
    for frame_id in ("", "eye", "kamera_ä", "f" * 300):
        message = image_message(half, stamp=stamp)
        message.header.frame_id = frame_id
        answer = robot_of_running_node.ask(message)
        assert stamp_of(answer) == stamp
        assert answer.header.frame_id == frame_id
        assert len(answer.faces) == 1


def test_two_images_with_one_stamp_are_both_answered_and_are_one_stream(
    robot_of_running_node: Robot, half: Pixels
) -> None:
    robot = robot_of_running_node
    first = ids(robot, image_message(half, stamp=(50, 7)))
    mirrored = image_message(np.ascontiguousarray(half[:, ::-1]), stamp=(50, 7))
    answers = [robot.ask(image_message(half, stamp=(50, 7))), robot.ask(mirrored)]

    assert [face.id for face in answers[0].faces] == first
    left, right = (np.mean(answer.faces[0].points[0::2]) for answer in answers)
    assert right == pytest.approx(half.shape[1] - left, abs=6), "each has its own face"


def test_stamps_of_zero_are_one_stream(robot_of_running_node: Robot, half: Pixels) -> None:
    """A driver without a clock: no stamp is before another, so faces keep their id."""
    robot = robot_of_running_node
    first = ids(robot, image_message(half, stamp=(0, 0)))
    assert len(first) == 1
    for _ in range(10):
        assert ids(robot, image_message(half, stamp=(0, 0))) == first


@pytest.mark.parametrize("order", [(0, 1, 2, -3, -2, -1), (0, 1, 3, 2, 4)], ids=["back", "swap"])
def test_a_stamp_that_goes_back_a_little_ends_no_id(
    robot_of_running_node: Robot, half: Pixels, order: tuple[int, ...]
) -> None:
    """A clock that is corrected, and two images in the wrong order: each has its own stamp."""
    found = set[int]()
    for number in order:
        stamp = (3000, 500_000_000 + number * 33_000_000)
        answer = robot_of_running_node.ask(image_message(half, stamp=stamp))
        assert stamp_of(answer) == stamp
        found.update(face.id for face in answer.faces)
    assert len(found) == 1


def test_a_bag_that_starts_again_is_a_new_stream(
    robot_of_running_node: Robot, half: Pixels
) -> None:
    robot = robot_of_running_node
    seen: list[set[int]] = []
    for _ in range(3):
        in_this_round = set[int]()
        for number in range(8):
            stamp = (1000, number * 100_000_000)
            answer = robot.ask(image_message(half, stamp=stamp))
            assert stamp_of(answer) == stamp
            in_this_round.update(face.id for face in answer.faces)
        seen.append(in_this_round)
    assert [len(found) for found in seen] == [1, 1, 1]
    assert len(set.union(*seen)) == 3, "an id of one round is none of another's"


def test_a_bag_that_starts_again_gives_the_same_points_again(
    robot_of_running_node: Robot, astronaut: Pixels
) -> None:
    """Nothing of the first round is left in the second: replay gives the same answer."""
    robot = robot_of_running_node

    def play() -> list[list[float]]:
        moved = (np.roll(astronaut[0:240, 80:400], 3 * step, axis=1) for step in range(6))
        messages = [
            image_message(np.ascontiguousarray(image), stamp=(9, 10**8 * number))
            for number, image in enumerate(moved)
        ]
        return [list(robot.ask(message).faces[0].points) for message in messages]

    assert play() == play()


def test_a_leap_ahead_by_years_is_answered(robot_of_running_node: Robot, half: Pixels) -> None:
    robot = robot_of_running_node
    for stamp in ((1, 0), (2**31 - 1, 0), (2, 0), (-(2**31), 0), (3, 0)):
        answer = robot.ask(image_message(half, stamp=stamp))
        assert stamp_of(answer) == stamp
        (face,) = answer.faces
        points = np.array(face.points)
        assert np.isfinite(points).all()
        assert 100 < points[0::2].mean() < 200, "where the face is, not where it was"


def test_milliseconds_and_two_publishers_are_named_once(
    start: StartNode, robot: Robot, half: Pixels
) -> None:
    node = start()
    robot.wait_for_node()
    other = Node("second_camera", context=robot.context)
    try:
        other.create_publisher(Image, "image_raw", QoSProfile(depth=1))
        for number in range(12):
            robot.ask(image_message(half, stamp=(33 * number, 0)))
        robot.wait_until(lambda: "publishers of images on" in node.output(), "naming of both")
        for number in range(12):
            robot.ask(image_message(half, stamp=(33 * number, 0)))
        robot.spin_for(6.0)  # longer than from one check of the publishers to the next
    finally:
        other.destroy_node()
    output = node.output()
    assert output.count("look like milliseconds in header.stamp.sec") == 1
    assert output.count("publishers of images on /image_raw: ") == 1
    assert "/robot with" in output
    assert "/second_camera with" in output


def test_simulated_time_without_a_clock_holds_up_no_answer_and_silences_nothing(
    start: StartNode, robot: Robot, half: Pixels
) -> None:
    """A simulation or a bag that is paused, or was forgotten."""
    node = start("use_sim_time:=true")
    robot.wait_until(lambda: "no image on /image_raw" in node.output(), "warning of silence")
    robot.wait_for_node()

    assert stamp_of(robot.ask(image_message(half, stamp=(3, 4)))) == (3, 4)
    bad = image_message(half)
    bad.encoding = "none"
    robot.images.publish(bad)
    robot.wait_until(lambda: "not used" in node.output(), "warning of a bad image")
    assert int(robot.next_diagnostics()["pictures answered"]) >= 2


def test_simulated_time_with_a_clock_leaves_the_stamps_alone(
    start: StartNode, robot: Robot, half: Pixels
) -> None:
    """A simulator's clock that leaps back to its start, as when a simulation is reset."""
    start("use_sim_time:=true")
    robot.wait_for_node()
    clock = robot.create_publisher(Clock, "/clock", QoSProfile(depth=10))
    robot.wait_until(lambda: clock.get_subscription_count() > 0, "subscription to /clock")
    for start_of_round in (500, 100):
        for step in range(5):
            now = Time(seconds=start_of_round + step)
            clock.publish(Clock(clock=now.to_msg()))
            stamp = (start_of_round + step, 250)
            assert stamp_of(robot.ask(image_message(half, stamp=stamp))) == stamp


def test_images_of_a_source_are_stamped_in_simulated_time(
    start: StartNode, robot: Robot, astronaut: Pixels, tmp_path: Path
) -> None:
    """The node's own source: before the first message on /clock the time is zero, as it should."""
    video = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"MJPG"), 10, (256, 256))
    for _ in range(200):
        writer.write(np.ascontiguousarray(astronaut[:256, 100:356, ::-1]))
    writer.release()
    start("use_sim_time:=true", f"source:={video}", "source_loop:=true", "frame_id:=film")
    robot.wait_until(lambda: bool(robot.answers), "faces without a clock")
    assert stamp_of(robot.answers[-1])[0] == 0

    clock = robot.create_publisher(Clock, "/clock", QoSProfile(depth=10))
    end = time.monotonic() + TIMEOUT
    while not 70_000 - 60 < stamp_of(robot.answers[-1])[0] <= 70_000:
        assert time.monotonic() < end, "no stamp of the simulation"
        clock.publish(Clock(clock=Time(seconds=70_000).to_msg()))
        robot.spin_for(0.1)
    assert {answer.header.frame_id for answer in robot.answers} == {"film"}
