"""The examples, each in its process: faces in, what they say out."""

from __future__ import annotations

import math
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from geometry_msgs.msg import Twist
from maix_facemesh_ros.msg import FaceArray
from rclpy.qos import QoSProfile
from std_msgs.msg import Header, UInt32

from maix_facemesh_ros import BLENDSHAPE_NAMES, Face
from maix_facemesh_ros.ros.messages import face_array
from running_node import Robot

pytest_plugins = ["running_node"]

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"

#: The head's axes in the optical frame, for a face that looks into the camera: x out of the face,
#: y to the person's left, z up.
FACING = np.array([[0.0, 1, 0], [0, 0, -1], [-1, 0, 0]])


class World:
    """Sends faces to an example, and collects what it publishes."""

    def __init__(self, robot: Robot) -> None:
        self._robot = robot
        self._faces = robot.create_publisher(FaceArray, "faces", QoSProfile(depth=100))
        self._stamp = 0.0

    def listen(self, message_type: type, topic: str) -> list[Any]:
        received: list[Any] = []
        self._robot.create_subscription(message_type, topic, received.append, QoSProfile(depth=100))
        return received

    def wait_for(self, received: list[Any], *faces: Face) -> Any:
        """Send the same faces until the example has said something, and return the last of it."""
        received.clear()

        def has_answered() -> bool:
            self.show(*faces)
            return bool(received)

        self._robot.wait_until(has_answered, "answer")
        return received[-1]

    def show(self, *faces: Face) -> None:
        """Send the faces of the next picture, a thirtieth of a second later."""
        self._stamp += 1 / 30
        header = Header(frame_id="camera")
        header.stamp.sec = int(self._stamp)
        header.stamp.nanosec = int(self._stamp % 1 * 1e9)
        self._faces.publish(face_array(header, (640, 480), faces))
        self._robot.spin_for(0.01)

    def wait_until(self, condition: Callable[[], bool], awaited: str) -> None:
        self._robot.wait_until(condition, awaited)

    def wait_until_heard(self) -> None:
        self._robot.wait_until(lambda: self._faces.get_subscription_count() > 0, "example")


@pytest.fixture
def world(robot: Robot) -> World:
    return World(robot)


@pytest.fixture
def run(own_network: None, tmp_path: Path) -> Iterator[Callable[[str], None]]:  # noqa: ARG001
    started: list[tuple[subprocess.Popen[bytes], Path]] = []

    def start(name: str) -> None:
        log = tmp_path / f"{name}.log"
        with log.open("w") as output:
            command = [sys.executable, str(EXAMPLES / name)]
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        started.append((process, log))

    yield start
    for process, log in started:
        assert process.poll() is None, log.read_text()
        process.send_signal(signal.SIGINT)  # As Ctrl-C does.
        process.wait(20)
        assert "Traceback" not in log.read_text(), log.read_text()


def head(x: float, z: float, down: float = 0.0, number: int = 1) -> Face:
    """Return a face at a place in metres that looks down by an angle in radians."""
    pose = np.eye(4)
    cos, sin = math.cos(down), math.sin(down)
    # In the head's frame, to look down is to turn about y, to the left.
    pose[:3, :3] = FACING @ np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
    pose[:3, 3] = x, 0.0, z
    return Face(id=number, pose=pose, points_3d=np.zeros((478, 3), np.float32))


def test_turn_to_face(run: Callable[[str], None], world: World) -> None:
    run("turn_to_face.py")
    speeds = world.listen(Twist, "cmd_vel")
    world.wait_until_heard()
    assert world.wait_for(speeds).angular.z == 0, "nobody is there"
    right = world.wait_for(speeds, head(x=0.3, z=1.0)).angular.z
    left = world.wait_for(speeds, head(x=-0.3, z=1.0)).angular.z
    assert -1 < right < 0 < left < 1
    assert world.wait_for(speeds, head(x=0.01, z=1.0)).angular.z == 0
    assert world.wait_for(speeds, head(x=9.0, z=1.0)).angular.z == -1.0
    both = [head(x=-0.5, z=3.0, number=1), head(x=0.5, z=1.0, number=2)]
    assert world.wait_for(speeds, *both).angular.z < 0, "the nearest one is on the right"
    assert world.wait_for(speeds, Face(id=1)).angular.z == 0, "a face without pose"


def test_detect_nod(run: Callable[[str], None], world: World) -> None:
    run("detect_nod.py")
    nods = world.listen(UInt32, "nods")
    world.wait_until_heard()

    def look(angles: Sequence[float]) -> None:
        for angle in angles:
            world.show(head(0.0, 1.0, down=math.radians(angle), number=7))

    still = [0.5 * (-1) ** at for at in range(20)]
    nod = [0, 3, 6, 9, 12, 14, 14, 12, 9, 6, 3, 0]

    def has_seen_a_nod() -> bool:
        # As often as it takes until both are in contact: silence means something only then.
        look([*still, *nod, *still])
        return bool(nods)

    world.wait_until(has_seen_a_nod, "first nod")
    look(still * 2)
    nods.clear()
    look([0, 2, 4, 6, 8, 10, 12, 14, 15, 15, 15, 15, 15, 15, 15] + [15] * 30)
    assert nods == [], "to look down is no nod"
    look([15] * 20 + list(range(15, 0, -1)) + still * 2)
    assert nods == [], "nor is to look up again, later"
    look(nod)
    look(still)
    world.wait_until(lambda: bool(nods), "nod")
    assert [message.data for message in nods] == [7]


def test_count_blinks(run: Callable[[str], None], world: World) -> None:
    run("count_blinks.py")
    blinks = world.listen(UInt32, "blinks")
    world.wait_until_heard()

    def eyes(left: float, right: float) -> Face:
        scores = np.zeros(52, np.float32)
        scores[BLENDSHAPE_NAMES.index("eyeBlinkLeft")] = left
        scores[BLENDSHAPE_NAMES.index("eyeBlinkRight")] = right
        return Face(id=3, blendshapes=scores)

    assert world.wait_for(blinks, eyes(0.1, 0.1)).data == 0
    for score in (0.1, 0.4, 0.6, 0.45, 0.6, 0.4, 0.1):
        world.show(eyes(score, score))
    world.show(eyes(0.9, 0.1))
    world.show(eyes(0.1, 0.1))
    assert world.wait_for(blinks, eyes(0.1, 0.1)).data == 1, "a wink is no blink"


def test_each_example_fits_on_a_screen() -> None:
    for example in EXAMPLES.glob("*.py"):
        assert len(example.read_text().splitlines()) < 60, example.name
