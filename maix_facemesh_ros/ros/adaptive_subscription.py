"""A subscription with the reliability that the topic's publishers offer."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription

from maix_facemesh_ros.ros.message_reader import MessageReader
from maix_facemesh_ros.ros.qos_events import (
    QoSMessageLostInfo,
    QoSRequestedIncompatibleQoSInfo,
    SubscriptionEventCallbacks,
    UnsupportedEventTypeError,
)

if TYPE_CHECKING:
    # Since 2025 it is in rclpy.endpoint_info.
    from rclpy.topic_endpoint_info import TopicEndpointInfo

#: Queue depth: messages that the middleware keeps for this process. With one, an image that comes
#: while the processor is busy elsewhere would be lost.
QUEUED_MESSAGES = 5

#: Default of the parameter `qos_overrides.<topic>.subscription.reliability`.
#: Humble has no BEST_AVAILABLE.
FOLLOW = getattr(ReliabilityPolicy, "BEST_AVAILABLE", ReliabilityPolicy.SYSTEM_DEFAULT)


class AdaptiveSubscription:
    """Subscribes reliably where all publishers are reliable, and best effort otherwise.

    This is the rule of `ros2 topic echo` and rosbag2: reliable delivery where it can be had, and
    messages from every publisher. `follow` applies it to the current publishers.
    """

    def __init__(
        self,
        node: Node,
        message_type: type,
        topic: str,
        callback: Callable[[bytes], None],
        reader: MessageReader | None = None,
    ) -> None:
        """Subscribe.

        Args:
            node: the subscribing node.
            message_type: type of the messages, which stay serialized.
            topic: name of the topic, before remapping.
            callback: called with each message.
            reader: receives the messages; None for the node's executor.
        """
        self._node = node
        self._message_type = message_type
        self._topic = topic
        self._callback = callback
        self._reader = reader
        self._reports_lost_messages = True
        #: The topic's full name, and its type as `ros2 topic info` prints it.
        self.topic_name: str = node.resolve_topic_name(topic)
        self.type_name = message_type_name(message_type)
        #: Messages that a publisher sent and that did not arrive.
        self.lost = 0
        #: Policy by which a publisher does not fit, such as RELIABILITY; empty when all fit.
        self.incompatible = ""
        #: The user has set the reliability by a qos_overrides parameter.
        self.is_overridden = False
        self.reliability = self._offered(node.get_publishers_info_by_topic(self.topic_name))
        self._source_times: deque[int] = deque(maxlen=2 * QUEUED_MESSAGES)
        #: Of the current subscription, and whether it has had a message.
        self._number = 0
        self._current_is_used = False
        self._previous: Subscription | None = None
        #: None while it rests.
        self._current: Subscription | None = self._subscribe()

    def follow(self, publishers: Sequence[TopicEndpointInfo]) -> None:
        """Subscribe again where the topic's publishers now offer another reliability.

        With a reader, the previous subscription stays until the new one has its first message, so
        that none is lost while publishers get to know the new one. Call it now and then, from the
        executor's thread.
        """
        offered = self._offered(publishers)
        changed = offered is not self.reliability and not self.is_overridden
        if changed or self._current_is_used or not publishers:
            self._end_previous()
        if not changed:
            return
        self.reliability = offered
        self.incompatible = ""
        if self._current is None:
            return
        self._previous = self._current
        if self._reader is None or not publishers:
            self._end_previous()
        self._current = self._subscribe()
        if self._reader is not None:
            self._reader.update()

    @property
    def rests(self) -> bool:
        """Whether the topic is not subscribed to for now."""
        return self._current is None

    def rest(self) -> None:
        """Unsubscribe until `wake`, from the executor's thread."""
        self.destroy()
        self._current = None
        if self._reader is not None:
            self._reader.update()

    def wake(self) -> None:
        """Subscribe again, with what the publishers offer now."""
        self.follow(self._node.get_publishers_info_by_topic(self.topic_name))
        self._current = self._subscribe()
        if self._reader is not None:
            self._reader.update()

    def destroy(self) -> None:
        """Unsubscribe."""
        self._end_previous()
        if self._current is not None:
            self._node.destroy_subscription(self._current)

    def _offered(self, publishers: Sequence[TopicEndpointInfo]) -> ReliabilityPolicy:
        """Return the strongest reliability that all publishers of this type offer."""
        offered = {
            publisher.qos_profile.reliability
            for publisher in publishers
            if publisher.topic_type == self.type_name
        }
        # Without a publisher best effort, which is compatible with any later publisher.
        is_reliable = offered == {ReliabilityPolicy.RELIABLE}
        return ReliabilityPolicy.RELIABLE if is_reliable else ReliabilityPolicy.BEST_EFFORT

    def _subscribe(self) -> Subscription:
        self._number += 1
        self._current_is_used = False
        try:
            return self._subscribe_with_events()
        except UnsupportedEventTypeError:
            # This middleware does not report lost messages.
            self._reports_lost_messages = False
            return self._subscribe_with_events()

    def _subscribe_with_events(self) -> Subscription:
        on_lost = partial(self._on_message_lost, self._number)
        other_arguments: dict[str, Any] = {}
        if self._reader is not None:
            other_arguments["callback_group"] = self._reader.callback_group
        return self._node.create_subscription(
            self._message_type,
            self._topic,
            partial(self._on_message, self._number),
            QoSProfile(
                depth=QUEUED_MESSAGES,
                reliability=FOLLOW,
                durability=qos_profile_sensor_data.durability,
            ),
            event_callbacks=SubscriptionEventCallbacks(
                incompatible_qos=self._on_incompatible_qos,
                message_lost=on_lost if self._reports_lost_messages else None,
            ),
            qos_overriding_options=QoSOverridingOptions.with_default_policies(
                callback=self._choose_reliability
            ),
            raw=True,
            **other_arguments,
        )

    def _choose_reliability(self, quality: QoSProfile) -> SetParametersResult:
        """Put the publishers' reliability where the parameter leaves it open."""
        self.is_overridden = quality.reliability is not FOLLOW
        if self.is_overridden:
            self.reliability = quality.reliability
        else:
            quality.reliability = self.reliability
        return SetParametersResult(successful=True)

    def _end_previous(self) -> None:
        if self._previous is None:
            return
        self._node.destroy_subscription(self._previous)
        self._previous = None
        if self._reader is not None:
            self._reader.update()

    def _on_message(self, number: int, message: bytes) -> None:
        self._current_is_used |= number == self._number
        if self._reader is not None:
            source_time = self._reader.source_time
            if source_time and source_time in self._source_times:
                return  # The previous subscription has received it too.
            self._source_times.append(source_time)
        self._callback(message)

    def _on_incompatible_qos(self, event: QoSRequestedIncompatibleQoSInfo) -> None:
        policy = event.last_policy_kind.name.removeprefix("RMW_QOS_POLICY_")
        # A reliability that follows the publishers will fit with the next call of `follow`.
        if self.is_overridden or policy != "RELIABILITY":
            self.incompatible = policy

    def _on_message_lost(self, number: int, event: QoSMessageLostInfo) -> None:
        if number == self._number:
            self.lost += event.total_count_change


def message_type_name(message_type: Any) -> str:
    """Return a message type's name as the graph has it, such as sensor_msgs/msg/Image."""
    package, kind, _ = message_type.__module__.split(".", 2)
    return f"{package}/{kind}/{message_type.__name__}"
