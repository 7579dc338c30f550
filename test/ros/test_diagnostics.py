"""/diagnostics: what the node says of itself once a second."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from maix_facemesh_ros.ros.diagnostics import Diagnostics

TIMEOUT = 60.0


class Listener:
    """A node that speaks, and the messages that it has sent."""

    def __init__(self, node: Node, facts: dict[str, str]) -> None:
        self.diagnostics = Diagnostics(node, lambda: facts)
        self.received: list[DiagnosticArray] = []
        node.create_subscription(DiagnosticArray, "/diagnostics", self.received.append, 10)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(node)
        self.diagnostics.start()

    def close(self) -> None:
        self.diagnostics.close()
        self._executor.shutdown()

    def next(self) -> DiagnosticStatus:
        """Wait for the next message; it holds what has been counted before the call."""
        self.received.clear()
        end = time.monotonic() + TIMEOUT
        while not self.received:
            assert time.monotonic() < end, "nothing on /diagnostics"
            self._executor.spin_once(timeout_sec=0.1)
        (status,) = self.received[0].status
        return status


@pytest.fixture
def listener(ros_in_this_process: None) -> Iterator[Listener]:  # noqa: ARG001
    node = Node("watched", namespace="robot")
    listener = Listener(node, {"backend": "onnx"})
    yield listener
    listener.close()
    node.destroy_node()


def values(status: DiagnosticStatus) -> dict[str, str]:
    return {pair.key: pair.value for pair in status.values}


def test_without_images_it_is_stale(listener: Listener) -> None:
    status = listener.next()
    assert status.level == DiagnosticStatus.STALE
    assert status.message == "no images arrive"
    assert status.name == "/robot/watched: faces"
    assert values(status)["backend"] == "onnx"
    assert values(status)["rate in"] == "0.0 Hz"


def test_answered_images_are_well_and_their_steps_are_timed(listener: Listener) -> None:
    listener.next()
    for milliseconds in (1.0, 2.0, 9.0):
        listener.diagnostics.arrived(replaced_another=False)
        listener.diagnostics.answered(3)
        listener.diagnostics.took({"find faces": milliseconds / 1e3, "publish": 3e-4})

    status = listener.next()

    assert status.level == DiagnosticStatus.OK
    said = values(status)
    assert said["faces"] == "3"
    assert said["pictures arrived"] == said["pictures answered"] == "3"
    assert (said["find faces, median"], said["publish, median"]) == ("2.00 ms", "0.30 ms")
    assert float(said["rate out"].split()[0]) == pytest.approx(3.0, rel=0.5)
    assert values(listener.next())["rate out"] == "0.0 Hz"


def test_trouble_with_the_source_is_an_error_until_it_is_over(listener: Listener) -> None:
    listener.diagnostics.trouble("the camera is gone")
    status = listener.next()
    assert (status.level, status.message) == (DiagnosticStatus.ERROR, "the camera is gone")
    listener.diagnostics.trouble("")
    assert listener.next().level == DiagnosticStatus.STALE


def test_lost_images_are_a_warning_with_their_reason(listener: Listener) -> None:
    listener.diagnostics.arrived(replaced_another=False)
    listener.diagnostics.arrived(replaced_another=True)
    listener.diagnostics.lost("an image that cannot be used")

    status = listener.next()

    assert status.level == DiagnosticStatus.WARN
    said = values(status)
    assert said["pictures not answered"] == "2"
    assert said["not answered: a newer image came before it was its turn"] == "1"
    assert said["not answered: an image that cannot be used"] == "1"
