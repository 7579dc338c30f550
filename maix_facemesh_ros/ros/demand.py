"""Whether anything subscribes to an output of the node."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from itertools import count

from rclpy.exceptions import InvalidHandle
from rclpy.node import Node
from rclpy.publisher import Publisher

#: Seconds between two checks for subscribers.
INTERVAL = 0.05

#: Checks from one listing of the node's publishers to the next: a listing takes as long as ten
#: checks.
CHECKS_PER_LISTING = 20

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
        self._outputs: list[Publisher] = []
        self._publishes_tf = False
        self._stopping = threading.Event()
        self._guard = node.create_guard_condition(lambda: self._changed(self._is_needed))
        self._thread = threading.Thread(target=self._watch, name="demand watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Report nothing more, from any thread."""
        self._stopping.set()

    def close(self) -> None:
        """Stop, and free what wakes the executor; on its thread."""
        self.stop()
        self._thread.join()
        self._node.destroy_guard_condition(self._guard)

    def _watch(self) -> None:
        for number in count():
            if self._stopping.wait(INTERVAL) or not self._node.context.ok():
                return
            try:
                if number % CHECKS_PER_LISTING == 0:
                    self._list_outputs()
                is_needed = self._check()
            except InvalidHandle:
                self._outputs = []  # A publisher was destroyed, or the node ends.
                continue
            if is_needed != self._is_needed:
                self._is_needed = is_needed
                self._guard.trigger()

    def _check(self) -> bool:
        now = time.monotonic()
        if any(output.get_subscription_count() for output in self._outputs) or (
            # The publisher of /tf is made with the first frame.
            self._publishes_tf and self._node.count_subscribers("/tf")
        ):
            self._needed_at = now
        return now - self._needed_at < REST_AFTER

    def _list_outputs(self) -> None:
        self._publishes_tf = bool(self._node.get_parameter("tf").value)
        self._outputs = [
            publisher
            for publisher in list(self._node.publishers)
            if publisher.topic_name not in TOPICS_OF_EVERY_NODE
        ]
