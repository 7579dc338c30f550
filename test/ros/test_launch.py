"""The launch files: what they declare, and, where `ros2 launch` is installed, what they start."""

from __future__ import annotations

import ast
import functools
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import rclpy
from rcl_interfaces.srv import GetParameters
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CompressedImage, Image

from golden_replays import JPEG
from image_player import TIMEOUT, ImagePlayer
from maix_facemesh_ros.bags.reader import Bag
from maix_facemesh_ros.image import Pixels
from maix_facemesh_ros.parameters import NodeParameters, parameters_of
from maix_facemesh_ros.ros.launch_files import (
    LaunchError,
    fail_with_process,
    is_started,
    parameter_arguments,
    refuse_missing_bag,
    refuse_unknown_arguments,
)
from maix_facemesh_ros.ros.replay.golden import stamp_of
from node_output import complaints
from replay_bags import image_message

pytest_plugins = ["running_node"]

LAUNCH = Path(__file__).resolve().parents[2] / "launch"
FILES = sorted(path.name for path in LAUNCH.glob("*.launch.py"))
STAMP = 1_700_000_000_000_000_000


# ---- What they declare -------------------------------------------------------------------------


def test_there_is_one_for_each_use() -> None:
    assert FILES == [
        "bag.launch.py",
        "facemesh.launch.py",
        "two_cameras.launch.py",
        "webcam.launch.py",
    ]


@pytest.mark.parametrize("name", FILES)
def test_it_imports_launch_and_nothing_that_loads_networks(name: str) -> None:
    modules = {
        node.module or ""
        for node in ast.walk(ast.parse((LAUNCH / name).read_text()))
        if isinstance(node, ast.ImportFrom)
    }
    others = {module for module in modules if module.split(".")[0] not in ("launch", "launch_ros")}
    assert others <= {
        "__future__",
        "pathlib",
        "maix_facemesh_ros.ros.launch_files",
    }


@pytest.mark.parametrize("name", FILES)
def test_the_table_of_its_arguments_is_up_to_date(name: str) -> None:
    documented = documented_arguments(name)
    declared = declared_arguments(name)
    assert [row[0] for row in documented] == [row[0] for row in declared]
    for (_, default, description), (argument, said_default, meaning) in zip(
        declared, documented, strict=True
    ):
        assert meaning == description, argument
        assert default in (said_default, None), argument


def declared_arguments(name: str) -> list[tuple[str, str | None, str]]:
    """Return name, default and description from ARGUMENTS; None for a default that is computed."""
    for statement in ast.parse((LAUNCH / name).read_text()).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "ARGUMENTS":
            assert isinstance(statement.value, ast.Tuple)
            return [_declared(row) for row in statement.value.elts]
    raise AssertionError(f"{name} has no ARGUMENTS")


def _declared(row: ast.expr) -> tuple[str, str | None, str]:
    assert isinstance(row, ast.Tuple)
    name, default, description = row.elts
    constant = ast.literal_eval(default) if isinstance(default, ast.Constant) else None
    return ast.literal_eval(name), constant, ast.literal_eval(description)


def documented_arguments(name: str) -> list[tuple[str, str, str]]:
    """Return name, default and meaning from the table in launch/README.md."""
    (section,) = (
        part
        for part in (LAUNCH / "README.md").read_text().split("\n### ")[1:]
        if part.startswith(name)
    )
    return re.findall(r"^\| `(\w+)` \| ?(.*?) \| (.*) \|$", section, re.MULTILINE)


# ---- What they share ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["ros2", "launch", "maix_facemesh_ros", "facemesh.launch.py", "pose:=false"], True),
        (["ros2", "launch", str(LAUNCH / "facemesh.launch.py")], True),
        (["ros2", "launch", f"{LAUNCH}/../launch/facemesh.launch.py", "-d"], True),
        (["ros2", "launch", "maix_facemesh_ros", "webcam.launch.py"], False),
        (["ros2", "launch", "my_robot", "facemesh.launch.py"], False),
        (["ros2", "launch", "my_robot", "bringup.launch.py", "face:=true"], False),
    ],
)
def test_a_launch_file_knows_whether_it_was_started(command: list[str], expected: bool) -> None:
    assert is_started(str(LAUNCH / "facemesh.launch.py"), command) is expected


def test_an_unknown_argument_is_refused_where_the_file_was_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = str(LAUNCH / "facemesh.launch.py")
    known = [argument.name for argument in parameter_arguments()]
    context = SimpleNamespace(argv=["pose:=false", "launch-prefix:=gdb", "pos:=false", "xyz:=1"])
    refuse_unknown_arguments(context, file, known)  # another file was started, and this included
    monkeypatch.setattr(sys, "argv", ["ros2", "launch", file])
    with pytest.raises(LaunchError) as caught:
        refuse_unknown_arguments(context, file, known)
    assert str(caught.value) == (
        "there is no argument 'pos': did you mean 'pose'?; "
        "there is no argument 'xyz': see --show-args"
    )


def test_a_process_that_fails_ends_the_launch_of_ours_with_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    on_exit = fail_with_process(str(LAUNCH / "facemesh.launch.py"))
    running, stopping = SimpleNamespace(is_shutdown=False), SimpleNamespace(is_shutdown=True)
    failed = SimpleNamespace(returncode=1, process_name="facemesh_node-1")
    on_exit(failed, running)  # included by another launch file
    monkeypatch.setattr(sys, "argv", ["ros2", "launch", "maix_facemesh_ros", "webcam.launch.py"])
    on_exit(SimpleNamespace(returncode=0, process_name="facemesh_node-1"), running)
    on_exit(failed, stopping)
    with pytest.raises(LaunchError, match=r"facemesh_node-1 ended with code 1$"):
        on_exit(failed, running)
    with pytest.raises(LaunchError, match="ended with code 1: install it"):
        fail_with_process(str(LAUNCH / "bag.launch.py"), "install it")(failed, running)


def test_a_bag_that_does_not_exist_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = str(LAUNCH / "bag.launch.py")
    there, missing = (
        SimpleNamespace(launch_configurations={"bag": str(path)})
        for path in (tmp_path, tmp_path / "nowhere")
    )
    refuse_missing_bag(missing, file)  # included by another launch file
    monkeypatch.setattr(sys, "argv", ["ros2", "launch", file])
    refuse_missing_bag(there, file)
    with pytest.raises(
        LaunchError, match=r"the bag '.*nowhere' does not exist: give bag:=FOLDER or FILE"
    ):
        refuse_missing_bag(missing, file)


def test_every_parameter_is_an_argument_that_no_other_is_called_like() -> None:
    names = [argument.name for argument in parameter_arguments()]
    assert names == [parameter.name for parameter in parameters_of(NodeParameters)]
    for file in FILES:
        assert {name for name, _, _ in declared_arguments(file)}.isdisjoint(names), file


# ---- What they start ---------------------------------------------------------------------------


@functools.cache
def runs(*command: str) -> bool:
    """Whether a command is installed."""
    if shutil.which(command[0]) is None:
        return False
    finished = subprocess.run([*command, "--help"], capture_output=True, timeout=TIMEOUT)
    return finished.returncode == 0


@pytest.fixture
def ros2_launch(own_network: None) -> None:  # noqa: ARG001
    """`ros2 launch`, in a ROS domain of this test run's own."""
    if not runs("ros2", "launch"):
        pytest.skip("`ros2 launch` is not installed: PyPI has no wheel of it")


class Launched:
    """A running `ros2 launch`."""

    def __init__(self, log: Path, name: str, arguments: tuple[str, ...]) -> None:
        self._log = log
        with log.open("w") as output:
            self.process = subprocess.Popen(
                ["ros2", "launch", "--noninteractive", str(LAUNCH / name), *arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "ROS_LOG_DIR": str(log.parent)},
                start_new_session=True,  # so that nothing of it can be left over
            )

    def output(self) -> str:
        """Return what it and its nodes have printed."""
        return self._log.read_text()

    def stop(self, code: int) -> None:
        """Stop it as Ctrl+C does, if it has not ended by itself, and check its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        assert self.process.wait(timeout=TIMEOUT) == code, self.output()

    def assert_clean(self, nodes: int) -> None:
        """Check that all nodes ended well, without complaints."""
        ended = re.findall(r"\[facemesh_node-\d+\]: process has finished cleanly", self.output())
        assert len(ended) == nodes, self.output()
        assert complaints(self.output()) == []


@contextmanager
def launched(folder: Path, name: str, *arguments: str, code: int = 0) -> Iterator[Launched]:
    """Run a launch file, stop it at the end, and leave no process of it."""
    launch = Launched(folder / "launch.log", name, arguments)
    try:
        yield launch
        launch.stop(code)
    finally:
        if launch.process.poll() is None:
            os.killpg(launch.process.pid, signal.SIGKILL)
            launch.process.wait()


@pytest.fixture
def face(astronaut: Pixels) -> bytes:
    return bytes(serialize_message(image_message(astronaut, STAMP)))


@pytest.mark.usefixtures("ros2_launch")
def test_facemesh_answers_on_the_topics_it_is_given(face: bytes, tmp_path: Path) -> None:
    arguments = ("image:=/camera/images", "faces:=found", "namespace:=robot")
    with launched(tmp_path, "facemesh.launch.py", *arguments) as launch:
        player = ImagePlayer("/camera/images", Image, "/robot/found")
        player.wait_for_node()
        player.ask(face)
        (answer,) = player.answers
        player.destroy_node()

    assert stamp_of(answer) == STAMP
    assert len(answer.faces) == 1
    launch.assert_clean(nodes=1)


@pytest.mark.usefixtures("ros2_launch")
def test_facemesh_hands_parameters_on(astronaut: Pixels, tmp_path: Path) -> None:
    """Those of the file, and those of arguments, which go before the file."""
    parameters = tmp_path / "parameters.yaml"
    parameters.write_text(
        "/**:\n"
        "  ros__parameters:\n"
        "    backend: auto\n"
        "    image_transport: compressed\n"
        "    max_face_num: 5\n"
    )
    arguments = (
        f"params_file:={parameters}",
        "backend:=onnx",
        "use_sim_time:=true",
        "detect_conf_th:=1",
        "smoothing:=off",
        "landmarks_indices:=[]",
    )
    with launched(
        tmp_path, "facemesh.launch.py", *arguments, "image:=/images", "log_level:=debug"
    ) as launch:
        player = ImagePlayer("/images/compressed", CompressedImage)
        player.wait_for_node()
        player.ask(serialize_message(image_message(astronaut, STAMP, jpeg=True)))
        (answer,) = player.answers
        client = player.create_client(GetParameters, "/facemesh/get_parameters")
        player.wait_until(client.service_is_ready, "parameter service")
        names = ["backend", "use_sim_time", "max_face_num", "detect_conf_th", "smoothing"]
        future = client.call_async(GetParameters.Request(names=names))
        player.wait_until(future.done, "parameters")
        backend, use_sim_time, max_face_num, detect_conf_th, smoothing = future.result().values
        player.destroy_node()

    assert answer.faces == [], "with a minimum score of 1"
    assert backend.string_value == "onnx"
    assert use_sim_time.bool_value is True
    assert max_face_num.integer_value == 5
    assert detect_conf_th.double_value == 1.0
    assert smoothing.string_value == "off"
    assert "[DEBUG]" in launch.output()


@pytest.mark.usefixtures("ros2_launch")
def test_facemesh_says_what_is_wrong_and_ends(tmp_path: Path) -> None:
    with launched(tmp_path, "facemesh.launch.py", "backend:=abacus", code=1) as launch:
        launch.process.wait(timeout=TIMEOUT)

    assert "backend is 'abacus': give one of" in launch.output()
    assert "facemesh_node-1 ended with code 1" in launch.output()
    assert "Traceback" not in launch.output()


@pytest.mark.usefixtures("ros2_launch")
@pytest.mark.parametrize("name", FILES)
def test_all_arguments_are_shown_and_others_refused(name: str, tmp_path: Path) -> None:
    shown = subprocess.run(
        ["ros2", "launch", str(LAUNCH / name), "--show-args"],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    ).stdout
    for parameter in parameters_of(NodeParameters):
        of_each_camera = parameter.name == "frame_prefix" and name == "two_cameras.launch.py"
        assert (f"'{parameter.name}':" in shown) is not of_each_camera
    for argument, _, _ in declared_arguments(name):
        assert f"'{argument}':" in shown
    with launched(tmp_path, name, "bag:=b", "asumed_field_of_view:=65", code=1) as launch:
        launch.process.wait(timeout=TIMEOUT)
    assert "did you mean 'assumed_field_of_view'?" in launch.output()
    assert "process started" not in launch.output()


@pytest.mark.usefixtures("ros2_launch")
def test_webcam_reads_its_device(astronaut: Pixels, tmp_path: Path) -> None:
    """With an image file in a loop as camera: a test cannot count on a real one."""
    image = tmp_path / "face.png"
    cv2.imwrite(str(image), np.ascontiguousarray(astronaut[:, :, ::-1]))
    parameters = tmp_path / "parameters.yaml"
    parameters.write_text("/**: {ros__parameters: {source_loop: true, frame_id: webcam}}\n")
    arguments = (f"device:={image}", f"params_file:={parameters}")
    with launched(tmp_path, "webcam.launch.py", *arguments) as launch:
        player = ImagePlayer("/unused", Image)
        player.wait_until(lambda: len(player.answers) > 2, "three answers")
        answers = player.answers
        player.destroy_node()

    assert {answer.header.frame_id for answer in answers} == {"webcam"}
    assert [len(answer.faces) for answer in answers] == [1] * len(answers)
    launch.assert_clean(nodes=1)


@pytest.mark.usefixtures("ros2_launch")
def test_cameras_side_by_side_do_not_mix(astronaut: Pixels, tmp_path: Path) -> None:
    """Each camera has an image of its own size, and one of the three sees a face."""
    images = {
        "front": astronaut,
        "left": np.zeros((240, 320, 3), np.uint8),
        "right": np.zeros((120, 160, 3), np.uint8),
    }
    with launched(tmp_path, "two_cameras.launch.py", "cameras:=front,left,right") as launch:
        players = {
            name: ImagePlayer(f"/{name}/image_raw", Image, f"/{name}/faces") for name in images
        }
        for player in players.values():
            player.wait_for_node()
        for name, player in players.items():
            player.ask(serialize_message(image_message(images[name], STAMP)))
        answers = {name: player.answers for name, player in players.items()}
        for player in players.values():
            player.destroy_node()

    for name, image in images.items():
        (answer,) = answers[name]
        assert (answer.image_height, answer.image_width) == image.shape[:2]
        assert len(answer.faces) == (name == "front")
    launch.assert_clean(nodes=3)


@pytest.mark.usefixtures("ros2_launch")
def test_each_camera_has_a_view_and_frames_of_its_own(tmp_path: Path) -> None:
    arguments = ("view:=true", "view_port:=18478", "tf:=true")
    with launched(tmp_path, "two_cameras.launch.py", *arguments) as launch:
        watcher = ImagePlayer("/unused", Image)
        prefixes = []
        for camera in ("left", "right"):
            client = watcher.create_client(GetParameters, f"/{camera}/facemesh/get_parameters")
            watcher.wait_until(client.service_is_ready, "parameter service")
            future = client.call_async(GetParameters.Request(names=["frame_prefix"]))
            watcher.wait_until(future.done, "parameters")
            prefixes += [value.string_value for value in future.result().values]
        watcher.wait_until(lambda: launch.output().count("open http://") == 2, "both views")
        watcher.destroy_node()
    assert prefixes == ["left/", "right/"]
    assert set(re.findall(r"localhost:(\d+)/", launch.output())) == {"18478", "18479"}
    launch.assert_clean(nodes=2)


@pytest.mark.usefixtures("ros2_launch")
def test_a_missing_bag_is_one_line_before_anything_starts(tmp_path: Path) -> None:
    missing = tmp_path / "nowhere"
    with launched(tmp_path, "bag.launch.py", f"bag:={missing}", code=1) as launch:
        launch.process.wait(timeout=TIMEOUT)
    assert f"the bag '{missing}' does not exist" in launch.output()
    assert "process started" not in launch.output()


@pytest.mark.usefixtures("ros2_launch")
def test_a_player_that_fails_ends_the_launch_with_advice(tmp_path: Path) -> None:
    """With a folder that holds no bag, or without `ros2 bag`: it fails at once in both cases."""
    (tmp_path / "bag").mkdir()
    with launched(tmp_path, "bag.launch.py", f"bag:={tmp_path / 'bag'}", code=1) as launch:
        launch.process.wait(timeout=TIMEOUT)
    assert re.search(r"ros2-\d+ ended with code [12]: see the message of", launch.output())


@pytest.mark.usefixtures("ros2_launch")
def test_bag_is_played_and_ends_the_launch(tmp_path: Path) -> None:
    if not runs("ros2", "bag", "play"):
        pytest.skip("`ros2 bag play` is not installed: PyPI has no wheel of it")
    bag = JPEG.make_bag(tmp_path)
    parameters = tmp_path / "parameters.yaml"
    parameters.write_text("/**: {ros__parameters: {image_transport: compressed}}\n")
    arguments = (f"bag:={bag}", f"params_file:={parameters}", "image:=/camera/image_raw")
    with launched(tmp_path, "bag.launch.py", *arguments) as launch:
        player = ImagePlayer("/unused", Image)
        end = time.monotonic() + TIMEOUT
        while launch.process.poll() is None:
            assert time.monotonic() < end, launch.output()
            rclpy.spin_once(player, timeout_sec=0.1)
        answers = player.answers
        player.destroy_node()

    with Bag(bag) as recording:
        recorded = [
            stamp_of(deserialize_message(message.data, CompressedImage))
            for message in recording.messages()
        ]
    stamps = [stamp_of(answer) for answer in answers]
    # The first ones and those that a busy machine drops may be missing.
    assert len(stamps) >= len(recorded) / 3
    assert set(stamps) <= set(recorded)
    assert stamps == sorted(set(stamps))
    launch.assert_clean(nodes=1)
