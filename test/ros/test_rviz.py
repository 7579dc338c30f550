"""RViz with nothing to click: its configuration, who starts it, and the launch file's `rviz:=true`.

RViz, tf2_ros and `ros2 launch` are not on PyPI. In their place stand programs that note how they
were called, and as much of `launch` as facemesh.launch.py uses.
"""

from __future__ import annotations

import copy
import os
import re
import runpy
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml
from rcl_interfaces.msg import ParameterType, ParameterValue
from rcl_interfaces.srv import GetParameters
from rclpy.qos import (
    DurabilityPolicy,
    QoSCompatibility,
    QoSProfile,
    ReliabilityPolicy,
    qos_check_compatible,
)

from maix_facemesh_ros.face import Face as PlainFace
from maix_facemesh_ros.msg import Face, FaceArray
from maix_facemesh_ros.ros.facemesh_node import FaceMeshNode
from maix_facemesh_ros.ros.facemesh_rviz import UPRIGHT, view_position
from maix_facemesh_ros.ros.launch_files import parameter_arguments
from maix_facemesh_ros.ros.publishers.markers import (
    GAZE_HEAD_LENGTH,
    GAZE_HEAD_WIDTH,
    GAZE_SHAFT_WIDTH,
    LABEL_HEIGHT,
    LINE_WIDTH,
    MESH_WIDTH,
    POINT_SIZE,
    TEXT_HEIGHT,
    _enlargement,
)
from maix_facemesh_ros.ros.publishers.tf_broadcaster import frames_of_image
from node_in_this_process import node_in_this_process
from node_results import result_of
from running_node import TIMEOUT, Robot

pytest_plugins = ["running_node"]

ROOT = Path(__file__).resolve().parents[2]
CONFIG: dict[str, Any] = yaml.safe_load((ROOT / "rviz/facemesh.rviz").read_text())
MANAGER: dict[str, Any] = CONFIG["Visualization Manager"]

#: Displays with a topic and what they subscribe to, and others, as rviz_default_plugins has them
#: (plugins_description.xml).
MESSAGE_TYPES = {
    "rviz_default_plugins/Image": "Image",
    "rviz_default_plugins/MarkerArray": "MarkerArray",
    "rviz_default_plugins/PointCloud2": "PointCloud2",
}
WITHOUT_TOPIC = {"rviz_default_plugins/TF"}

#: Names of qos_profile_property.cpp in rviz_common.
POLICIES = {
    "Reliable": ReliabilityPolicy.RELIABLE,
    "Best Effort": ReliabilityPolicy.BEST_EFFORT,
    "Volatile": DurabilityPolicy.VOLATILE,
}


# ---- The configuration --------------------------------------------------------------------------


@pytest.fixture
def node(own_network: None, monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: ARG001
    with node_in_this_process(monkeypatch) as node:
        yield node


def test_it_shows_image_markers_cloud_and_frames(node: FaceMeshNode) -> None:
    displays = {display["Class"]: display for display in MANAGER["Displays"]}
    assert displays.keys() == MESSAGE_TYPES.keys() | WITHOUT_TOPIC
    published = {publisher.topic_name: publisher for publisher in node.publishers}
    for name, display in displays.items():
        assert display["Enabled"] is display["Value"] is True, name
    for name, message_type in MESSAGE_TYPES.items():
        topic = displays[name]["Topic"]
        assert not topic["Value"].startswith("/"), "it moves with the namespace"
        publisher = published[f"/{topic['Value']}"]
        assert publisher.msg_type.__name__ == message_type
        # As it is set here, and as with the display added by hand.
        for reliability, durability in (
            (topic["Reliability Policy"], topic["Durability Policy"]),
            ("Reliable", "Volatile"),
        ):
            wanted = QoSProfile(
                depth=topic["Depth"],
                reliability=POLICIES[reliability],
                durability=POLICIES[durability],
            )
            compatible, reason = qos_check_compatible(publisher.qos_profile, wanted)
            assert compatible != QoSCompatibility.ERROR, reason


def test_frames_are_those_of_faces_and_go_with_them() -> None:
    (tf,) = (display for display in MANAGER["Displays"] if display["Class"].endswith("/TF"))
    # As std::regex_search in tf_display.cpp.
    ours = re.compile(tf["Filter (whitelist)"])
    for name in ("face_1", "gaze_12"):
        assert ours.search(name)
    for name in ("base_link", "head_face_link", "face_f1", "camera_face_1", "camera_optical_frame"):
        assert not ours.search(name)
    assert 1 <= tf["Frame Timeout"] <= 2


#: Meters from the chin to the top of the forehead, of the canonical face.
FACE_HEIGHT = 0.177
#: Half of RViz's field of view upwards (Ogre's default, 45 degrees), as a tangent.
HALF_FIELD = np.tan(np.radians(22.5))


def view_of_configuration() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return where the viewer stands in the view's frame, and (3, 3) its right, down, forwards."""
    view = MANAGER["Views"]["Current"]
    assert view["Class"] == "rviz_default_plugins/Orbit"
    yaw, pitch = view["Yaw"], view["Pitch"]
    # The limit of orbit_view_controller.cpp; beyond it RViz would set its own.
    assert abs(pitch) <= np.pi / 2 - 0.001 + 1e-6
    focus = np.array([view["Focal Point"][axis] for axis in "XYZ"])
    # Where it stands, and its up is that of z, as in OrbitViewController::updateCamera.
    away = np.array([np.cos(yaw) * np.cos(pitch), np.sin(yaw) * np.cos(pitch), np.sin(pitch)])
    forwards = -away
    right = np.cross(forwards, (0, 0, 1))
    right /= np.linalg.norm(right)
    axes = np.array([right, np.cross(forwards, right), forwards])
    return np.asarray(focus + view["Distance"] * away), axes


def test_it_looks_as_the_camera_does() -> None:
    """In the camera's frame: x to the right, y down; and turning is about what is up."""
    x, y, z, w = UPRIGHT
    # Columns: the axes of the view's frame in the camera's.
    upright = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    np.testing.assert_allclose(upright[:, 2], (0, -1, 0), atol=1e-9)  # z, about which it turns
    _, axes = view_of_configuration()
    in_camera = axes @ upright.T
    np.testing.assert_allclose(in_camera, np.eye(3), atol=0.1)


def test_the_first_face_is_a_third_of_the_window() -> None:
    eye, axes = view_of_configuration()
    _, down, before = axes @ (np.array((0.0, 0.0, 0.0)) - eye)
    assert abs(down) < 0.1 * before
    assert FACE_HEIGHT / (2 * HALF_FIELD * before) > 1 / 3
    # The label above it is there too.
    above = LABEL_HEIGHT + TEXT_HEIGHT
    assert above < HALF_FIELD * before


@pytest.mark.parametrize("distance", [0.3, 1.0, 3.0])
def test_lines_are_a_pixel_wide_where_the_face_goes(distance: float) -> None:
    """Thinner ones are dashes in RViz: a viewer half a meter before a face that was at one meter,
    or before one that has come to 0.3 m, in a window of 700 pixels.
    """
    eye, axes = view_of_configuration()
    before = float((axes @ -eye)[2])
    first_face = min(distance, 1.0)
    meters_per_pixel = 2 * HALF_FIELD * (before + distance - first_face) / 700
    for width in (MESH_WIDTH, LINE_WIDTH, POINT_SIZE):
        assert width * _enlargement(distance) > meters_per_pixel


def face(z: float = 0.0, box: tuple[float, float, float, float] = (0.0, 0.0, 9.0, 9.0)) -> Face:
    message = Face(pose_valid=z > 0)
    message.pose.position.z = z
    message.box.x, message.box.y, message.box.width, message.box.height = box
    return message


@pytest.mark.parametrize(
    ("faces", "expected"),
    [
        ([face(2.0), face(0.4), face()], (0, 0, 0.4)),
        ([face(box=(0, 0, 20, 20)), face(box=(480, 120, 80, 100))], (0.625, -0.21875, 2)),
        ([], (0, 0, 2)),
    ],
    ids=["the nearest", "without pose the largest, on the markers' plane", "none"],
)
def test_the_view_is_aimed_at_a_face(faces: list[Face], expected: tuple[float, ...]) -> None:
    message = FaceArray(faces=faces, image_width=640, image_height=480)
    assert view_position(message, 2.0) == pytest.approx(expected, abs=1e-6)


def test_a_slender_head_of_an_arrow_would_be_dark_from_its_tip() -> None:
    """RViz's light comes from the viewer: end-on, the cone's sides have the sine of its slope."""
    slope = np.arctan2(GAZE_HEAD_WIDTH / 2, GAZE_HEAD_LENGTH)
    assert np.sin(slope) > 0.6
    assert GAZE_HEAD_WIDTH > 3 * GAZE_SHAFT_WIDTH


def test_names_of_frames_start_again_at_the_limit() -> None:
    faces = [PlainFace(id=number, pose=np.eye(4)) for number in (1, 100, 101, 102, 0)]

    def names(limit: int, **values: Any) -> list[str]:
        result = result_of(faces, frame_limit=limit, **values)
        return [frame.child_frame_id for frame in frames_of_image(result)]

    assert names(0) == ["face_1", "face_100", "face_101", "face_102"]
    # 101 would be face_1, which another face has that is still in view.
    assert names(100) == ["face_1", "face_100", "face_2"]
    assert names(100, frame_prefix="left/", hri_msgs=True)[2:] == [
        *("left/face_100", "left/face_f100"),
        *("left/face_f101", "left/face_2", "left/face_f102"),
    ]


# ---- Who starts it ------------------------------------------------------------------------------


#: Writes its arguments into a file, and RViz's its configuration. Then it runs until it is stopped,
#: which it notes too.
STAND_IN = """#!/bin/sh
[ "$1" = -d ] && cp "$2" "{prefix}/configuration"
printf "%s\\n" "$@" > "{prefix}/{name}.new" && mv "{prefix}/{name}.new" "{prefix}/{name}"
trap 'touch "{prefix}/{name}.stopped"; exit 0' TERM INT
while [ ! -e "{prefix}/close" ] || [ {name} != rviz2 ]; do sleep 0.05; done
"""


@pytest.fixture
def rviz_stand_in(tmp_path: Path) -> Path:
    """A prefix with programs in the place of RViz and of tf2_ros' static_transform_publisher."""
    prefix = tmp_path / "prefix"
    index = prefix / "share/ament_index/resource_index/packages"
    index.mkdir(parents=True)
    for package, name in (("rviz2", "rviz2"), ("tf2_ros", "static_transform_publisher")):
        (index / package).touch()
        program = prefix / "lib" / package / name
        program.parent.mkdir(parents=True)
        program.write_text(STAND_IN.format(prefix=prefix, name=name))
        program.chmod(0o755)
    return prefix


def start_facemesh_rviz(log: Path, *prefixes: Path) -> subprocess.Popen[bytes]:
    path = os.pathsep.join([*map(str, prefixes), sys.prefix])
    with log.open("w") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "maix_facemesh_ros.programs.start", "facemesh_rviz"]
            + ["--ros-args", "-r", "__ns:=/left", "-r", "faces:=found"],
            env={**os.environ, "AMENT_PREFIX_PATH": path},
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def answer_parameters(robot: Robot, **values: ParameterValue) -> None:
    """Stand in for the parameters of the node /left/facemesh."""

    def answer(
        request: GetParameters.Request, response: GetParameters.Response
    ) -> GetParameters.Response:
        response.values = [values.get(name, ParameterValue()) for name in request.names]
        return response

    robot.create_service(GetParameters, "/left/facemesh/get_parameters", answer)


@pytest.mark.parametrize("frame_id", ["left_camera_color_optical_frame", ""])
def test_rviz_runs_upright_at_the_first_face(
    robot: Robot, rviz_stand_in: Path, tmp_path: Path, frame_id: str
) -> None:
    faces = robot.create_publisher(FaceArray, "/left/found", QoSProfile(depth=1))
    answer_parameters(
        robot,
        use_sim_time=ParameterValue(type=ParameterType.PARAMETER_BOOL, bool_value=True),
        frame_prefix=ParameterValue(type=ParameterType.PARAMETER_STRING, string_value="left/"),
        frame_id=ParameterValue(type=ParameterType.PARAMETER_STRING, string_value="eye"),
    )
    message = FaceArray(faces=[face(0.7)])
    message.header.frame_id = frame_id
    camera = frame_id or "eye"
    log = tmp_path / "log"
    process = start_facemesh_rviz(log, rviz_stand_in)
    files = [rviz_stand_in / name for name in ("rviz2", "static_transform_publisher")]

    def have_started() -> bool:
        faces.publish(message)
        return all(file.exists() for file in files)

    try:
        robot.wait_until(have_started, "start of the stand-ins")
        assert process.poll() is None
        (rviz_stand_in / "close").touch()
        assert process.wait(TIMEOUT) == 0, log.read_text()
    finally:
        process.kill()
    assert "RViz starts with the first faces on /left/found" in log.read_text()
    # The publisher ends with the window.
    assert (rviz_stand_in / "static_transform_publisher.stopped").exists()
    rviz, publisher = (file.read_text().splitlines() for file in files)
    option, config, *rest = rviz
    assert option == "-d"
    assert not Path(config).exists(), "it leaves nothing behind"
    assert rest == [
        *("-t", "left - RViz"),
        *("--ros-args", "-r", "__ns:=/left", "-r", "faces:=found"),
        *("--ros-args", "-p", "use_sim_time:=true"),
    ]
    expected = copy.deepcopy(CONFIG)
    manager = expected["Visualization Manager"]
    manager["Global Options"]["Fixed Frame"] = f"{camera}_rviz"
    (tf,) = (display for display in manager["Displays"] if display["Class"].endswith("/TF"))
    tf["Filter (whitelist)"] = "^left/(face|gaze)_[0-9]+$"
    assert yaml.safe_load((rviz_stand_in / "configuration").read_text()) == expected
    transform = dict(zip(publisher[::2], publisher[1::2], strict=True))
    assert transform["--frame-id"] == camera
    assert transform["--child-frame-id"] == f"{camera}_rviz"
    numbers = [float(transform[f"--{name}"]) for name in ("x", "y", "z", "qx", "qy", "qz", "qw")]
    assert numbers == pytest.approx([0, 0, 0.7, *UPRIGHT], abs=1e-6)


@pytest.mark.usefixtures("own_network")
def test_while_it_waits_it_can_be_stopped(
    robot: Robot, rviz_stand_in: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    process = start_facemesh_rviz(log, rviz_stand_in)
    try:
        robot.wait_until(lambda: "RViz starts with" in log.read_text(), "line on the log")
        process.send_signal(signal.SIGINT)
        code = process.wait(TIMEOUT)
    finally:
        process.kill()
    assert code == 0
    assert "Traceback" not in log.read_text()
    assert not (rviz_stand_in / "rviz2").exists()


def test_a_stop_ends_rviz_too(robot: Robot, rviz_stand_in: Path, tmp_path: Path) -> None:
    faces = robot.create_publisher(FaceArray, "/left/found", QoSProfile(depth=1))
    log = tmp_path / "log"
    process = start_facemesh_rviz(log, rviz_stand_in)

    def has_started() -> bool:
        faces.publish(FaceArray())
        return (rviz_stand_in / "rviz2").exists()

    try:
        robot.wait_until(has_started, "start of the stand-in for RViz")
        process.send_signal(signal.SIGINT)
        process.wait(TIMEOUT)
    finally:
        process.kill()
    for name in ("rviz2", "static_transform_publisher"):
        assert (rviz_stand_in / f"{name}.stopped").exists(), name
    assert "Traceback" not in log.read_text()
    assert "does not report use_sim_time" in log.read_text()


def test_without_rviz_it_says_so(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert start_facemesh_rviz(log).wait(TIMEOUT) == 1
    assert "RViz is not installed: sudo apt install ros-" in log.read_text()
    assert "Traceback" not in log.read_text()


# ---- The launch file ----------------------------------------------------------------------------


class Noted(SimpleNamespace):
    """An action or substitution of `launch`: what it was made with."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(arguments=arguments, **keywords)


class Configuration(Noted):
    def perform(self, context: dict[str, str]) -> str:
        return context[self.arguments[0]]


class Condition(Noted):
    def evaluate(self, context: dict[str, str]) -> bool:
        return bool(self.arguments[0].perform(context) == "true")


class Description(list[Any]):
    def get_launch_arguments(self) -> list[Any]:
        return [SimpleNamespace(name="rviz")]


class NotedNode:
    def __init__(self, **keywords: Any) -> None:
        self.keywords = keywords


@pytest.fixture
def launch_stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    names: dict[str, dict[str, Any]] = {
        "launch": {"LaunchDescription": Description},
        "launch.actions": dict.fromkeys(
            ("DeclareLaunchArgument", "OpaqueFunction", "SetEnvironmentVariable"), Noted
        ),
        "launch.conditions": {"IfCondition": Condition},
        "launch.launch_context": {"LaunchContext": dict},
        "launch.launch_description_entity": {"LaunchDescriptionEntity": object},
        "launch.substitutions": {
            "LaunchConfiguration": Configuration,
            "PathJoinSubstitution": Noted,
        },
        "launch_ros": {},
        "launch_ros.actions": {"Node": NotedNode},
        "launch_ros.parameter_descriptions": {"ParameterValue": Noted},
        "launch_ros.substitutions": {"FindPackageShare": Noted},
    }
    for name, content in names.items():
        module = ModuleType(name)
        module.__dict__.update(content)
        monkeypatch.setitem(sys.modules, name, module)


@pytest.mark.usefixtures("launch_stand_in")
@pytest.mark.parametrize("rviz", ["true", "false"])
def test_with_rviz_the_node_gives_what_it_shows(rviz: str) -> None:
    file = runpy.run_path(str(ROOT / "launch/facemesh.launch.py"))
    description = file["generate_launch_description"]()
    context = {name: default or "" for name, default, _ in file["ARGUMENTS"] if name != "rviz"}
    context |= {argument.name: "" for argument in parameter_arguments()}
    context |= {"rviz": rviz, "maixcam_jpeg": "false"}

    (starter,) = (
        action
        for action in description
        if isinstance(action, NotedNode) and action.keywords["executable"] == "facemesh_rviz"
    )
    assert starter.keywords["condition"].evaluate(context) is (rviz == "true")
    assert starter.keywords["namespace"].arguments == ("namespace",)
    ((topic, renamed),) = starter.keywords["remappings"]
    assert (topic, renamed.arguments) == ("faces", ("faces",))

    functions = [action.function for action in description if hasattr(action, "function")]
    (node,) = next(each for each in functions if each.__name__ == "_node")(context)
    _, given = node.keywords["parameters"]
    assert given.get("tf") is (True if rviz == "true" else None)
    # The user's setting takes precedence over RViz's preference.
    assert given["maixcam_jpeg"].arguments[0].arguments == ("maixcam_jpeg",)
