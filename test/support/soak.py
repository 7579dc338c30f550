"""A node among honest and mutated messages, and an account of every one of them.

    .venv/bin/python test/support/soak.py --seconds 600 --transport compressed

The topics are those of a camera: images, of which two in three have some of their bytes changed,
and calibrations, of which all have. At the end every image that has arrived is answered or counted
as not answered with its reason, and every answer has come back.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import skimage.data
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from maix_facemesh_ros.msg import FaceArray
from mutated_messages import honest, mutated
from running_node import NodeProcess, Robot, in_own_network, new_robot, starting_in

#: Images a second, of which a third are honest, and calibrations for each of them.
RATE = 60.0
CALIBRATIONS = 1

#: Messages that the middleware keeps for each side.
DEPTH = 500


class Account(NamedTuple):
    """What became of the messages."""

    sent: int
    arrived: int
    answered: int
    #: By the node's own reasons.
    not_answered: dict[str, int]
    answers_received: int
    #: Bytes by which the node's memory has grown since a quarter of the time.
    memory: int
    #: Bytes of the node's log a minute.
    log: float
    #: Bytes a minute that OpenCV's decoders write past it: a line for each damaged JPEG.
    other_output: float


def soak(seconds: float, transport: str, folder: Path) -> Account:
    """Send for so long, and return the account.

    Args:
        seconds: at least 4.
        transport: raw or compressed.
        folder: for the node's log.
    """
    with in_own_network(), new_robot() as robot, starting_in(folder) as start:
        topic = {"raw": "image_raw", "compressed": "image_raw/compressed"}[transport]
        overrides = f"qos_overrides./{topic}.subscription"
        node = start(
            f"image_transport:={transport}",
            f"{overrides}.reliability:=reliable",
            f"{overrides}.depth:={DEPTH}",
        )
        return _Soak(robot, node, topic).run(seconds)


class _Soak:
    def __init__(self, robot: Robot, node: NodeProcess, topic: str) -> None:
        self._robot = robot
        self._node = node
        kind = Image if topic == "image_raw" else CompressedImage
        self._images = robot.create_publisher(kind, topic, QoSProfile(depth=DEPTH))
        self._calibrations = robot.create_publisher(CameraInfo, "camera_info", DEPTH)
        self._answers = 0
        robot.create_subscription(FaceArray, "faces", self._on_answer, DEPTH, raw=True)
        small = np.asarray(cv2.resize(skimage.data.astronaut(), (160, 160)), np.uint8)
        self._messages = _with_honest_ones(honest(kind.__name__, small))
        self._infos = mutated(honest("CameraInfo", small), 10**9, seed=6)

    def _on_answer(self, _message: bytes) -> None:
        self._answers += 1

    def run(self, seconds: float) -> Account:
        robot = self._robot
        robot.wait_until(lambda: self._images.get_subscription_count() > 0, "node")
        robot.wait_until(lambda: robot.count_publishers("faces") > 0, "publisher of faces")
        robot.wait_until(lambda: len(robot.diagnostics) > 1, "diagnostics")
        start = time.monotonic()
        warm = 0
        sent = round(seconds * RATE)
        for number in range(sent):
            robot.spin_for(start + number / RATE - time.monotonic())
            robot.executor_of_test.spin_once(timeout_sec=0)
            for _ in range(CALIBRATIONS):
                self._calibrations.publish(next(self._infos))
            self._images.publish(next(self._messages))
            if number == sent // 4:
                warm = self._node.memory()
        robot.wait_until(self._at_rest, "rest")
        grown = self._node.memory() - warm
        said = robot.diagnostics[-1]
        prefix = "not answered: "
        reasons = {key: int(value) for key, value in said.items() if key.startswith(prefix)}
        minutes = (time.monotonic() - start) / 60
        lines = self._node.output().splitlines(keepends=True)
        log = sum(len(line) for line in lines if line.startswith("["))
        return Account(
            sent,
            int(said["pictures arrived"]),
            int(said.get("pictures answered", 0)),
            {key.removeprefix(prefix): count for key, count in reasons.items()},
            self._answers,
            grown,
            log / minutes,
            (sum(map(len, lines)) - log) / minutes,
        )

    def _at_rest(self) -> bool:
        last = [report.get("pictures arrived") for report in self._robot.diagnostics[-3:]]
        return len(last) == 3 and len(set(last)) == 1


def _with_honest_ones(messages: list[bytes]) -> Iterator[bytes]:
    changed = mutated(messages, 10**9, seed=5)
    for message in itertools.cycle(messages):
        yield message
        yield next(changed)
        yield next(changed)


def check(account: Account) -> None:
    """Assert that nothing is missing, and nothing is a fault of the node's."""
    # Even a reliable publisher drops its oldest when the node cannot take `DEPTH` at once.
    assert 0.9 * account.sent < account.arrived <= account.sent, account
    assert account.arrived == account.answered + sum(account.not_answered.values()), account
    assert account.answers_received == account.answered, account
    # The node takes the latest image: on a busy machine it answers few of them.
    assert account.answered >= 20, account
    assert not any("fault" in reason for reason in account.not_answered), account


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--transport", choices=("raw", "compressed"), default="raw")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        account = soak(options.seconds, options.transport, Path(folder))
    print(account)
    check(account)


if __name__ == "__main__":
    main()
