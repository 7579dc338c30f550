"""The topics of a bag, published again as they were recorded."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from importlib import import_module

from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import (
    DurabilityPolicy,
    LivelinessPolicy,
    QoSProfile,
    ReliabilityPolicy,
)
from rosbags.interfaces import Qos

from maix_facemesh_ros.bags.storage import BagMessage, BagTopic

#: Queue depth of a publisher, and its maximum for late subscribers.
QUEUED_MESSAGES = 10
LATCHED_MESSAGES = 1000

#: Policies that a publisher has chosen; others, such as SYSTEM_DEFAULT, say that it has not.
SET_POLICIES = ("RELIABLE", "BEST_EFFORT", "TRANSIENT_LOCAL", "VOLATILE", "MANUAL_BY_TOPIC")

#: A recorded time of more seconds is infinite: DDS writes it as 2^31 - 1, ROS as 2^63 nanoseconds.
LONGEST_TIME = 2**31 - 2


class RecordedTopics:
    """Publishes recorded messages, byte for byte, with the quality of service of their topics."""

    def __init__(self, node: Node, topics: Sequence[BagTopic], reliable: Collection[str]) -> None:
        """Make the publishers.

        Args:
            node: publishes; its remaps count.
            topics: of the bag.
            reliable: topics whose messages must not be lost, however they were recorded. Who
                subscribes with best effort gets them as well.
        """
        self._publishers: dict[str, Publisher] = {}
        #: Topics of which no publisher can be made, and why.
        self.left_out: dict[str, str] = {}
        for topic in topics:
            try:
                self._publishers[topic.name] = node.create_publisher(
                    message_class(topic.type),
                    topic.name,
                    quality_of_service(topic, reliable=topic.name in reliable),
                )
            except Exception as error:
                # A package that is missing or was built for another ROS: each fails in its own way.
                self.left_out[topic.name] = f"{topic.type} is not usable here ({error})"

    @property
    def names(self) -> list[str]:
        """The topics that are published."""
        return list(self._publishers)

    def publish(self, message: BagMessage) -> None:
        """Publish a message of one of the topics; messages of skipped topics are ignored."""
        if publisher := self._publishers.get(message.topic.name):
            publisher.publish(message.data)

    def publisher(self, topic: str) -> Publisher:
        """Return the publisher of a topic that is not skipped."""
        return self._publishers[topic]


def message_class(name: str) -> type:
    """Return the class of a message type such as `sensor_msgs/msg/Image`.

    Raises:
        ImportError, AttributeError: it is not installed.
    """
    *modules, short = name.split("/")
    found: type = getattr(import_module(".".join(modules)), short)
    return found


def quality_of_service(topic: BagTopic, *, reliable: bool = False) -> QoSProfile:
    """Return the QoS of the recorded publishers of a topic.

    Where several offered different things it is reliable and volatile, as with `ros2 bag play`.
    What was latched is kept for all who come later, also where each of several kept a part of it.
    """
    profile = QoSProfile(depth=QUEUED_MESSAGES)
    if len({offered._replace(depth=0) for offered in topic.offered_qos}) == 1:
        _take_over(topic.offered_qos[0], profile)
    if profile.durability == DurabilityPolicy.TRANSIENT_LOCAL:
        profile.depth = max(profile.depth, min(topic.message_count, LATCHED_MESSAGES))
    if reliable:
        profile.reliability = ReliabilityPolicy.RELIABLE
    return profile


def _take_over(offered: Qos, profile: QoSProfile) -> None:
    """Set in a profile what was recorded; what was left to the system stays so."""
    profile.depth = max(profile.depth, min(offered.depth, LATCHED_MESSAGES))
    for name, policies in (
        ("reliability", ReliabilityPolicy),
        ("durability", DurabilityPolicy),
        ("liveliness", LivelinessPolicy),
    ):
        policy = getattr(offered, name).name
        if policy in SET_POLICIES:
            setattr(profile, name, policies[policy])
    for name in ("deadline", "lifespan", "liveliness_lease_duration"):
        time = getattr(offered, name)
        # Zero, as it is in a new profile, stands for infinite.
        if time.sec <= LONGEST_TIME:
            setattr(profile, name, Duration(seconds=time.sec, nanoseconds=time.nsec))
