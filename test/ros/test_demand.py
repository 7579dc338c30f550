"""Whether the outputs of a node have subscribers."""

from __future__ import annotations

import time

import pytest
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from std_msgs.msg import Empty

from maix_facemesh_ros.ros import demand
from maix_facemesh_ros.ros.qos_events import PublisherEventCallbacks

TIMEOUT = 60.0  # seconds


class WithoutMatched(PublisherEventCallbacks):
    """Has no event of a matched subscription, as Humble's."""

    matched = property(lambda _: None, lambda *_: None)


@pytest.mark.parametrize("has_events", [True, False])
def test_subscribers_are_noticed_by_events_and_by_polling_without_them(
    ros_in_this_process: None,  # noqa: ARG001
    monkeypatch: pytest.MonkeyPatch,
    has_events: bool,
) -> None:
    if has_events:
        monkeypatch.setattr(demand, "POLLING_INTERVAL", 2 * TIMEOUT)
    else:
        monkeypatch.setattr(demand, "PublisherEventCallbacks", WithoutMatched)
    node = Node("watched")
    node.declare_parameter("tf", False)
    node.create_publisher(Empty, "output", 1)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    said: list[bool] = []
    watch = demand.DemandWatch(node, said.append)

    def wait_for(answers: list[bool]) -> None:
        end = time.monotonic() + TIMEOUT
        while said != answers:
            assert time.monotonic() < end, said
            executor.spin_once(timeout_sec=0.1)

    wait_for([False])
    # From now on the regular check would notice a subscriber after this test only.
    monkeypatch.setattr(demand, "INTERVAL", 2 * TIMEOUT)
    time.sleep(1.5)  # A wait for the former interval ends.
    node.create_subscription(Empty, "output", lambda _: None, 1)
    wait_for([False, True])
    watch.close()
    executor.shutdown()
    node.destroy_node()
