"""The connections of `BagPlayer` with the nodes of several cameras, over real DDS."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import rclpy
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo, Image

from maix_facemesh_ros.bags.message_types import CAMERA_INFO, topic_of_type
from maix_facemesh_ros.bags.storage import BagMessage, BagTopic
from maix_facemesh_ros.msg import FaceArray
from maix_facemesh_ros.ros.replay import player as replay_player
from maix_facemesh_ros.ros.replay.nodes import SETTLED, AnsweringNode, ReplayError
from maix_facemesh_ros.ros.replay.player import BagPlayer
from replay_bags import DELAY, START, camera_info

pytest_plugins = ["running_node"]

pytestmark = pytest.mark.usefixtures("own_network")

CAMERAS = ("/left", "/middle", "/right")
CALIBRATION = "/left/camera_info"

#: Seconds on the clock of the tests: between two checks, and until a replay gives up, where it does
#: not and where it does.
STEP, LONG, SHORT = 0.1, 600.0, 30.0


@dataclass
class Clock:
    """Stands in for `time`: advances with each check of a player, whatever it waits for."""

    now: float = 0.0

    def monotonic(self) -> float:
        return self.now

    def check(self) -> None:
        self.now += STEP


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(replay_player, "time", clock)
    # The time of the clock passes faster.
    monkeypatch.setattr(replay_player, "LOOK", STEP / 10)
    # The cameras' nodes here publish no diagnostics.
    monkeypatch.setattr(replay_player, "PATIENCE", 0.0)
    return clock


class Cameras(Node):
    """The subscriptions and topics of faces of a node for each camera."""

    def __init__(self) -> None:
        super().__init__("cameras")
        self.calibrations: list[CameraInfo] = []
        self.create_subscription(CameraInfo, CALIBRATION, self.calibrations.append, 10)
        for camera in CAMERAS:
            self.create_publisher(FaceArray, f"{camera}/faces", 10)

    def subscribe(self, camera: str, qos: QoSProfile | int = 10) -> None:
        self.create_subscription(Image, f"{camera}/image_raw", lambda _: None, qos)


@pytest.fixture
def cameras() -> Iterator[Cameras]:
    node = Cameras()
    yield node
    node.destroy_node()


@pytest.fixture
def node() -> Iterator[Node]:
    node = Node("player")
    yield node
    node.destroy_node()


def images_of(camera: str) -> BagTopic:
    return topic_of_type(f"{camera}/image_raw", "sensor_msgs/msg/Image")


def player_of(
    node: Node,
    cameras: Sequence[str],
    check: Callable[[], None],
    *,
    calibrated: Sequence[str] = (),
    timeout: float = LONG,
) -> BagPlayer:
    nodes = {
        images_of(camera): AnsweringNode(
            f"{camera}/facemesh",
            images_of(camera).name,
            f"{camera}/faces",
            frozenset({CALIBRATION} if camera in calibrated else ()),
            frozenset({f"{camera}/faces"}),
        )
        for camera in cameras
    }
    topics = [*nodes, *([topic_of_type(CALIBRATION, CAMERA_INFO)] if calibrated else ())]
    return BagPlayer(node, topics, nodes, rate=None, clock_rate=None, timeout=timeout, check=check)


def first_images(*cameras: str) -> list[BagMessage]:
    return [message(images_of(camera), Image(), START) for camera in cameras]


def message(topic: BagTopic, content: Any, log_time: int) -> BagMessage:
    return BagMessage(topic, log_time, serialize_message(content))


def test_all_cameras_share_one_wait_for_further_subscribers(
    node: Node, cameras: Cameras, clock: Clock
) -> None:
    for camera in CAMERAS:
        cameras.subscribe(camera)
    waited = []
    for played in (CAMERAS[:1], CAMERAS):
        player = player_of(node, played, clock.check)
        player.meet(first_images(*played))  # Takes what the middleware needs.
        begin = clock.now
        player.meet(first_images(*played))
        waited.append(clock.now - begin)
    one, three = waited
    assert SETTLED <= one < 2 * SETTLED
    assert three < 2 * one


def test_a_further_subscriber_of_any_camera_prolongs_the_wait(
    node: Node, cameras: Cameras, clock: Clock
) -> None:
    for camera in CAMERAS:
        cameras.subscribe(camera)
    recorder_comes_at = [float("inf")]

    def check() -> None:
        clock.check()
        if clock.now >= recorder_comes_at[0]:
            recorder_comes_at[0] = float("inf")
            cameras.subscribe(CAMERAS[-1])

    player = player_of(node, CAMERAS, check)
    player.meet(first_images(*CAMERAS))
    begin = clock.now
    recorder_comes_at[0] = begin + SETTLED / 2
    player.meet(first_images(*CAMERAS))
    assert clock.now - begin >= 1.5 * SETTLED


def test_a_camera_that_does_not_connect_is_named(
    node: Node, cameras: Cameras, clock: Clock
) -> None:
    cameras.subscribe("/left")
    cameras.subscribe("/right")
    with pytest.raises(ReplayError) as error:
        player_of(node, CAMERAS, clock.check, timeout=SHORT).meet(first_images(*CAMERAS))
    assert str(error.value) == (
        "/middle/facemesh has not connected to /middle/image_raw and /middle/faces within 30 s: "
        "see its log, and compare the quality of service with ros2 topic info -v"
    )
    # Not once for each camera.
    assert clock.now < 2 * SHORT


def test_all_cameras_that_do_not_connect_are_named(
    node: Node, cameras: Cameras, clock: Clock
) -> None:
    cameras.subscribe("/middle")
    with pytest.raises(ReplayError) as error:
        player_of(node, CAMERAS, clock.check, timeout=SHORT).meet(first_images(*CAMERAS))
    assert str(error.value).startswith(
        "/left/facemesh has not connected to /left/image_raw and /left/faces, "
        "/right/facemesh has not connected to /right/image_raw and /right/faces within 30 s: "
    )


def test_subscribers_that_come_and_go_are_the_reason(
    node: Node, cameras: Cameras, clock: Clock
) -> None:
    cameras.subscribe("/left")
    come: list[Any] = []

    def check() -> None:
        clock.check()
        if come:
            cameras.destroy_subscription(come.pop())
        else:
            come.append(cameras.create_subscription(Image, "/left/image_raw", print, 10))

    with pytest.raises(ReplayError, match="the subscribers of /left/image_raw did not stay"):
        player_of(node, ["/left"], check, timeout=SHORT).meet(first_images("/left"))


def test_a_topic_without_messages_is_told_before_any_wait(node: Node, clock: Clock) -> None:
    with pytest.raises(ReplayError, match="there are no messages on /right/image_raw"):
        player_of(node, CAMERAS, clock.check).meet(first_images("/left", "/middle"))
    assert clock.now == 0.0


def test_a_calibration_of_several_cameras_is_published_once(
    node: Node, cameras: Cameras, clock: Clock
) -> None:
    """One that was recorded after the first images, so that it is published before them."""
    for camera in CAMERAS:
        cameras.subscribe(camera)
    player = player_of(node, CAMERAS, clock.check, calibrated=CAMERAS)
    calibration = message(
        topic_of_type(CALIBRATION, CAMERA_INFO), camera_info(START), START + DELAY
    )
    player.meet([*first_images(*CAMERAS), calibration])
    for _ in range(5):
        rclpy.spin_once(cameras, timeout_sec=0.2)
    assert len(cameras.calibrations) == 1
