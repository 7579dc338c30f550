"""The node's lifecycle: every transition in every state, parameters, and transitions under load."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import GetState
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import DescribeParameters, SetParameters
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.publisher import Publisher
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger

from maix_facemesh_ros.image import Pixels
from maix_facemesh_ros.ros import facemesh_node, inputs
from maix_facemesh_ros.ros import pipeline as pipeline_module
from maix_facemesh_ros.ros.facemesh_node import FaceMeshNode
from maix_facemesh_ros.ros.result import Result
from node_in_this_process import node_in_this_process
from node_results import result_of
from running_node import TIMEOUT, NodeProcess, Robot, StartNode, boolean, image_message, integer

pytest_plugins = ["running_node"]

#: With `--long`; 100 without.
TRANSITIONS = 1000

#: State: the states that its transitions lead to. All others are refused.
GRAPH = {
    "unconfigured": {"configure": "inactive", "shutdown": "finalized"},
    "inactive": {"activate": "active", "cleanup": "unconfigured", "shutdown": "finalized"},
    "active": {"deactivate": "inactive", "shutdown": "finalized"},
    "finalized": {},
}
WAYS = {
    "unconfigured": (),
    "inactive": ("configure",),
    "active": ("configure", "activate"),
}
SUCCESS = TransitionCallbackReturn.SUCCESS
LABELS = ("configure", "activate", "deactivate", "cleanup", "shutdown")

#: Bytes that the unconfigured node's memory may grow by in all transitions after the first ones:
#: 15 MB were seen after 1000, as the heap breaks up. Networks that stay would be 11 MB each time.
MEMORY_MARGIN = 25e6


def state_of(robot: Robot) -> str:
    return str(robot.call("get_state", GetState, GetState.Request()).current_state.label)


def set_one(robot: Robot, name: str, value: ParameterValue) -> tuple[bool, str]:
    request = SetParameters.Request(parameters=[Parameter(name=name, value=value)])
    (result,) = robot.call("set_parameters", SetParameters, request).results
    return result.successful, result.reason


def text(value: str) -> ParameterValue:
    return ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=value)


def test_every_transition_in_every_state_but_shutdown(start: StartNode, robot: Robot) -> None:
    start("autostart:=false")
    for state, way in WAYS.items():
        for label in LABELS[:-1]:
            for step in way:
                assert robot.change_state(step), (state, step)
            assert state_of(robot) == state
            goal = GRAPH[state].get(label)
            assert robot.change_state(label) is (goal is not None), (state, label)
            assert state_of(robot) == (goal or state), (state, label)
            for back in ("deactivate", "cleanup"):
                robot.change_state(back)


@pytest.mark.parametrize("state", WAYS)
def test_a_shut_down_node_is_finalized_for_good(start: StartNode, robot: Robot, state: str) -> None:
    start("autostart:=false")
    for step in (*WAYS[state], "shutdown"):
        assert robot.change_state(step)
    for label in LABELS:
        assert not robot.change_state(label)
    assert state_of(robot) == "finalized"
    assert robot.next_diagnostics()["lifecycle state"] == "finalized"
    assert robot.status == "finalized"


#: Commands of Nav2's lifecycle manager: each transition that it requests, by id alone, and the
#: state that it expects of get_state. From nav2_lifecycle_manager/src/lifecycle_manager.cpp, jazzy.
_DEACTIVATE = (Transition.TRANSITION_DEACTIVATE, State.PRIMARY_STATE_INACTIVE)
_ACTIVATE = (Transition.TRANSITION_ACTIVATE, State.PRIMARY_STATE_ACTIVE)
_CLEAN_UP = (Transition.TRANSITION_CLEANUP, State.PRIMARY_STATE_UNCONFIGURED)
NAV2_COMMANDS = {
    "startup": ((Transition.TRANSITION_CONFIGURE, State.PRIMARY_STATE_INACTIVE), _ACTIVATE),
    "pause": (_DEACTIVATE,),
    "resume": (_ACTIVATE,),
    "reset": (_DEACTIVATE, _CLEAN_UP),
    "shutdown": (
        _DEACTIVATE,
        _CLEAN_UP,
        (Transition.TRANSITION_UNCONFIGURED_SHUTDOWN, State.PRIMARY_STATE_FINALIZED),
    ),
}


def test_the_calls_of_nav2s_lifecycle_manager(
    start: StartNode, robot: Robot, astronaut: Pixels
) -> None:
    start("autostart:=false")
    for command in ("startup", "pause", "resume", "reset", "startup", "shutdown"):
        for transition, goal in NAV2_COMMANDS[command]:
            assert robot.change_state(transition), (command, transition)
            response = robot.call("get_state", GetState, GetState.Request())
            assert response.current_state.id == goal, (command, transition)
        if goal == State.PRIMARY_STATE_ACTIVE:
            wait_until_it_answers(robot)
            assert len(robot.ask(image_message(astronaut)).faces) == 1


def test_a_node_that_starts_itself_is_active_and_can_be_driven(
    start: StartNode, robot: Robot, astronaut: Pixels
) -> None:
    node = start()
    robot.wait_for_node()
    assert state_of(robot) == "active"
    assert robot.next_diagnostics()["lifecycle state"] == "active"
    assert "lifecycle state" not in node.output()
    (first,) = robot.ask(image_message(astronaut, stamp=(10, 0))).faces

    assert robot.change_state("deactivate")
    robot.wait_until(lambda: robot.count_subscribers("/image_raw") == 0, "end of the subscription")
    robot.wait_until(lambda: robot.status == "inactive", "report of the state")
    robot.answers.clear()
    robot.images.publish(image_message(astronaut, stamp=(11, 0)))
    robot.spin_for(0.3)
    assert robot.answers == []
    assert robot.count_publishers("/faces") == 1

    assert robot.change_state("activate")
    wait_until_it_answers(robot)
    (again,) = robot.ask(image_message(astronaut, stamp=(10, int(1e8)))).faces
    assert again.id > first.id, "activating starts new tracks"

    assert robot.change_state("deactivate")
    assert robot.change_state("cleanup")
    robot.wait_until(lambda: robot.count_publishers("/faces") == 0, "end of the topics")


def wait_until_it_answers(robot: Robot) -> None:
    robot.answers.clear()
    robot.wait_until(lambda: robot.count_subscribers("/image_raw") == 1, "subscription")
    robot.wait_for_node()


def test_reset_forgets_who_is_there(start: StartNode, robot: Robot, astronaut: Pixels) -> None:
    start()
    robot.wait_for_node()

    def face_id(nanoseconds: int) -> int:
        message = image_message(astronaut, stamp=(10, nanoseconds))
        return int(robot.ask(message).faces[0].id)

    ids = [face_id(0), face_id(30_000_000)]
    answer = robot.call("reset", Trigger, Trigger.Request())
    assert (answer.success, "ids" in answer.message) == (True, True)
    ids += [face_id(60_000_000), face_id(90_000_000)]
    assert ids == [ids[0]] * 2 + [ids[0] + 1] * 2

    for label in ("deactivate", "cleanup"):
        assert robot.change_state(label)
    assert robot.call("reset", Trigger, Trigger.Request()).success


def read_only(robot: Robot, name: str) -> bool:
    request = DescribeParameters.Request(names=[name])
    (descriptor,) = robot.call("describe_parameters", DescribeParameters, request).descriptors
    return bool(descriptor.read_only)


def test_fixed_parameters_change_while_unconfigured(
    start: StartNode, robot: Robot, astronaut: Pixels, tmp_path: Path
) -> None:
    node = start("autostart:=false")
    assert not read_only(robot, "detector")
    assert set_one(robot, "detector", text("short_range")) == (True, "")
    assert set_one(robot, "max_face_num", integer(1)) == (True, "")
    refused, reason = set_one(robot, "detector", text("best"))
    assert (refused, "give one of" in reason) == (False, True)

    # Values that contradict each other are refused by configure, and by nothing before.
    assert set_one(robot, "backend", text("maixcam")) == (True, "")
    assert not robot.change_state("configure")
    assert "stays unconfigured: backend 'maixcam' needs maixcam_address" in node.output()
    assert set_one(robot, "backend", text("onnx")) == (True, "")

    missing = str(tmp_path / "missing.onnx")
    assert set_one(robot, "detector", text("yunet")) == (True, "")
    assert set_one(robot, "detector_model", text(missing)) == (True, "")
    assert not robot.change_state("configure")
    assert state_of(robot) == "unconfigured"
    assert f"file {missing}: check the path in 'detector_model'" in node.output()
    assert robot.count_publishers("/faces") == 0
    assert set_one(robot, "detector", text("short_range")) == (True, "")
    assert set_one(robot, "detector_model", text("")) == (True, "")

    assert robot.change_state("configure")
    assert read_only(robot, "detector")
    successful, reason = set_one(robot, "detector", text("full_range"))
    assert (successful, "while the node is unconfigured" in reason) == (False, True)
    assert set_one(robot, "landmarks_rel", boolean(True)) == (True, "")
    assert robot.change_state("activate")
    robot.wait_for_node()
    (face,) = robot.ask(image_message(astronaut)).faces
    assert (len(face.points), len(face.points_rel)) == (956, 956)
    assert "Traceback" not in node.output()


def test_a_source_that_is_missing_is_refused_by_activate(
    start: StartNode, robot: Robot, astronaut: Pixels, tmp_path: Path
) -> None:
    cv2 = pytest.importorskip("cv2")
    file = tmp_path / "face.png"
    node = start("autostart:=false", f"source:={file}", "source_loop:=true")
    assert robot.change_state("configure")
    assert not robot.change_state("activate")
    assert state_of(robot) == "inactive"
    assert f"stays inactive: source '{file}'" in node.output()
    assert cv2.imwrite(str(file), astronaut[:, :, ::-1])
    for _ in range(2):
        assert robot.change_state("activate")
        robot.answers.clear()
        robot.wait_until(lambda: bool(robot.answers), "faces of the file")
        assert robot.change_state("deactivate")


class Blocking:
    """An input whose images take until `release`."""

    def __init__(self, real: Any) -> None:
        self._real = real
        self.is_in_work, self.release = threading.Event(), threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def items(self) -> Iterator[int]:
        yield from range(3)

    def result(self, item: int) -> Result:
        assert item == 0, "nothing after the deactivation"
        self.is_in_work.set()
        assert self.release.wait(TIMEOUT)
        return result_of()


@pytest.fixture
def idle_node(own_network: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaceMeshNode]:  # noqa: ARG001
    with node_in_this_process(monkeypatch) as node:
        assert node.trigger_deactivate() == SUCCESS
        yield node


def test_a_worker_that_does_not_end_finalizes_the_node(
    idle_node: FaceMeshNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its result is not published, whenever it comes."""
    monkeypatch.setattr(facemesh_node, "DEACTIVATE_TIMEOUT", 0.1)
    pipeline = idle_node._pipeline
    assert pipeline is not None
    blocking = pipeline.input = Blocking(pipeline.input)
    published: list[Result] = []
    monkeypatch.setattr(pipeline.outputs, "publish", published.append)
    assert idle_node.trigger_activate() == SUCCESS
    assert blocking.is_in_work.wait(TIMEOUT)
    assert idle_node.trigger_deactivate() != SUCCESS
    assert idle_node.state == "finalized"
    assert idle_node.source_blocks
    blocking.release.set()
    assert idle_node._worker is not None
    idle_node._worker.join(TIMEOUT)
    assert published == []


def test_an_image_in_work_is_answered_before_the_node_is_inactive(
    idle_node: FaceMeshNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = idle_node._pipeline
    assert pipeline is not None
    blocking = pipeline.input = Blocking(pipeline.input)
    published: list[Result] = []
    monkeypatch.setattr(pipeline.outputs, "publish", published.append)
    stop = blocking._real.stop

    def release_and_stop() -> None:
        blocking.release.set()
        stop()

    monkeypatch.setattr(blocking._real, "stop", release_and_stop)
    monkeypatch.setattr(blocking, "items", lambda: iter([0]))
    assert idle_node.trigger_activate() == SUCCESS
    assert blocking.is_in_work.wait(TIMEOUT)
    assert idle_node.trigger_deactivate() == SUCCESS
    assert (idle_node.state, len(published)) == ("inactive", 1)


def test_a_node_that_has_stopped_has_no_services(
    robot: Robot, monkeypatch: pytest.MonkeyPatch
) -> None:
    with node_in_this_process(monkeypatch) as node:
        robot.wait_until(lambda: has_service(robot, "change_state"), "service")
    robot.wait_until(lambda: not has_service(robot, "change_state"), "end of the service")
    assert node.state == "active", "still referred to"


def has_service(robot: Robot, name: str) -> bool:
    return any(service.endswith(name) for service, _ in robot.get_service_names_and_types())


@pytest.mark.parametrize("transition", ["configure", "activate"])
def test_a_fault_in_a_transition_frees_everything(
    idle_node: FaceMeshNode, monkeypatch: pytest.MonkeyPatch, transition: str
) -> None:
    def fail(*_: Any) -> None:
        raise ValueError("of the test")

    if transition == "configure":
        assert idle_node.trigger_cleanup() == SUCCESS
    monkeypatch.setattr(pipeline_module, "make_input", fail)
    monkeypatch.setattr(inputs, "open_images", fail)
    assert getattr(idle_node, f"trigger_{transition}")() != SUCCESS
    assert (idle_node.state, idle_node._pipeline) == ("unconfigured", None)
    assert not [each for each in idle_node.publishers if each.topic_name == "/faces"]
    monkeypatch.undo()
    monkeypatch.setattr(idle_node.context, "try_shutdown", lambda: None)
    assert idle_node.trigger_configure() == SUCCESS
    assert idle_node.trigger_activate() == SUCCESS


@contextmanager
def sending(publisher: Publisher, message: Image, interval: float) -> Iterator[None]:
    """Send images from a thread, each with the next stamp."""
    stopping = threading.Event()

    def send() -> None:
        while not stopping.wait(interval):
            stamp = message.header.stamp
            stamp.nanosec += 20_000_000
            stamp.sec, stamp.nanosec = stamp.sec + stamp.nanosec // 10**9, stamp.nanosec % 10**9
            publisher.publish(message)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


def test_random_transitions_under_a_camera(
    start: StartNode, robot: Robot, astronaut: Pixels, repetitions: Callable[[int], int]
) -> None:
    """Each activation is followed by faces, each deactivation by silence."""
    transitions = repetitions(TRANSITIONS)
    node = start("autostart:=false")
    choices = random.Random(20)
    state, activations, memory = "unconfigured", 0, 0.0
    curve: list[float] = []
    with sending(robot.images, image_message(astronaut), 0.02):
        for number in range(transitions):
            possible = [label for label in GRAPH[state] if label != "shutdown"]
            label = choices.choice(LABELS[:-1] if choices.random() < 0.2 else possible)
            goal = GRAPH[state].get(label)
            assert robot.change_state(label) is (goal is not None), (number, state, label)
            if goal == "active":
                activations += 1
                robot.answers.clear()
                robot.wait_until(lambda: bool(robot.answers), f"faces after {number}")
            elif state == "active" and goal == "inactive":
                robot.spin_for(0.05)  # What has been sent before arrives.
                robot.answers.clear()
                robot.spin_for(0.05)
                assert robot.answers == [], number
            state = goal or state
            if state == "unconfigured":
                curve.append(round(1e-6 * node.memory(), 1))
            if not memory and number > transitions // 5 and state == "unconfigured":
                memory = node.memory()
    assert state_of(robot) == state
    assert activations > transitions / 10
    for back in ("deactivate", "cleanup"):
        robot.change_state(back)
    grown = node.memory() - memory
    print(f"{activations} activations, {1e-6 * grown:.1f} MB more memory: {curve[::10]} MB")
    assert grown < MEMORY_MARGIN
    assert robot.count_subscribers("/image_raw") == 0
    counts = {key: int(value) for key, value in robot.next_diagnostics().items() if "pict" in key}
    answered, lost = counts["pictures answered"], counts.get("pictures not answered", 0)
    assert counts["pictures arrived"] == answered + lost
    threads = Path(f"/proc/{node.process.pid}/task")
    print(f"{len(list(threads.iterdir()))} threads, {counts}")
    assert_no_fault(node)


def assert_no_fault(node: NodeProcess) -> None:
    """Check the log: refused transitions are named, and nothing else is wrong."""
    for line in node.output().splitlines():
        if "[ERROR]" in line:
            assert "Unable to start transition" in line or "No transition matching" in line, line
