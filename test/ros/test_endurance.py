"""The node at camera rate, under too much, started and stopped many times; and what it adds.

With `--long` for a minute and through 240 stops, without it a tenth of that. The figures
that a test prints are in its output with `-s`; what it asserts holds on a slow machine too: no
absolute time, but for the one after which a stop counts as hanging.
"""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image

from maix_facemesh_ros.backends.onnx.tracker import IMAGES_UNTIL_REST
from maix_facemesh_ros.face import Face
from maix_facemesh_ros.image import Pixels
from maix_facemesh_ros.msg import FaceArray
from maix_facemesh_ros.programs.start import INTERRUPTED
from maix_facemesh_ros.ros.facemesh_node import FaceMeshNode
from maix_facemesh_ros.ros.images import TopicImages
from maix_facemesh_ros.ros.inputs import FaceMeshInput
from maix_facemesh_ros.ros.result import Result
from node_in_this_process import node_in_this_process
from running_node import HELLO, TIMEOUT, NodeProcess, Robot, StartNode, image_message, stamp_of
from scenes import paste_head

pytest_plugins = ["running_node"]
pytestmark = pytest.mark.alone

CAMERA_RATE = 30.0
#: Seconds after which a stop counts as hanging. With the machine to itself a node stops within two.
STOP_TIME = 10.0
#: Stops in which Fast DDS may hang, see `end_node`: it is one in some thousand.
MOST_HANGS = 1

RELIABLE = (
    "qos_overrides./image_raw.subscription.reliability:=reliable",
    "qos_overrides./image_raw.subscription.depth:=5",
)


@dataclass
class Recording:
    """When images were sent and answered, by their number, which is their stamp's nanoseconds."""

    sent: dict[int, float] = field(default_factory=dict)
    #: (number, time) of each answer, in the order they came.
    answers: list[tuple[int, float]] = field(default_factory=list)

    @property
    def answered(self) -> list[int]:
        return [number for number, _ in self.answers]

    def latencies(self) -> list[float]:
        """Seconds from sending to answer, in the order of the answers."""
        return [arrived - self.sent[number] for number, arrived in self.answers]


class Camera:
    """Sends one image again and again, with a stamp of its own each time."""

    FIRST = 1000
    #: Number of the images that only find out whether the node receives this publisher.
    GREETING = FIRST - 1

    def __init__(self, robot: Robot, image: Pixels, quality: QoSProfile) -> None:
        self._robot = robot
        self._images = robot.create_publisher(Image, "image_raw", quality)
        self._message = bytearray(serialize_message(image_message(image, stamp=(1, 0))))
        self.recording = Recording()
        self._is_received = False
        robot.create_subscription(FaceArray, "faces", self._on_faces, QoSProfile(depth=1000))

    def _on_faces(self, answer: FaceArray) -> None:
        seconds, number = stamp_of(answer)
        if (seconds, number) == HELLO:
            return
        if number == self.GREETING:
            self._is_received = True
        else:
            self.recording.answers.append((number, time.monotonic()))

    def send(self) -> None:
        number = self.FIRST + len(self.recording.sent)
        self.recording.sent[number] = time.monotonic()
        self._publish(number)

    def _publish(self, number: int) -> None:
        # The stamp's nanoseconds: after the encapsulation header and the seconds.
        self._message[8:12] = number.to_bytes(4, "little")
        self._images.publish(bytes(self._message))

    def greet(self) -> None:
        """Send images until one is answered.

        The node may still be getting to know this publisher: it follows the reliability that
        publishers offer, twice a second.
        """
        end = time.monotonic() + TIMEOUT
        while not self._is_received:
            assert time.monotonic() < end, f"no answer of the node within {TIMEOUT:.0f} s"
            self._publish(self.GREETING)
            self._robot.spin_for(0.3)

    def run(self, seconds: float, rate: float) -> Recording:
        """Send at a rate for so long, and wait until nothing more comes back."""
        self.greet()
        start = time.monotonic()
        for number in range(round(seconds * rate)):
            self._robot.spin_for(start + number / rate - time.monotonic())
            self.send()
        self._robot.spin_for(0.7)
        return self.recording


@pytest.fixture
def camera_image(astronaut: Pixels) -> Pixels:
    """640x480 with one face."""
    image = np.full((480, 640, 3), 110, np.uint8)
    paste_head(image, astronaut, (320, 240), 120)
    return image


def test_every_image_is_answered_once(
    start: StartNode, robot: Robot, camera_image: Pixels, repetitions: Callable[[int], int]
) -> None:
    start(*RELIABLE)
    robot.wait_for_node()
    recording = Camera(robot, camera_image, QoSProfile(depth=5)).run(repetitions(60), CAMERA_RATE)
    _check_that_none_is_lost(robot, recording, "reliable")


def test_without_reliability_every_image_is_answered_once_too(
    start: StartNode, robot: Robot, camera_image: Pixels
) -> None:
    """The quality of service that cameras have; between processes of one machine none is lost."""
    start()
    robot.wait_for_node()
    recording = Camera(robot, camera_image, qos_profile_sensor_data).run(4, CAMERA_RATE)
    _check_that_none_is_lost(robot, recording, "best effort", unseen=len(recording.sent) // 20)


def _check_that_none_is_lost(
    robot: Robot, recording: Recording, title: str, unseen: int = 0
) -> None:
    """Check that every image is answered once.

    Args:
        unseen: images that the middleware may lose before the node sees them.
    """
    diagnostics = robot.next_diagnostics()
    answered, sent = recording.answered, list(recording.sent)
    dropped = int(diagnostics.get("pictures not answered", 0))
    milliseconds = 1e3 * np.array(recording.latencies())
    print(
        f"{title}: {len(sent)} sent, {len(answered)} answered, {dropped} counted as dropped; "
        f"latency {np.median(milliseconds):.1f} ms, 99% {np.percentile(milliseconds, 99):.1f}; "
        + ", ".join(f"{key} {diagnostics[key]}" for key in diagnostics if "median" in key)
    )
    assert answered == sorted(set(answered)), "none twice, and in their order"
    # On a machine that is busy with something else the node may not keep up, but it says so.
    assert len(sent) - len(answered) <= dropped + unseen
    assert dropped <= len(sent) / 5


def test_memory_does_not_grow_however_often_faces_are_looked_for(
    start: StartNode, robot: Robot, camera_image: Pixels
) -> None:
    """What one search takes, 7 MB, is given back: `test_speed.py` measures it without ROS."""
    node = start("max_face_num:=1")
    robot.wait_for_node()
    empty = Camera(robot, np.full_like(camera_image, 110), QoSProfile(depth=5))
    with_face = Camera(robot, camera_image, QoSProfile(depth=5))
    memory = []
    for _ in range(6):
        empty.run(0.2, CAMERA_RATE)
        with_face.run(1.5 * IMAGES_UNTIL_REST / CAMERA_RATE, CAMERA_RATE)
        memory.append(node.memory() / 1e6)
    print(f"memory in MB after each round: {np.round(memory)}")
    # From round to round it differs by up to 7 MB; five lost searches would be 35 MB.
    assert max(memory) < min(memory) + 15


def test_what_the_node_adds_is_little_beside_the_inference(
    own_network: None,  # noqa: ARG001
    camera_image: Pixels,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """From the arrival of the message to the end of publishing, without `FaceMesh.process`."""
    with node_in_this_process(monkeypatch) as node:
        message = bytes(serialize_message(image_message(camera_image)))
        whole, inference = _time_images(node, message, monkeypatch)
    added = 1e3 * (np.array(whole) - inference)
    share = median(added) / (1e3 * median(inference))
    print(
        f"the node adds {median(added):.2f} ms (90%: {np.percentile(added, 90):.2f}) to an "
        f"inference of {1e3 * median(inference):.2f} ms: {share:.0%}"
    )
    assert share < 0.5


def _time_images(
    node: FaceMeshNode, message: bytes, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[float], list[float]]:
    """Return the seconds of 150 images at camera rate: on their whole way, and in `process`."""
    inference: list[float] = []
    published = threading.Event()
    assert node._pipeline is not None
    assert isinstance(node._pipeline.input, FaceMeshInput)
    mesh, images = node._pipeline.input._mesh, node._pipeline.input._images
    assert isinstance(images, TopicImages)
    process, publish = mesh.process, node._pipeline.outputs.faces.publish

    def timed_process(*arguments: Any, **keywords: Any) -> list[Face]:
        start = time.perf_counter()
        faces = process(*arguments, **keywords)
        inference.append(time.perf_counter() - start)
        return faces

    def publish_and_say(result: Result) -> None:
        publish(result)
        published.set()

    monkeypatch.setattr(mesh, "process", timed_process)
    monkeypatch.setattr(node._pipeline.outputs.faces, "publish", publish_and_say)
    whole = []
    for _ in range(150):
        published.clear()
        start = time.perf_counter()
        images.on_message(message)
        assert published.wait(TIMEOUT)
        whole.append(time.perf_counter() - start)
        time.sleep(1 / CAMERA_RATE / 2)
    return whole, inference


#: x, y and width of eight faces in an image of 640x480.
EIGHT_FACES = [(x, y, 60.0) for y in (130, 350) for x in (80, 240, 400, 560)]


@pytest.fixture
def crowd(astronaut: Pixels) -> Pixels:
    image = np.full((480, 640, 3), 110, np.uint8)
    for x, y, width in EIGHT_FACES:
        paste_head(image, astronaut, (x, y), width)
    return image


def test_a_node_that_cannot_keep_up_drops_the_oldest_and_counts_them(
    start: StartNode, robot: Robot, crowd: Pixels
) -> None:
    node = start("max_face_num:=0", "threads:=1")
    _keep_to_one_core(node)
    robot.wait_for_node()
    faces = robot.ask(image_message(crowd, stamp=HELLO)).faces
    assert len(faces) == len(EIGHT_FACES)
    camera = Camera(robot, crowd, QoSProfile(depth=5))
    camera.greet()
    before = robot.next_diagnostics()

    recording = camera.run(6, 100.0)

    after = robot.next_diagnostics()
    arrived, answered, dropped = (
        int(after.get(f"pictures {what}", 0)) - int(before.get(f"pictures {what}", 0))
        for what in ("arrived", "answered", "not answered")
    )
    latencies = recording.latencies()
    quarter = len(latencies) // 4
    second, last = median(latencies[quarter : 2 * quarter]), median(latencies[-quarter:])
    times = np.array([arrived_at for _, arrived_at in recording.answers])
    interval = float(np.median(np.diff(times)))
    print(
        f"overload: {len(recording.sent)} sent, {arrived} arrived, {answered} answered "
        f"({1 / interval:.1f} Hz), {dropped} dropped; latency {1e3 * second:.1f} ms in the second "
        f"quarter, {1e3 * last:.1f} ms in the last, {1e3 * max(latencies):.1f} ms at most"
    )
    _check_one_core(node)
    assert recording.answered == sorted(set(recording.answered)), "none twice, and in their order"
    assert len(recording.answers) == answered < 0.8 * len(recording.sent)
    assert arrived == answered + dropped, "each is answered or counted, none is left in hand"
    assert arrived > 0.7 * len(recording.sent)
    # A queue would make it a hundred times the first by now.
    assert last < 5 * second
    assert recording.answered[-1] == max(recording.sent), "the newest is always answered"
    # An image waits for less than one answer, and then for its own.
    assert median(latencies) < 4 * interval


def _keep_to_one_core(node: NodeProcess) -> None:
    """Must be done before the node's first thread, that is at once."""
    os.sched_setaffinity(node.process.pid, {max(os.sched_getaffinity(0))})


def _check_one_core(node: NodeProcess) -> None:
    for thread in Path(f"/proc/{node.process.pid}/task").iterdir():
        assert len(os.sched_getaffinity(int(thread.name))) == 1


#: When a node is stopped: up to a second after its start, while it is being made, or in a frame.
MOMENTS = AT_THE_START, BEING_MADE, IN_A_FRAME = ("at the start", "being made", "in a frame")


@dataclass
class Stop:
    """How one node was ended, and how it took it."""

    how: signal.Signals
    moment: str
    #: rclpy's handlers were there already, so main() had begun.
    in_main: bool
    #: Python dropped the KeyboardInterrupt, as in a callback of its import system, where it can
    #: raise nothing: any program goes on then, and needs the SIGTERM that follows.
    lost: bool
    code: int
    seconds: float
    output: str

    @property
    def fault(self) -> str:
        """What is wrong with it, or nothing."""
        if self.seconds > STOP_TIME:
            return f"took {self.seconds:.1f} s"
        if not self.in_main and self._ended_by_python:
            return ""
        if self.hung_in_fast_dds:
            return ""
        if self.code != 0:
            return f"exit code {self.code}"
        if self.lost:
            return ""
        return "traceback" if "Traceback" in self.output else ""

    @property
    def hung_in_fast_dds(self) -> bool:
        """Whether the process was ended because its middleware did not end the node."""
        return self.code == 1 and bool(re.search(r"(?ms)^Timeout .* in destroy_node$", self.output))

    @property
    def _ended_by_python(self) -> bool:
        """Whether the interpreter ended before main(), as it ends any program.

        By the signal, which at SIGINT shows the KeyboardInterrupt among the imports, or gives
        `INTERRUPTED`; with 1 if that comes even before those, in the site module.
        """
        is_term = self.how == signal.SIGTERM
        codes = {-self.how} if is_term else {-self.how, INTERRUPTED, 1}
        in_main = re.search(r'facemesh_node.py", line \d+, in main', self.output)
        return self.code in codes and not in_main


def test_stops_at_any_moment_are_clean(
    robot: Robot, crowd: Pixels, repetitions: Callable[[int], int], tmp_path: Path
) -> None:
    """In the middle of a frame: of eight faces, with one thread, so that it is always in one."""
    chance = random.Random(8)
    plans = [
        (
            tmp_path / f"node_{number}.log",
            (signal.SIGINT, signal.SIGTERM)[number % 2],
            MOMENTS[number // 2 % len(MOMENTS)],
            chance.random(),
        )
        for number in range(repetitions(240))
    ]
    camera = Camera(robot, crowd, QoSProfile(depth=1))
    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(_start_and_stop, *plan) for plan in plans]
        while not all(future.done() for future in running):
            camera.send()
            robot.spin_for(0.04)
    stops = [future.result() for future in running]
    early = [stop for stop in stops if not stop.in_main]
    hung = [stop for stop in stops if stop.hung_in_fast_dds]
    print(
        f"{len(stops)} stops: {len(early)} before main(), "
        f"{len([stop for stop in stops if stop.moment == IN_A_FRAME])} in a frame; "
        f"{len(hung)} in which Fast DDS hung; "
        f"at most {max(stop.seconds for stop in stops):.2f} s"
    )
    for stop in stops:
        assert not stop.fault, stop
    assert len(hung) <= MOST_HANGS, hung
    assert all(stop.in_main for stop in stops if stop.moment != AT_THE_START)


def _start_and_stop(log: Path, how: signal.Signals, moment: str, delay: float) -> Stop:
    node = NodeProcess(log, "max_face_num:=0", "threads:=1", "tracking:=false")
    end = time.monotonic() + TIMEOUT
    while not _is_there(node, moment):
        assert node.process.poll() is None, node.output()
        assert time.monotonic() < end, node.output()
        time.sleep(0.005)
    time.sleep(delay if moment == AT_THE_START else delay / 3)
    in_main = node.handles_sigterm()
    begin = time.monotonic()
    lost = not _ends(node, how) and not in_main and "KeyboardInterrupt" in node.output()
    if lost:
        begin, how = time.monotonic(), signal.SIGTERM
    code = node.process.poll()
    code = node.stop(how) if code is None else code
    return Stop(how, moment, in_main, lost, code, time.monotonic() - begin, node.output())


def _ends(node: NodeProcess, how: signal.Signals) -> bool:
    node.process.send_signal(how)
    try:
        node.process.wait(STOP_TIME)
    except subprocess.TimeoutExpired:
        return False
    return True


def _is_there(node: NodeProcess, moment: str) -> bool:
    if moment == IN_A_FRAME:
        return "faces on /faces" in node.output()
    return moment == AT_THE_START or node.handles_sigterm()
