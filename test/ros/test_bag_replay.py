"""Two bags played into facemesh_node give the golden faces, image for image, stamp for stamp.

The golden faces are bags of `faces` in test/data/replay. After a change that is meant to change
them: python test/support/golden_replays.py. docs/replay.md tells how to have such a test of your
bags.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node

from golden_replays import EXACTLY, JPEG, RAW, REPLAYS, Replay
from maix_facemesh_ros.ros.replay.golden import GoldenCheck, GoldenFaces, stamp_of
from replay_bags import SECOND

pytest_plugins = ["running_node"]

pytestmark = pytest.mark.usefixtures("own_network")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the bags."""
    folder = tmp_path_factory.mktemp("bags")
    for replay in REPLAYS:
        replay.make_bag(folder)
    return folder


def read(bag: Path) -> list[Any]:
    """Return the faces in a bag that has one topic of them."""
    with GoldenFaces(bag) as golden:
        (topic,) = golden.topic_for(["/faces"]).values()
        return list(golden.on(topic))


@pytest.mark.parametrize("replay", REPLAYS, ids=lambda replay: replay.name)
def test_a_replay_gives_the_golden_faces_and_twice_the_same(
    replay: Replay, folder: Path, tmp_path: Path
) -> None:
    first = tmp_path / "first"
    replay.play(folder, "--check", replay.golden, "--record", first)
    # On one machine nothing is left to rounding.
    replay.play(folder, "--check", first, *EXACTLY)


def test_at_recorded_speed_no_image_gets_anothers_faces(folder: Path, tmp_path: Path) -> None:
    """As `ros2 bag play --clock` with use_sim_time; a busy machine may drop images then."""
    diagnostics: list[int] = []
    robot = Node("robot")
    robot.create_subscription(
        DiagnosticArray, "/diagnostics", lambda message: diagnostics.append(stamp_of(message)), 10
    )
    played = tmp_path / "faces"
    with subprocess.Popen(JPEG.command(folder, "--rate", "1", "--clock", "--record", played)) as it:
        while it.poll() is None:
            rclpy.spin_once(robot, timeout_sec=0.1)
    robot.destroy_node()
    assert it.returncode == 0

    answers, golden = read(played), read(JPEG.golden)
    stamps_of_answers = [stamp_of(answer) for answer in answers]
    assert stamps_of_answers == sorted(set(stamps_of_answers)), "answered twice, or too late"
    assert len(answers) >= len(golden) / 3
    # Its faces do not depend on whether others were dropped.
    check = GoldenCheck(answer for answer in golden if stamp_of(answer) in stamps_of_answers)
    for stamp, answer in zip(stamps_of_answers, answers, strict=True):
        check.image(stamp, answer)
    assert check.passed, "\n".join(check.report())
    # The node lives in the bag's time, which is zero before it begins.
    first, last = stamp_of(golden[0]), stamp_of(golden[-1])
    times = [stamp for stamp in diagnostics if stamp]
    assert times
    assert all(first <= stamp <= last + SECOND for stamp in times)


def test_the_golden_faces_show_what_they_should() -> None:
    """A golden bag that was written with a fault in the node would be no use."""
    raw, jpeg = read(RAW.golden), read(JPEG.golden)
    for golden in (raw, jpeg):
        assert len(golden) == 30
        without_face = [number for number, answer in enumerate(golden) if not len(answer.faces)]
        assert without_face == [14, 15, 16]
    # A tenth of a second out of sight is less than id_timeout.
    assert [answer.faces[0].id for answer in raw if len(answer.faces)] == [1] * 27
    assert {len(answer.faces[0].points) for answer in raw if len(answer.faces)} == {2 * 478}
    assert {len(answer.faces[0].points) for answer in jpeg if len(answer.faces)} == {2 * 68}
