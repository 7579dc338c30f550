"""Makes a folder with another distribution's rclpy, for checks by hand (docs/distros.md).

    tools/lay_rclpy.py humble CHECKOUT FOLDER
    PYTHONPATH=FOLDER ROS_PYTHON_CHECK_FIELDS=1 AMENT_PREFIX_PATH=$PWD/.venv \
        .venv/bin/pytest test/ros/test_node.py

    tools/lay_rclpy.py lyrical CHECKOUT FOLDER
    PYTHONPATH=FOLDER AMENT_PREFIX_PATH=$PWD/.venv-kilted \
        .venv-kilted/bin/pytest test/ros/test_node.py

CHECKOUT is a folder with the branch release/humble/rclpy or release/lyrical/rclpy of
https://github.com/ros2-gbp/rclpy-release. PyPI has no wheels of the two: the Python files of Humble
go over the compiled module of Jazzy's wheel, those of Lyrical over Kilted's, and differences in the
calls and results of the compiled module are translated (`ADAPTERS`). So this runs the
distribution's Python code, and not its rcl and rmw.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent

#: By distribution: the environment with the compiled module.
ENVIRONMENTS = {"humble": ".venv", "lyrical": ".venv-kilted"}

#: By distribution: what is added to the file that loads the compiled module.
ADAPTERS = {
    "humble": """

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
""",
    # Lyrical passes a subscription its acceptable buffers, and a state machine its clock.
    "lyrical": """

_LifecycleStateMachine = rclpy_implementation.LifecycleStateMachine


class _Subscription(rclpy_implementation.Subscription):
    def __init__(self, node, message_type, topic, quality, content_filter, _acceptable_buffers):
        super().__init__(node, message_type, topic, quality, content_filter)


rclpy_implementation.Subscription = _Subscription
rclpy_implementation.LifecycleStateMachine = lambda node, _clock, enable: _LifecycleStateMachine(
    node, enable
)
""",
}

#: Classes that Lyrical's rclpy uses in annotations, in rosidl_pycommon.interface_base_classes.
BASE_CLASSES = """
class _Base:
    def __class_getitem__(cls, _parameters):
        return cls


class BaseMessage(_Base): ...
class BaseService(_Base): ...
class BaseAction(_Base): ...
class BaseImpl(_Base): ...
"""


def main() -> int:
    """Make the folder; returns the exit code."""
    if len(sys.argv) != 4 or sys.argv[1] not in ENVIRONMENTS:
        print(__doc__, file=sys.stderr)
        return 2
    distro, checkout, folder = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    (packages,) = (SOURCE / ENVIRONMENTS[distro]).glob("lib/python3*/site-packages")
    source = next(file.parent for file in sorted(checkout.rglob("rclpy/node.py")))
    target = folder / "rclpy"
    shutil.copytree(source, target, dirs_exist_ok=True)
    for library in (packages / "rclpy").glob("*.so"):
        shutil.copy2(library, target)
    loader = target / "impl" / "implementation_singleton.py"
    loader.write_text((source / "impl" / loader.name).read_text() + ADAPTERS[distro])
    if distro == "lyrical":
        common = folder / "rosidl_pycommon"
        shutil.copytree(packages / common.name, common, dirs_exist_ok=True)
        (common / "interface_base_classes.py").write_text(BASE_CLASSES)
    return 0


if __name__ == "__main__":
    sys.exit(main())
