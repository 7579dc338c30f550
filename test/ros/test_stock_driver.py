"""Images of a stock camera driver: all of them arrive, lost ones are counted, and QoS follows."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rclpy.qos import QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from sensor_msgs.msg import Image
from tornado.websocket import websocket_connect

from maix_facemesh_ros.image import Pixels
from maix_facemesh_ros.ros.dds_profile import PROFILE_VARIABLES, advice_on_receive_buffer
from running_node import TIMEOUT, NodeProcess, Robot, StartNode, image_message
from view_client import address_of

# Last, so that the installed package is the one that is tested.
sys.path.append(str(Path(__file__).parents[2]))

from benchmarks.stock_processes import Driven, StockDriver, StockSubscriber

pytest_plugins = ["running_node"]

RATE = 15.0
IMAGES = 45

#: What a user's own profile may be: Fast DDS's transports as they come.
OWN_PROFILE = """<?xml version="1.0" encoding="UTF-8" ?>
<profiles xmlns="http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles">
  <participant profile_name="own" is_default_profile="true">
    <rtps><useBuiltinTransports>true</useBuiltinTransports></rtps>
  </participant>
</profiles>
"""


def finish(driver: StockDriver, robot: Robot) -> Driven:
    """Take answers until the driver has ended."""
    robot.wait_until(lambda: driver.process.poll() is not None, "end of the driver")
    robot.spin_for(1.0)
    return driver.wait()


def arrived(robot: Robot) -> tuple[int, int]:
    """Return how many images have arrived at the node and how many were lost before."""
    values = robot.next_diagnostics()
    return int(values.get("pictures arrived", 0)), int(values.get("pictures lost in transport", 0))


@pytest.mark.parametrize(
    ("reliability", "size", "discovery"),
    [
        ("RELIABLE", (1280, 720), "LOCALHOST"),
        ("BEST_EFFORT", (640, 480), "SUBNET"),
    ],
)
def test_every_image_of_a_stock_driver_arrives(
    reliability: str,
    size: tuple[int, int],
    discovery: str,
    start: StartNode,
    robot: Robot,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Next to a plain reliable subscriber, where the publisher is reliable."""
    if reliability == "BEST_EFFORT" and advice_on_receive_buffer():
        pytest.skip(f"here {advice_on_receive_buffer()}")
    for name in PROFILE_VARIABLES.values():
        monkeypatch.delenv(name, raising=False)
    robot.destroy_publisher(robot.images)
    where = {"ROS_AUTOMATIC_DISCOVERY_RANGE": discovery}
    node = start(environment=where)
    plain = StockSubscriber(**where)
    # A reliable subscriber gets nothing from a best-effort publisher.
    subscribers = 2 if reliability == "RELIABLE" else 1
    driver = StockDriver(
        size, IMAGES, reliability=reliability, rate=RATE, subscribers=subscribers, **where
    )
    driven = finish(driver, robot)

    count, lost = arrived(robot)
    of_plain = plain.stop()
    expected = of_plain if reliability == "RELIABLE" else IMAGES
    print(f"{count} of {IMAGES} arrived, plain {expected}, rate {driven.rate:.2f} Hz")
    assert count >= 0.99 * expected
    assert lost == IMAGES - count
    assert "lost" not in node.output() or count < IMAGES


def lossy_driver(*more: str) -> StockDriver:
    """Start a driver whose images are too large for the transports of `OWN_PROFILE`."""
    return StockDriver((1280, 720), 90, more=more, ROS_AUTOMATIC_DISCOVERY_RANGE="LOCALHOST")


def test_lost_images_are_counted_and_a_users_own_profile_wins(
    start: StartNode, robot: Robot, tmp_path: Path
) -> None:
    """The driver leaves every third image out, which is not a loss."""
    profile = tmp_path / "own.xml"
    profile.write_text(OWN_PROFILE)
    robot.destroy_publisher(robot.images)
    node = start(
        "qos_overrides./image_raw.subscription.reliability:=best_effort",
        environment=dict.fromkeys(PROFILE_VARIABLES.values(), str(profile)),
    )
    sent = len(finish(lossy_driver("--skip=3"), robot).stamps)

    count, lost = arrived(robot)
    assert sent == 60
    assert lost > 0
    # Those after the last that arrived are not known to be lost, nor those before the first.
    assert count + lost <= sent
    robot.wait_until(lambda: "were lost in transport" in node.output(), "warning")
    assert "images on /image_raw were lost in transport to this node, which subscribes " in (
        node.output()
    )
    assert f"Fast DDS's profile {profile} is in force" in node.output()
    assert node.output().count("were lost in transport") <= 2


def test_the_view_says_that_images_are_lost(start: StartNode, robot: Robot, tmp_path: Path) -> None:
    profile = tmp_path / "own.xml"
    profile.write_text(OWN_PROFILE)
    robot.destroy_publisher(robot.images)
    view = start(
        "port:=0",
        "pictures:=raw",
        "qos_overrides./image_raw.subscription.reliability:=best_effort",
        program="facemesh_view",
        environment=dict.fromkeys(PROFILE_VARIABLES.values(), str(profile)),
    )
    driver: list[StockDriver] = []
    page = lost_images_on_the_page(address_of(view), lambda: driver.append(lossy_driver()))
    trouble = asyncio.run(asyncio.wait_for(page, TIMEOUT))
    driver[0].process.kill()
    assert trouble == (
        f"images on /image_raw are lost in transport: Fast DDS's profile {profile} is in force; "
        "without it this node takes its own"
    )
    assert trouble in view.output()


async def lost_images_on_the_page(address: str, start_driver: Callable[[], None]) -> str:
    """Return the first line of the view's page that speaks of lost images."""
    connection = await websocket_connect(address.replace("http", "ws", 1) + "frames")
    await connection.write_message("ready")
    start_driver()
    while (message := await connection.read_message()) is not None:
        state = json.loads(message) if isinstance(message, str) else {}
        for line in state.get("trouble", ()):
            if "lost" in line:
                connection.close()
                return str(line)
    raise AssertionError("the view has closed the connection")


def reliability_of(robot: Robot) -> list[str]:
    """Return the reliability of each subscription of the node to /image_raw."""
    return [
        subscription.qos_profile.reliability.name
        for subscription in robot.get_subscriptions_info_by_topic("/image_raw")
    ]


def test_the_subscription_follows_its_publishers_and_loses_nothing_by_it(
    start: StartNode, robot: Robot, astronaut: Pixels
) -> None:
    node = start()
    robot.wait_for_node()
    robot.spin_for(1.0)
    before, _ = arrived(robot)
    robot.answers.clear()
    number = 0

    def send_until(expected: list[str]) -> None:
        nonlocal number
        end = time.monotonic() + 60
        while reliability_of(robot) != expected:
            assert time.monotonic() < end, reliability_of(robot)
            robot.images.publish(image_message(astronaut, stamp=(100 + number, 0)))
            robot.spin_for(0.1)
            number += 1

    send_until(["RELIABLE"])
    second = robot.create_publisher(Image, "image_raw", qos_profile_sensor_data)
    send_until(["BEST_EFFORT"])
    robot.destroy_publisher(second)
    send_until(["RELIABLE"])

    robot.spin_for(1.0)
    # A busy machine may answer fewer, but each image arrives, and once.
    assert arrived(robot)[0] - before == number

    robot.destroy_publisher(robot.images)
    robot.images = robot.create_publisher(
        Image, "image_raw", QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
    )
    send_until(["BEST_EFFORT"])
    assert "does not accept" not in node.output()


@pytest.mark.parametrize("reliability", ["reliable", "best_effort"])
def test_an_override_wins(reliability: str, start: StartNode, robot: Robot) -> None:
    start(f"qos_overrides./image_raw.subscription.reliability:={reliability}")
    robot.wait_for_node()
    robot.spin_for(1.5)  # Longer than from one check of the publishers to the next.
    assert reliability_of(robot) == [reliability.upper()]


def test_a_silence_is_named_at_once_and_then_ever_more_rarely(
    start: StartNode, robot: Robot
) -> None:
    """With the topic that has images, where image_raw has none."""
    robot.destroy_publisher(robot.images)
    camera = robot.create_publisher(Image, "/camera/image_raw", 1)
    node = start()
    robot.wait_until(lambda: silences(node) != [], "first warning")
    assert silences(node)[0] in (3, 4)
    robot.wait_until(lambda: len(silences(node)) == 3, "further warnings")
    first, second, third = silences(node)
    # Twice as long, rounded to seconds.
    assert second >= 1.5 * first
    assert third >= 1.5 * second
    assert "sensor_msgs/msg/Image is published on /camera/image_raw: remap" in node.output()
    robot.destroy_publisher(camera)


def silences(node: NodeProcess) -> list[int]:
    """Return the seconds in the node's warnings of silence."""
    words = [
        line.split(" for ")[1].split()[0]
        for line in node.output().splitlines()
        if "no image on /image_raw for" in line
    ]
    return [int(seconds) for seconds in words]
