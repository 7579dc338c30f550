"""`facemesh_node` without subscribers: its computing time, and the first answer to a new one."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from benchmarks.clips import faces_clip
from benchmarks.environments import OURS, python_of
from benchmarks.measurement import Figure
from benchmarks.node import NodeProcess, ros_in_a_domain
from benchmarks.options import Options
from benchmarks.report import Row, Section
from benchmarks.shared_image import RATE
from benchmarks.worker_process import NotMeasuredError

if TYPE_CHECKING:
    from benchmarks.robot import Film

#: Percent of a core, and milliseconds.
COMPUTING_LIMIT = 0.5
ANSWER_LIMIT = 100.0

SIZE = (640, 480)
#: Blocks of images, and seconds of each; subscriptions whose first answer is timed.
BLOCKS, SECONDS = 5, 10.0
ANSWERS = 12
#: Seconds until the node rests, and for an answer.
PATIENCE = 30.0

EMPTY_NODE = "import rclpy; rclpy.init(); rclpy.spin(rclpy.create_node('empty'))"


def measure(options: Options) -> Section:
    """A camera sends 640x480 with camera_info at 30 Hz, and nothing subscribes to faces."""
    from benchmarks.robot import Film

    with ros_in_a_domain() as domain, ExitStack() as stack:
        camera = _Camera(Film(faces_clip(*SIZE)))
        stack.callback(camera.close)
        nodes = {
            "ours": [str(OURS / "bin" / "facemesh_node")],
            "empty": [python_of(OURS), "-c", EMPTY_NODE],
        }
        processes = {
            name: NodeProcess(name, command, OURS, domain) for name, command in nodes.items()
        }
        for process in processes.values():
            stack.callback(process.stop)
        camera.wait_for_subscribers(1)
        shares: dict[str, list[float]] = {name: [] for name in processes}
        for _ in range(2 if options.quick else BLOCKS):
            camera.wait_for_subscribers(0)
            before = {name: process.computed() for name, process in processes.items()}
            start = time.monotonic()
            camera.send_for(SECONDS)
            elapsed = time.monotonic() - start
            for name, process in processes.items():
                shares[name].append((process.computed() - before[name]) / elapsed)
        answers = 3 if options.quick else ANSWERS
        times = [camera.first_answer(1.0 + number / RATE / answers) for number in range(answers)]
    empty = Figure.of(shares["empty"], "% of a core", 100)
    rows = [
        Row(
            "no subscriber: computing",
            Figure.of(shares["ours"], "% of a core", 100),
            limit=COMPUTING_LIMIT,
            remark=f"an empty node of rclpy: {empty.median:.2f} % of a core",
        ),
        Row("subscription to first faces", Figure.milliseconds(times), limit=ANSWER_LIMIT),
    ]
    return Section("resting", f"facemesh_node at rest, a camera at {RATE} Hz, 640x480", rows)


class _Camera:
    """A node that sends images with their calibration, and subscribes to faces or not."""

    def __init__(self, film: Film) -> None:
        import rclpy
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.qos import QoSProfile, qos_profile_sensor_data
        from sensor_msgs.msg import CameraInfo, Image

        from maix_facemesh_ros.msg import FaceArray

        self._film = film
        self._node: Any = rclpy.create_node("camera")
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._images = self._node.create_publisher(Image, "image_raw", qos_profile_sensor_data)
        self._infos = self._node.create_publisher(CameraInfo, "camera_info", QoSProfile(depth=10))
        self._info = CameraInfo(width=SIZE[0], height=SIZE[1], distortion_model="plumb_bob")
        self._info.k = [600.0, 0.0, 320.0, 0.0, 600.0, 240.0, 0.0, 0.0, 1.0]
        self._info.d = [0.0] * 5
        self._faces_type, self._depth = FaceArray, QoSProfile(depth=10)
        # A process's first subscription to a type loads its support, which takes 0.1 s.
        self._node.create_subscription(FaceArray, "no_faces", lambda _: None, self._depth)
        self._number = 0
        #: When the next image is sent.
        self._due = time.monotonic()

    def send_until(self, done: Callable[[], bool]) -> None:
        """Send images at 30 Hz until a condition is met."""
        while not done():
            if (rest := self._due - time.monotonic()) > 0:
                self._executor.spin_once(timeout_sec=rest)
                continue
            self._due += 1 / RATE
            stamp = time.time_ns()
            self._images.publish(self._film.message(self._number, stamp))
            self._info.header.stamp.sec, self._info.header.stamp.nanosec = divmod(stamp, 10**9)
            self._infos.publish(self._info)
            self._number += 1

    def send_for(self, seconds: float) -> None:
        """Send images at 30 Hz for some seconds."""
        end = time.monotonic() + seconds
        self.send_until(lambda: time.monotonic() > end)

    def wait_for_subscribers(self, wanted: int) -> None:
        """Send images until they, and their calibration, have this number of subscribers."""
        end = time.monotonic() + PATIENCE
        topics = (self._images, self._infos)
        self.send_until(
            lambda: (
                all(topic.get_subscription_count() == wanted for topic in topics)
                or time.monotonic() > end
            )
        )
        if time.monotonic() > end:
            raise NotMeasuredError(f"facemesh_node does not have {wanted} subscriptions")

    def first_answer(self, rest: float) -> float:
        """Return the seconds from a subscription after a rest to the first faces."""
        self.wait_for_subscribers(0)
        self.send_for(rest)
        received: list[float] = []
        start = time.monotonic()
        faces = self._node.create_subscription(
            self._faces_type, "faces", lambda _: received.append(time.monotonic()), self._depth
        )
        self.send_until(lambda: bool(received) or time.monotonic() > start + PATIENCE)
        self._node.destroy_subscription(faces)
        if not received:
            raise NotMeasuredError(f"no faces within {PATIENCE:g} s of the subscription")
        return received[0] - start

    def close(self) -> None:
        """End the node."""
        self._executor.shutdown()
        self._node.destroy_node()
