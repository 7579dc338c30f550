"""Whether anything subscribes to an output of the node."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from rclpy.exceptions import InvalidHandle
from rclpy.node import Node

#: Seconds between two checks for subscribers.
INTERVAL = 0.05

#: Seconds without any subscriber after which the outputs are not needed.
REST_AFTER = 1.0

#: Topics of every node: their subscribers do not ask for faces.
TOPICS_OF_EVERY_NODE = ("/diagnostics", "/parameter_events", "/rosout")


class DemandWatch:
    """Reports when the outputs of a node are needed, and when they are no longer.

    It polls in a thread of its own: a timer of rclpy's executor costs ten times as much for each
    check, and the events of matched subscriptions are missing in Humble.
    """

    def __init__(self, node: Node, changed: Callable[[bool], None]) -> None:
        """Start to watch; the outputs count as needed.

        Args:
            node: has the publishers.
            changed: called on the executor's thread with whether the outputs are needed.
        """
        self._node = node
        self._is_needed = True
        self._changed = changed
        self._needed_at = time.monotonic()
        self._stopping = threading.Event()
        self._guard = node.create_guard_condition(lambda: self._changed(self._is_needed))
        threading.Thread(target=self._watch, name="demand watch", daemon=True).start()

    def stop(self) -> None:
        """Report nothing more."""
        self._stopping.set()

    def _watch(self) -> None:
        while not self._stopping.wait(INTERVAL) and self._node.context.ok():
            try:
                is_needed = self._check()
            except InvalidHandle:
                continue  # A publisher was destroyed in this moment, or the node ends.
            if is_needed != self._is_needed:
                self._is_needed = is_needed
                self._guard.trigger()

    def _check(self) -> bool:
        now = time.monotonic()
        if has_subscribers(self._node):
            self._needed_at = now
        return now - self._needed_at < REST_AFTER


def has_subscribers(node: Node) -> bool:
    """Return whether anything subscribes to an output of the node."""
    if node.get_parameter("tf").value and node.count_subscribers("/tf"):
        return True  # The publisher of /tf is made with the first frame.
    return any(
        publisher.topic_name not in TOPICS_OF_EVERY_NODE and publisher.get_subscription_count()
        for publisher in list(node.publishers)
    )
