"""Whether anything subscribes to an output of the node."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.exceptions import InvalidHandle
from rclpy.guard_condition import GuardCondition
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node
from rclpy.publisher import Publisher

from maix_facemesh_ros.ros.qos_events import PublisherEventCallbacks, UnsupportedEventTypeError

#: Seconds between two checks for subscribers: in addition to the middleware's events, and without.
INTERVAL = 1.0
POLLING_INTERVAL = 0.05

#: Seconds without any subscriber after which the outputs are not needed.
REST_AFTER = 1.0

#: Attribute of `PublisherEventCallbacks` since Iron; in Humble it has no effect.
MATCHED = "matched"

#: Topics of every node: their subscribers do not ask for faces.
TOPICS_OF_EVERY_NODE = ("/diagnostics", "/parameter_events", "/rosout")


class DemandWatch:
    """Reports when the outputs of a node are needed, and when they are no longer.

    It waits in its own thread for the middleware's events of matched subscriptions: in the node's
    executor, a check costs ten times as much. Where the events are missing, as in Humble, and for
    /tf, whose publisher is made with the first frame, it polls.
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
        self._wake = GuardCondition(None, None, context=node.context)
        self._thread = threading.Thread(target=self._watch, name="demand watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Report nothing more, from any thread."""
        self._stopping.set()
        self._wake.trigger()

    def close(self) -> None:
        """Stop, and free what wakes the executor; on its thread."""
        self.stop()
        self._thread.join()
        self._wake.destroy()
        self._node.destroy_guard_condition(self._guard)

    @property
    def _goes_on(self) -> bool:
        return not self._stopping.is_set() and self._node.context.ok()

    def _watch(self) -> None:
        while self._goes_on:
            try:
                self._watch_outputs(self._outputs_of_now())
            except InvalidHandle:  # A publisher was destroyed, or the node ends.
                self._stopping.wait(POLLING_INTERVAL)

    def _watch_outputs(self, outputs: Sequence[Publisher]) -> None:
        """Check after each event, and now and then, until the node has other publishers."""
        context = self._node.context
        with ExitStack() as in_use:
            for handle in (context.handle, self._wake.handle, *(each.handle for each in outputs)):
                in_use.enter_context(handle)
            events = _matched_events(outputs, in_use)
            wait_set = rclpy_implementation.WaitSet(0, 1, 0, 0, 0, len(events), context.handle)
            listed_at = time.monotonic()
            while self._goes_on:
                publishes_tf = bool(self._node.get_parameter("tf").value)
                self._check(outputs, publishes_tf)
                polls = not events or publishes_tf
                wait_set.clear_entities()
                wait_set.add_guard_condition(self._wake.handle)
                for event in events:
                    event.add_to_wait_set(wait_set)
                wait_set.wait(int(1e9 * (POLLING_INTERVAL if polls else INTERVAL)))
                for event in events:
                    if event.is_ready(wait_set):
                        event.take_data()
                if time.monotonic() - listed_at >= INTERVAL:
                    listed_at = time.monotonic()
                    if self._outputs_of_now() != outputs:
                        return

    def _check(self, outputs: Sequence[Publisher], publishes_tf: bool) -> None:
        """Look for subscribers, and wake the executor if that changes whether there are any."""
        now = time.monotonic()
        if any(output.get_subscription_count() for output in outputs) or (
            # The publisher of /tf is made with the first frame.
            publishes_tf and self._node.count_subscribers("/tf")
        ):
            self._needed_at = now
        is_needed = now - self._needed_at < REST_AFTER
        if is_needed != self._is_needed:
            self._is_needed = is_needed
            self._guard.trigger()

    def _outputs_of_now(self) -> Sequence[Publisher]:
        return [
            publisher
            for publisher in list(self._node.publishers)
            if publisher.topic_name not in TOPICS_OF_EVERY_NODE
        ]


def _matched_events(publishers: Sequence[Publisher], in_use: ExitStack) -> Sequence[Any]:
    """Return the events of subscriptions that come and go; empty where there are none."""
    callbacks = PublisherEventCallbacks(use_default_callbacks=False)
    setattr(callbacks, MATCHED, _do_nothing)
    group = ReentrantCallbackGroup()
    events: list[Any] = []
    for publisher in publishers:
        try:
            events += callbacks.create_event_handlers(group, publisher.handle, publisher.topic_name)
        except UnsupportedEventTypeError:
            return ()  # The middleware does not report them.
    for event in events:
        in_use.callback(event.destroy)
        in_use.enter_context(event)
    return events


def _do_nothing(_: Any) -> None:
    """Take an event: that it came is all that matters."""
