"""Says why no pictures arrive on a topic: nobody waits in silence."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from maix_facemesh_ros.ros.qos_events import QoSRequestedIncompatibleQoSInfo

if TYPE_CHECKING:
    # Since 2025 it is in rclpy.endpoint_info.
    from rclpy.topic_endpoint_info import TopicEndpointInfo

#: Seconds without a picture after which the node says so, again and again.
SILENCE = 5.0


class TopicWatch:
    """Looks after one subscribed topic."""

    def __init__(self, node: Node, topic: str, arrived: Callable[[], int]) -> None:
        """Start to watch.

        Args:
            node: speaks on its log.
            topic: the topic's full name.
            arrived: gives how many messages have arrived since the start.
        """
        self._node = node
        self._topic = topic
        self._arrived = arrived
        self._arrived_at_last_check = 0
        self._several_named = False
        # Not the node's clock: with use_sim_time it may be the clock that is missing.
        node.create_timer(SILENCE, self._check, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def on_incompatible_qos(self, event: QoSRequestedIncompatibleQoSInfo) -> None:
        """Say that a publisher and this node do not fit together."""
        self._node.get_logger().warning(
            f"a publisher of {self._topic} offers a quality of service that this node does not "
            f"accept ({event.last_policy_kind.name}): nothing of it arrives. Change the publisher, "
            "or this node's qos_overrides parameters"
        )

    def _check(self) -> None:
        arrived = self._arrived()
        publishers = self._node.get_publishers_info_by_topic(self._topic)
        if len(publishers) > 1 and not self._several_named:
            self._several_named = True
            self._node.get_logger().warning(
                f"{len(publishers)} publishers of images on {self._topic}: "
                f"{', '.join(map(describe_publisher, publishers))}. Their images are tracked as "
                "one stream, so ids and smoothed landmarks jump between them: give each publisher "
                "a topic and a facemesh_node of its own"
            )
        if arrived == self._arrived_at_last_check:
            self._node.get_logger().warning(
                f"no image on {self._topic} for {SILENCE:.0f} s: {len(publishers)} publishers"
                + "".join(f", {describe_publisher(publisher)}" for publisher in publishers)
            )
        self._arrived_at_last_check = arrived


def describe_publisher(publisher: TopicEndpointInfo) -> str:
    """Return a publisher's node, type and quality of service in words."""
    quality = publisher.qos_profile
    return (
        f"{publisher.node_namespace.rstrip('/')}/{publisher.node_name} with {publisher.topic_type} "
        f"{quality.reliability.name} {quality.durability.name}"
    )
