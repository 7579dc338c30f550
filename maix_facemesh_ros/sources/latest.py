"""A slot that holds the latest item only: never a queue of stale images."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")


class LatestSlot(Generic[Item]):
    """Hands items from one thread to another; a new item replaces one that still waits."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._item: Item | None = None
        self._closed = False

    def put(self, item: Item) -> bool:
        """Put an item; returns whether it replaced one that was not taken."""
        with self._condition:
            replaced = self._item is not None
            self._item = item
            self._condition.notify()
            return replaced

    def take(self) -> Item | None:
        """Wait for an item and take it; None once the slot is closed."""
        with self._condition:
            self._condition.wait_for(lambda: self._item is not None or self._closed)
            item, self._item = self._item, None
            return None if self._closed else item

    def items(self) -> Iterator[Item]:
        """Take items until the slot is closed."""
        while (item := self.take()) is not None:
            yield item

    def close(self) -> bool:
        """Wake all waiting threads, and drop the item in the slot; returns whether there was one.

        Items that come later are not taken.
        """
        with self._condition:
            dropped, self._item = self._item is not None, None
            self._closed = True
            self._condition.notify_all()
            return dropped
