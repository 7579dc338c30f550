"""Logs the reason when no images arrive on a topic."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from maix_facemesh_ros.ros.adaptive_subscription import AdaptiveSubscription
from maix_facemesh_ros.ros.dds_profile import advice_on_lost_images
from maix_facemesh_ros.wording import counted

if TYPE_CHECKING:
    # Since 2025 it is in rclpy.endpoint_info.
    from rclpy.topic_endpoint_info import TopicEndpointInfo

#: Seconds between two checks of a topic.
INTERVAL = 0.5

#: Seconds without an image before the first warning. Each further one takes twice as long.
SILENCE = 3.0

#: Seconds between the first two warnings about lost images. Each further one takes twice as long.
LOSS_INTERVAL = 5.0


class TopicWatch:
    """Watches one subscribed topic: its publishers, silence and lost images."""

    def __init__(
        self,
        node: Node,
        subscription: AdaptiveSubscription,
        arrived: Callable[[], int],
        lost: Callable[[int], None],
    ) -> None:
        """Start to watch.

        Args:
            node: logs the warnings.
            subscription: adapts to the topic's publishers.
            arrived: returns how many images have arrived since the start.
            lost: called with the number of images that were lost since the last call.
        """
        self._node = node
        self._subscription = subscription
        self._topic = subscription.topic_name
        self._arrived = arrived
        self._on_lost = lost
        now = time.monotonic()
        self._arrived_at_last_check = 0
        self._last_image = now
        self._next_silence = SILENCE
        self._lost_at_last_check = 0
        self._lost_and_arrived_when_named = (0, 0)
        self._next_loss = now
        self._loss_interval = LOSS_INTERVAL
        self._several_named = False
        self._incompatible_named = ""
        # Not the node's clock: with use_sim_time it may be the clock that is missing.
        self._timer = node.create_timer(
            INTERVAL, self._check, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )

    def close(self) -> None:
        """Check nothing any more."""
        self._node.destroy_timer(self._timer)

    def rest(self) -> None:
        """Check nothing while the topic is not subscribed to."""
        self._timer.cancel()

    def wake(self) -> None:
        """Check again; the silence until now does not count."""
        self._last_image = time.monotonic()
        self._timer.reset()

    def _check(self) -> None:
        publishers = self._node.get_publishers_info_by_topic(self._topic)
        self._subscription.follow(publishers)
        self._name_incompatible_publisher()
        self._name_several_publishers(publishers)
        self._name_lost_images()
        self._name_silence(publishers)

    def _name_incompatible_publisher(self) -> None:
        policy = self._subscription.incompatible
        if policy and policy != self._incompatible_named:
            self._node.get_logger().warning(
                f"a publisher of {self._topic} offers a quality of service that this node does not "
                f"accept ({policy}): its messages do not arrive. Change the publisher, or this "
                "node's qos_overrides parameters"
            )
        self._incompatible_named = policy

    def _name_several_publishers(self, publishers: Sequence[TopicEndpointInfo]) -> None:
        if len(publishers) > 1 and not self._several_named:
            self._several_named = True
            self._node.get_logger().warning(
                f"{len(publishers)} publishers of images on {self._topic}: "
                f"{', '.join(map(describe_publisher, publishers))}. Their images are tracked as "
                "one stream, so ids and smoothed landmarks jump between them: give each publisher "
                "its own topic and facemesh_node"
            )

    def _name_lost_images(self) -> None:
        lost, now = self._subscription.lost, time.monotonic()
        if lost > self._lost_at_last_check:
            self._on_lost(lost - self._lost_at_last_check)
            self._lost_at_last_check = lost
        lost_before, arrived_before = self._lost_and_arrived_when_named
        if lost == lost_before or now < self._next_loss:
            return
        arrived = self._arrived()
        lost_since = lost - lost_before
        sent = counted(lost_since + arrived - arrived_before, "image")
        self._node.get_logger().warning(
            f"{lost_since} of the last {sent} on "
            f"{self._topic} were lost in transport to this node, which subscribes "
            f"{self._subscription.reliability.name}: {advice_on_lost_images()}"
        )
        self._lost_and_arrived_when_named = (lost, arrived)
        self._next_loss = now + self._loss_interval
        self._loss_interval *= 2

    def _name_silence(self, publishers: Sequence[TopicEndpointInfo]) -> None:
        arrived, now = self._arrived(), time.monotonic()
        if arrived != self._arrived_at_last_check:
            self._arrived_at_last_check = arrived
            self._last_image = now
            self._next_silence = SILENCE
            return
        silence = now - self._last_image
        if silence >= self._next_silence:
            self._next_silence = 2 * silence
            self._node.get_logger().warning(
                f"no image on {self._topic} for {silence:.0f} s: {self._cause(publishers)}"
            )

    def _cause(self, publishers: Sequence[TopicEndpointInfo]) -> str:
        """Return the reason why no image arrives, and a remedy."""
        wanted = self._subscription.type_name
        if not publishers:
            others = ", ".join(
                name
                for name, types in sorted(self._node.get_topic_names_and_types())
                if wanted in types and self._is_published_by_another(name)
            )
            return "it has 0 publishers. " + (
                f"{wanted} is published on {others}: remap image_raw to it"
                if others
                else "Start the camera driver, or remap image_raw to its topic"
            )
        named = ", ".join(map(describe_publisher, publishers))
        count = f"it has {counted(len(publishers), 'publisher')}, {named}"
        if all(publisher.topic_type != wanted for publisher in publishers):
            return f"{count}, and none with {wanted}: image_transport chooses the type"
        if self._subscription.incompatible:
            return f"{count}, whose {self._subscription.incompatible} this node does not accept"
        if self._subscription.lost:
            return f"{count}, and {counted(self._subscription.lost, 'image')} lost in transport"
        return f"{count}, but nothing of them arrives: does `ros2 topic hz` show images?"

    def _is_published_by_another(self, topic: str) -> bool:
        own = (self._node.get_name(), self._node.get_namespace())
        return any(
            (publisher.node_name, publisher.node_namespace) != own
            for publisher in self._node.get_publishers_info_by_topic(topic)
        )


def describe_publisher(publisher: TopicEndpointInfo) -> str:
    """Return a publisher's node, type and quality of service in words."""
    quality = publisher.qos_profile
    return (
        f"{publisher.node_namespace.rstrip('/')}/{publisher.node_name} with {publisher.topic_type} "
        f"{quality.reliability.name} {quality.durability.name}"
    )
