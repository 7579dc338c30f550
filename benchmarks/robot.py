"""The camera and the robot of the node's rows: publishes images at 30 Hz, times the faces."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image
from std_msgs.msg import Bool

from benchmarks.shared_image import RATE, Clip

#: Images that are kept of a clip; they are shown forwards and backwards.
IMAGES = 60
#: Seconds in which the last answers of a block may come.
LAST_ANSWERS = 0.3

#: Where a serialized message has its header's stamp: after the encapsulation (XCDR1).
_STAMP = struct.Struct("<iI")
_STAMP_AT = 4


class Film:
    """Images as serialized sensor_msgs/Image, made beforehand; only the stamp is put in."""

    def __init__(self, clip: Clip) -> None:
        self._messages: list[bytes] = []
        for number in range(IMAGES):
            image = clip(number)
            height, width = image.shape[:2]
            message = Image(height=height, width=width, encoding="rgb8", step=3 * width)
            message.header.frame_id = "camera_optical_frame"
            message.data.frombytes(image.tobytes())
            self._messages.append(serialize_message(message))

    def message(self, number: int, stamp: int) -> bytes:
        """Return the image of this number, taken at `stamp` nanoseconds."""
        place = number % (2 * IMAGES - 2)
        content = self._messages[min(place, 2 * IMAGES - 2 - place)]
        stamped = _STAMP.pack(*divmod(stamp, 10**9))
        rest = memoryview(content)[_STAMP_AT + _STAMP.size :]
        return b"".join((content[:_STAMP_AT], stamped, rest))


@dataclass
class Block:
    """Results of some seconds of images."""

    #: Seconds from an image's stamp until its faces were received, for each answer.
    latencies: list[float] = field(default_factory=list)
    sent: int = 0
    elapsed: float = 0.0


class Robot(Node):
    """Talks to one node in each of some namespaces."""

    def __init__(self, faces_types: dict[str, type]) -> None:
        """Make the topics.

        Args:
            faces_types: by namespace: the type of its topic `faces`.
        """
        super().__init__("robot")
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self)
        self._arrived: dict[str, dict[int, int]] = {name: {} for name in faces_types}
        self._numbers = dict.fromkeys(faces_types, 0)
        #: Milliseconds of each step with an image, from the node's /diagnostics.
        self.steps: dict[str, list[float]] = {}
        self._images = {
            name: self.create_publisher(Image, f"/{name}/image_raw", qos_profile_sensor_data)
            for name in faces_types
        }
        self._subscribe = self.create_publisher(Bool, "subscribe", QoSProfile(depth=1))
        for name, faces_type in faces_types.items():
            self.create_subscription(
                faces_type, f"/{name}/faces", self._receiver(name), QoSProfile(depth=50), raw=True
            )
        self.create_subscription(
            DiagnosticArray, "/diagnostics", self._on_diagnostics, QoSProfile(depth=10)
        )

    def film(self, name: str, film: Film, seconds: float) -> Block:
        """Send a namespace images at 30 Hz for some seconds and collect its answers."""
        block = Block()
        stamps = []
        start = time.monotonic()
        for number in range(round(seconds * RATE)):
            self._spin_until(start + number / RATE)
            stamps.append(self.send(name, film))
        self._spin_until(time.monotonic() + LAST_ANSWERS)
        block.elapsed = time.monotonic() - start
        block.sent = len(stamps)
        arrived = self._arrived[name]
        block.latencies = [(arrived[stamp] - stamp) / 1e9 for stamp in stamps if stamp in arrived]
        return block

    def first_answer(
        self, name: str, film: Film, patience: float, alive: Callable[[], bool]
    ) -> float | None:
        """Send images until the first answer; returns its time by time.monotonic, or None."""
        arrived, start = self._arrived[name], time.time_ns()
        arrived.clear()
        end = time.monotonic() + patience
        due = time.monotonic()
        while time.monotonic() < end and alive():
            self.send(name, film)
            due += 1 / RATE
            if self._spin_until(due, lambda: any(stamp >= start for stamp in arrived)):
                return time.monotonic()
        return None

    def let_others_subscribe(self, subscribe: bool, others: int, patience: float) -> None:
        """Let the processes of `subscriber.py` subscribe or not, and wait until they do.

        Raises:
            TimeoutError: they do not.
        """
        wanted = 1 + (others if subscribe else 0)
        end = time.monotonic() + patience
        while self.count_subscribers("/ours/faces") != wanted:
            if time.monotonic() > end:
                raise TimeoutError(f"{wanted} subscribers were expected on /ours/faces")
            self._subscribe.publish(Bool(data=subscribe))
            self._spin_until(time.monotonic() + 0.1)

    def send(self, name: str, film: Film) -> int:
        """Send the next image; returns its stamp in nanoseconds."""
        stamp = time.time_ns()
        self._images[name].publish(film.message(self._numbers[name], stamp))
        self._numbers[name] += 1
        return stamp

    def _spin_until(self, due: float, done: Callable[[], bool] = lambda: False) -> bool:
        while not done():
            rest = due - time.monotonic()
            if rest <= 0:
                return False
            self._executor.spin_once(timeout_sec=rest)
        return True

    def _receiver(self, name: str) -> Callable[[bytes], None]:
        arrived = self._arrived[name]

        def receive(message: bytes) -> None:
            seconds, nanoseconds = _STAMP.unpack_from(message, _STAMP_AT)
            arrived[seconds * 10**9 + nanoseconds] = time.time_ns()

        return receive

    def _on_diagnostics(self, message: Any) -> None:
        for status in message.status:
            for entry in status.values:
                step, median, _ = entry.key.partition(", median")
                if median and entry.value.endswith(" ms"):
                    self.steps.setdefault(step, []).append(float(entry.value[:-3]))


def start_ros(domain: int, arguments: Sequence[str] = ()) -> None:
    """Initialize rclpy in a separate domain."""
    rclpy.init(args=list(arguments), domain_id=domain)
