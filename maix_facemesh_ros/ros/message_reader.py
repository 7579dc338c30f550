"""Receives a node's frequent messages without rclpy's executor.

The executor builds its wait set of all entities of a node twice for each message: 0.7 ms of
computing for an image of 640x480. A wait set of these subscriptions alone, made once, takes a
fifth of it. The way it is waited for and taken from is that of rclpy's own wait_for_message.py.
"""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.exceptions import InvalidHandle
from rclpy.guard_condition import GuardCondition
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node
from rclpy.subscription import Subscription

#: Seconds between two messages about callbacks that fail.
WARNING_INTERVAL = 5.0


class _PastTheExecutor(ReentrantCallbackGroup):
    """Leaves nothing to the executor.

    Not even the news of quality of service: with Fast DDS, who waits for those of a subscription is
    woken by its messages as well.
    """

    def can_execute(self, _: Any) -> bool:
        return False


class MessageReader:
    """Calls the callbacks of some subscriptions of a node, one after the other, in its thread."""

    def __init__(self, node: Node) -> None:
        self._node = node
        #: For `create_subscription`: subscriptions with it are handled here.
        self.callback_group = _PastTheExecutor()
        #: Publish time of the current message in nanoseconds of the publisher's clock; 0 if the
        #: middleware does not provide it.
        self.source_time = 0
        self._subscriptions: list[Subscription] = []
        self._changed = threading.Event()
        self._stopping = threading.Event()
        self._wake = GuardCondition(None, None, context=node.context)
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to read, where there are subscriptions; also again after `stop`."""
        self._stopping.clear()
        self.update()
        if self._subscriptions:
            self._thread = threading.Thread(target=self._read, name="message reader")
            self._thread.start()

    def update(self) -> None:
        """Add new subscriptions and remove destroyed ones."""
        self._subscriptions = [
            subscription
            for subscription in self._node.subscriptions
            if subscription.callback_group is self.callback_group
        ]
        self._changed.set()
        self._wake.trigger()

    def stop(self) -> None:
        """Stop reading; then the subscriptions may be destroyed."""
        self._stopping.set()
        self._wake.trigger()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def close(self) -> None:
        """Free what wakes the thread, after `stop`."""
        self._wake.destroy()

    def _read(self) -> None:
        while not self._stopping.is_set() and self._node.context.ok():
            self._changed.clear()
            # A subscription may be destroyed at this moment; then `update` follows.
            with suppress(InvalidHandle):
                self._read_from(self._subscriptions)

    def _read_from(self, subscriptions: list[Subscription]) -> None:
        """Read until other subscriptions are to be read, or none."""
        context = self._node.context
        news = [handler for each in subscriptions for handler in each.event_handlers]
        # Entities in use stay, also when the context ends and, since Kilted, destroys its nodes.
        with ExitStack() as in_use:
            for handle in (*(each.handle for each in subscriptions), *news, self._wake.handle):
                in_use.enter_context(handle)
            in_use.enter_context(context.handle)
            wait_set = rclpy_implementation.WaitSet(
                len(subscriptions), 1, 0, 0, 0, len(news), context.handle
            )
            while not (self._stopping.is_set() or self._changed.is_set()) and context.ok():
                wait_set.clear_entities()
                for subscription in subscriptions:
                    wait_set.add_subscription(subscription.handle)
                for handler in news:
                    handler.add_to_wait_set(wait_set)
                wait_set.add_guard_condition(self._wake.handle)
                wait_set.wait(-1)
                ready = wait_set.get_ready_entities("subscription")
                for subscription in subscriptions:
                    if subscription.handle.pointer in ready:
                        self._call(self._take, subscription)
                for handler in news:
                    if handler.is_ready(wait_set):
                        self._call(self._take_news, handler)

    def _take(self, subscription: Subscription) -> None:
        taken = subscription.handle.take_message(subscription.msg_type, subscription.raw)
        if taken is not None:
            message, information = taken
            self.source_time = information["source_timestamp"]
            subscription.callback(message)

    def _take_news(self, handler: Any) -> None:
        news = handler.take_data()
        if news is not None:
            handler.callback(news)

    def _call(self, take: Callable[[Any], None], entity: Any) -> None:
        """Handle one of the middleware's entities; a fault is logged and skipped."""
        try:
            take(entity)
        except Exception:
            if self._node.context.ok() and not self._stopping.is_set():
                self._node.get_logger().error(
                    f"a message was dropped: {traceback.format_exc()}",
                    throttle_duration_sec=WARNING_INTERVAL,
                )
