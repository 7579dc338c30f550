"""Tells which tests need ROS, from their imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

SUPPORT = Path(__file__).parent

#: ROS 2: client library, messages, launch, package index, and the parts of this package with them.
ROS_NAMES = {
    "action_msgs",
    "ament_index_python",
    "cv_bridge",
    "foxglove_msgs",
    "launch",
    "launch_ros",
    "rcl_interfaces",
    "rclpy",
    "rosbag2_py",
    "rosidl_runtime_py",
    "tf2_ros",
}
ROS_ENDINGS = ("_msgs", "_interfaces", "_srvs")
OWN_ROS_PARTS = ("maix_facemesh_ros.msg", "maix_facemesh_ros.ros")


def is_ros(name: str) -> bool:
    """Tell whether a dotted name is one of ROS."""
    top = name.split(".")[0]
    return top in ROS_NAMES or top.endswith(ROS_ENDINGS) or name.startswith(OWN_ROS_PARTS)


def imported(module: Path) -> Iterator[str]:
    """Yield the dotted names that a module imports absolutely, wherever in the file."""
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def needs_ros(module: Path) -> bool:
    """Tell whether a test, or a module of test/support, imports ROS, directly or through others."""
    names = [*imported(module)]
    support = {SUPPORT / f"{name.split('.')[0]}.py" for name in names}
    return any(map(is_ros, names)) or any(
        needs_ros(other) for other in support if other.is_file() and other != module
    )
