"""The node's state on /diagnostics, once a second."""

from __future__ import annotations

import threading
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from statistics import median

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node
from rclpy.qos import QoSProfile

from maix_facemesh_ros.ros.diagnostic_keys import (
    ANSWERED,
    ARRIVED,
    FACES,
    LOST_IN_TRANSPORT,
    MEDIAN,
    NOT_ANSWERED,
    RATE_IN,
    RATE_OUT,
    REASON,
    REPLACED,
    STATE,
    STATUS,
)
from maix_facemesh_ros.ros.managed_node import ACTIVE

#: Seconds between two messages (REP-107).
INTERVAL = 1.0

#: Seconds between two log lines about messages that fail.
WARNING_INTERVAL = 5.0


class Diagnostics:
    """Counts received, processed and dropped images, and publishes the counts every second."""

    def __init__(self, node: Node, facts: Callable[[], dict[str, str]]) -> None:
        """Announce the topic.

        Args:
            node: the node that this speaks for.
            facts: returns further values by name, such as the backend.
        """
        self._node = node
        self._facts = facts
        self._lock = threading.Lock()
        self._total: Counter[str] = Counter()
        self._since_report: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._seconds: defaultdict[str, list[float]] = defaultdict(list)
        self._faces = 0
        self._trouble = ""
        #: No output has a subscriber, so images are not taken off their topic.
        self.rests = False
        self._reported_at = time.monotonic()
        self._publisher = node.create_publisher(
            DiagnosticArray, "/diagnostics", QoSProfile(depth=10)
        )
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="diagnostics", daemon=True)

    def start(self) -> None:
        """Publish every second from now on.

        In a separate thread: a timer of the node's executor costs three times as much. And by no
        clock of ROS, which stops while a simulation or a bag is paused.
        """
        self._thread.start()

    def close(self) -> None:
        """Publish nothing more; before the node is destroyed."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def arrived(self, *, replaced_another: bool) -> None:
        """Count a received image, and whether it replaced a waiting one."""
        self._count(ARRIVED)
        if replaced_another:
            self.lost(REPLACED)

    def answered(self, faces: int) -> None:
        """Count an image whose faces were published."""
        self._count(ANSWERED)
        self._faces = faces

    def took(self, seconds: Mapping[str, float]) -> None:
        """Note the time that each step with an image took, by its name."""
        with self._lock:
            for step, duration in seconds.items():
                self._seconds[step].append(duration)

    def lost(self, reason: str) -> None:
        """Count an image that is not answered, for one of a few reasons."""
        self._count(NOT_ANSWERED)
        with self._lock:
            self._reasons[reason] += 1

    def lost_in_transport(self, number: int) -> None:
        """Count images that a publisher sent and that did not arrive."""
        self._count(LOST_IN_TRANSPORT, number)

    def trouble(self, text: str) -> None:
        """Report a fault of the image source at once; empty: the fault is over."""
        self._trouble = text
        self._report()

    def forget_trouble(self) -> None:
        """Report no fault from the next message on: the source is closed."""
        self._trouble = ""

    def total(self, key: str) -> int:
        """Return a count of images since the start, by its key: ARRIVED, ANSWERED and so on."""
        return self._total[key]

    def _count(self, key: str, number: int = 1) -> None:
        with self._lock:
            self._total[key] += number
            self._since_report[key] += number

    def _run(self) -> None:
        due = time.monotonic()
        while self._node.context.ok():
            due += INTERVAL
            if self._stopping.wait(max(due - time.monotonic(), 0.0)):
                return
            try:
                self._report()
            except Exception:
                if self._node.context.ok():
                    self._node.get_logger().error(
                        f"nothing on /diagnostics: {traceback.format_exc()}",
                        throttle_duration_sec=WARNING_INTERVAL,
                    )

    def _report(self) -> None:
        status = self._status()
        message = DiagnosticArray(status=[status])
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(message)

    def _status(self) -> DiagnosticStatus:
        now = time.monotonic()
        with self._lock:
            elapsed, self._reported_at = now - self._reported_at, now
            rates = {key: count / elapsed for key, count in self._since_report.items()}
            steps = {step: 1e3 * median(seconds) for step, seconds in self._seconds.items()}
            self._since_report.clear()
            self._seconds.clear()
            facts = self._facts()
            values = {
                **facts,
                FACES: str(self._faces),
                RATE_IN: f"{rates.get(ARRIVED, 0.0):.1f} Hz",
                RATE_OUT: f"{rates.get(ANSWERED, 0.0):.1f} Hz",
                **{f"{step}{MEDIAN}": f"{duration:.2f} ms" for step, duration in steps.items()},
                **{key: str(count) for key, count in self._total.items()},
                **{f"{REASON}{reason}": str(n) for reason, n in self._reasons.items()},
            }
        state = facts.get(STATE, ACTIVE)
        idle = state if state != ACTIVE else "resting: no subscribers" if self.rests else ""
        level, text = _judge(rates, self._trouble, idle)
        return DiagnosticStatus(
            level=level,
            name=f"{self._node.get_fully_qualified_name()}{STATUS}",
            message=text,
            values=[KeyValue(key=key, value=value) for key, value in values.items()],
        )


def _judge(rates: dict[str, float], trouble: str, idle: str) -> tuple[bytes, str]:
    """Return the level and its reason; `idle` says why no images are processed, if it is meant."""
    if trouble:
        return DiagnosticStatus.ERROR, trouble
    if idle:
        return DiagnosticStatus.OK, idle
    if rates.get(LOST_IN_TRANSPORT, 0.0) > 0.0:
        return DiagnosticStatus.WARN, "images are lost in transport"
    if rates.get(ARRIVED, 0.0) == 0.0:
        return DiagnosticStatus.STALE, "no images arrive"
    if rates.get(NOT_ANSWERED, 0.0) > 0.0:
        return DiagnosticStatus.WARN, "not every image is answered"
    return DiagnosticStatus.OK, "every image is answered"
