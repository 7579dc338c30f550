"""RViz with nothing to click: its configuration, who starts it, and the launch file's `rviz:=true`.

RViz and `ros2 launch` are not on PyPI. In their place stand a program that notes how it was called,
and as much of `launch` as facemesh.launch.py uses.
"""

from __future__ import annotations

import os
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
from maix_facemesh_ros.msg import FaceArray
from rclpy.qos import (
    DurabilityPolicy,
    QoSCompatibility,
    QoSProfile,
    ReliabilityPolicy,
    qos_check_compatible,
)

from maix_facemesh_ros.ros.facemesh_node import FaceMeshNode
from running_node import TIMEOUT, Robot
from test_endurance import node_in_this_process

pytest_plugins = ["running_node"]

ROOT = Path(__file__).resolve().parent.parent
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


def test_it_shows_picture_markers_cloud_and_frames(node: FaceMeshNode) -> None:
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
        # As it is set here, and as somebody gets it who adds the display by hand.
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


def test_it_looks_as_the_camera_does() -> None:
    """From behind it, x to the right and y down: what stands before the camera is in the middle."""
    view = MANAGER["Views"]["Current"]
    assert view["Class"] == "rviz_default_plugins/Orbit"
    yaw, pitch = view["Yaw"], view["Pitch"]
    # The limit of orbit_view_controller.cpp; beyond it RViz would set its own.
    assert abs(pitch) <= np.pi / 2 - 0.001 + 1e-6
    focus = np.array([view["Focal Point"][axis] for axis in "XYZ"])
    # Where it stands, and its up is that of z, as in OrbitViewController::updateCamera.
    away = np.array([np.cos(yaw) * np.cos(pitch), np.sin(yaw) * np.cos(pitch), np.sin(pitch)])
    eye, forwards = focus + view["Distance"] * away, -away
    right = np.cross(forwards, (0, 0, 1))
    right /= np.linalg.norm(right)
    down = np.cross(forwards, right)
    np.testing.assert_allclose(
        (forwards, right, down), ((0, 0, 1), (1, 0, 0), (0, 1, 0)), atol=0.01
    )
    assert eye[2] < 0


# ---- Who starts it ------------------------------------------------------------------------------


@pytest.fixture
def rviz_stand_in(tmp_path: Path) -> Path:
    """A prefix with a program rviz2, which writes its arguments into a file there."""
    prefix = tmp_path / "prefix"
    index = prefix / "share/ament_index/resource_index/packages"
    index.mkdir(parents=True)
    (index / "rviz2").touch()
    program = prefix / "lib/rviz2/rviz2"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > "{prefix}/called"\n')
    program.chmod(0o755)
    return prefix


def start_facemesh_rviz(log: Path, *prefixes: Path) -> subprocess.Popen[bytes]:
    path = os.pathsep.join([*map(str, prefixes), sys.prefix])
    with log.open("w") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "maix_facemesh_ros.ros.facemesh_rviz"]
            + ["--ros-args", "-r", "__ns:=/left", "-r", "faces:=found"],
            env={**os.environ, "AMENT_PREFIX_PATH": path},
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def test_rviz_starts_in_the_frame_of_the_pictures(
    robot: Robot, rviz_stand_in: Path, tmp_path: Path
) -> None:
    faces = robot.create_publisher(FaceArray, "/left/found", QoSProfile(depth=1))
    message = FaceArray()
    message.header.frame_id = "left_camera_color_optical_frame"
    log = tmp_path / "log"
    process = start_facemesh_rviz(log, rviz_stand_in)

    def has_ended() -> bool:
        faces.publish(message)
        return process.poll() is not None

    try:
        robot.wait_until(has_ended, "end of the stand-in for RViz")
    finally:
        process.kill()
    assert process.wait() == 0, log.read_text()
    assert "RViz starts with the first faces on /left/found" in log.read_text()
    option, config, *rest = (rviz_stand_in / "called").read_text().splitlines()
    assert option == "-d"
    assert yaml.safe_load(Path(config).read_text()) == CONFIG
    assert rest == [
        *("-f", "left_camera_color_optical_frame"),
        *("--ros-args", "-r", "__ns:=/left", "-r", "faces:=found"),
    ]


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
    assert not (rviz_stand_in / "called").exists()


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


class NotedNode:
    def __init__(self, **keywords: Any) -> None:
        self.keywords = keywords


@pytest.fixture
def launch_stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    names: dict[str, dict[str, Any]] = {
        "launch": {"LaunchDescription": list},
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

    (start_node,) = (action.function for action in description if hasattr(action, "function"))
    (node,) = start_node(context)
    _, given = node.keywords["parameters"]
    assert given.get("tf") is (True if rviz == "true" else None)
    # What somebody says goes before what RViz would like.
    assert given["maixcam_jpeg"].arguments[0].arguments == ("maixcam_jpeg",)
