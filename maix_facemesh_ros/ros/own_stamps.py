"""Stamps for images that no topic brings: the node's time at the moment of their capture."""

from __future__ import annotations

import time

from rclpy.node import Node

from maix_facemesh_ros.image import Stamp

#: Moments whose stamps are remembered: the faces of an image and the image itself come one after
#: the other, with those of later ones in between, and are to have the same stamp.
REMEMBERED = 32

#: Two clocks count as read at the same time if that takes less than this; on a busy machine this
#: thread may be preempted in between, and then they are read again, up to this many times.
SAME_MOMENT = 1e-4
ATTEMPTS = 5


class OwnStamps:
    """Turns moments of `time.monotonic` into times of the node's clock."""

    def __init__(self, node: Node, camera_delay: float) -> None:
        """Start.

        Args:
            node: its clock counts, simulated or not.
            camera_delay: seconds from exposure until the camera hands an image over.
        """
        self._node = node
        self._camera_delay = camera_delay
        self._given: dict[float, Stamp] = {}

    def at(self, taken_at: float) -> Stamp:
        """Return the stamp of an image that was delivered at this time; always the same one."""
        stamp = self._given.get(taken_at)
        if stamp is None:
            stamp = self._given[taken_at] = self._now_back_to(taken_at - self._camera_delay)
            if len(self._given) > REMEMBERED:
                del self._given[next(iter(self._given))]
        return stamp

    def _now_back_to(self, moment: float) -> Stamp:
        now, at = self._read_both_clocks()
        # Simulated time is zero until the first message on /clock.
        nanoseconds = max(0, now - round(1e9 * (at - moment)))
        return Stamp(*divmod(nanoseconds, 10**9))

    def _read_both_clocks(self) -> tuple[int, float]:
        """Return the node's time in nanoseconds, and `time.monotonic` at the same moment."""
        for _ in range(ATTEMPTS):
            before = time.monotonic()
            now = self._node.get_clock().now().nanoseconds
            after = time.monotonic()
            if after - before < SAME_MOMENT:
                break
        return now, (before + after) / 2
