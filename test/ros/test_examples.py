"""The examples, each in its process: faces in, what they say out."""

from __future__ import annotations

import math
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from geometry_msgs.msg import Twist
from rclpy.qos import QoSProfile
from std_msgs.msg import UInt32

from maix_facemesh_ros import BLENDSHAPE_NAMES, Face
from maix_facemesh_ros.image import Pixels, Stamp
from maix_facemesh_ros.messages.faces import serialized_faces
from maix_facemesh_ros.msg import FaceArray, FaceAttentionArray
from running_node import Robot, StartNode, image_message
from scenes import close_eyes, paste_head, plain, scene

pytest_plugins = ["running_node"]

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

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

    def show_until(self, condition: Callable[[], bool], what: str, *faces: Face) -> None:
        """Send the same faces again and again: how many the example has yet to take is unknown."""

        def is_so() -> bool:
            self.show(*faces)
            return condition()

        self._robot.wait_until(is_so, what)

    def show(self, *faces: Face) -> None:
        """Send the faces of the next image, a thirtieth of a second later."""
        self._stamp += 1 / 30
        stamp = Stamp(int(self._stamp), int(self._stamp % 1 * 1e9))
        self._faces.publish(serialized_faces(stamp, "camera", (640, 480), faces))
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
    """Return a face at a place in meters that looks down by an angle in radians."""
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

    def turns(least: float, most: float, *faces: Face) -> None:
        """Wait for a speed; it is never that of the faces before."""
        world.show_until(
            lambda: bool(speeds) and least <= speeds[-1].angular.z <= most,
            f"speed of {least} to {most}",
            *faces,
        )

    turns(0, 0)
    turns(-0.9, -0.1, head(x=0.3, z=1.0))
    turns(0.1, 0.9, head(x=-0.3, z=1.0))
    turns(0, 0, head(x=0.01, z=1.0))
    turns(-1.0, -1.0, head(x=9.0, z=1.0))
    # The nearest one is on the right.
    turns(-0.9, -0.1, head(x=-0.5, z=3.0, number=1), head(x=0.5, z=1.0, number=2))
    # A face without pose.
    turns(0, 0, Face(id=1))


def test_look_at_main_person(run: Callable[[str], None], world: World, robot: Robot) -> None:
    run("look_at_main_person.py")
    speeds = world.listen(Twist, "cmd_vel")
    attention = robot.create_publisher(FaceAttentionArray, "facemesh/attention", 1)
    world.wait_until_heard()
    left, right = head(x=-0.5, z=1.0, number=1), head(x=0.5, z=1.0, number=2)
    for main_id, least, most in ((1, 0.1, 0.9), (2, -0.9, -0.1), (0, 0, 0)):

        def turns(main_id: int = main_id, least: float = least, most: float = most) -> bool:
            attention.publish(FaceAttentionArray(main_id=main_id))
            return bool(speeds) and least <= speeds[-1].angular.z <= most

        world.show_until(turns, f"speed of {least} to {most}", left, right)


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
    assert nods == [], "looking down is not a nod"
    look([15] * 20 + list(range(15, 0, -1)) + still * 2)
    assert nods == [], "nor is to look up again, later"
    world.wait_until(has_seen_a_nod, "nod")
    assert {message.data for message in nods} == {7}


def test_count_blinks(run: Callable[[str], None], world: World) -> None:
    run("count_blinks.py")
    blinks = world.listen(UInt32, "blinks")
    world.wait_until_heard()

    def eyes(left: float, right: float) -> Face:
        scores = np.zeros(52, np.float32)
        scores[BLENDSHAPE_NAMES.index("eyeBlinkLeft")] = left
        scores[BLENDSHAPE_NAMES.index("eyeBlinkRight")] = right
        return Face(id=3, blendshapes=scores)

    opened = eyes(0.1, 0.1)
    world.show_until(lambda: bool(blinks), "count", opened)
    assert blinks[-1].data == 0
    for score in (0.4, 0.6, 0.45, 0.6, 0.4):
        world.show(eyes(score, score))
    world.show_until(lambda: blinks[-1].data > 0, "blink", opened)
    assert blinks[-1].data == 1
    # A wink is not a blink.
    world.show(eyes(0.9, 0.1))
    world.show(opened)
    for score in (0.6, 0.1):
        world.show(eyes(score, score))
    world.show_until(lambda: blinks[-1].data > 1, "second blink", opened)
    assert blinks[-1].data == 2


# With the node: images in.


class Film:
    """Shows images to the node, a thirtieth of a second apart, each when the last is answered."""

    def __init__(self, robot: Robot) -> None:
        self._robot = robot
        self._count = 0

    def show(self, *images: Pixels) -> FaceArray:
        for image in images:
            self._count += 1
            at = self._count / 30
            answer = self._robot.ask(image_message(image, stamp=(int(at), int(at % 1 * 1e9))))
        return answer

    def show_until(self, condition: Callable[[], bool], what: str, *images: Pixels) -> None:
        def is_so() -> bool:
            self.show(*images)
            return condition()

        self._robot.wait_until(is_so, what)


def listen(robot: Robot, message_type: type, topic: str) -> list[Any]:
    received: list[Any] = []
    robot.create_subscription(message_type, topic, received.append, QoSProfile(depth=100))
    return received


def test_a_robot_turns_to_the_face_that_its_camera_sees(
    start: StartNode, run: Callable[[str], None], robot: Robot, astronaut: Pixels
) -> None:
    start("assumed_field_of_view:=65.0")
    run("turn_to_face.py")
    speeds = listen(robot, Twist, "cmd_vel")
    robot.wait_for_node()
    film = Film(robot)
    right, left = scene(astronaut, (500, 180, 90.0)), scene(astronaut, (140, 180, 90.0))
    film.show_until(lambda: bool(speeds) and speeds[-1].angular.z < -0.2, "turn right", right)
    film.show_until(lambda: speeds[-1].angular.z > 0.2, "turn left", left)
    both = scene(astronaut, (140, 180, 60.0), (500, 180, 110.0))
    film.show_until(lambda: speeds[-1].angular.z < -0.2, "turn to the nearest", both)
    film.show_until(lambda: speeds[-1].angular.z == 0, "stop", plain())


def test_a_nod_before_the_camera_is_seen(
    start: StartNode, run: Callable[[str], None], robot: Robot, astronaut: Pixels
) -> None:
    """To a camera that turns up, a head that keeps still nods."""
    start("assumed_field_of_view:=65.0")
    run("detect_nod.py")
    nods = listen(robot, UInt32, "nods")
    robot.wait_for_node()
    film = Film(robot)
    straight = plain(640, 480)
    paste_head(straight, astronaut, (320, 320), 100)
    focal_length = 320 / math.tan(math.radians(65) / 2)
    matrix = np.array([[focal_length, 0, 320], [0, focal_length, 240], [0, 0, 1]])

    def seen_from(degrees: float) -> Pixels:
        turn, _ = cv2.Rodrigues(np.array([math.radians(degrees), 0, 0]))
        looked = cv2.warpPerspective(
            straight, matrix @ turn @ np.linalg.inv(matrix), (640, 480), borderValue=(128,) * 3
        )
        return np.asarray(looked, np.uint8)

    nod = [seen_from(degrees) for degrees in (0, 3, 6, 9, 12, 14, 14, 12, 9, 6, 3, 0)]
    film.show_until(lambda: bool(nods), "nod", *[straight] * 5, *nod, *[straight] * 5)
    (face,) = film.show(straight).faces
    assert {message.data for message in nods} == {face.id}


def test_blinks_before_the_camera_are_counted(
    start: StartNode, run: Callable[[str], None], robot: Robot, astronaut: Pixels
) -> None:
    start("blendshapes:=true")
    run("count_blinks.py")
    blinks = listen(robot, UInt32, "blinks")
    robot.wait_for_node()
    film = Film(robot)
    film.show_until(lambda: bool(blinks), "count", astronaut)
    assert blinks[-1].data == 0, "eyes that are open all the time"
    closed = close_eyes(astronaut)
    film.show(*[closed] * 4)
    film.show_until(lambda: blinks[-1].data == 1, "blink", astronaut)
    film.show(*[closed] * 4)
    film.show_until(lambda: blinks[-1].data == 2, "second blink", astronaut)


def test_each_example_fits_on_a_screen() -> None:
    for example in EXAMPLES.glob("*.py"):
        assert len(example.read_text().splitlines()) < 60, example.name
