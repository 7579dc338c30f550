"""Cost of the views for the node, and their delay of `faces`.

A camera sends 640x480 with one face at 30 Hz to a node in a process of its own; a third process
subscribes to nothing, to one view, to all. It takes messages as they are, as little work as RViz's
C++ has with them. Measured are the node's processor time for each image, the time from sending an
image to the arrival of its `faces`, and images without answer, compared with a node from which the
views have been taken out. A third node reads the same image from a video, for the views that only a
`source` has. Everything is run in rounds, one after the other in each.
"""

from __future__ import annotations

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
from unittest import mock

import cv2
import numpy as np
import rclpy
from rclpy.node import Node
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Image
from skimage import data

from maix_facemesh_ros.image import Pixels
from maix_facemesh_ros.msg import FaceArray
from maix_facemesh_ros.ros.dds_profile import shared_memory_environment

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "test/support"))
from benchmarks.measurement import Figure
from benchmarks.options import Options
from benchmarks.report import Row, Section
from message_packages import build_message_package
from scenes import paste_head

RATE = 30.0
PATIENCE = 20.0
#: Images before those that count.
WARM_UP = 30
ROUNDS, QUICK_ROUNDS = 3, 1
#: Seconds of each case in each round.
SECONDS = 3.0

#: Limit of the delay of `faces` with all views subscribed, in milliseconds.
LATER_LIMIT = 2.0

OTHER_PACKAGES = ("vision_msgs", "foxglove_msgs", "hri_msgs")

#: Subscribed topics of the node and their types, by case.
VIEWS = {
    "markers": ("facemesh/markers visualization_msgs MarkerArray",),
    "points": ("facemesh/points sensor_msgs PointCloud2",),
    "image_annotated": ("facemesh/image_annotated sensor_msgs Image",),
    "image_annotated/compressed": (
        "facemesh/image_annotated/compressed sensor_msgs CompressedImage",
    ),
    "image_blurred": ("facemesh/image_blurred sensor_msgs Image",),
    "attention": ("facemesh/attention maix_facemesh_ros FaceAttentionArray",),
    "vision_msgs": ("facemesh/detections vision_msgs Detection2DArray",),
    "foxglove_msgs": ("facemesh/image_annotations foxglove_msgs ImageAnnotations",),
    "hri_msgs": (
        "/humans/faces/tracked hri_msgs IdsList",
        "/humans/faces/f1/roi hri_msgs NormalizedRegionOfInterest2D",
        "/humans/faces/f1/landmarks hri_msgs FacialLandmarks",
        "/humans/faces/f1/facs hri_msgs FacialActionUnits",
        "/humans/faces/f1/expression hri_msgs Expression",
        "/humans/faces/f1/cropped sensor_msgs Image",
        "/humans/faces/f1/aligned sensor_msgs Image",
    ),
}
EVERYTHING = tuple(topic for topics in VIEWS.values() for topic in topics)

#: The same of a node with a `source`.
SOURCE_VIEWS = {
    "image_raw of a source": ("image_raw sensor_msgs Image",),
    "image_raw/compressed of a source": ("image_raw/compressed sensor_msgs CompressedImage",),
}
OF_A_SOURCE = "source, no subscribers"

#: A node that does not even check for subscribers.
WITHOUT_VIEWS = """
from maix_facemesh_ros.ros import facemesh_node, outputs
outputs.Outputs._publish_to = lambda *_: None
facemesh_node.main()
"""


WHOLE = "from maix_facemesh_ros.ros.facemesh_node import main; main()"

#: Images of the video while the node starts.
START_IMAGES = round(PATIENCE * RATE)


@dataclass
class Measurement:
    """Measurement of one case, in all rounds."""

    #: Milliseconds of the processor that the node used for each image, by round.
    processor: list[float] = field(default_factory=list)
    #: Milliseconds from sending an image to the arrival of its faces.
    latencies: list[float] = field(default_factory=list)
    unanswered: int = 0
    sent: int = 0
    #: Messages of the views for each image and topic; 1 where all are made.
    views: list[float] = field(default_factory=list)


class Camera(Node):
    """Sends images to one of the nodes, by its namespace, and notes when their faces come."""

    def __init__(self, namespaces: Sequence[str], image: Pixels) -> None:
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
        self._message = bytearray(serialize_message(_image_message(image)))
        self._number = 0
        self.sent: dict[int, float] = {}
        self.arrived: dict[int, float] = {}
        self.faces = 0

    def _on_faces(self, serialized: bytes) -> None:
        now = time.perf_counter()
        # The stamp's nanoseconds: after the encapsulation header and the seconds.
        self.arrived[int.from_bytes(serialized[8:12], "little")] = now
        self.faces = len(deserialize_message(serialized, FaceArray).faces)

    def send(self, namespace: str) -> None:
        """Send the next image."""
        self._number += 1
        self._message[8:12] = self._number.to_bytes(4, "little")
        self.sent[self._number] = time.perf_counter()
        self._publishers_of[namespace].publish(bytes(self._message))

    def film(self, namespace: str, images: int, then_wait: float) -> None:
        """Reset, send images at camera rate, and wait some seconds for the results."""
        self.sent.clear()
        self.arrived.clear()
        start = time.perf_counter()
        for number in range(images):
            self._spin_until(start + number / RATE)
            self.send(namespace)
        self._spin_until(time.perf_counter() + then_wait)

    def wait_for(self, namespace: str) -> None:
        """Send images until a face is received."""
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
            [sys.executable, "-m", "benchmarks.views"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def subscribe(self, topics: Sequence[str]) -> None:
        """Subscribe to these topics instead of the previous ones."""
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


def _image_message(image: Pixels) -> Image:
    height, width = image.shape[:2]
    message = Image(height=height, width=width, encoding="rgb8", step=3 * width)
    message.header.stamp.sec = 1
    message.header.frame_id = "camera_optical_frame"
    message.data = array("B", image.tobytes())
    return message


def processor_time(pid: int) -> float:
    """Return the seconds that all threads of a process have run."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) * 1e-9


@contextmanager
def running_node(namespace: str, code: str, *more: str) -> Iterator[int]:
    """Run a node in a namespace, with more parameters; returns its process id."""
    parameters = ["assumed_field_of_view:=65.0", "blendshapes:=true", *more]
    parameters += [f"{name}:=true" for name in OTHER_PACKAGES]
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


def measure(options: Options) -> Section:
    """Measure every case in every round."""
    rounds = QUICK_ROUNDS if options.quick else ROUNDS
    with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ):
        for package in OTHER_PACKAGES:
            environment = build_message_package(package, Path(folder))
        os.environ.update(environment)
        os.environ.update(shared_memory_environment())
        os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
        os.environ["ROS_DOMAIN_ID"] = str(1 + os.getpid() % 100)
        measured = _measure_all(rounds, round(SECONDS * RATE))
    title = f"what looking costs the node: one face, 640x480, {RATE:.0f} Hz"
    return Section("views", title, _rows(measured), [])


def _rows(measured: dict[str, Measurement]) -> list[Row]:
    unseen, everything = measured["no subscribers"], measured["everything"]
    without = Figure.of(measured["views taken out"].processor, "ms")
    rows = [
        Row(
            "computing an image, no subscribers",
            Figure.of(unseen.processor, "ms"),
            "the node without views",
            without,
        )
    ]
    for name in (*VIEWS, "everything"):
        case = measured[name]
        rows.append(
            Row(
                f"computing more an image: {name}",
                # Rounds are compared with themselves: the machine is not the same in each.
                Figure.of(np.subtract(case.processor, unseen.processor).tolist(), "ms"),
                remark=f"{np.mean(case.views):.0%} of the views received",
            )
        )
    rows += [
        Row(
            f"computing more an image: {name}",
            Figure.of(
                np.subtract(measured[name].processor, measured[OF_A_SOURCE].processor).tolist(),
                "ms",
            ),
            remark=f"{np.mean(measured[name].views):.0%} of the images in time",
        )
        for name in SOURCE_VIEWS
    ]
    usual = float(np.median(unseen.latencies))
    later = [latency - usual for latency in everything.latencies]
    rows.append(
        Row(
            "faces later, all views subscribed",
            Figure.of(later, "ms"),
            limit=LATER_LIMIT,
            remark=f"{everything.unanswered} of {everything.sent} images not answered, "
            f"{unseen.unanswered} of {unseen.sent} without subscribers",
        )
    )
    return rows


def _measure_all(rounds: int, images: int) -> dict[str, Measurement]:
    image = np.full((480, 640, 3), 110, np.uint8)
    paste_head(image, np.asarray(data.astronaut(), np.uint8), (320, 240), 160)
    plain, full = "/plain", "/full"
    cases = {"views taken out": (), "no subscribers": (), **VIEWS, "everything": EVERYTHING}
    measured = {name: Measurement() for name in (*cases, OF_A_SOURCE, *SOURCE_VIEWS)}
    viewer = Viewer()
    rclpy.init()
    camera = Camera((plain, full), image)
    try:
        with running_node(plain, WITHOUT_VIEWS) as without, running_node(full, WHOLE) as node:
            camera.wait_for(plain)
            camera.wait_for(full)
            for _ in range(rounds):
                for name, topics in cases.items():
                    where = (plain, without) if name == "views taken out" else (full, node)
                    _measure_once(measured[name], camera, viewer, *where, topics, images)
        _measure_source(measured, viewer, image, rounds, images)
    finally:
        viewer.stop()
        camera.destroy_node()
        rclpy.try_shutdown()
    return measured


def _measure_source(
    measured: dict[str, Measurement], viewer: Viewer, image: Pixels, rounds: int, images: int
) -> None:
    """Measure a node that reads a video, with the views of its images."""
    cases = {OF_A_SOURCE: (), **SOURCE_VIEWS}
    length = START_IMAGES + rounds * len(cases) * (images + 2 * WARM_UP)
    faces = "/file/faces maix_facemesh_ros FaceArray"
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder, "face.avi")
        _write_video(video, image, length)
        with running_node("/file", WHOLE, f"source:={video}") as pid:
            viewer.subscribe([faces])
            _wait_for(viewer)
            for _ in range(rounds):
                for name, topics in cases.items():
                    viewer.subscribe([faces, *(f"/file/{topic}" for topic in topics)])
                    time.sleep(WARM_UP / RATE)
                    viewer.received()
                    before = processor_time(pid)
                    time.sleep(images / RATE)
                    used, received = processor_time(pid) - before, viewer.received()
                    # Every image of a video is processed, however long it takes.
                    done = max(received / (1 + len(topics)), 1.0)
                    measured[name].processor.append(1e3 * used / done)
                    measured[name].views.append(done / images)


def _wait_for(viewer: Viewer) -> None:
    """Wait until the viewer receives messages."""
    end = time.perf_counter() + PATIENCE
    while not viewer.received():
        if time.perf_counter() > end:
            raise SystemExit(f"no message within {PATIENCE:.0f} s")
        time.sleep(0.1)


def _write_video(path: Path, image: Pixels, length: int) -> None:
    height, width = image.shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), RATE, (width, height))
    for _ in range(length):
        writer.write(np.ascontiguousarray(image[:, :, ::-1]))
    writer.release()


def _measure_once(
    total: Measurement,
    camera: Camera,
    viewer: Viewer,
    namespace: str,
    pid: int,
    topics: Sequence[str],
    images: int,
) -> None:
    """Measure one case once more."""
    absolute = [topic if topic.startswith("/") else f"{namespace}/{topic}" for topic in topics]
    viewer.subscribe(absolute)
    camera.film(namespace, WARM_UP, 0.2)
    viewer.received()
    before = processor_time(pid)
    camera.film(namespace, images, 0.5)
    total.processor.append(1e3 * (processor_time(pid) - before) / images)
    late = [camera.arrived[n] - camera.sent[n] for n in camera.sent if n in camera.arrived]
    total.latencies += [1e3 * seconds for seconds in late]
    total.unanswered += images - len(late)
    total.sent += images
    if topics:
        total.views.append(viewer.received() / images / len(topics))


if __name__ == "__main__":
    view()
