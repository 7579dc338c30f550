"""A `facemesh_node` in a process of its own, and the robot that sends it images: over real DDS.

A test module takes the fixtures with `pytest_plugins = ["running_node"]`. PYTEST_DONT_REWRITE: it
has then been imported already, for its functions.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import GetParameters, SetParametersAtomically
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, Image

from maix_facemesh_ros.image import Pixels
from maix_facemesh_ros.msg import FaceArray
from maix_facemesh_ros.ros.dds_profile import shared_memory_environment

#: Seconds for what takes a moment: a machine that is busy with something else may take long.
TIMEOUT = 60.0

#: (seconds, nanoseconds) of the images that only find out whether the node is there.
HELLO = (0, 1)


class NodeProcess:
    """A running node and what it has printed."""

    def __init__(
        self,
        log: Path,
        *parameters: str,
        remaps: Sequence[str] = (),
        environment: dict[str, str] | None = None,
        program: str = "facemesh_node",
        files: Sequence[Path] = (),
    ) -> None:
        """Start it.

        Args:
            log: file for its output.
            *parameters: such as "max_face_num:=1".
            remaps: such as "faces:=other".
            environment: variables in addition to those of this process.
            program: facemesh_node or facemesh_view.
            files: parameter files.
        """
        self._log = log
        with log.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "maix_facemesh_ros.programs.start", program, "--ros-args"]
                + [part for file in files for part in ("--params-file", str(file))]
                + [part for parameter in parameters for part in ("-p", parameter)]
                + [part for remap in remaps for part in ("-r", remap)],
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
            )

    def output(self) -> str:
        return self._log.read_text()

    def stop(self, how: signal.Signals = signal.SIGINT) -> int:
        """Return the exit code; one that does not stop is killed, and counts as -SIGKILL."""
        self.process.send_signal(how)
        try:
            return self.process.wait(timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def memory(self) -> int:
        """Bytes of memory that are this process's own and in RAM, without what it shares."""
        return 1024 * int(self._status("RssAnon").split()[0])

    def handles_sigterm(self) -> bool:
        """Whether rclpy's signal handlers are installed, so that main() has begun."""
        caught = int(self._status("SigCgt"), 16)
        return bool(caught >> (signal.SIGTERM - 1) & 1)

    def _status(self, field: str) -> str:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        (value,) = (line.split(":")[1] for line in status.splitlines() if line.startswith(field))
        return value.strip()


class StartNode(Protocol):
    """Starts a node with these parameters and remaps; the fixture `start` stops it."""

    def __call__(
        self,
        *parameters: str,
        remaps: Sequence[str] = (),
        environment: dict[str, str] | None = None,
        program: str = "facemesh_node",
        files: Sequence[Path] = (),
    ) -> NodeProcess: ...


class Robot(Node):
    """Sends images, collects faces and what the node says of itself."""

    def __init__(self) -> None:
        super().__init__("robot")
        self.answers: list[FaceArray] = []
        self.images = self.create_publisher(Image, "image_raw", QoSProfile(depth=10))
        self.create_subscription(FaceArray, "faces", self.answers.append, QoSProfile(depth=100))
        #: Key and value of each message on /diagnostics.
        self.diagnostics: list[dict[str, str]] = []
        #: What the last of them says in words.
        self.status = ""
        self.create_subscription(
            DiagnosticArray, "/diagnostics", self._on_diagnostics, QoSProfile(depth=10)
        )
        self.executor_of_test = SingleThreadedExecutor()
        self.executor_of_test.add_node(self)
        self._service_clients: dict[str, Any] = {}

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        (status,) = message.status
        self.status = status.message
        self.diagnostics.append({value.key: value.value for value in status.values})

    def unsubscribe_from_faces(self) -> None:
        """Let the node rest."""
        for subscription in list(self.subscriptions):
            if subscription.topic_name == "/faces":
                self.destroy_subscription(subscription)

    def spin_for(self, seconds: float) -> None:
        """Take what arrives for so long."""
        end = time.monotonic() + seconds
        while (rest := end - time.monotonic()) > 0:
            self.executor_of_test.spin_once(timeout_sec=rest)

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + TIMEOUT
        while not condition():
            assert time.monotonic() < end, f"no {what} within {TIMEOUT:.0f} s"
            self.executor_of_test.spin_once(timeout_sec=0.05)

    def wait_for_node(self) -> None:
        """Send empty images until the two processes have found each other both ways."""
        empty = image_message(np.zeros((8, 8, 3), np.uint8), stamp=HELLO)
        end = time.monotonic() + TIMEOUT
        while not self.answers:
            assert time.monotonic() < end, f"no answer of the node within {TIMEOUT:.0f} s"
            self.images.publish(empty)
            self.executor_of_test.spin_once(timeout_sec=0.2)

    def ask(self, message: Image) -> FaceArray:
        """Send one image and return its answer."""
        self.answers.clear()
        self.images.publish(message)
        stamp = message.header.stamp
        self.wait_until(lambda: any(a.header.stamp == stamp for a in self.answers), "answer")
        return next(answer for answer in self.answers if answer.header.stamp == stamp)

    def next_diagnostics(self) -> dict[str, str]:
        """Wait for a message that the node sends from now on, and return its values."""
        self.diagnostics.clear()
        self.wait_until(lambda: bool(self.diagnostics), "message on /diagnostics")
        return self.diagnostics[-1]

    def set_parameters(self, **values: ParameterValue) -> tuple[bool, str]:
        request = SetParametersAtomically.Request(
            parameters=[Parameter(name=name, value=value) for name, value in values.items()]
        )
        result = self.call("set_parameters_atomically", SetParametersAtomically, request).result
        return result.successful, result.reason

    def get_double(self, name: str) -> float:
        response = self.call("get_parameters", GetParameters, GetParameters.Request(names=[name]))
        return float(response.values[0].double_value)

    def change_state(self, transition: str | int) -> bool:
        """Ask for a transition of the lifecycle, by label or id; returns whether it was made."""
        if "change_state" not in self._service_clients:
            self._client("change_state", ChangeState)
            # The node may know the client a moment later than the client the node: an answer that
            # comes before is lost, and a transition cannot be asked for twice.
            self.spin_for(0.3)
        key = "label" if isinstance(transition, str) else "id"
        request = ChangeState.Request(transition=Transition(**{key: transition}))
        return bool(self.call("change_state", ChangeState, request).success)

    def call(self, service: str, service_type: type, request: Any) -> Any:
        """Call one of the node's services and return its response."""
        future = self._client(service, service_type).call_async(request)
        self.wait_until(future.done, "answer of the service")
        return future.result()

    def _client(self, service: str, service_type: type) -> Any:
        """Return the client of a service that is ready."""
        if service not in self._service_clients:
            self._service_clients[service] = self.create_client(service_type, f"facemesh/{service}")
        client = self._service_clients[service]
        self.wait_until(client.service_is_ready, "service")
        return client


@pytest.fixture(scope="module")
def own_network() -> Iterator[None]:
    """A domain of this test run's own, and shared memory, here and in the nodes it starts."""
    with in_own_network():
        yield


@contextmanager
def in_own_network() -> Iterator[None]:
    environment = {
        "ROS_DOMAIN_ID": str(1 + os.getpid() % 100),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        **shared_memory_environment(),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        rclpy.init()
        yield
        rclpy.try_shutdown()


@contextmanager
def new_robot() -> Iterator[Robot]:
    robot = Robot()
    try:
        yield robot
    finally:
        robot.executor_of_test.shutdown()
        robot.destroy_node()


@contextmanager
def starting_in(folder: Path) -> Iterator[StartNode]:
    """Give what starts nodes, with logs in the folder; at the end they stop as they should."""
    started: list[NodeProcess] = []

    def start_node(
        *parameters: str,
        remaps: Sequence[str] = (),
        environment: dict[str, str] | None = None,
        program: str = "facemesh_node",
        files: Sequence[Path] = (),
    ) -> NodeProcess:
        log = folder / f"node_{len(started)}.log"
        node = NodeProcess(
            log, *parameters, remaps=remaps, environment=environment, program=program, files=files
        )
        started.append(node)
        return node

    try:
        yield start_node
    finally:
        codes = [node.stop() if node.process.poll() is None else 0 for node in started]
    outputs = "\n".join(node.output() for node in started)
    assert codes == [0] * len(started), f"exit codes {codes}: {outputs}"
    assert "Traceback" not in outputs, outputs


@pytest.fixture
def robot(own_network: None) -> Iterator[Robot]:  # noqa: ARG001
    with new_robot() as robot:
        yield robot


@pytest.fixture
def start(own_network: None, tmp_path: Path) -> Iterator[StartNode]:  # noqa: ARG001
    with starting_in(tmp_path) as start_node:
        yield start_node


def image_message(image: Pixels, encoding: str = "rgb8", stamp: tuple[int, int] = (7, 8)) -> Image:
    height, width = image.shape[:2]
    message = Image(height=height, width=width, encoding=encoding, step=width * 3)
    message.header.stamp.sec, message.header.stamp.nanosec = stamp
    message.header.frame_id = "left_eye"
    message.data = array("B", image.tobytes())
    return message


def camera_info(width: int = 640, focal_length: float = 500.0) -> CameraInfo:
    """Return the calibration of a camera with images of 360 lines; P has a focal length of 250."""
    message = CameraInfo(width=width, height=360, distortion_model="plumb_bob", d=[0.0] * 5)
    message.k = [focal_length, 0.0, 320.0, 0.0, focal_length, 180.0, 0.0, 0.0, 1.0]
    message.p = [250.0, 0.0, 320.0, 0.0, 0.0, 250.0, 180.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    return message


def stamp_of(answer: FaceArray) -> tuple[int, int]:
    """Return an answer's stamp as (seconds, nanoseconds)."""
    return answer.header.stamp.sec, answer.header.stamp.nanosec


def double(value: float) -> ParameterValue:
    return ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=value)


def integer(value: int) -> ParameterValue:
    return ParameterValue(type=ParameterType.PARAMETER_INTEGER, integer_value=value)


def boolean(value: bool) -> ParameterValue:
    return ParameterValue(type=ParameterType.PARAMETER_BOOL, bool_value=value)
