"""A topic of the view: how much arrives on it, and why nothing does."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any

from maix_facemesh_ros.ros.adaptive_subscription import AdaptiveSubscription
from maix_facemesh_ros.ros.topic_watch import describe_publisher

if TYPE_CHECKING:
    # Since 2025 it is in rclpy.endpoint_info.
    from rclpy.topic_endpoint_info import TopicEndpointInfo

#: Messages over which a rate is counted.
RATE_WINDOW = 30

#: Seconds without a message after which a topic is silent.
SILENCE = 2.0


class WatchedTopic:
    """One subscription, when its messages came, and who publishes."""

    def __init__(
        self, subscription: AdaptiveSubscription, silent_since: float | None = None
    ) -> None:
        """Begin to watch.

        Args:
            subscription: of the topic.
            silent_since: `time.monotonic`, where it stands in for another topic; None is now.
        """
        self.subscription = subscription
        self.name = subscription.topic_name
        self.type_name = subscription.type_name
        self.publishers: list[TopicEndpointInfo] = []
        self.watched_since = time.monotonic()
        self._silent_since = self.watched_since if silent_since is None else silent_since
        self._arrivals: deque[float] = deque(maxlen=RATE_WINDOW)
        self._lost_before = 0

    def arrived(self) -> None:
        """Count a message."""
        self._arrivals.append(time.monotonic())

    @property
    def silent_since(self) -> float:
        """When the last message came, or the time from which on none has."""
        return self._arrivals[-1] if self._arrivals else self._silent_since

    @property
    def is_silent(self) -> bool:
        """Whether nothing has come for longer than usual."""
        return time.monotonic() - self.silent_since > SILENCE

    def rate(self) -> float:
        """Messages a second; 0 while it is silent."""
        times = self._arrivals
        if len(times) < 2 or self.is_silent or times[-1] == times[0]:
            return 0.0
        return (len(times) - 1) / (times[-1] - times[0])

    def has_lost_messages(self) -> bool:
        """Whether messages were lost on their way since the last call."""
        lost_before, self._lost_before = self._lost_before, self.subscription.lost
        return self._lost_before > lost_before

    def state(self) -> dict[str, Any]:
        """Return what the page shows of it."""
        return {
            "name": self.name,
            "publishers": len(self.publishers),
            "rate": round(self.rate(), 1),
            "silent": self.is_silent,
            "lost": self.subscription.lost,
        }


def trouble_with(topic: WatchedTopic, what: str, advice: str) -> list[str]:
    """Return a line on why nothing arrives, and what to do; empty while something does."""
    if not topic.is_silent:
        return []
    if not topic.publishers:
        return [f"no {what}: no publisher on {topic.name} ({advice})"]
    of_type = [p for p in topic.publishers if p.topic_type == topic.type_name]
    if not of_type:
        types = ", ".join(sorted({publisher.topic_type for publisher in topic.publishers}))
        return [f"no {what}: {topic.name} has {types}, and not {topic.type_name}"]
    if topic.subscription.incompatible:
        return [
            f"no {what}: a publisher of {topic.name} offers a quality of service that does not "
            f"fit ({topic.subscription.incompatible}); change it, or qos_overrides of facemesh_view"
        ]
    named = ", ".join(describe_publisher(publisher) for publisher in of_type)
    return [f"no {what}: nothing comes on {topic.name} from {named}"]
