"""One bag, three ways: a robot's node, facemesh_replay and facemesh_bag find the same faces."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rclpy.duration import Duration
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from image_player import TIMEOUT, ImagePlayer
from maix_facemesh_ros.bags.reader import Bag
from maix_facemesh_ros.image import Pixels
from maix_facemesh_ros.ros.replay.golden import GoldenCheck, GoldenFaces, stamp_of
from maix_facemesh_ros.ros.replay.tolerances import Tolerances
from replay_bags import (
    DELAY,
    SECOND,
    BagMaker,
    camera_info,
    image_message,
    moving_scene,
    stamps,
)
from running_node import StartNode

pytest_plugins = ["running_node"]

IMAGES, FACES = "/camera/image_raw", "/camera/faces"

#: What could be told apart: two faces that are tracked and detected, in space, with expressions.
PARAMETERS = ("max_face_num:=2", "detect_interval:=4", "gaze:=true", "blendshapes:=true")

EXACTLY = Tolerances(pixels=0.0, scores=0.0, distances=0.0, degrees=0.0)


def scene() -> Iterator[tuple[int, Pixels]]:
    """Give stamps and images, 320x240: one face and two, a pause, and a jump back in time."""
    at = list(islice(stamps(), 30))
    for number, image in enumerate(moving_scene()):
        stamp = at[number]
        if number >= 20:
            stamp += 3 * SECOND
        if number >= 26:
            stamp -= 5 * SECOND
        if number % 3:
            small = image[::2, ::2]
            image = np.concatenate([small, small[:, ::-1]], axis=1)
            image = np.concatenate([image, np.zeros_like(image)], axis=0)
        yield stamp, image


@pytest.mark.parametrize("message_type", [Image, CompressedImage])
def test_three_ways_agree(
    message_type: type[Image] | type[CompressedImage], start: StartNode, tmp_path: Path
) -> None:
    jpeg = message_type is CompressedImage
    topic = f"{IMAGES}/compressed" if jpeg else IMAGES
    bag = tmp_path / "bag"
    with BagMaker(bag) as maker:
        for number, (stamp, image) in enumerate(scene()):
            log_time = stamp + DELAY + (5 * SECOND if number >= 26 else 0)
            maker.write(topic, image_message(image, stamp, jpeg=jpeg), log_time)
            maker.write("/camera/camera_info", camera_info(stamp), log_time + 1)

    recorded = [tmp_path / "replayed", tmp_path / "offline"]
    parameters = [part for parameter in PARAMETERS for part in ("-p", parameter)]
    for program, *options in (
        ["facemesh_replay", "--start-node", "--record", str(recorded[0])],
        ["facemesh_bag", "--output", str(recorded[1])],
    ):
        command = [
            "-m",
            "maix_facemesh_ros.programs.start",
            program,
            str(bag),
            *options,
            *parameters,
        ]
        subprocess.run([sys.executable, *command], check=True, timeout=TIMEOUT)
    live = answers_of_a_node(bag, topic, message_type, start)

    replayed, offline = (faces_in(path) for path in recorded)
    given = [stamp for stamp, _ in scene()]
    for answers in (live, replayed, offline):
        assert [stamp_of(answer) for answer in answers] == given
        assert_same(answers, replayed)
    assert log_times(recorded[0]) == log_times(recorded[1])
    # And they are answers: with two faces, poses and all the rest, and reset after the jumps.
    assert {len(answer.faces) for answer in live} == {0, 1, 2}
    assert all(face.pose_valid and face.gaze_valid for answer in live for face in answer.faces)
    assert all(len(face.blendshapes) == 52 for answer in live for face in answer.faces)
    assert max(face.id for answer in live for face in answer.faces) > 2


def answers_of_a_node(
    bag: Path, topic: str, message_type: type[Image] | type[CompressedImage], start: StartNode
) -> list[Any]:
    """Return what a node says to a robot's camera that takes the images of a bag."""
    transport = "compressed" if message_type is CompressedImage else "raw"
    start(
        *(*PARAMETERS, f"image_transport:={transport}"),
        *(
            f"qos_overrides.{name}.subscription.reliability:=reliable"
            for name in (topic, "/camera/camera_info")
        ),
        remaps=["__ns:=/camera"],
    )
    player = ImagePlayer(topic, message_type, FACES)
    calibration = player.create_publisher(CameraInfo, "/camera/camera_info", QoSProfile(depth=1))
    player.wait_for_node()
    with Bag(bag) as messages:
        info = next(messages.messages(["/camera/camera_info"]))
        calibration.publish(deserialize_message(info.data, CameraInfo))
        assert calibration.wait_for_all_acked(Duration(seconds=TIMEOUT))
        for message in messages.messages([topic]):
            player.ask(message.data)
    answers = player.answers
    player.destroy_node()
    return answers


def faces_in(bag: Path) -> list[Any]:
    with GoldenFaces(bag) as faces:
        return list(faces.on(FACES))


def log_times(bag: Path) -> list[int]:
    with Bag(bag) as messages:
        return [message.log_time for message in messages.messages([FACES])]


def assert_same(answers: list[Any], golden: list[Any]) -> None:
    check = GoldenCheck(golden, EXACTLY)
    for answer in answers:
        check.image(stamp_of(answer), answer)
    check.finish()
    assert check.passed, "\n".join(check.report())
