"""A bag played into facemesh_node gives the same faces again, picture for picture, stamp for stamp.

A pattern for bags of your own: docs/testing.md tells how to use it. The answers that are right, the
golden ones, are bags of `faces` in test/data/replay. To write them anew, after a change that is
meant to change them: python test/test_bag_replay.py
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import rclpy
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from maix_facemesh_ros.msg import FaceArray
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message, serialize_message
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image
from skimage import data

from maix_facemesh_ros.face import Picture
from maix_facemesh_ros.model_files import find_share_file
from maix_facemesh_ros.ros.transport import shared_memory_environment

GOLDEN = Path(__file__).parent / "data" / "replay"

#: Processors and libraries round differently (0.05 pixels apart are an AMD EPYC with AVX2 and the
#: machine of the golden faces): largest difference of a coordinate in pixels, and of
#: a score. The stamps, the frame, the number of faces and their ids are the same everywhere.
PIXELS, SCORES = 0.2, 0.01

#: Seconds to wait for anything. Generous: the machine may have other work.
TIMEOUT = 60.0

SECOND = 10**9


@dataclass(frozen=True)
class Replay:
    """A bag to play, how the node is to answer it, and the golden faces by the same name."""

    name: str
    #: Topic of the pictures in the bag, and their type.
    topic: str
    message_type: type[Image] | type[CompressedImage]
    #: Parameters of the node.
    parameters: tuple[str, ...]

    @property
    def golden(self) -> Path:
        """Folder with the golden faces."""
        return GOLDEN / self.name


#: Tracked faces depend on the pictures before; with tracking off each picture stands alone.
RAW = Replay("raw", "/camera/image_raw", Image, ("tracking:=true",))
JPEG = Replay(
    "jpeg",
    "/camera/image_raw/compressed",
    CompressedImage,
    ("image_transport:=compressed", "tracking:=false", "landmarks_num:=68"),
)
REPLAYS = (RAW, JPEG)


# ---- The bags. For bags of your own, let `bag_of` return their folders. -------------------------


def bag_of(replay: Replay, folder: Path) -> Path:
    """Return the bag to be played: here one that is made in a folder, the same every time."""
    bag = folder / replay.name
    with Writer(bag, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection(
            replay.topic,
            f"sensor_msgs/msg/{replay.message_type.__name__}",
            typestore=get_typestore(Stores.ROS2_JAZZY),
        )
        start, interval = 1_700_000_000 * SECOND, SECOND // 10
        for number, picture in enumerate(moving_scene()):
            # Cameras take some time from the exposure, which the stamp tells, to the message.
            taken = start + number * interval + 7 * number
            message = image_message(replay.message_type, picture, taken)
            writer.write(connection, taken + SECOND // 100, serialize_message(message))
    return bag


def moving_scene() -> Iterator[Picture]:
    """Give 30 pictures, 320x240: a face on the move, and for three pictures a covered lens."""
    photo = np.asarray(data.astronaut(), np.uint8)
    for number in range(30):
        left, top = 40 + 3 * number, 8 + abs(30 - 4 * number) // 2
        picture = photo[top : top + 240, left : left + 320]
        yield np.zeros_like(picture) if 14 <= number < 17 else picture


def image_message(
    message_type: type[Image] | type[CompressedImage], picture: Picture, stamp: int
) -> Image | CompressedImage:
    """Return an RGB picture as a camera's message; the stamp is in nanoseconds."""
    message = message_type()
    message.header.stamp = to_time(stamp)
    message.header.frame_id = "camera_optical_frame"
    if message_type is CompressedImage:
        message.format = "rgb8; jpeg compressed bgr8"
        quality = [cv2.IMWRITE_JPEG_QUALITY, 90]
        _, encoded = cv2.imencode(".jpg", picture[:, :, ::-1], quality)
        message.data = array("B", encoded.tobytes())
    else:
        message.height, message.width = picture.shape[:2]
        message.encoding, message.step = "rgb8", message.width * 3
        message.data = array("B", picture.tobytes())
    return message


# ---- The player --------------------------------------------------------------------------------


class Player(Node):
    """Publishes recorded pictures as they are, and collects the faces that come back."""

    def __init__(
        self,
        topic: str,
        message_type: type[Image] | type[CompressedImage],
        faces: str = "/faces",
    ) -> None:
        super().__init__("player")
        self._topic = topic
        self._message_type = message_type
        self._pictures = self.create_publisher(message_type, topic, QoSProfile(depth=10))
        self._clock = self.create_publisher(Clock, "/clock", QoSProfile(depth=10))
        self._serialized: list[bytes] = []
        self.create_subscription(
            FaceArray, faces, self._serialized.append, QoSProfile(depth=100), raw=True
        )

    @property
    def answers(self) -> list[FaceArray]:
        """The faces that have come since `wait_for_node`."""
        return [deserialize_message(message, FaceArray) for message in self._serialized]

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        """Take what comes until a condition holds."""
        end = time.monotonic() + TIMEOUT
        while not condition():
            assert time.monotonic() < end, f"no {what} within {TIMEOUT:.0f} s"
            rclpy.spin_once(self, timeout_sec=0.1)

    def listen_for(self, seconds: float) -> None:
        """Take what comes for so long."""
        end = time.monotonic() + seconds
        while (rest := end - time.monotonic()) > 0:
            rclpy.spin_once(self, timeout_sec=rest)

    def wait_for_node(self) -> None:
        """Send black pictures until node and player have found each other, both ways.

        They leave no trace in the node: there is no face in them, and a stamp close to zero.
        """
        black = np.zeros((8, 8, 3), np.uint8)
        end = time.monotonic() + TIMEOUT
        number = 0
        while not self._serialized:
            assert time.monotonic() < end, f"the node gave no answer within {TIMEOUT:.0f} s"
            number += 1
            self._pictures.publish(image_message(self._message_type, black, number))
            rclpy.spin_once(self, timeout_sec=0.5)
        # Answers keep their order: after the one to this picture comes no other.
        last = image_message(self._message_type, black, number + 1)
        self._pictures.publish(last)
        self.wait_until(lambda: stamp_of(self.answers[-1]) == number + 1, "last black answer")
        self._serialized.clear()

    def ask(self, recorded: bytes) -> None:
        """Publish a recorded picture and wait for its answer, so that none is dropped."""
        expected = len(self._serialized) + 1
        self._pictures.publish(recorded)
        self.wait_until(lambda: len(self._serialized) >= expected, f"answer to picture {expected}")

    def play(self, bag: Path) -> None:
        """Publish every picture of a bag, each as soon as the one before is answered."""
        for _, recorded in messages_of(bag, self._topic):
            self.ask(recorded)

    def play_at_recorded_speed(self, bag: Path) -> None:
        """Publish as `ros2 bag play --clock` does: by the bag's time, and that time on /clock."""
        messages = list(messages_of(bag, self._topic))
        offset = time.monotonic_ns() - messages[0][0]
        for due, recorded in messages:
            while (now := time.monotonic_ns() - offset) < due:
                self._clock.publish(Clock(clock=to_time(now)))
                rclpy.spin_once(self, timeout_sec=0.01)
            self._pictures.publish(recorded)


def messages_of(bag: Path, topic: str) -> Iterator[tuple[int, bytes]]:
    """Give the time of recording in nanoseconds, and the bytes, of every message on a topic."""
    with AnyReader([bag], default_typestore=get_typestore(Stores.ROS2_JAZZY)) as reader:
        connections = [connection for connection in reader.connections if connection.topic == topic]
        assert connections, f"{bag} has no topic {topic}"
        for _, recorded_at, serialized in reader.messages(connections):
            yield recorded_at, serialized


def to_time(nanoseconds: int) -> Time:
    """Return a stamp."""
    return Time(sec=nanoseconds // SECOND, nanosec=nanoseconds % SECOND)


def stamp_of(message: Any) -> int:
    """Return the stamp in nanoseconds of a message with a header."""
    return int(message.header.stamp.sec) * SECOND + int(message.header.stamp.nanosec)


# ---- The node ----------------------------------------------------------------------------------


@contextmanager
def own_network() -> Iterator[None]:
    """A ROS domain of this run's own on this machine, and shared memory for the pictures."""
    environment = {
        "ROS_DOMAIN_ID": str(1 + os.getpid() % 100),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        **shared_memory_environment(),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        rclpy.init()
        try:
            yield
        finally:
            rclpy.try_shutdown()


@contextmanager
def running_node(replay: Replay, *more_parameters: str) -> Iterator[None]:
    """Run a node of its own for one replay: a node that has seen pictures remembers them."""
    base_topic = replay.topic.removesuffix("/compressed")
    topics = {"image_raw": base_topic, "image_raw/compressed": f"{base_topic}/compressed"}
    # Nothing may be lost on the way, so the pictures come reliably here.
    reliable = f"qos_overrides.{replay.topic}.subscription.reliability:=reliable"
    node = subprocess.Popen(
        [sys.executable, "-m", "maix_facemesh_ros.ros.facemesh_node", "--ros-args"]
        + [part for name, topic in topics.items() for part in ("-r", f"{name}:={topic}")]
        + [
            part
            for parameter in (reliable, *replay.parameters, *more_parameters)
            for part in ("-p", parameter)
        ]
    )
    try:
        yield
        assert node.poll() is None, f"the node ended by itself, with {node.returncode}"
    finally:
        node.terminate()
        code = node.wait(timeout=TIMEOUT)
    assert code == 0, f"the node ended with {code}"


@contextmanager
def player_and_node(replay: Replay, *more_parameters: str) -> Iterator[Player]:
    """Run a node, and give a player that it has answered."""
    with ExitStack() as stack:
        stack.enter_context(running_node(replay, *more_parameters))
        player = Player(replay.topic, replay.message_type)
        stack.callback(player.destroy_node)
        player.wait_for_node()
        yield player


def answers_to(replay: Replay, bag: Path) -> list[FaceArray]:
    """Play a bag into a new node, and return what it answers."""
    with player_and_node(replay) as player:
        player.play(bag)
        return player.answers


# ---- The golden faces --------------------------------------------------------------------------


def read_golden(replay: Replay) -> list[Any]:
    """Return the golden faces, read by the message definitions in their bag."""
    with AnyReader([replay.golden]) as reader:
        return [
            reader.deserialize(serialized, connection.msgtype)
            for connection, _, serialized in reader.messages()
        ]


def write_golden(replay: Replay, answers: Sequence[FaceArray]) -> None:
    """Replace the golden faces; `ros2 bag record -s mcap /faces` writes the same."""
    types = get_typestore(Stores.ROS2_JAZZY)
    for name in ("BoundingBox", "Face", "FaceArray"):
        definition = find_share_file("msg", f"{name}.msg")
        assert definition is not None, f"msg/{name}.msg is not installed"
        types.register(get_types_from_msg(definition.read_text(), f"maix_facemesh_ros/msg/{name}"))
    shutil.rmtree(replay.golden, ignore_errors=True)
    with Writer(replay.golden, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection(
            "/faces", "maix_facemesh_ros/msg/FaceArray", typestore=types
        )
        for answer in answers:
            writer.write(connection, stamp_of(answer), serialize_message(answer))


def assert_same(answer: FaceArray, golden: Any) -> None:
    """Compare the answer to one picture with the golden one."""
    picture = f"picture {stamp_of(golden)}"
    assert stamp_of(answer) == stamp_of(golden)
    assert answer.header.frame_id == golden.header.frame_id, picture
    assert answer.image_width == golden.image_width, picture
    assert answer.image_height == golden.image_height, picture
    assert [face.id for face in answer.faces] == [face.id for face in golden.faces], picture
    for face, expected in zip(answer.faces, golden.faces, strict=True):
        assert list(face.indices) == list(expected.indices), picture
        for field in ("x", "y", "width", "height"):
            difference = abs(getattr(face.box, field) - getattr(expected.box, field))
            assert difference <= PIXELS, f"{picture}: box.{field} is off by {difference:.3f}"
        for field in ("points", "points_z", "points_rel", "box_keypoints"):
            np.testing.assert_allclose(
                getattr(face, field),
                getattr(expected, field),
                rtol=0,
                atol=PIXELS,
                err_msg=f"{picture}: {field}",
            )
        for field in ("score", "landmarks_score"):
            difference = abs(getattr(face, field) - getattr(expected, field))
            assert difference <= SCORES, f"{picture}: {field} is off by {difference:.3f}"


# ---- The tests ---------------------------------------------------------------------------------


@pytest.fixture(scope="module", autouse=True)
def _own_network() -> Iterator[None]:
    with own_network():
        yield


@pytest.fixture(scope="module")
def bags(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("bags")
    return {replay.name: bag_of(replay, folder) for replay in REPLAYS}


@pytest.mark.parametrize("replay", REPLAYS, ids=lambda replay: replay.name)
def test_a_replay_gives_the_golden_faces_and_twice_the_same(
    replay: Replay, bags: dict[str, Path]
) -> None:
    golden = read_golden(replay)

    answers = answers_to(replay, bags[replay.name])

    assert [stamp_of(answer) for answer in answers] == [stamp_of(answer) for answer in golden]
    for answer, expected in zip(answers, golden, strict=True):
        assert_same(answer, expected)
    # On one machine nothing is left to rounding.
    assert answers_to(replay, bags[replay.name]) == answers


# ---- Tests of the two bags made here: a copy of this file can do without them -------------------


def test_at_recorded_speed_no_picture_gets_anothers_faces(bags: dict[str, Path]) -> None:
    """As `ros2 bag play --clock` with use_sim_time; a busy machine may drop pictures then."""
    golden = {stamp_of(answer): answer for answer in read_golden(JPEG)}
    diagnostics: list[DiagnosticArray] = []

    with player_and_node(JPEG, "use_sim_time:=true") as player:
        player.create_subscription(DiagnosticArray, "/diagnostics", diagnostics.append, 10)
        player.play_at_recorded_speed(bags[JPEG.name])
        player.listen_for(1.0)
        answers = player.answers

    stamps = [stamp_of(answer) for answer in answers]
    assert stamps == sorted(set(stamps)), "a picture was answered twice, or too late"
    assert len(stamps) >= len(golden) / 3
    for answer in answers:
        assert_same(answer, golden[stamp_of(answer)])
    # The node lives in the bag's time.
    assert diagnostics
    first, last = min(golden), max(golden)
    assert all(first <= stamp_of(message) <= last + SECOND for message in diagnostics)


def test_the_golden_faces_show_what_they_should() -> None:
    """A golden bag that was written with a fault in the node would be no use."""
    raw, jpeg = read_golden(RAW), read_golden(JPEG)
    for golden in (raw, jpeg):
        assert len(golden) == 30
        without_face = [number for number, answer in enumerate(golden) if not len(answer.faces)]
        assert without_face == [14, 15, 16]
    # A tenth of a second out of sight is less than id_timeout.
    assert [answer.faces[0].id for answer in raw if len(answer.faces)] == [1] * 27
    assert {len(answer.faces[0].points) for answer in raw if len(answer.faces)} == {2 * 478}
    assert {len(answer.faces[0].points) for answer in jpeg if len(answer.faces)} == {2 * 68}


def main() -> None:
    """Write the golden faces of every replay."""
    with own_network(), tempfile.TemporaryDirectory() as folder:
        for replay in REPLAYS:
            write_golden(replay, answers_to(replay, bag_of(replay, Path(folder))))
            print(f"written: {replay.golden}")


if __name__ == "__main__":
    main()
