"""Makes a folder with Humble's rclpy that runs in .venv, for checks by hand (docs/distros.md).

    tools/lay_humble_rclpy.py CHECKOUT FOLDER
    PYTHONPATH=FOLDER ROS_PYTHON_CHECK_FIELDS=1 AMENT_PREFIX_PATH=$PWD/.venv \
        .venv/bin/pytest test/ros/test_node.py

CHECKOUT is a folder with the branch humble of https://github.com/ros2/rclpy. PyPI has no wheels of
Humble: its Python files go over the compiled module of Jazzy's, and what that calls or takes
differently is translated (`SHIM`). So this runs Humble's Python code, and not its rcl and rmw.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent

#: Added to the file that loads the compiled module.
SHIM = """

_EventHandle, _Timer = rclpy_implementation.EventHandle, rclpy_implementation.Timer
rclpy_implementation.QoSEvent = _EventHandle
rclpy_implementation.Timer = lambda clock, context, period: _Timer(clock, context, period, True)


def _without_type_hash(function):
    def call(*arguments):
        infos = function(*arguments)
        for info in infos:
            info.pop("topic_type_hash", None)
        return infos

    return call


for _name in ("rclpy_get_publishers_info_by_topic", "rclpy_get_subscriptions_info_by_topic"):
    setattr(
        rclpy_implementation, _name, _without_type_hash(getattr(rclpy_implementation, _name))
    )
"""


def main() -> int:
    """Make the folder; returns the exit code."""
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    checkout, folder = Path(sys.argv[1]), Path(sys.argv[2])
    source = next(file.parent for file in sorted(checkout.rglob("rclpy/qos_event.py")))
    target = folder / "rclpy"
    shutil.copytree(source, target, dirs_exist_ok=True)
    for library in (SOURCE / ".venv").glob("lib/python3*/site-packages/rclpy/*.so"):
        shutil.copy2(library, target)
    loader = target / "impl" / "implementation_singleton.py"
    loader.write_text((source / "impl" / loader.name).read_text() + SHIM)
    return 0


if __name__ == "__main__":
    sys.exit(main())
