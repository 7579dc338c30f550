"""What the views cost: `make views`, in .venv with ROS.

A camera sends 640x480 with one face at 30 Hz to a node in a process of its own; a third process
subscribes to nothing, to one view, to all. It takes messages as they are, as little work as RViz's
C++ has with them. Measured are the node's processor time for each picture, the time from sending a
picture to the arrival of its `faces`, and pictures without answer. The first line is a node from
which the views have been taken out. Everything is run in rounds, one after the other in each.
"""

from __future__ import annotations

import argparse
import os
import select
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from maix_facemesh_ros.msg import FaceArray
from rclpy.node import Node
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Image
from skimage import data

from maix_facemesh_ros.face import Picture
from maix_facemesh_ros.ros.transport import shared_memory_environment

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "test"))
from message_packages import build_message_package
from scenes import paste_head

RATE = 30.0
PATIENCE = 20.0
#: Pictures before those that count.
WARM_UP = 30

OTHER_PACKAGES = ("vision_msgs", "foxglove_msgs", "hri_msgs")

#: By what is asked for: the topics of the node that somebody subscribes to, and their types.
VIEWS = {
    "markers": ("facemesh/markers visualization_msgs MarkerArray",),
    "points": ("facemesh/points sensor_msgs PointCloud2",),
    "image_annotated": ("facemesh/image_annotated sensor_msgs Image",),
    "image_annotated/compressed": (
        "facemesh/image_annotated/compressed sensor_msgs CompressedImage",
    ),
    "vision_msgs": ("facemesh/detections vision_msgs Detection2DArray",),
    "foxglove_msgs": ("facemesh/image_annotations foxglove_msgs ImageAnnotations",),
    "hri_msgs": (
        "/humans/faces/tracked hri_msgs IdsList",
        "/humans/faces/f1/roi hri_msgs NormalizedRegionOfInterest2D",
        "/humans/faces/f1/landmarks hri_msgs FacialLandmarks",
        "/humans/faces/f1/cropped sensor_msgs Image",
    ),
}
EVERYTHING = tuple(topic for topics in VIEWS.values() for topic in topics)

#: A node that does not even ask whether somebody looks.
WITHOUT_VIEWS = """
from maix_facemesh_ros.ros import facemesh_node
facemesh_node.FaceMeshNode._show = lambda *_: None
facemesh_node.main()
"""


@dataclass
class Measurement:
    """What was measured of one case, in all rounds."""

    #: Milliseconds of the processor that the node used for each picture, by round.
    processor: list[float] = field(default_factory=list)
    #: Milliseconds from sending a picture to the arrival of its faces.
    latencies: list[float] = field(default_factory=list)
    unanswered: int = 0
    #: Those of them that the node itself has given up for newer ones.
    dropped: int = 0
    sent: int = 0
    #: Messages of the views for each picture and topic; 1 where all are made.
    views: list[float] = field(default_factory=list)


class Camera(Node):
    """Sends pictures to one of the nodes, by its namespace, and notes when their faces come."""

    def __init__(self, namespaces: Sequence[str], picture: Picture) -> None:
        super().__init__("camera")
        self._publishers_of = {
            namespace: self.create_publisher(
                Image, f"{namespace}/image_raw", qos_profile_sensor_data
            )
            for namespace in namespaces
        }
        for namespace in namespaces:
            self.create_subscription(
                FaceArray, f"{namespace}/faces", self._on_faces, QoSProfile(depth=100), raw=True
            )
        self._message = bytearray(serialize_message(_image_message(picture)))
        self._number = 0
        #: By namespace: pictures that the node has given up, by its own count.
        self.dropped: dict[str, int] = {}
        self.create_subscription(
            DiagnosticArray, "/diagnostics", self._on_diagnostics, QoSProfile(depth=10)
        )
        self.sent: dict[int, float] = {}
        self.arrived: dict[int, float] = {}
        self.faces = 0

    def _on_faces(self, serialized: bytes) -> None:
        now = time.perf_counter()
        # The stamp's nanoseconds: after the encapsulation header and the seconds.
        self.arrived[int.from_bytes(serialized[8:12], "little")] = now
        self.faces = len(deserialize_message(serialized, FaceArray).faces)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        (status,) = message.status
        values = {value.key: value.value for value in status.values}
        namespace = "/" + status.name.split("/")[1]
        self.dropped[namespace] = int(values.get("pictures not answered", 0))

    def send(self, namespace: str) -> None:
        """Send the next picture."""
        self._number += 1
        self._message[8:12] = self._number.to_bytes(4, "little")
        self.sent[self._number] = time.perf_counter()
        self._publishers_of[namespace].publish(bytes(self._message))

    def film(self, namespace: str, pictures: int, then_wait: float) -> None:
        """Send so many at camera rate, from a clean sheet; wait some seconds for what comes."""
        self.sent.clear()
        self.arrived.clear()
        start = time.perf_counter()
        for number in range(pictures):
            self._spin_until(start + number / RATE)
            self.send(namespace)
        self._spin_until(time.perf_counter() + then_wait)

    def wait_for(self, namespace: str) -> None:
        """Send pictures until a face comes back."""
        end = time.perf_counter() + PATIENCE
        self.faces = 0
        while self.faces != 1:
            if time.perf_counter() > end:
                raise SystemExit(f"no face from {namespace} within {PATIENCE:.0f} s")
            self.send(namespace)
            self._spin_until(time.perf_counter() + 0.1)

    def _spin_until(self, moment: float) -> None:
        while (rest := moment - time.perf_counter()) > 0:
            rclpy.spin_once(self, timeout_sec=rest)


class Viewer:
    """The process that subscribes to views."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--viewer"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def subscribe(self, topics: Sequence[str]) -> None:
        """Take messages of these topics, instead of those before."""
        self._say(";".join(topics))

    def received(self) -> int:
        """Return the number of messages since the last call."""
        return int(self._say("received"))

    def _say(self, words: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(words, file=self._process.stdin, flush=True)
        return self._process.stdout.readline()

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()


def view() -> None:
    """Be the viewer's process: lines of topics in, numbers out."""
    rclpy.init()
    node = rclpy.create_node("viewer")
    received = 0
    subscriptions: list[Any] = []

    def take(_: bytes) -> None:
        nonlocal received
        received += 1

    while True:
        rclpy.spin_once(node, timeout_sec=0.01)
        if not select.select([sys.stdin], [], [], 0.0)[0]:
            continue
        words = sys.stdin.readline().strip()
        if words == "received":
            print(received, flush=True)
            received = 0
            continue
        while subscriptions:
            node.destroy_subscription(subscriptions.pop())
        for topic in filter(None, words.split(";")):
            name, package, message = topic.split()
            message_type = getattr(import_module(f"{package}.msg"), message)
            depth = QoSProfile(depth=10)
            subscriptions.append(
                node.create_subscription(message_type, name, take, depth, raw=True)
            )
        print("done", flush=True)


def _image_message(picture: Picture) -> Image:
    height, width = picture.shape[:2]
    message = Image(height=height, width=width, encoding="rgb8", step=3 * width)
    message.header.stamp.sec = 1
    message.header.frame_id = "camera_optical_frame"
    message.data = array("B", picture.tobytes())
    return message


def processor_time(pid: int) -> float:
    """Return the seconds that all threads of a process have run."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) * 1e-9


@contextmanager
def running_node(namespace: str, code: str) -> Iterator[int]:
    """Run a node in a namespace; gives its process's id."""
    parameters = ["assumed_field_of_view:=65.0", *(f"{name}:=true" for name in OTHER_PACKAGES)]
    process = subprocess.Popen(
        [sys.executable, "-c", code, "--ros-args", "-r", f"__ns:={namespace}"]
        + [part for parameter in parameters for part in ("-p", parameter)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait(PATIENCE)


def measure(
    camera: Camera, viewer: Viewer, namespace: str, pid: int, topics: Sequence[str], pictures: int
) -> Measurement:
    """Measure one case once."""
    absolute = [topic if topic.startswith("/") else f"{namespace}/{topic}" for topic in topics]
    viewer.subscribe(absolute)
    camera.film(namespace, WARM_UP, 0.2)
    viewer.received()
    before, dropped_before = processor_time(pid), camera.dropped[namespace]
    # So long that a message on /diagnostics comes after the last picture.
    camera.film(namespace, pictures, 1.2)
    used = processor_time(pid) - before
    late = [camera.arrived[n] - camera.sent[n] for n in camera.sent if n in camera.arrived]
    return Measurement(
        [1e3 * used / pictures],
        [1e3 * seconds for seconds in late],
        pictures - len(late),
        camera.dropped[namespace] - dropped_before,
        pictures,
        [viewer.received() / pictures / len(topics)] if topics else [],
    )


def report(measured: dict[str, Measurement]) -> None:
    """Print the table, each case beside the one that nobody looks at."""
    nobody = measured["nobody"]
    print(
        "subscribed | CPU, ms/picture (rounds) | - nobody | faces after ms | - nobody | 95% | "
        "unanswered | dropped by the node | views made"
    )
    print("---|---|---|---|---|---|---|---|---")
    for name, case in measured.items():
        latency = np.median(case.latencies)
        # Rounds are compared with themselves: the machine is not the same in each.
        more = np.median(np.array(case.processor) - nobody.processor)
        print(
            f"{name} | {np.median(case.processor):.2f} ({min(case.processor):.2f} to "
            f"{max(case.processor):.2f}) | {more:+.2f} | "
            f"{latency:.2f} | {latency - np.median(nobody.latencies):+.2f} | "
            f"{np.percentile(case.latencies, 95):.2f} | {case.unanswered} of {case.sent} | "
            f"{case.dropped} | " + (f"{np.mean(case.views):.0%}" if case.views else "")
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each case in each round")
    parser.add_argument("--viewer", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.viewer:
        view()
    with tempfile.TemporaryDirectory() as folder:
        for package in OTHER_PACKAGES:
            environment = build_message_package(package, Path(folder))
        os.environ.update(environment)
        os.environ.update(shared_memory_environment())
        os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
        os.environ["ROS_DOMAIN_ID"] = str(1 + os.getpid() % 100)
        compare(arguments.rounds, round(arguments.seconds * RATE))


def compare(rounds: int, pictures: int) -> None:
    """Measure every case in every round, and print the table."""
    picture = np.full((480, 640, 3), 110, np.uint8)
    paste_head(picture, np.asarray(data.astronaut(), np.uint8), (320, 240), 160)
    plain, full = "/plain", "/full"
    cases = {"views taken out": (), "nobody": (), **VIEWS, "everything": EVERYTHING}
    measured = {name: Measurement() for name in cases}
    viewer = Viewer()
    rclpy.init()
    camera = Camera((plain, full), picture)
    whole = "from maix_facemesh_ros.ros.facemesh_node import main; main()"
    try:
        with running_node(plain, WITHOUT_VIEWS) as without, running_node(full, whole) as node:
            camera.wait_for(plain)
            camera.wait_for(full)
            for _ in range(rounds):
                for name, topics in cases.items():
                    where = (plain, without) if name == "views taken out" else (full, node)
                    once = measure(camera, viewer, *where, topics, pictures)
                    total = measured[name]
                    total.processor += once.processor
                    total.latencies += once.latencies
                    total.unanswered += once.unanswered
                    total.dropped += once.dropped
                    total.sent += once.sent
                    total.views += once.views
    finally:
        viewer.stop()
        camera.destroy_node()
        rclpy.try_shutdown()
    report(measured)


if __name__ == "__main__":
    main()
