"""A topic of the view: its rate, and the reason when nothing arrives."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from maix_facemesh_ros.event_rate import SILENCE, EventRate
from maix_facemesh_ros.ros.adaptive_subscription import AdaptiveSubscription
from maix_facemesh_ros.ros.topic_watch import describe_publisher

if TYPE_CHECKING:
    # Since 2025 it is in rclpy.endpoint_info.
    from rclpy.topic_endpoint_info import TopicEndpointInfo


class WatchedTopic:
    """One subscription, with the times of its messages and its publishers."""

    def __init__(
        self, subscription: AdaptiveSubscription, silent_since: float | None = None
    ) -> None:
        """Begin to watch.

        Args:
            subscription: of the topic.
            silent_since: `time.monotonic`, if it replaces another topic; None: now.
        """
        self.subscription = subscription
        self.name = subscription.topic_name
        self.type_name = subscription.type_name
        self.publishers: list[TopicEndpointInfo] = []
        self.watched_since = time.monotonic()
        self._silent_since = self.watched_since if silent_since is None else silent_since
        self._arrivals = EventRate()
        self._lost_before = 0

    def arrived(self) -> None:
        """Count a message."""
        self._arrivals.count()

    @property
    def silent_since(self) -> float:
        """Time of the last message, or of the start of the silence."""
        last = self._arrivals.last
        return self._silent_since if last is None else last

    @property
    def is_silent(self) -> bool:
        """Whether no message has arrived for `SILENCE` seconds."""
        return time.monotonic() - self.silent_since > SILENCE

    def rate(self) -> float:
        """Messages a second; 0 while it is silent."""
        return 0.0 if self.is_silent else self._arrivals.per_second()

    def has_lost_messages(self) -> bool:
        """Whether messages were lost in transport since the last call."""
        lost_before, self._lost_before = self._lost_before, self.subscription.lost
        return self._lost_before > lost_before

    def state(self) -> dict[str, Any]:
        """Return the topic's state for the page."""
        return {
            "name": self.name,
            "publishers": len(self.publishers),
            "rate": round(self.rate(), 1),
            "silent": self.is_silent,
            "lost": self.subscription.lost,
        }


def trouble_with(topic: WatchedTopic, what: str, advice: str) -> list[str]:
    """Return a line with the reason for the silence and a remedy; empty while messages arrive."""
    if not topic.is_silent:
        return []
    if not topic.publishers:
        return [f"no {what}: no publisher on {topic.name} ({advice})"]
    of_type = [p for p in topic.publishers if p.topic_type == topic.type_name]
    if not of_type:
        types = ", ".join(sorted({publisher.topic_type for publisher in topic.publishers}))
        return [f"no {what}: {topic.name} has type {types}, not {topic.type_name}"]
    if topic.subscription.incompatible:
        return [
            f"no {what}: a publisher of {topic.name} offers an incompatible quality of service "
            f"({topic.subscription.incompatible}); change it, or qos_overrides of facemesh_view"
        ]
    named = ", ".join(describe_publisher(publisher) for publisher in of_type)
    return [f"no {what}: nothing arrives on {topic.name} from {named}"]
