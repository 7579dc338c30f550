"""The walls inside the package: which part may import what."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "maix_facemesh_ros"
#: Runs on a MaixCAM as well, in another place: so its modules import each other relatively.
SHARED_WITH_THE_DEVICE = "maixcam_shared/"
SHARED = sorted((PACKAGE / SHARED_WITH_THE_DEVICE).glob("*.py"))
MODULES = sorted({*PACKAGE.rglob("*.py"), *SHARED})
APP = sorted((PACKAGE.parent / "maixcam_app").glob("*.py"))

#: ROS 2: client library, messages, launch, package index.
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
#: Former places of names, for one release: they import from wherever the name is now.
FORMER_PLACES = ("bags/golden_faces.py",)
#: Name: the only places in the package that may import it.
ONLY_IN = {
    "onnxruntime": ("backends/onnx/network.py",),
    "maix": ("backends/maix/",),
    # They read and write bags without ROS.
    "mcap": ("bags/",),
    "rosbags": ("bags/", "ros/"),
    "tornado": ("browser/",),
}


def imported(module: Path) -> Iterator[str]:
    """Yield the dotted names that a module imports, wherever in the file."""
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 or module in SHARED, f"{module} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_ros(name: str) -> bool:
    top = name.split(".")[0]
    of_this_package = name.startswith(("maix_facemesh_ros.msg", "maix_facemesh_ros.ros"))
    return top in ROS_NAMES or top.endswith(ROS_ENDINGS) or of_this_package


def place(module: Path) -> str:
    return module.relative_to(PACKAGE).as_posix()


@pytest.mark.parametrize("module", MODULES, ids=place)
def test_imports_stay_inside_the_walls(module: Path) -> None:
    for name in imported(module):
        assert place(module).startswith(("ros/", *FORMER_PLACES)) or not is_ros(name), name
        allowed = ONLY_IN.get(name.split(".")[0])
        assert allowed is None or place(module).startswith(allowed), name


@pytest.mark.parametrize("module", SHARED + APP, ids=lambda module: module.name)
def test_the_device_needs_the_standard_library_and_maix_only(module: Path) -> None:
    beside = {other.stem for other in (SHARED if module in SHARED else APP)}
    known = {*sys.stdlib_module_names, *beside}
    known |= set() if module in SHARED else {"maix", "maixcam_shared"}
    assert {name.split(".")[0] for name in imported(module)} <= known


def test_tests_share_code_in_test_support_only() -> None:
    tests = sorted(Path(__file__).parent.rglob("test_*.py"))
    assert len(tests) > 50
    for test in tests:
        assert [name for name in imported(test) if name.startswith("test_")] == [], test


def test_the_walls_see_what_they_should() -> None:
    ros_part = [module for module in MODULES if place(module).startswith("ros/")]
    assert any(is_ros(name) for module in ros_part for name in imported(module))
    assert "onnxruntime" in set(imported(PACKAGE / "backends/onnx/network.py"))
    assert {"link.py", "npu_faces.py"} <= {module.name for module in SHARED}
    assert "main.py" in {module.name for module in APP}
    assert any(name.startswith("maix.") for module in APP for name in imported(module))


def test_import_alone_loads_no_ros_no_network_and_no_device() -> None:
    program = "import sys, maix_facemesh_ros; print(*sys.modules)"
    finished = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(finished.stdout.split())
    assert "maix_facemesh_ros.face_mesh" in loaded
    assert not {"rclpy", "onnxruntime", "maix"} & loaded
    assert [name for name in loaded if is_ros(name)] == []


def test_onnx_backend_loads_no_ros() -> None:
    program = (
        "import sys, maix_facemesh_ros\nmaix_facemesh_ros.FaceMesh().close()\nprint(*sys.modules)"
    )
    finished = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(finished.stdout.split())
    assert "onnxruntime" in loaded
    assert [name for name in loaded if is_ros(name)] == []
